# SPDX-License-Identifier: Apache-2.0
"""Published ratios beside ours: ``docs/comparison.md``.

``python -m benchmarks published`` measures each pair of units in gates (Bitloom's own cell library)
and writes the page. The ratios of the papers come from other processes, libraries and tools; where
ours differ, the page says why.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fpga.report import report_unit

__all__ = ["CLAIMS", "Claim", "main", "ratio"]

OUTPUT = Path(__file__).parents[1] / "docs" / "comparison.md"
_RECORDED = "\n<!-- recorded tables below -->\n"


@dataclass(frozen=True)
class Claim:
    """A published ratio of two designs, and the two units of ours that stand for them."""

    paper: str
    claim: str
    published: float
    ours: tuple[str, dict[str, Any]]
    over: tuple[str, dict[str, Any]]
    metric: str = "area"  #: ``area``, ``area per MAC`` (and cycle) or ``speed`` (fastest mapping).
    why: str = ""  #: Why the two ratios differ, where they do.


def _pe(weight: str, act: str = "int8", **more: Any) -> tuple[str, dict[str, Any]]:
    return "pe", {"format": weight, "act": act, "core": "accumulate", "max_k": 256, **more}


def _student(fmt: str, published: float, why: str = "") -> Claim:
    claim = f"{fmt} MAC over INT4 MAC, exact sums of 256"
    both = _pe(fmt, fmt, arch="shift-add"), _pe("int4", "int4", arch="shift-add")
    return Claim("Learning from Students (2024)", claim, published, *both, why=why)


_WIDTHS = "the paper's accumulator has other widths for this row (sheet A.9)"
_INT8 = _pe("int8", arch="multiply")

CLAIMS = (
    Claim("MixPE (2024)", "INT4 x INT8 PE over INT8 PE", 0.25, _pe("int4", arch="shift-add"), _INT8,
          why="0.25 is implied by its iso-area arrays (64 x 64 of the one, 32 x 32 of the other), "
          "which count buffers and dequantisers; ours is the MAC alone, whose accumulator is the "
          "same size in both"),
    Claim("MixPE (2024)", "E2M1 x INT8 PE over INT8 PE", 0.25, _pe("e2m1", arch="shift-add"), _INT8,
          why="as above"),
    Claim("BitMoD (2025)", "FP4 x FP16 serial PE over FP16 PE, 4 lanes", 0.76,
          ("pe", {"arch": "bit-serial", "format": "e2m1", "act": "fp16", "lanes": 4,
                  "mode": "hardware", "max_k": 128}),
          ("fma", {"format": "fp16", "addend": "fp32", "result": "fp32"}),
          why="theirs is one of a tile's PEs, whose term encoders and dequantiser are shared; ours "
          "has its own, and the FP16 side is our fused multiply-add, one product a cycle"),
    _student("int5", 203.6 / 160.7),
    _student("e2m1", 170.4 / 160.7),
    _student("e2m1_sr", 191.3 / 160.7),
    _student("e2m1_sp", 218.0 / 160.7, _WIDTHS),
    _student("e3m0", 217.7 / 160.7),
    _student("apot4", 181.6 / 160.7),
    Claim("FP8 versus INT8 (2023)", "E4M3 MAC over INT8 MAC", 1.53, _pe("e4m3", "e4m3"), _INT8,
          why="theirs rounds to an FP16 accumulator, ours sums exactly in 46 bits"),
    Claim("L-Mul (45 nm, student project)", "FP8 L-Mul over FP8 multiplier", 112.8 / 347.4,
          ("pe", {"arch": "lmul", "format": "e4m3", "act": "e4m3", "core": "dot"}),
          ("pe", {"arch": "multiply", "format": "e4m3", "act": "e4m3", "core": "dot"}),
          why="both of ours hand on an exact fixed-point product, whose shifter is most of the "
          "area and is the same in both"),
    Claim("L-Mul (45 nm, student project)", "BF16 L-Mul over BF16 multiplier", 255.6 / 1067.7,
          ("pe", {"arch": "lmul", "format": "bf16", "act": "bf16", "core": "dot"}),
          ("mul", {"format": "bf16", "core": "cell"}),
          why="as above: ours ends in a fixed-point word of 260 bits, not in a bf16 code"),
    Claim("Bit-weight TPE (2025)", "clock of the carry-save PE over that of the MAC PE", 1.5,
          ("pe", {"arch": "csa", "format": "int8", "core": "accumulate", "acc_bits": 32}),
          ("pe", {"arch": "shift-add", "format": "int8", "core": "accumulate", "acc_bits": 32}),
          "speed", why="the fastest mapping gives the plain MAC a fast adder as well"),
    Claim("BBS (2024)", "speed over 8 cycles a beat, 4 columns pruned", 2.0,
          ("pe", {"arch": "bbs", "format": "int8", "lanes": 16, "zero_columns": 4}),
          ("pe", {"arch": "bbs", "format": "int8", "lanes": 16, "zero_columns": 0}), "rate",
          why="the paper's 3.03 over Stripes adds load balance across a whole network"),
)  # fmt: skip


@cache
def _record(unit: str, options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    return report_unit(unit, dict(options), "gates")


def _value(design: tuple[str, dict[str, Any]], metric: str) -> float:
    unit, options = design
    if metric == "rate":
        from gen.emit import emit
        from gen.unit import discover

        found = discover()[unit]
        return float(emit(found, found.params(**options))[1]["beats_per_cycle"])
    record = _record(unit, tuple(options.items()))
    if metric == "speed":
        return 1 / float(record["points"][1]["delay"]["value"])
    return float(record["area"]["total"])


def ratio(claim: Claim) -> tuple[float, float, float]:
    """Return our figures of both designs, and their ratio."""
    ours, over = _value(claim.ours, claim.metric), _value(claim.over, claim.metric)
    return ours, over, ours / over


def main() -> int:
    """Measure and write the recorded table, below what people wrote."""
    lines = [
        "| paper | claim | published | ours | ours in figures | why they differ |",
        "|---|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        ours, over, found = ratio(claim)
        unit = {"area": "GE", "speed": "1 / NAND2 delays", "rate": "beats a cycle"}[claim.metric]
        figures = f"{ours:.3g} / {over:.3g} {unit}"
        lines.append(
            f"| {claim.paper} | {claim.claim} | {claim.published:.2f} | {found:.2f} | {figures} "
            f"| {claim.why} |"
        )
    before = OUTPUT.read_text(encoding="utf-8").split(_RECORDED)[0]
    OUTPUT.write_text(before + _RECORDED + "\n" + "\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0
