# SPDX-License-Identifier: Apache-2.0
"""Every error of the co-processor on the emitted Verilog, each followed by a good product."""

from dataclasses import replace

import numpy as np
import pytest

from hw.spec.coprocessor import ERROR_CODES, FLAGS, OPS, Descriptor
from tests.sim.coprocessor_twin import BASE, Twin

A, W, C = (BASE + 0x4000 * place for place in (0, 1, 2))
RING = BASE + 0xC000
#: Several bursts for each operand, a page in the middle of each; one result more than a tile.
GOOD = Descriptor(
    m=3, n=5, k=70, a=A + 4096 - 33, w=W + 4096 - 64, c=C + 4096 - 21, a_stride=101, c_stride=9,
    tag=0x1234,
)  # fmt: skip


@pytest.fixture
def twin():
    with Twin("cube", seed=1, stalls=20, read_latency=8, write_latency=8, bound=20_000) as made:
        made.fill(np.random.default_rng(1))
        yield made


def good(twin):
    """Insist that the device works."""
    if twin.get("STATUS", "ERROR"):
        twin.write("IRQ_STATUS", 15)
    at = slice(C - BASE, C - BASE + 0x4000)
    for memory in (twin.device.memory, twin.golden.memory):
        memory[at] = 0xA5
    twin.direct(GOOD)
    twin.rest()
    twin.compare()
    assert twin.get("STATUS", "DONE") and not twin.get("STATUS", "ERROR")
    twin.write("IRQ_STATUS", 15)


def failed(twin, code, address=None, tag=GOOD.tag, index=0xFFFF):
    """Insist that the last descriptor failed so, and DONE is not set."""
    assert twin.get("ERR_CODE") == code
    if address is not None:
        assert twin.get("ERR_ADDR_LO") == address and twin.get("ERR_ADDR_HI") == 0
    assert twin.get("ERR_DESC") == index << 16 | tag
    assert twin.get("STATUS", "ERROR") and not twin.get("STATUS", "DONE")


def bursts(twin, extent):
    """Return address and bytes of each burst of an extent's rows."""
    bus, most = twin.contract["data_width"] // 8, twin.contract["max_burst"]
    found = []
    for row in range(extent.rows):
        at = extent.address + row * extent.stride
        end = at + extent.size
        at = at // bus * bus
        while at < end:
            stop = min(at + bus * most, at // 4096 * 4096 + 4096, -(-end // bus) * bus)
            found.append((at, stop - at))
            at = stop
    return found


@pytest.mark.parametrize("kind", ["a", "w", "c", "r"])
def test_refused_at_every_burst(twin, kind):
    """In the first word of a burst or the last; the address is that of the burst.

    ``r`` are reads of what is added to.
    """
    write = kind == "c"
    job = replace(GOOD, flags=GOOD.flags | (kind == "r") << FLAGS["accumulate"])
    part = twin.contract.extents(job)["c" if kind == "r" else kind]
    for number, (at, size) in enumerate(bursts(twin, part)):
        response = ("SLVERR", "DECERR")[number % 2]
        word = at + (size - 8) * (number // 2 % 2)
        # Results before the refused ones may be there, or not.
        twin.device.answer(word, 8, response, reads=not write, writes=write)
        for name, value in enumerate(job.pack()):
            twin.write(f"DIRECT{name}", value)
        twin.device.access(twin.map["CTRL"].offset, 1)
        twin.rest()
        failed(twin, (3 if write else 1) + number % 2)
        found, most = twin.get("ERR_ADDR_LO"), 8 * twin.contract["max_burst"]
        assert found <= word < found + most and found // 4096 == word // 4096, (found, word)
        twin.device.heal()
        _completed(twin, 1)
        twin.device.access(twin.map["IRQ_STATUS"].offset, 15)
        good(twin)


def _completed(twin, count):
    """Tell the golden model of direct descriptors that only the device has run."""
    twin.golden._completed = (twin.golden._completed + count) % 65536


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
        ({"k": 513, "a_stride": 600}, "size"),
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
    twin.queue([GOOD, GOOD], RING, 2)
    twin.rest()
    twin.compare()
    twin.write("IRQ_STATUS", 15)
    twin.write("QHEAD", 5)  # three pending in a ring of two
    twin.write("CTRL", QUEUE_EN=1)
    twin.rest()
    failed(twin, 10, 0, 0, 2)
    twin.compare()
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
    twin.golden.instant = False
    twin.direct(GOOD)
    assert twin.write("DIRECT3", 5) and twin.write("QSIZE", 8) and twin.write("AXI_ATTR", 0)
    twin.write("CTRL", START=1)
    assert twin.get("ERR_CODE") == 10 and twin.get("STATUS", "BUSY")
    twin.golden.step()
    twin.rest()
    twin.compare()
    assert twin.get("STATUS", "DONE") and twin.get("ERR_DESC") == 0xFFFF_1234
    twin.golden.instant = True
    twin.write("IRQ_STATUS", 15)
    good(twin)


def stop(twin, moment, **fields):
    """Run GOOD, and after so many cycles write CTRL; return whether it was done before."""
    for name, value in enumerate(GOOD.pack()):
        twin.write(f"DIRECT{name}", value)
    control = twin.map["CTRL"]
    twin.device.access(control.offset, 1)
    twin.device.step(moment)
    before = twin.get("STATUS", "BUSY")
    twin.device.access(control.offset, control.make(**fields))
    twin.rest()
    return not before


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.deep)])
def test_abort_at_every_moment(twin, step):
    """Error 12, until all of C is written; then the product is done."""
    moment, aborted = 0, 0
    while True:
        over = stop(twin, moment, ABORT=1)
        _completed(twin, 1)
        if twin.get("STATUS", "ERROR"):
            # Before a descriptor is read its tag is not known.
            loaded = moment > 40 or twin.get("ERR_DESC", "TAG")
            failed(twin, 12, 0, GOOD.tag if loaded else 0)
            assert not over
            aborted += 1
        twin.write("IRQ_STATUS", 15)
        twin.golden.memory[:] = twin.device.memory
        twin.golden._kept["CTRL"] = 0
        if moment % (3 * step) == 0 or over:
            good(twin)
        if over:
            break
        moment += step
    assert aborted > 20


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
        for name, value in enumerate(GOOD.pack()):
            twin.write(f"DIRECT{name}", value)
        twin.device.access(twin.map["CTRL"].offset, 1)
        twin.device.step(900)
        failed(twin, 9, 0)
        assert twin.get("STATUS", "BUSY")  # what was asked for is still to come
        twin.rest()
        _completed(twin, 1)
        failed(twin, 9, 0)
        twin.write("IRQ_STATUS", 15)
        twin.write("TIMEOUT", 3500)
        twin.golden.memory[:] = twin.device.memory
        good(twin)


def test_the_engine_is_clean_after_each_error(twin):
    """Errors of all kinds in a row, without a pause between them."""
    rng = np.random.default_rng(3)
    for _ in range(12):
        fault = rng.choice(("abort", "read", "write", "descriptor"))
        if fault == "abort":
            stop(twin, int(rng.integers(10, 200)), ABORT=1)
            _completed(twin, 1)
        elif fault == "descriptor":
            twin.direct(replace(GOOD, op=OPS["copy"] + 50))
            twin.rest()
        else:
            write = fault == "write"
            extent = twin.contract.extents(GOOD)["c" if write else "w"]
            at = extent.address + int(rng.integers(extent.size))
            twin.device.answer(at, 1, "SLVERR", reads=not write, writes=write)
            stop(twin, 0, ABORT=0)
            _completed(twin, 1)
            twin.device.heal()
        twin.write("IRQ_STATUS", 15)
        twin.golden.memory[:] = twin.device.memory
        good(twin)
