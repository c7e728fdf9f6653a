# SPDX-License-Identifier: Apache-2.0
"""A device that lacks what can be left out, ``tiny``, compiled, against its golden model."""

from dataclasses import replace

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from fpga.driver.golden import GoldenTransport
from hw.spec.coprocessor import ERROR_CODES, OPS, PERF, Descriptor, coprocessor_map
from sim.coprocessor import MemoryModel, SimTransport
from tests.hw.spec.test_coprocessor import CAPS
from tests.sim.coprocessor_twin import BASE, Twin, built, draw

MOODS = ({"read_latency": 1, "write_latency": 1}, {"seed": 1, "stalls": 30, "shy": True})
REACH = 1 << 17
GOOD = Descriptor(m=2, n=3, k=9, a=BASE + 1, w=BASE + 64, c=BASE + 0x403, a_stride=9, c_stride=3)
#: Registers of a device that lacks nothing, but protection.
WHOLE = coprocessor_map(**{**CAPS, "numbers": CAPS["numbers"][:1]})
LACKS = (*("QBASE_LO", "QBASE_HI", "QSIZE", "QHEAD", "QTAIL", "TIMEOUT"),
         *(r.name for r in WHOLE.registers if r.name.startswith("PERF")))  # fmt: skip


@pytest.fixture(scope="module")
def twin():
    with Twin("tiny") as twin:
        twin.fill(np.random.default_rng(5))
        yield twin


@pytest.mark.parametrize("mood", MOODS)
def test_products(mood):
    rng = np.random.default_rng(17)
    with Twin("tiny", **mood) as twin:
        twin.fill(rng)
        for _ in range(8):
            twin.direct(draw(rng, twin.contract))
            twin.rest()
            twin.compare()
            twin.write("IRQ_STATUS", 15)


def test_registers_say_what_is_there(twin):
    """CAP4 tells it, the registers of what is not there are unmapped, and its modes stay 0."""
    cap = twin.map["CAP4"]
    word = twin.get("CAP4")
    names = ("QUEUE", "COPY", "TIMEOUT", "COUNTERS", "PROTECTION")
    assert [cap.get(word, name) for name in names] == [0] * 5
    assert cap.get(word, "SIZE_BITS") == 10
    assert {r.name for r in WHOLE.registers} - {r.name for r in twin.map.registers} == set(LACKS)
    for name in LACKS:
        for data in (None, 1):
            assert twin.device.access(WHOLE[name].offset, data) == (0, 2), name
    ctrl = twin.map["CTRL"].offset
    assert twin.device.access(ctrl, 0b111000) == (0, 0)
    assert twin.device.access(ctrl) == (0b010000, 0)  # IRQ_EN alone
    assert not twin.get("STATUS", "BUSY") and twin.get("STATUS", "QUEUE_EMPTY")
    twin.write("CTRL", 0)
    twin.compare()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"op": OPS["copy"], "k": 1}, "unsupported"),
        ({"op": OPS["copy"], "k": 1, "m": 1024}, "unsupported"),
        ({"m": 1024}, "size"),
        ({"n": 1024, "c_stride": 1024}, "size"),
        ({"m": 0x8002}, "size"),
        ({"m": 1023, "n": 1023, "a_stride": 65535, "c_stride": 65535}, "address"),
        ({"k": 1025, "a_stride": 1025}, "size"),
        ({"a": REACH - 17}, "address"),
        ({"c": REACH - 20}, "address"),
        ({"w": REACH - 16}, "address"),
        ({"w": REACH}, "address"),
        ({"a": REACH + BASE}, "address"),
        ({"w_stride": 65535}, "address"),
        ({"op": OPS["fence"], "m": 65535}, None),
        ({"m": 1, "a_stride": 65535, "c_stride": 65535}, None),
    ],
)
def test_refused_descriptors(twin, wrong, code):
    twin.direct(replace(GOOD, **wrong))
    twin.rest()
    twin.compare()
    assert twin.get("ERR_CODE") == (ERROR_CODES[code] if code else 0)
    twin.write("IRQ_STATUS", 15)
    twin.direct(GOOD)
    twin.rest()
    twin.compare()
    assert twin.get("STATUS", "DONE")
    twin.write("IRQ_STATUS", 15)


def test_abort_and_reset_at_some_moments(twin):
    for number, moment in enumerate(range(1, 60, 7)):
        for field in ("ABORT", "SOFT_RESET"):
            twin.golden.instant = False
            twin.direct(replace(GOOD, tag=number))
            twin.device.step(moment)
            twin.write("CTRL", **{field: 1})
            twin.rest()
            twin.golden.instant = True
            assert twin.get("ERR_CODE") == (ERROR_CODES["aborted"] if field == "ABORT" else 0)
            twin.write("IRQ_STATUS", 15)
            twin.write("CTRL", SOFT_RESET=1)
            twin.rest()
            twin.direct(GOOD)
            twin.rest()
            twin.compare()
            twin.write("CTRL", SOFT_RESET=1)
            twin.rest()


@pytest.mark.parametrize("golden", [False, True])
def test_the_driver(golden):
    """It computes without a queue, refuses one, and says that nothing was counted."""
    text, manifest = built("tiny")
    rng = np.random.default_rng(3)
    a, w = rng.integers(-128, 128, (5, 64)), rng.integers(-8, 8, (64, 10))
    device = GoldenTransport(manifest) if golden else SimTransport(text, manifest, MemoryModel())
    with Accelerator(device, manifest) as board:
        assert (board.gemm(a, w) == a @ w).all()
        board.clear_counters()
        assert board.counters() == dict.fromkeys(PERF, 0)
        with pytest.raises(ValueError, match="a must have at most 1023 rows, not 1024"):
            board.gemm(np.ones((1024, 1), int), np.ones((1, 1), int))
        with pytest.raises(ValueError, match="w must have at most 1023 columns, not 1024"):
            board.gemm(np.ones((1, 1), int), np.ones((1, 1024), int))
        with pytest.raises(ValueError, match="the device was built without the op copy"):
            board.copy(BASE, BASE + 64, 4)
    device = GoldenTransport(manifest)
    with pytest.raises(ValueError, match="the device has no queue: queue must be 0, not 8"):
        Accelerator(device, manifest, queue=8)


def test_the_driver_refuses_a_device_with_other_features():
    _, manifest = built("tiny")
    _, other = built("queued")
    with pytest.raises(ValueError, match="QUEUE 1, not 0"):
        Accelerator(GoldenTransport(other), manifest)
