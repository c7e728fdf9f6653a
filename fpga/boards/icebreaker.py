# SPDX-License-Identifier: Apache-2.0
"""1BitSquared iCEBreaker. Source of the pins: litex-boards and amaranth-boards."""

from fpga.board import Board, Part

BOARD = Board(
    name="icebreaker",
    summary="1BitSquared iCEBreaker (Lattice iCE40UP5K)",
    flow="icestorm",
    parts=(Part("UP5K", "iCE40UP5K-SG48", ("--up5k", "--package", "sg48")),),
    constraints="icebreaker.pcf",
    clock_hz=12_000_000,
    leds=2,
    leds_active_low=True,
    button_active_low=True,
    units={
        "coprocessor-uart": {"preset": "tiny", "ram_kib": 64, "ram_style": "huge"},
        "pe-uart": {"format": "int4", "act": "int8", "lanes": 4, "target": "ice40"},
    },
)
