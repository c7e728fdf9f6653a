# SPDX-License-Identifier: Apache-2.0
"""Sipeed Tang Nano 20K. Source of the pins: litex-boards."""

from fpga.board import Board, Part

BOARD = Board(
    name="tangnano20k",
    summary="Sipeed Tang Nano 20K (Gowin GW2AR-18C)",
    flow="gowin",
    parts=(Part("18C", "GW2AR-LV18QN88C8/I7"),),
    units={
        "coprocessor-uart": {"preset": "small"},
        "pe-uart": {"format": "int8", "act": "int8", "lanes": 4, "target": "ecp5"},
    },
    constraints="tangnano20k.cst",
    clock_hz=27_000_000,
    leds=6,
    leds_active_low=True,
)
