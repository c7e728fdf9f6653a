# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``fpga/driver/bridge.py``: the co-processor's golden model behind words."""

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from fpga.driver.bridge import BridgeTransport
from fpga.driver.transport import DeviceError
from hw.spec.bridge import BRIDGE_BASE, BRIDGE_MAGIC, RAM_BASE
from sim.golden.coprocessor.accelerator import GoldenAccelerator
from tests.sim.golden.coprocessor.manifests import manifest_of

MANIFEST = manifest_of("cube")
SIZE = 1 << 14


class Link:
    """Words to registers, the bridge's own, and memory; the bridge acknowledges nothing."""

    def __init__(self):
        self.device = GoldenAccelerator(MANIFEST, base=RAM_BASE, size=SIZE)
        self.own = {0: BRIDGE_MAGIC, 4: RAM_BASE, 8: SIZE, 12: 0b10000}
        self.open = True

    def read(self, address, words):
        return [self.one(address + 4 * k) for k in range(words)]

    def one(self, address):
        if address >= RAM_BASE:
            at = address - RAM_BASE
            return int(self.device.memory[at : at + 4].view("<u4")[0])
        if address >= BRIDGE_BASE:
            return self.own[address - BRIDGE_BASE]
        word, refused = self.device.read32(address)
        self.own[12] |= refused
        return word

    def write(self, address, words, *, fixed=False):
        for k, word in enumerate(words):
            place = address + 4 * k * (not fixed)
            if place >= RAM_BASE:
                at = place - RAM_BASE
                self.device.memory[at : at + 4].view("<u4")[0] = word
            elif place >= BRIDGE_BASE:
                self.own[place - BRIDGE_BASE] &= ~word
            else:
                self.own[12] |= self.device.write32(place, word)

    def close(self):
        self.open = False


@pytest.mark.parametrize("queue", [0, 2])
def test_products(queue):
    rng = np.random.default_rng(1)
    a, w = rng.integers(-128, 128, (5, 13)), rng.integers(-8, 8, (13, 6))
    link = Link()
    with Accelerator(BridgeTransport(link), MANIFEST, queue=queue) as device:
        assert (device.gemm(a, w) == a @ w).all()
        assert device.self_test(2) == 2
    assert not link.open


def test_bytes_beside_stay():
    link = Link()
    board = BridgeTransport(link)
    link.device.memory[:16] = range(16)
    for start in range(4):
        for size in range(1, 9):
            before = link.device.memory[:16].copy()
            data = bytes(range(100, 100 + size))
            board.upload(RAM_BASE + start, data)
            assert board.download(RAM_BASE + start, size) == data
            before[start : start + size] = list(data)
            assert (link.device.memory[:16] == before).all()


def test_what_the_bridge_notes():
    link = Link()
    board = BridgeTransport(link)
    with pytest.raises(DeviceError, match="a read of the register at 0x06c failed: an access was"):
        board.read(0x6C, 1)
    assert board.read(0, 1)
    with pytest.raises(DeviceError, match="a write to the register at 0x004 failed"):
        board.write(4, [1])
    link.own[12] = 0b1000
    with pytest.raises(DeviceError, match="4 bytes to 0x40000000 failed: the UART dropped a byte"):
        board.upload(RAM_BASE, bytes(4))
    with pytest.raises(ValueError, match="not in the device's memory"):
        board.upload(RAM_BASE + SIZE - 2, bytes(4))
    assert not board.wait_interrupt(1)


def test_no_bridge():
    link = Link()
    link.own[0] = 0
    with pytest.raises(DeviceError, match="no bridge with memory answers: ID is 0x00000000"):
        BridgeTransport(link)
