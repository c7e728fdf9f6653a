# SPDX-License-Identifier: Apache-2.0
"""Bench of :mod:`sim.board`: simulated UART on one side, a pseudo-terminal on the other.

Runs inside the simulator and serves until its parent process ends or kills it.
"""

import os
import select
import time
import tty
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer
from cocotb.utils import get_sim_time

PERIOD = 10  #: Nanoseconds of a clock cycle; the unit counts cycles, so any number does.


@cocotb.test()
async def serve(dut: Any) -> None:
    """Carry bytes both ways."""
    cycles = int(os.environ["BITLOOM_CYCLES_PER_BIT"])
    limit = int(os.environ["BITLOOM_FRAME_CYCLES"])
    master, slave = os.openpty()  # holding the slave keeps the terminal alive between hosts
    tty.setraw(slave)
    dut.rst.value, dut.uart_rx.value = 1, 1
    Clock(dut.clk, PERIOD, "ns").start()
    await Timer(10 * PERIOD, "ns")
    dut.rst.value = 0
    wire = Wire(dut, master, cycles * PERIOD, limit * PERIOD)
    cocotb.start_soon(wire.to_host())
    place = Path(os.environ["BITLOOM_DEVICE_FILE"])
    part = place.with_suffix(".part")
    part.write_text(os.ttyname(slave), encoding="utf-8")
    part.replace(place)
    await wire.to_device()


class Wire:
    """The serial line: ``bit`` and ``limit`` are simulated nanoseconds."""

    def __init__(self, dut: Any, master: int, bit: int, limit: int):
        self.dut, self.master, self.bit, self.limit = dut, master, bit, limit
        self.touch()

    def touch(self) -> None:
        """Note that a byte is on the line, in simulated and in real time."""
        self.latest, self.heard = get_sim_time("ns"), time.monotonic()

    def silence(self) -> float:
        """Simulated nanoseconds since a byte was on the line."""
        return get_sim_time("ns") - self.latest

    async def to_host(self) -> None:
        """Read what the device sends."""
        while True:
            await FallingEdge(self.dut.uart_tx)
            await Timer(self.bit + self.bit // 2, "ns")
            byte = 0
            for k in range(8):
                byte |= int(self.dut.uart_tx.value) << k
                await Timer(self.bit, "ns")
            if int(self.dut.uart_tx.value):
                os.write(self.master, bytes([byte]))
            self.touch()

    async def to_device(self) -> None:
        """Send what the host writes."""
        parent, quiet = os.getppid(), False
        while os.getppid() == parent:
            # While nothing can happen any more, simulated time stands still.
            patience = 0.5 if self.silence() > 2 * self.limit else 0
            if not select.select([self.master], [], [], patience)[0]:
                # What was there already when it was looked for is no silence of the host, even if
                # this process had to wait for a processor.
                quiet = True
                if not patience:
                    await Timer(10 * self.bit, "ns")
                continue
            data = os.read(self.master, 4096)
            # A silence of the host is one of the line, however slow the simulation is.
            if quiet and time.monotonic() - self.heard > 0.1 and self.silence() <= self.limit:
                await Timer(int(self.limit - self.silence()) + 20 * self.bit, "ns")
            quiet = False
            for byte in data:
                for k in range(10):
                    self.dut.uart_rx.value = (byte << 1 | 1 << 9) >> k & 1
                    await Timer(self.bit, "ns")
            self.touch()
