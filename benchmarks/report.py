# SPDX-License-Identifier: Apache-2.0
"""Size and speed of a few PEs that people compare: rows for ``docs/benchmarks.md``.

``python -m benchmarks report`` prints a Markdown table. Every row is what ``python -m fpga report
pe`` says of the options in it, without DSP blocks; Fmax is the median of three seeds on ECP5.
"""

from fpga.report import report_unit

__all__ = ["main"]

ROWS = (
    ("int8", "int8", 1, "accumulate"),
    ("int4", "int8", 1, "accumulate"),
    ("e2m1", "int8", 1, "accumulate"),
    ("int4", "int8", 8, "accumulate"),
    ("ternary", "int8", 8, "accumulate"),
    ("e2m1", "int8", 8, "accumulate"),
    ("e2m1", "e2m1", 8, "dot"),
)
ARCHS = ("multiply", "shift-add")


def row(weight: str, act: str, lanes: int, core: str, arch: str) -> str:
    """Return one row of the table."""
    options = {"format": weight, "act": act, "lanes": lanes, "core": core, "arch": arch}
    if core == "accumulate":
        options["acc_bits"] = 32
    gates = report_unit("pe", options, "gates")
    xcup = report_unit("pe", options, "xcup", dsp=False)
    ecp5 = report_unit("pe", options, "ecp5", dsp=False)
    area, fast = gates["points"][0], gates["points"][1]
    cells = (
        f"{weight} x {act}",
        str(lanes),
        core,
        arch,
        f"{area['area']['total']:.0f} @ {area['delay']['value']:.0f}",
        f"{fast['delay']['value']:.0f} @ {fast['area']['total']:.0f}",
        str(xcup["counts"]["LUT"]),
        str(ecp5["counts"]["LUT4eq"]),
        f"{ecp5['fmax']['median']:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the table."""
    print("| formats | lanes | core | arch | GE @ delay | fast: delay @ GE | US+ LUT | ECP5 LUT4 "
          "| ECP5 MHz |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for weight, act, lanes, core in ROWS:
        for arch in ARCHS:
            print(row(weight, act, lanes, core, arch), flush=True)
    return 0
