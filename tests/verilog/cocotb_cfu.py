# SPDX-License-Identifier: Apache-2.0
"""Bench of the emitted ``cfu``: a processor that gives instructions and waits for each answer."""

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from hw.spec.cfu import FUNCTIONS, REFUSED, STATUS, function

PUSHES = [FUNCTIONS[name][0] for name in ("act", "wgt", "scale")]
WAITING = STATUS["waiting"][0]
PATIENCE = 200


@cocotb.test()
async def answers_as_the_model(dut):
    given = np.load(os.environ["BITLOOM_STIMULUS"])
    rng, eager = random.Random(3), os.environ["BITLOOM_EAGER"] == "1"
    dut.cmd_valid.value = dut.rsp_ready.value = 0
    dut.reset.value = 1
    Clock(dut.clk, 10, "ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.reset.value = 0

    async def instruct(number, first, second):
        """Return the answer. Operands are valid until they are taken, and no longer."""
        await FallingEdge(dut.clk)
        while not eager and rng.random() < 0.3:
            await FallingEdge(dut.clk)
        dut.cmd_valid.value = 1
        dut.cmd_payload_function_id.value = number
        dut.cmd_payload_inputs_0.value = first
        dut.cmd_payload_inputs_1.value = second
        taken, willing = False, eager
        dut.rsp_ready.value = willing
        for _ in range(PATIENCE):
            await RisingEdge(dut.clk)
            if taken and willing and dut.rsp_valid.value:
                word = int(dut.rsp_payload_outputs_0.value)
                await FallingEdge(dut.clk)
                dut.rsp_ready.value = 0
                return word
            taken = taken or bool(dut.cmd_ready.value)
            await FallingEdge(dut.clk)
            dut.cmd_valid.value = not taken
            if taken:
                dut.cmd_payload_inputs_0.value = rng.getrandbits(32)
            willing = eager or rng.random() < 0.5
            dut.rsp_ready.value = willing
        raise AssertionError(f"no answer to {number}")

    names = ("function_id", "inputs_0", "inputs_1", "outputs_0")
    rows = zip(*(given[name].tolist() for name in names), strict=True)
    early = []  # results that had to be read for operands to have room
    for at, (number, first, second, due) in enumerate(rows):
        if number == function("result") and early:
            word = early.pop(0)
        else:
            for _ in range(PATIENCE):
                word = await instruct(number, first, second)
                if word != REFUSED or number & 7 not in PUSHES:
                    break
                if await instruct(function("status"), 0, 0) >> WAITING & 1:
                    early.append(await instruct(function("result"), 0, 0))
        assert word == due, f"instruction {at}, {number:#x}: {word:#x}, not {due:#x}"
