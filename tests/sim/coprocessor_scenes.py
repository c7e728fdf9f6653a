# SPDX-License-Identifier: Apache-2.0
"""What both devices of a :class:`Twin` are put through, healthy ones and those with faults.

The healthy unit passes each scene, at whatever pace the memory has.
"""

from dataclasses import replace

from hw.spec.coprocessor import FLAGS, OPS, Descriptor
from tests.sim.coprocessor_steps import (
    GOOD,
    RING,
    A,
    C,
    begin,
    bursts,
    completed,
    failed,
    good,
    overflow,
    run_queue,
    settle,
    stop,
    written,
)
from tests.sim.coprocessor_twin import BASE, SIZE, draw, near


def products(twin, rng, count=12, most=(14, 12, 48)):
    """Random products, all of memory compared after each."""
    twin.fill(rng)
    several = twin.contract.engines
    for _ in range(count):
        number = int(rng.integers(len(several))) if len(several) > 1 else 0
        twin.direct(draw(rng, several[number], most, engine=number))
        twin.rest()
        twin.compare()
        twin.write("IRQ_STATUS", 15)


def long_products(twin, rng):
    """Operands that the buffers have no room for, so that they are read again and again."""
    most = twin.contract.unit.engine.max_k
    twin.fill(rng)
    for k in (most, most - 3):
        at = {name: BASE + SIZE // 4 * place for place, name in enumerate("awsc")}
        twin.direct(Descriptor(m=5, n=9, k=k, a_stride=k + 1, c_stride=9, **at))
        twin.rest()
        twin.compare()
        twin.write("IRQ_STATUS", 15)


def wraps(twin, rng):
    """More than 65536 descriptors: indices and COMPLETED begin again."""
    fence, head = Descriptor(op=OPS["fence"]), 0
    for _ in range(65536 // 16 + 2):
        twin.queue([fence] * 16, RING, 16, head)
        head = (head + 16) % 65536
        twin.rest()
    assert head == 32
    twin.compare()


def copies(twin, rng, count=6):
    """Rows of bytes from any place to any place."""
    twin.fill(rng)
    for _ in range(count):
        m, n = int(rng.integers(1, 9)), int(rng.integers(1, 300))
        gaps = rng.integers(0, 40, 2)
        d = Descriptor(
            op=OPS["copy"],
            m=m,
            n=n,
            k=1,
            a=near(rng, BASE, BASE + SIZE // 2 - 4096),
            c=near(rng, BASE + SIZE // 2, BASE + SIZE - 4096),
            a_stride=n + int(gaps[0]),
            c_stride=-(-n // 4) + int(gaps[1]),
        )
        twin.direct(d)
        twin.rest()
        twin.compare()
        assert not twin.get("STATUS", "ERROR")
        twin.write("IRQ_STATUS", 15)


def queues(twin, rng):
    """A ring of four that wraps, with records, fences, wrong descriptors and stops."""
    twin.fill(rng)
    twin.write("IRQ_ENABLE", 15)
    assert run_queue(twin, rng, 6) > 4


def refusals(twin, rng, kinds="awc", every=1):
    """Bad responses in the first word of a burst or the last; the address is that of the burst.

    Kind ``r`` are reads of what is added to.
    """
    twin.fill(rng)
    for kind in kinds:
        write = kind == "c"
        job = replace(GOOD, flags=GOOD.flags | (kind == "r") << FLAGS["accumulate"])
        extent = twin.contract.extents(job)["c" if kind == "r" else kind]
        for number, (at, size) in enumerate(bursts(twin, extent)):
            if number % every:
                continue
            response = ("SLVERR", "DECERR")[number // every % 2]
            bus = twin.contract["data_width"] // 8
            word = at + (size - bus) * (number // 2 % 2)
            # Results before the refused ones may be there, or not.
            twin.device.answer(word, bus, response, reads=not write, writes=write)
            begin(twin, job)
            twin.rest()
            failed(twin, (3 if write else 1) + (response == "DECERR"))
            found, most = twin.get("ERR_ADDR_LO"), bus * twin.contract["max_burst"]
            assert found <= word < found + most and found // 4096 == word // 4096, (
                f"ERR_ADDR is {found:#x}"
            )
            twin.device.heal()
            completed(twin, 1)
            settle(twin)
            good(twin)


def ends(twin, rng):
    """Bursts that the memory ends too early, or does not end: error 1, and nothing hangs."""
    twin.fill(rng)
    bus = twin.contract["data_width"] // 8
    for kind in "aw":
        for at, size in bursts(twin, twin.contract.extents(GOOD)[kind])[::3]:
            for word in {at, at + size - bus}:
                twin.device.answer(word, bus, "RLAST", reads=True, writes=False)
                begin(twin)
                twin.rest()
                failed(twin, 1)
                twin.device.heal()
                completed(twin, 1)
                settle(twin)
                good(twin)


def aborts(twin, rng):
    """Error 12 until all of C is written; of C each byte is as it was or as it will be."""
    twin.fill(rng)
    good(twin)
    due = twin.golden.memory.copy()
    moment, aborted, over = 0, 0, False
    while not over:
        twin.device.memory[C - BASE : C - BASE + 0x4000] = 0xA5
        before = twin.device.memory.copy()
        over = stop(twin, moment, ABORT=1)
        completed(twin, 1)
        if twin.get("STATUS", "ERROR"):
            # Before a descriptor is read its tag is not known.
            loaded = moment > 40 or twin.get("ERR_DESC", "TAG")
            failed(twin, 12, 0, GOOD.tag if loaded else 0)
            assert not over
            aborted += 1
        now = twin.device.memory
        assert ((now == before) | (now == due)).all(), "a byte is neither old nor new"
        settle(twin)
        twin.golden._kept["CTRL"] = 0
        if moment % 10 == 0 or over:
            good(twin)
        moment += 1
    assert aborted > 100


def races(twin, rng, most=36):
    """DONE is cleared in each cycle around completion; the interrupt shows in every run."""
    twin.write("IRQ_ENABLE", 1)
    for number, word in enumerate(Descriptor(op=OPS["fence"]).pack()):
        twin.write(f"DIRECT{number}", word)
    left = []
    for delay in range(most):
        before = twin.device.statistics()["interrupts"]
        twin.write("CTRL", START=1, IRQ_EN=1)
        twin.device.step(delay)
        twin.device.access(twin.map["IRQ_STATUS"].offset, 1)
        twin.rest()
        twin.device.step(3)
        assert twin.device.statistics()["interrupts"] > before, f"lost after {delay} cycles"
        left.append(twin.get("IRQ_STATUS", "DONE"))
        twin.write("IRQ_STATUS", 1)
    assert left == sorted(left, reverse=True) and set(left) == {0, 1}, left


def busy(twin, rng):
    """What is guarded is refused while a product runs; START is error 10, and it goes on."""
    twin.fill(rng)
    twin.golden.instant = False
    twin.direct(GOOD)
    for name in ("QBASE_LO", "QBASE_HI", "QSIZE", "TIMEOUT", "AXI_ATTR"):
        assert twin.write(name, int(rng.integers(1 << 32)))
    twin.write("CTRL", START=1)
    found = twin.get("ERR_CODE")
    assert found == 10, f"ERR_CODE is {found}, not 10"
    assert twin.get("STATUS", "BUSY")
    twin.golden.step()
    twin.rest()
    twin.compare()
    assert twin.get("STATUS", "DONE") and twin.get("ERR_DESC") == 0xFFFF_1234
    twin.golden.instant = True
    twin.write("IRQ_STATUS", 15)
    good(twin)


def shadows(twin, rng, most=12):
    """The next direct descriptor is written, last word first, at any moment after START."""
    twin.fill(rng)
    one = replace(GOOD, activation=3, clamp_high=60, clamp_low=-60)
    two = replace(one, m=2, n=7, k=33, a=A + 5, c=C + 0x2000, c_stride=11, clamp_high=9)
    twin.golden.instant = False
    for number, word in enumerate(one.pack()):
        twin.write(f"DIRECT{number}", word)
    for delay in range(most):
        twin.write("CTRL", START=1)
        twin.device.step(delay)
        for number, word in reversed(list(enumerate((two, one)[delay % 2].pack()))):
            assert not twin.write(f"DIRECT{number}", word)
        twin.golden.step()
        twin.rest()
        twin.compare()
        twin.write("IRQ_STATUS", 15)
    twin.golden.instant = True


def counts(twin, rng, count=6):
    """What counters tell of random jobs, whose rows begin and end inside of bus words."""
    twin.fill(rng)
    bus = twin.contract["data_width"] // 8
    for _ in range(count):
        d = draw(rng, twin.contract)
        twin.write("PERF_CLEAR", 1)
        before = twin.device.statistics()
        twin.direct(d)
        twin.rest()
        found, due = twin.counters()
        seen = {name: count - before[name] for name, count in twin.device.statistics().items()}
        known = {
            "macs": due["macs"],
            "lookups": 0,
            "rd_bursts": seen["read_bursts"],
            "rd_bytes": bus * seen["read_beats"],
            "wr_bursts": seen["write_bursts"],
            "wr_bytes": seen["write_bytes"],
        }
        told = {name: found[name] for name in known}
        assert told == known, f"counters are {told}, not {known}"
        assert seen["write_bursts"] == written(twin, d) and seen["write_bytes"] == due["wr_bytes"]
        # Rows of A that begin inside of a word may take one more for each chunk but the first.
        row = twin.contract.extents(d)["a"].size
        chunks = -(-row // (bus * twin.contract["max_burst"]))
        assert 0 <= found["rd_bytes"] - due["rd_bytes"] <= bus * d.m * (chunks - 1)
        parts = ("compute", "load_wait", "store_wait", "stall_backpressure")
        assert found["cycles"] > found["busy"] > max(found[part] for part in parts)
        assert found["busy"] >= due["compute"]


def errors(twin, rng):
    """Wrong descriptors without a clear between them, of which the first is kept; an overflow."""
    twin.fill(rng)
    for changes in ({"version": 2}, {"op": 9}, {"k": 0}, {"w": 1 << 32}):
        twin.direct(replace(GOOD, **changes))
        twin.rest()
        twin.compare()
    good(twin)
    overflow(twin)
    twin.write("QHEAD", 2)
    good(twin)
