# SPDX-License-Identifier: Apache-2.0
"""Arrays whose jobs choose their dataflow: those of either, one after the other."""

import numpy as np
import pytest

from sim.golden.mpgemm import array
from sim.golden.mpgemm.cycles import cycles
from sim.golden.mpgemm.draws import joined, split
from sim.golden.mpgemm.jobs import Job, job_word
from sim.golden.mpgemm.two_flows import of_flow

BASE = {"dataflow": "os-ws", "format": "int4", "act": "int8", "arch": "multiply", "rows": 2}
BASE |= {"columns": 3, "lanes": 2, "max_k": 40, "acc_bits": 20, "pipeline": 0, "depth": 4}
BASE |= {"load": None, "group": None, "scale": None}

SHAPES = [(1, 1, 1), (2, 3, 8), (5, 4, 9), (9, 7, 29)]


@pytest.mark.parametrize("formats", [("int4", "int8"), ("e5m2", "e4m3")])
def test_jobs_in_turn(formats):
    p = BASE | {"format": formats[0], "act": formats[1], "acc_bits": 60}
    rng = np.random.default_rng(1)
    jobs, due = [], []
    for at, (m, n, k) in enumerate(SHAPES * 2):
        flow = at % 2 ^ at // 4
        bits = 4 if formats[0] == "int4" else 8
        a, w = rng.integers(0, 256, (m, k)), rng.integers(0, 1 << bits, (k, n))
        alone = of_flow(p, flow)
        act, wgt = array.pack(alone, a, w, rng)
        packets = {"s_axis_act": act, "s_axis_wgt": wgt}
        jobs.append((job_word(m, n, k, reserved=flow), packets))
        due.append(array.run(alone, joined([(job_word(m, n, k), packets)]))["m_axis_out"])
        if formats[0] == "int4":
            c, _ = array.unpack(alone, m, n, due[-1])
            assert (c == (a - (a >> 7 << 8)) @ (w - (w >> 3 << 4))).all()
    out = array.run(p, joined(jobs))["m_axis_out"]
    assert out == {name: [word for part in due for word in part[name]] for name in out}


def test_vectors_and_faults():
    rng = np.random.default_rng(2)
    streams = array.vectors(BASE, rng, 20)
    jobs = [Job.of(word) for word in streams["s_axis_job"]["tdata"]]
    assert [job.reserved for job in jobs] == [0, 1] * 10
    assert not any(user & 15 for user in array.run(BASE, streams)["m_axis_out"]["tuser"])
    jobs = array.faulty(BASE, rng)
    assert len(split(jobs)) == len(jobs["s_axis_job"]["tdata"])
    users = array.run(BASE, jobs)["m_axis_out"]["tuser"]
    assert {user & 15 for user in users} == set(range(8))
    assert [user & 15 for user in users[:5]] == [3] * 5


def test_descriptors():
    engine = array.engine(BASE)
    codes = {
        (0, 0): 0, (0, 1): 0, (0, 2): 3, (0, 3): 3, (0, 1 << 11): 3, (1, 0): 3, (1, 1): 3
    }  # fmt: skip
    for (bits, reserved), code in codes.items():
        assert engine.refusal(Job(1, 1, 1, bits, reserved)) == code
    assert engine.refusal(Job(1, 1, 41, 0, 2)) == 2
    assert array.engine(of_flow(BASE, 1)).refusal(Job(1, 1, 1, 0, 1)) == 3


@pytest.mark.parametrize("flow", [0, 1])
def test_cycles(flow):
    for shape in SHAPES:
        assert cycles(BASE, *shape, flow=flow) == cycles(of_flow(BASE, flow), *shape) + 1
