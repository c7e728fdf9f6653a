# SPDX-License-Identifier: Apache-2.0
"""Products on the emitted co-processor, compiled, against the golden model: all of memory."""

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from hw.spec.coprocessor import Descriptor
from sim.coprocessor import MemoryModel, SimTransport
from tests.sim import coprocessor_scenes as scenes
from tests.sim.coprocessor_steps import run_queue
from tests.sim.coprocessor_twin import BASE, ENGINES, Twin, built

#: How the memory behaves: at once, late, with stalls, slowly.
MOODS = (
    {"read_latency": 1, "write_latency": 1},
    {"read_latency": 40, "write_latency": 30},
    {"seed": 1, "stalls": 30, "shy": True},
    {"seed": 2, "stalls": {"ar": 80, "r": 40, "aw": 80, "w": 60, "b": 90}},
    {"bandwidth": 0.25, "seed": 3, "stalls": 10},
)
#: Compiled in every run, which takes some 10 s of a processor each; the others in deep ones.
#: Scales and several engines are in every run of tests/acceptance/test_coprocessor_rows.py.
SOON = ("cube",)


def engines(*soon):
    return [pytest.param(name, marks=[] if name in soon else pytest.mark.deep) for name in ENGINES]


def run_products(name, count, seed, most=(14, 12, 48)):
    """Run random descriptors, directly, in every mood of the memory."""
    for number, mood in enumerate(MOODS):
        with Twin(name, **mood) as twin:
            scenes.products(twin, np.random.default_rng(seed + number), count, most)


@pytest.mark.parametrize("name", engines(*SOON))
def test_products(name):
    """Sizes, strides and places are random, and so are all bytes, whatever they mean."""
    run_products(name, 6, 100)


@pytest.mark.deep
@pytest.mark.parametrize("name", ENGINES)
def test_many_products(name):
    run_products(name, 16, 200)
    run_products(name, 4, 300, (24, 30, 1000))


def test_copies():
    """Rows of bytes from any place to any place, and a product after them."""
    for number, mood in enumerate(MOODS):
        rng = np.random.default_rng(700 + number)
        with Twin("cube", **mood) as twin:
            scenes.copies(twin, rng)
            scenes.products(twin, rng, 1)


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
    with Twin("cube", read_latency=1, write_latency=1) as twin:
        scenes.wraps(twin, np.random.default_rng(1))


@pytest.mark.parametrize("mood", MOODS)
def test_counters(mood):
    """They tell what the memory has seen, job by job, and what the golden model says of it."""
    with Twin("cube", **mood) as twin:
        scenes.counts(twin, np.random.default_rng(500))


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
