# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.coprocessor.coprocessor import Coprocessor
from hw.coprocessor.params import DEFAULTS, PRESETS, PROTECTIONS, CoprocessorParams

HELP = {
    "engine": "what computes: a text as after `python -m gen`, such as "
    '"array --dataflow os --rows 8 --columns 8" or "mpgemm --engine lut --bits 4"; several with ; '
    "between stand side by side, and each descriptor chooses one",
    "data_width": "bits of the memory bus: 32, 64, 128 or 256",
    "addr_bits": "bits of an address in memory",
    "act_kib": "KiB of buffer for activations",
    "wgt_kib": "KiB of buffer for weights",
    "max_burst": "beats of the longest burst, a power of two (16 for AXI3)",
    "outstanding": "bursts under way at a time, each direction",
    "perf": "performance counters",
    "queue": "a ring of descriptors in memory, and completion records",
    "copies": 'the op "copy"',
    "watchdog": "the register TIMEOUT: notice that the memory bus stands still",
    "slices": "register slices between engine and buffers, for speed",
    "size_bits": "bits of M and N, from 8 to 16",
    "protect": "secded: operand buffers that correct a wrong bit of a word and tell two, parity "
    "of descriptors and registers; or none",
    "accumulate": "let descriptors add to what C holds, for sums longer than the engine's",
    "preset": "a board's values for all that is not given, see below",
}


def _menu() -> str:
    """Return a paragraph for each preset, and what holds without one."""
    rows = {"(none)": DEFAULTS, **PRESETS}
    words = {name: ", ".join(f"{k} {v}" for k, v in row.items()) for name, row in rows.items()}
    return menu("presets (--preset):", words.items())


EPILOG = _menu()
CHOICES = {"preset": tuple(PRESETS), "protect": PROTECTIONS}

UNIT = Unit(
    name="coprocessor",
    summary="matrix co-processor: registers on AXI4-Lite, operands and results over AXI4",
    params=CoprocessorParams,
    build=Coprocessor,
    golden="sim.golden.coprocessor.accelerator",
    help=HELP,
    choices=CHOICES,
    epilog=EPILOG,
    cases=(
        {
            "engine": "array --dataflow cube --rows 2 --columns 2 --lanes 2 --format int4 "
            "--act int4 --max-k 256",
            "data_width": 32,
            "act_kib": 1,
            "wgt_kib": 1,
            "max_burst": 4,
            "outstanding": 2,
            "perf": False,
        },
    ),
)
