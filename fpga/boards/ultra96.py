# SPDX-License-Identifier: Apache-2.0
"""Avnet Ultra96, version 2 unless asked for version 1.

Source: the board files of Avnet for the parts; UG1085 for the ports of the processing system.
"""

from fpga.board import Board, Part


def _part(name: str, device: str, board_part: str) -> Part:
    cells = {"LUT": 70_560, "FF": 141_120, "DSP": 360, "BRAM": 216}
    return Part(name, device, board_part=board_part, cells=cells)


BOARD = Board(
    name="ultra96",
    summary="Avnet Ultra96 (AMD Zynq UltraScale+)",
    flow="zynqmp",
    parts=(
        _part("V2", "xczu3eg-sbva484-1-i", "avnet.com:ultra96v2:part0:1.2"),
        _part("V1", "xczu3eg-sbva484-1-e", "avnet.com:ultra96v1:part0:1.2"),
    ),
    constraints="ultra96.xdc",
    clock_hz=100_000_000,
    leds=2,
    units={
        "coprocessor": {"preset": "ultra96"},
        "pe-axi": {
            "format": "int8",
            "act": "int8",
            "lanes": 16,
            "arch": "multiply",
            "target": "xcup",
        },
    },
)
