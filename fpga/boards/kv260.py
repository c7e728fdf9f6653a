# SPDX-License-Identifier: Apache-2.0
"""AMD Kria KV260.

Source: AMD's board files for the part; UG1085 for the ports of the processing system.
"""

from fpga.board import Board, Part

BOARD = Board(
    name="kv260",
    summary="AMD Kria KV260 (Zynq UltraScale+)",
    flow="zynqmp",
    parts=(
        Part(
            "K26",
            "xck26-sfvc784-2LV-c",
            board_part="xilinx.com:kv260_som:part0:1.3",
            cells={"LUT": 117_120, "FF": 234_240, "DSP": 1_248, "BRAM": 144, "URAM": 64},
        ),
    ),
    units={
        "coprocessor": {"preset": "kv260"},
        "pe-axi": {
            "format": "int8",
            "act": "int8",
            "lanes": 16,
            "arch": "multiply",
            "target": "xcup",
        },
    },
    constraints="kv260.xdc",
    clock_hz=100_000_000,
    leds=2,
)
