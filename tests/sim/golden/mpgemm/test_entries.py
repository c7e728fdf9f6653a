# SPDX-License-Identifier: Apache-2.0
"""Engine ``lut`` with tables of any entries: lookups by hand, and T-MAC's approximate modes."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm import lut
from sim.golden.mpgemm.entries import average_bias
from sim.golden.mpgemm.tmac import engine_tables, tmac_product, tmac_tables_int8
from sim.golden.mpgemm.unit import Unit
from tests.sim.golden.mpgemm.tables import jobs_of, split_out


def unit(**others):
    base = {"engine": "lut", "act": "int8", "rows": 2, "columns": 3, "max_k": 64, "acc_bits": 32}
    base |= {"pipeline": 0, "target": "gates", "bits": 4, "scheme": "twos", "zero_point": None}
    base |= {"group": 4, "tables": 2, "planes": 1, "table_kind": "half", "table_source": "port"}
    base |= {"table_bits": 8, "aggregate": "sum", "window": None}
    return Unit.of({"unit": "mpgemm", "parameters": {**base, **others}})


def by_hand(p, job, act, wgt):
    """One lookup after the other."""
    group, tables, planes, width = p["group"], p["tables"], p["planes"], p["table_bits"]
    half, zero = p["table_kind"] == "half", p["zero_point"]
    size = 1 << group - half
    own = (job.bits or p["bits"]) if planes < p["bits"] else p["bits"]
    beats = -(-own // planes)
    count = beats * planes
    act, wgt = iter(act), iter(wgt)
    c = [[0] * job.n for _ in range(job.m)]
    for top, left in itertools.product(range(0, job.m, p["rows"]), range(0, job.n, p["columns"])):
        for _ in range(0, job.k, group * tables):
            a, w = next(act), [next(wgt) for _ in range(beats)]

            def entry(r, table, index, a=a):
                if not half and not index:
                    return 0
                x = a >> ((r * tables + table) * size + index) * width & (1 << width) - 1
                return x - (1 << width) if x >> width - 1 else x

            for r in range(min(p["rows"], job.m - top)):
                share = sum(entry(r, table, size - 1) for table in range(tables))
                for col in range(min(p["columns"], job.n - left)):
                    total = 0
                    for t in range(count):
                        level = []
                        for table in range(tables):
                            at = ((col * planes + t % planes) * tables + table) * group
                            key = w[t // planes] >> at & (1 << group) - 1
                            if not half:
                                level.append(entry(r, table, key))
                            elif key >= size:
                                level.append(entry(r, table, key - size))
                            else:
                                level.append(-entry(r, table, key))
                        if p["aggregate"] == "average":
                            while len(level) > 1:
                                level = [
                                    x + y + 1 >> 1
                                    for x, y in zip(level[::2], level[1::2], strict=True)
                                ]
                            level = level * tables
                        negative = not half and zero is None and t == count - 1
                        total += (-sum(level) if negative else sum(level)) << t
                    if half:
                        offset = 2 ** (count - 1) if zero is None else zero
                        total += (2**count - 1 - 2 * offset) * share
                    else:
                        total -= (zero or 0) * share
                    c[top + r][left + col] += total
    assert [next(rest, None) for rest in (act, wgt)] == [None, None]
    return c


CASES = [
    {},
    {"table_kind": "full", "group": 3},
    {"planes": 3, "tables": 1, "table_bits": 5},
    {"planes": 4, "zero_point": 3, "scheme": "offset"},
    {"table_kind": "full", "group": 2, "zero_point": 8, "scheme": "offset", "planes": 2},
    {"aggregate": "average", "tables": 4, "group": 2},
    {"aggregate": "average", "table_kind": "full", "group": 2, "bits": 1},
    {"bits": 1, "table_bits": 11, "rows": 1, "columns": 1},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vectors_against_lookups(case):
    p = unit(**case).parameters
    streams = lut.vectors(p, np.random.default_rng(1), 14)
    outs = split_out(lut.run(p, streams))
    for (job, act, wgt), out in zip(jobs_of(streams), outs, strict=True):
        shown = {**p, "acc_bits": 32}
        c, nan = lut_results(shown, job, out)
        assert c.tolist() == by_hand(p, job, act, wgt)
        assert not nan.any()


def lut_results(p, job, out):
    return Unit.of({"unit": "mpgemm", "parameters": p}).results(job.m, job.n, job.k, out)


@pytest.mark.parametrize("case", [{}, {"table_kind": "full"}], ids=str)
def test_stimulus_has_all_entries_and_errors(case):
    p = unit(**case, columns=16).parameters
    rng = np.random.default_rng(1)
    seen = set()
    for job, act, _ in jobs_of(lut.vectors(p, rng, 4)):
        size = p["rows"] * p["tables"] << p["group"] - (p["table_kind"] == "half")
        seen |= {word >> 8 * at & 255 for word in act for at in range(size)}
        assert job.k <= p["max_k"]
    assert {128, 127, 0} <= seen and len(seen) > 20
    out = lut.run(p, lut.faulty(p, rng))["m_axis_out"]
    assert {user & 15 for user in out["tuser"]} == set(range(8))


def test_exact_tables_give_twice_the_product():
    """Entries of sums: what table_bits drops is only the half."""
    rng = np.random.default_rng(1)
    a, w = rng.integers(-15, 16, (3, 24)), rng.integers(-8, 8, (24, 5))
    signs = 2 * (np.arange(8, 16)[:, None] >> np.arange(4) & 1) - 1
    c, _ = unit().product(a.reshape(3, 6, 4) @ signs.T, w)
    assert_array_equal(c.astype(np.int64), 2 * a @ w)
    full = a.reshape(3, 6, 4) @ (np.arange(16)[:, None] >> np.arange(4) & 1).T
    c, _ = unit(table_kind="full").product(full, w)
    assert_array_equal(c.astype(np.int64), a @ w)


def nmse(found, exact):
    return ((found - exact) ** 2).mean() / (exact**2).mean()


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_tables_of_tmac(bits):
    """Quantised tables through the engine, a job for each group of activations."""
    rng = np.random.default_rng(bits)
    a, u = rng.standard_normal((6, 256)), rng.integers(0, 1 << bits, (256, 8))
    exact = a @ (u - 2.0 ** (bits - 1))
    tables, scales = tmac_tables_int8(a)
    errors = {}
    for aggregate in ("sum", "average"):
        engine = unit(bits=bits, planes=bits, tables=16, aggregate=aggregate)
        total = np.zeros(exact.shape)
        for group in range(4):
            part = engine_tables(tables)[:, 16 * group : 16 * group + 16]
            c, _ = engine.product(part, u[64 * group : 64 * group + 64] - (1 << bits - 1))
            right = c.astype(float) - average_bias(engine.parameters, 1, bits)
            total += scales[:, group, None] * right / 2
        errors[aggregate] = nmse(total, exact)
        twin = tmac_product(a, u, bits, act_k=16 if aggregate == "average" else None)
        # The twin has the sum of activations as it is, the engine by quantised entries.
        ones = a.reshape(6, 4, 64).sum(axis=-1)
        shown = (scales * tables[..., 15].reshape(6, 4, 16).sum(axis=-1) - ones).sum(axis=1)
        np.testing.assert_allclose(total, twin - shown[:, None] / 2, atol=1e-9)
    assert errors["sum"] <= 5e-4 < errors["average"] < 1e-2


def test_refusals():
    with pytest.raises(ValueError, match="entries must be -8 to 7"):
        unit(table_bits=4).product(np.full((1, 1, 8), 8), np.zeros((4, 1), int))
    # What one step of the last tables lacks is 0.
    words = lut.pack_act(unit().parameters, np.ones((1, 1, 8), int), 1)
    assert words == [sum(1 << 8 * at for at in range(8))]
