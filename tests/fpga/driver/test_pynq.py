# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``fpga/driver/pynq.py``, on a module that stands in for PYNQ's."""

import asyncio
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from fpga.driver.pynq import PynqTransport
from sim.golden.coprocessor.accelerator import GoldenAccelerator
from tests.sim.golden.coprocessor.manifests import manifest_of

MANIFEST = manifest_of("cube")
BASE, SIZE = 0x1000_0000, 1 << 16


class Fake(ModuleType):
    """PYNQ on the golden model. What is not flushed does not reach the device, nor back."""

    def __init__(self, instant=True):
        super().__init__("pynq")
        self.device = GoldenAccelerator(MANIFEST, base=BASE, size=SIZE, instant=instant)
        self.next, self.alive = BASE + 16, 0

    def MMIO(self, address, size):
        assert (address, size) == (0xA000_0000, 4096)
        return self

    def read(self, offset):
        return self.device.read32(offset)[0]

    def write(self, offset, word):
        assert not self.device.write32(offset, word)

    def allocate(self, shape, dtype):
        fake, place, size = self, self.next - BASE, shape[0]
        if place + size > SIZE:
            raise MemoryError("no CMA")
        self.next += -(-size // 16) * 16
        self.alive += 1

        class Array(np.ndarray):
            device_address = place + BASE

            def flush(self):
                fake.device.memory[place : place + size] = self

            def invalidate(self):
                self[:] = fake.device.memory[place : place + size]

            def freebuffer(self):
                fake.alive -= 1

        return np.zeros(size, dtype=dtype).view(Array)

    def Interrupt(self, path):
        assert path == "coprocessor_0/interrupt"
        return self

    async def wait(self):
        self.device.step()
        while not self.device.interrupt:
            await asyncio.sleep(0.001)


@pytest.fixture
def pynq(monkeypatch):
    fake = Fake(instant=False)
    monkeypatch.setitem(sys.modules, "pynq", fake)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield fake
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.parametrize("queue", [0, 2])
def test_products(pynq, queue):
    rng = np.random.default_rng(1)
    a, w = rng.integers(-128, 128, (5, 13)), rng.integers(-8, 8, (13, 6))
    board = PynqTransport(0xA000_0000, "coprocessor_0/interrupt")
    with Accelerator(board, MANIFEST, queue=queue) as device:
        assert (device.gemm(a, w) == a @ w).all()
        assert (device.gemm(a, w) == a @ w).all()
        assert not board.wait_interrupt(0.01)
    assert pynq.alive == 0


def test_memory(pynq):
    board = PynqTransport(SimpleNamespace(mmio=pynq))
    buffer = board.alloc(100, 64)
    assert buffer.address % 64 == 0
    board.upload(buffer.address + 5, b"xyz")
    assert board.download(buffer.address + 6, 2) == b"yz"
    with pytest.raises(ValueError, match="are in no buffer"):
        board.download(buffer.address + 99, 2)
    with pytest.raises(ValueError, match="bytes of contiguous memory are left: no CMA"):
        board.alloc(1 << 20)
    board.free(buffer)
    with pytest.raises(ValueError, match="is taken at"):
        board.free(buffer)
    assert not board.wait_interrupt(1)


def test_without_pynq(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(ValueError, match="the package pynq is not installed"):
        PynqTransport(0)
