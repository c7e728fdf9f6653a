# SPDX-License-Identifier: Apache-2.0
"""Bench of a co-processor with ``protect``: bits of memories and registers are flipped in it.

Run by ``test_protect`` with the wrapper of ``test_coprocessor``.
"""

from dataclasses import replace

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from hw.spec.coprocessor import ERROR_CODES, Descriptor
from tests.sim.coprocessor_twin import BASE, SIZE
from tests.verilog.cocotb_coprocessor import Board

#: Many tiles of rows and of columns, of operands that stay in the buffers.
JOB = Descriptor(
    m=24, n=10, k=16, a=BASE + 0x100, w=BASE + 0x1000, c=BASE + 0x2000, a_stride=8, c_stride=10
)
CODE = 39  #: Bits of a word of 32 with its check bits.


def buffers(dut):
    """Return the memories of W and of A."""
    inner = dut.dut.core.datapath.inner
    rings = {"w": inner.panels.ring, "a": inner.rows.ring}
    return {"w": [rings["w"].bank0_0], "a": [rings["a"].bank0_0, rings["a"].bank1_0]}


async def run(board, operand, flips):
    """Run the product; in the midst of it spoil ``flips`` bits of every word of an operand."""
    dut, edge = board.dut, FallingEdge(board.dut.aclk)
    board.allow([JOB])
    await board.direct(JOB)
    spoiled = 0
    for _ in range(4000):
        await edge
        if int(dut.m_axi_wvalid.value) and int(dut.m_axi_wready.value):
            break
    else:
        raise AssertionError("nothing is written")
    for memory in buffers(dut)[operand]:
        for place in range(len(memory)):
            word = int(memory[place].value)
            spoiled += word > 0
            for bit in board.random.sample(range(CODE), flips):
                word ^= 1 << bit
            memory[place].value = word
    assert spoiled > 3
    await board.rest()


def same(board):
    """Whether all of memory is as it should be."""
    found = np.frombuffer(board.ram.read(BASE, SIZE), dtype=np.uint8)
    return (found == board.golden.memory).all()


@cocotb.test()
async def one_bit(dut):
    """Results are exact, corrections are counted, until a reset."""
    board = await Board(dut, 1, 0).start()
    total = 0
    for operand in "wa":
        await run(board, operand, 1)
        assert same(board) and not await board.get("ERR_CODE")
        found = await board.get("MEM_CORRECTED")
        assert found > total and not await board.get("MEM_DETECTED")
        total = found
        await board.direct(JOB)  # operands are read again
        await board.rest()
        assert same(board) and await board.get("MEM_CORRECTED") == total
    await board.set("CTRL", SOFT_RESET=1)
    await board.rest()
    assert not await board.get("MEM_CORRECTED")


@cocotb.test()
async def two_bits(dut):
    """The job ends with an error, and the next one is as if nothing had been."""
    board = await Board(dut, 2, 0).start()
    for operand in "wa":
        before = await board.get("MEM_DETECTED")
        await run(board, operand, 2)
        assert await board.get("ERR_CODE") == ERROR_CODES["memory"]
        assert await board.get("MEM_DETECTED") > before
        await board.set("IRQ_STATUS", 15)
        await board.direct(JOB)
        await board.rest()
        assert same(board) and not await board.get("ERR_CODE")


@cocotb.test()
async def descriptor(dut):
    """A flipped bit of any word of it, whatever it means."""
    board = await Board(dut, 3, 0).start()
    store = dut.dut.core.control.words.store
    fence = replace(JOB, op=255)
    for number in range(16):
        for index, word in enumerate(fence.pack()):
            await board.set(f"DIRECT{index}", word)
        await FallingEdge(dut.aclk)
        store[number].value = int(store[number].value) ^ 1 << board.random.randrange(32)
        await board.set("CTRL", START=1)
        await board.rest()
        assert await board.get("ERR_CODE") == ERROR_CODES["parity"]
        await board.set("IRQ_STATUS", 15)
        await board.direct(fence)
        await board.rest()
        assert not await board.get("ERR_CODE")


@cocotb.test()
async def registers(dut):
    """A register that lost a bit ends what is run, until it is written."""
    board = await Board(dut, 4, 0).start()
    file, fence = dut.dut.core.control.registers.file, replace(JOB, op=255)
    for name in ("QBASE_LO", "QBASE_HI", "QSIZE", "QHEAD", "TIMEOUT", "AXI_ATTR", "IRQ_ENABLE"):
        await board.set(name, 0)
        await FallingEdge(dut.aclk)
        part = getattr(file, name.lower())
        part.value = int(part.value) ^ 4
        await board.direct(fence)
        await board.rest()
        assert await board.get("ERR_CODE") == ERROR_CODES["parity"], name
        await board.set("IRQ_STATUS", 15)
        await board.set(name, 0)
        await board.direct(fence)
        await board.rest()
        assert not await board.get("ERR_CODE"), name
