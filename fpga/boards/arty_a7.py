# SPDX-License-Identifier: Apache-2.0
"""Digilent Arty A7. Source of the pins: litex-boards and amaranth-boards."""

from fpga.board import Board, Part

BOARD = Board(
    name="arty_a7",
    summary="Digilent Arty A7 (AMD Artix-7)",
    flow="vivado",
    parts=(
        Part(
            "35T",
            "xc7a35ticsg324-1L",
            cells={"LUT": 20_800, "FF": 41_600, "DSP": 90, "BRAM": 50},
        ),
        Part(
            "100T",
            "xc7a100tcsg324-1",
            cells={"LUT": 63_400, "FF": 126_800, "DSP": 240, "BRAM": 135},
        ),
    ),
    units={
        "coprocessor-uart": {"preset": "small", "ram_kib": 64},
        "pe-uart": {
            "format": "int8",
            "act": "int8",
            "lanes": 8,
            "arch": "multiply",
            "target": "xcup",
        },
    },
    constraints="arty_a7.xdc",
    clock_hz=100_000_000,
    leds=4,
    button_active_low=True,
)
