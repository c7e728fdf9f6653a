# SPDX-License-Identifier: Apache-2.0
"""Products on the emitted co-processor, compiled, against the golden model: all of memory."""

from dataclasses import replace

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from hw.spec.coprocessor import OPS, Descriptor
from sim.coprocessor import MemoryModel, SimTransport
from tests.sim.coprocessor_twin import BASE, ENGINES, SIZE, Twin, built, draw, near

#: How the memory behaves: at once, late, with stalls, slowly.
MOODS = (
    {"read_latency": 1, "write_latency": 1},
    {"read_latency": 40, "write_latency": 30},
    {"seed": 1, "stalls": 30, "shy": True},
    {"seed": 2, "stalls": {"ar": 80, "r": 40, "aw": 80, "w": 60, "b": 90}},
    {"bandwidth": 0.25, "seed": 3, "stalls": 10},
)
#: Compiled in every run, which takes some 15 s of a processor each; the others in deep ones.
SOON = ("cube", "scaled")
RING = BASE + SIZE // 4 - 2048


def engines(*soon):
    return [pytest.param(name, marks=[] if name in soon else pytest.mark.deep) for name in ENGINES]


def run_products(name, count, seed, most=(14, 12, 48)):
    """Run random descriptors, directly, in every mood of the memory."""
    for number, mood in enumerate(MOODS):
        rng = np.random.default_rng(seed + number)
        with Twin(name, **mood) as twin:
            twin.fill(rng)
            for _ in range(count):
                several = twin.contract.engines
                number = int(rng.integers(len(several))) if len(several) > 1 else 0
                twin.direct(draw(rng, several[number], most, engine=number))
                twin.rest()
                twin.compare()
                twin.write("IRQ_STATUS", 15)


@pytest.mark.parametrize("name", engines(*SOON))
def test_products(name):
    """Sizes, strides and places are random, and so are all bytes, whatever they mean."""
    run_products(name, 6, 100)


@pytest.mark.deep
@pytest.mark.parametrize("name", ENGINES)
def test_many_products(name):
    run_products(name, 16, 200)
    run_products(name, 4, 300, (24, 30, 500))


def test_copies():
    """Rows of bytes from any place to any place, between products."""
    for number, mood in enumerate(MOODS):
        rng = np.random.default_rng(700 + number)
        with Twin("cube", **mood) as twin:
            twin.fill(rng)
            for _ in range(6):
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
            twin.direct(draw(rng, twin.contract))
            twin.rest()
            twin.compare()


def run_queue(twin, rng, rounds, size=4):
    """Run descriptors through a ring, some of them fences and wrong ones; return how many."""
    head = 0
    for _ in range(rounds):
        count = int(rng.integers(1, size + 1))
        these = [draw(rng, twin.contract, (6, 6, 24)) for _ in range(count)]
        for number in range(count):
            kind = rng.random()
            if kind < 0.2:
                these[number] = Descriptor(
                    op=OPS["fence"], tag=number, flags=int(rng.choice((0, 1, 8)))
                )
            elif kind < 0.3:
                these[number] = replace(these[number], version=3)
            elif kind < 0.4:
                these[number] = replace(these[number], k=0)
        first, head = head, (head + len(these)) % 65536
        twin.queue(these, RING, size, first, RECORD_EN=1, IRQ_EN=1)
        while True:  # wrong descriptors and "last" stop it
            twin.rest()
            tail = twin.get("QTAIL")
            records = [RING + 64 * size + 16 * (k % size) for k in range(first, tail)]
            twin.compare(records)
            twin.write("IRQ_STATUS", 15)
            if tail == head:
                break
            first = tail
            twin.write("CTRL", QUEUE_EN=1, RECORD_EN=1, IRQ_EN=1)
    return head


@pytest.mark.parametrize("name", engines("cube"))
@pytest.mark.parametrize("size", [1, 4])
def test_queue(name, size):
    """A ring that wraps, with records; products overwrite what others left."""
    for number, mood in enumerate(MOODS[:4]):
        rng = np.random.default_rng(400 + number)
        with Twin(name, **mood) as twin:
            twin.fill(rng)
            twin.write("IRQ_ENABLE", 15)
            assert run_queue(twin, rng, 8, size) > size


@pytest.mark.deep
def test_indices_wrap():
    """More than 65536 descriptors: indices and COMPLETED begin again."""
    with Twin("cube", read_latency=1, write_latency=1) as twin:
        fence, head = Descriptor(op=OPS["fence"]), 0
        for _ in range(65536 // 16 + 2):
            twin.queue([fence] * 16, RING, 16, head)
            head = (head + 16) % 65536
            twin.rest()
        assert head == 32
        twin.compare()


def test_counters():
    """They tell what the memory has seen, and as many products as the golden model."""
    rng = np.random.default_rng(500)
    for mood in MOODS:
        with Twin("cube", **mood) as twin:
            twin.fill(rng)
            before = twin.device.statistics()
            for _ in range(3):
                twin.direct(draw(rng, twin.contract))
                twin.rest()
            found, due = twin.counters()
            seen = {name: count - before[name] for name, count in twin.device.statistics().items()}
            assert found["macs"] == due["macs"] and found["lookups"] == 0
            assert found["rd_bursts"] == seen["read_bursts"]
            assert found["rd_bytes"] == 8 * seen["read_beats"]
            assert found["wr_bursts"] == seen["write_bursts"]
            assert found["wr_bytes"] == seen["write_bytes"] == due["wr_bytes"]
            assert found["rd_bytes"] >= 3 * 64
            parts = ("compute", "load_wait", "store_wait", "stall_backpressure")
            assert found["cycles"] > found["busy"] > max(found[part] for part in parts)
            twin.write("PERF_CLEAR", 1)
            again, _ = twin.counters()
            assert again["cycles"] < 2000 and not again["macs"]


def test_the_driver():
    """Numpy arrays, queued and not, with values at the ends of their ranges."""
    text, manifest = built("cube")
    rng = np.random.default_rng(6)
    for queue in (0, 4):
        transport = SimTransport(text, manifest, MemoryModel(seed=7, stalls=20))
        with Accelerator(transport, manifest, queue=queue) as device:
            pairs = [
                (rng.choice((-128, 127, 0), (m, k)), rng.choice((-8, 7), (k, n)))
                for m, n, k in ((1, 1, 1), (5, 7, 512), (17, 9, 33))
            ]
            if queue:
                tickets = [device.submit(a, w) for a, w in pairs]
                found = [device.wait(ticket) for ticket in tickets]
            else:
                found = [device.gemm(a, w) for a, w in pairs]
            for c, (a, w) in zip(found, pairs, strict=True):
                assert (c == a @ w).all()


def test_rate():
    """With operands that stay in the buffers a step takes a cycle, but for what is at the edges."""
    with Twin("cube", read_latency=20, write_latency=8) as twin:
        twin.fill(np.random.default_rng(8))
        m, n, k = 20, 32, 48
        at = {name: BASE + 0x4000 * place for place, name in enumerate("awc")}
        twin.direct(Descriptor(m=m, n=n, k=k, a_stride=k, c_stride=n, **at))
        twin.rest()
        twin.compare()
        counters, _ = twin.counters()
        steps = (m // 2) * (n // 4) * (k // 4)
        assert counters["compute"] == steps
        assert counters["busy"] < 1.35 * steps, counters
