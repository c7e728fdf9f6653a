# SPDX-License-Identifier: Apache-2.0
"""Every error of the co-processor on the emitted Verilog, each followed by a good product."""

from dataclasses import replace

import numpy as np
import pytest

from hw.spec.coprocessor import ERROR_CODES, OPS
from tests.sim import coprocessor_scenes as scenes
from tests.sim.coprocessor_damaged import choose, damaged
from tests.sim.coprocessor_faults import UPSET
from tests.sim.coprocessor_steps import (
    GOOD,
    RING,
    W,
    begin,
    completed,
    failed,
    good,
    overflow,
    settle,
    stop,
)
from tests.sim.coprocessor_twin import BASE, Twin
from tests.verilog import test_protect


@pytest.fixture
def twin():
    with Twin("cube", seed=1, stalls=20, read_latency=8, write_latency=8, bound=20_000) as made:
        made.fill(np.random.default_rng(1))
        yield made


def test_refused_at_every_burst(twin):
    """In the first word of a burst or the last; the address is that of the burst."""
    scenes.refusals(twin, np.random.default_rng(1), kinds="awcr")


def test_wrong_ends(twin):
    scenes.ends(twin, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"magic": 0xD4}, "descriptor"),
        ({"version": 2, "op": 9, "m": 0}, "descriptor"),
        ({"op": 7, "m": 0}, "unsupported"),
        ({"w_fmt": 9}, "unsupported"),
        ({"flags": 1 << 4}, "unsupported"),
        ({"flags": 1 << 2}, "unsupported"),
        ({"w_layout": 1}, "unsupported"),
        ({"c_fmt": 1}, "unsupported"),
        ({"round_mode": 1}, "unsupported"),
        ({"scale_mode": 1}, "unsupported"),
        ({"engine": 1}, "unsupported"),
        ({"activation": 2}, "unsupported"),
        ({"g": 5}, "unsupported"),
        ({"m": 0}, "size"),
        ({"n": 0}, "size"),
        ({"k": 0}, "size"),
        ({"k": 1025, "a_stride": 1100}, "size"),
        ({"op": 1}, "size"),
        ({"w": W + 8}, "size"),
        ({"a_stride": 69}, "size"),
        ({"c_stride": 4}, "size"),
        ({"a": (1 << 32) - 32}, "address"),
        ({"c": (1 << 32) - 36}, "address"),
        ({"w": (1 << 32) - 16}, "address"),
        ({"w": 1 << 32}, "address"),
    ],
)
def test_refused_descriptors(twin, wrong, code):
    """Directly and from the queue, where the record tells it; nothing else is touched."""
    bad = replace(GOOD, **wrong)
    before = twin.device.statistics()
    twin.direct(bad)
    twin.rest()
    failed(twin, ERROR_CODES[code], 0)
    twin.compare()
    after = twin.device.statistics()
    assert after["read_bursts"] == before["read_bursts"]
    assert after["write_bursts"] == before["write_bursts"]
    good(twin)
    twin.queue([GOOD, bad], RING, 2, RECORD_EN=1)
    twin.rest()
    failed(twin, ERROR_CODES[code], RING + 64, index=1)
    twin.compare([RING + 128, RING + 144])
    good(twin)


def test_queue_errors(twin):
    """An overflow; a ring that cannot be; descriptors and records that the memory refuses."""
    overflow(twin)
    good(twin)
    twin.write("QHEAD", 2)
    for name, value in (("QSIZE", 3), ("QSIZE", 0), ("QBASE_LO", RING + 32)):
        twin.write("QSIZE", 2)
        twin.write(name, value)
        twin.write("CTRL", QUEUE_EN=1)
        twin.rest()
        failed(twin, 7, 0, 0, 2)
        twin.compare()
        good(twin)
    twin.write("QBASE_LO", RING)
    for response, reads in (("SLVERR", True), ("DECERR", True), ("SLVERR", False)):
        tail = twin.get("QTAIL")
        at = RING + 64 * (tail % 2) if reads else RING + 128 + 16 * (tail % 2)
        twin.fail(at, 16, response, reads=reads, writes=not reads)
        twin.queue([GOOD], RING, 2, tail, RECORD_EN=1)
        twin.rest()
        failed(
            twin, (1 if reads else 3) + (response == "DECERR"), at, 0 if reads else GOOD.tag, tail
        )
        twin.heal()
        twin.golden.memory[RING - BASE :] = twin.device.memory[RING - BASE :]  # records
        twin.compare()
        good(twin)


def test_start_while_busy(twin):
    """Error 10 at once, with the tag of DIRECT; the product that runs is done as if nothing was."""
    scenes.busy(twin, np.random.default_rng(1))


def test_abort_at_every_moment(twin):
    """Error 12, until all of C is written; then the product is done."""
    scenes.aborts(twin, np.random.default_rng(1))


def test_interrupt_races(twin):
    scenes.races(twin, np.random.default_rng(1))


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.deep)])
@pytest.mark.parametrize("hard", [False, True])
def test_reset_at_every_moment(twin, step, hard):
    """By CTRL the bus comes to rest first; by the pin it does not. All registers begin again."""
    moment, over = 0, False
    while not over:
        if hard:
            twin.direct(GOOD)
            twin.device.step(moment)
            over = not twin.get("STATUS", "BUSY")
            twin.device.reset()
        else:
            over = stop(twin, moment, SOFT_RESET=1)
        kept = twin.golden._kept
        twin.golden._restart()
        if hard:  # all but the memory of DIRECT
            twin.golden._kept |= {n: word for n, word in kept.items() if n.startswith("DIRECT")}
        twin.golden.memory[:] = twin.device.memory
        twin.compare()
        counters, _ = twin.counters()
        assert counters["busy"] == 0 and counters["rd_bytes"] == 0
        good(twin)
        moment += step
    assert moment > 20 * step


def test_timeout():
    """A memory that stops answering: the error comes at once, rest when it answers again."""
    with Twin("cube", read_latency=3000, write_latency=1) as twin:
        twin.fill(np.random.default_rng(2))
        twin.write("TIMEOUT", 500)
        begin(twin)
        twin.device.step(900)
        failed(twin, 9, 0)
        assert twin.get("STATUS", "BUSY")  # what was asked for is still to come
        twin.rest()
        completed(twin, 1)
        failed(twin, 9, 0)
        twin.write("TIMEOUT", 3500)
        settle(twin)
        good(twin)


def test_the_engine_is_clean_after_each_error(twin):
    """Errors of all kinds in a row, without a pause between them."""
    rng = np.random.default_rng(3)
    for _ in range(12):
        fault = rng.choice(("abort", "read", "write", "descriptor"))
        if fault == "abort":
            stop(twin, int(rng.integers(10, 200)), ABORT=1)
            completed(twin, 1)
        elif fault == "descriptor":
            twin.direct(replace(GOOD, op=OPS["copy"] + 50))
            twin.rest()
        else:
            write = fault == "write"
            extent = twin.contract.extents(GOOD)["c" if write else "w"]
            at = extent.address + int(rng.integers(extent.size))
            twin.device.answer(at, 1, "SLVERR", reads=not write, writes=write)
            stop(twin, 0, ABORT=0)
            completed(twin, 1)
            twin.device.heal()
        settle(twin)
        good(twin)


def _answered(kind, response):
    def provoke(twin):
        at = twin.contract.extents(GOOD)[kind].address
        twin.device.answer(at, 1, response, reads=kind != "c", writes=kind == "c")
        begin(twin)
        twin.rest()
        twin.device.heal()

    return provoke


def _refused(**wrong):
    def provoke(twin):
        begin(twin, replace(GOOD, **wrong))
        twin.rest()

    return provoke


def _overdue(twin):
    twin.write("TIMEOUT", 6)
    begin(twin)
    twin.rest()
    twin.write("TIMEOUT", 0)


def _started_twice(twin):
    begin(twin)
    twin.device.access(twin.map["CTRL"].offset, 1)
    twin.rest()


def _upset(twin):
    choose(twin, UPSET)
    begin(twin)
    twin.rest()
    choose(twin)


#: What brings each error about.
PROVOKED = {
    "read slverr": _answered("a", "SLVERR"),
    "read decerr": _answered("w", "DECERR"),
    "write slverr": _answered("c", "SLVERR"),
    "write decerr": _answered("c", "DECERR"),
    "descriptor": _refused(version=9),
    "unsupported": _refused(op=9),
    "size": _refused(n=0),
    "address": _refused(a=1 << 40),
    "timeout": _overdue,
    "overflow": _started_twice,
    "engine": _upset,
    "aborted": lambda twin: stop(twin, 60, ABORT=1),
}


def test_every_error_is_provoked():
    """Here, or with bits that flip in a unit that sees it."""
    assert set(PROVOKED) | set(test_protect.PROVOKED) == set(ERROR_CODES) - {"none"}


@pytest.mark.parametrize("name", PROVOKED)
def test_error(name):
    """It is told, with its code, and a good product follows."""
    with damaged() as twin:
        twin.fill(np.random.default_rng(5))
        PROVOKED[name](twin)
        code = ERROR_CODES[name]
        found = twin.get("ERR_CODE")
        assert found == code and twin.get("STATUS", "ERROR")
        assert twin.get("STATUS", "DONE") == (name == "overflow")  # the one that ran is done
        completed(twin, 1)
        settle(twin)
        good(twin)
