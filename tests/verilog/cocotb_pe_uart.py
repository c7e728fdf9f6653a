# SPDX-License-Identifier: Apache-2.0
"""Bench of the emitted ``pe_uart``: bits in, bits out, against the golden bytes."""

import os

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

PERIOD = 10


@cocotb.test()
async def bytes_answer_as_the_golden_model(dut):
    bit = PERIOD * int(os.environ["BITLOOM_CYCLES_PER_BIT"])
    with np.load(os.environ["BITLOOM_STIMULUS"]) as file:
        rx, tx, due = (file[name].tolist() for name in ("rx", "tx", "due"))
    got = []

    async def listen():
        while True:
            await FallingEdge(dut.uart_tx)
            await Timer(bit // 2, "ns")
            bits = []
            for _ in range(10):
                bits.append(int(dut.uart_tx.value))
                await Timer(bit, "ns") if len(bits) < 10 else None
            assert bits[0] == 0 and bits[9] == 1, f"no frame of 8N1: {bits}"
            got.append(sum(b << k for k, b in enumerate(bits[1:9])))

    dut.uart_rx.value, dut.rst.value = 1, 1
    Clock(dut.clk, PERIOD, "ns").start()
    await Timer(5 * PERIOD, "ns")
    assert int(dut.uart_tx.value) == 1
    dut.rst.value = 0
    cocotb.start_soon(listen())
    for byte, answers in zip(rx, due, strict=True):
        for k in range(10):
            dut.uart_rx.value = (byte << 1 | 1 << 9) >> k & 1
            await Timer(bit, "ns")
        for _ in range(12 * (answers - len(got))):
            if len(got) < answers:
                await Timer(bit, "ns")
        assert got == tx[:answers]
    await Timer(50 * bit, "ns")
    assert got == tx
