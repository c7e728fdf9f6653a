# SPDX-License-Identifier: Apache-2.0
"""Radiona ULX3S. Source of the pins: litex-boards and amaranth-boards."""

from fpga.board import Board, Part


def _part(name: str, size: str) -> Part:
    options = (size, "--package", "CABGA381", "--speed", "6")
    return Part(name, f"LFE5U-{name}-6BG381C", options)


BOARD = Board(
    name="ulx3s",
    summary="Radiona ULX3S (Lattice ECP5)",
    flow="trellis",
    # The 12F is a 25F by another name and identification code: nextpnr gives it the same die.
    parts=(
        _part("85F", "--85k"),
        _part("45F", "--45k"),
        _part("25F", "--25k"),
        _part("12F", "--12k"),
    ),
    constraints="ulx3s.lpf",
    clock_hz=25_000_000,
    leds=8,
    units={
        "coprocessor-uart": {"preset": "small"},
        "pe-uart": {
            "format": "int8",
            "act": "int8",
            "lanes": 8,
            "arch": "multiply",
            "target": "ecp5",
        },
    },
)
