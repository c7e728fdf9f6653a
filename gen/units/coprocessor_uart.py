# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from gen.units.coprocessor import CHOICES, EPILOG, HELP
from hw.coprocessor.serial import RAM_STYLES, SerialCoprocessor, SerialParams

UNIT = Unit(
    name="coprocessor-uart",
    summary="matrix co-processor with memory of its own behind a UART (LiteX uartbone protocol)",
    params=SerialParams,
    build=SerialCoprocessor,
    golden="sim.golden.coprocessor.accelerator",
    help={
        **HELP,
        "ram_kib": "KiB of memory, a power of two",
        "ram_style": "huge: memory of the largest blocks that the FPGA has (SPRAM of an iCE40 "
        "UltraPlus), whose contents are unknown at first; or auto",
        "clock_hz": "frequency of the clock in Hz",
        "baud": "bits per second of the UART",
    },
    choices={**CHOICES, "ram_style": RAM_STYLES},
    epilog=EPILOG,
    cases=(
        {
            "engine": "array --dataflow tree --rows 1 --columns 2 --lanes 4 --format int4 "
            "--max-k 256",
            "data_width": 32,
            "act_kib": 1,
            "wgt_kib": 1,
            "max_burst": 4,
            "outstanding": 2,
            "perf": False,
            "ram_kib": 4,
            "clock_hz": 800_000,
            "baud": 100_000,
        },
    ),
)
