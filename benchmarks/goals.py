# SPDX-License-Identifier: Apache-2.0
"""Our modules beside other people's RTL, measured with one recipe: the table of goals.

``make goals RECIPE=path/to/synth.py`` prints a Markdown table. The recipe is a program that takes
``NAME TOP FOLDER FILE --only asic,xil --clk CLOCK`` and leaves ``FOLDER/NAME/result.json`` with
``asic_area`` (``um2``, ``ps``), ``asic_fast`` and ``xil_lut`` (``LUT``, ``FF``). The peers' figures
below came from the same recipe (ASAP7 typical corner, Yosys 0.70 and ABC of Yosys 0.23; UltraScale+
without DSP blocks): they compare with nothing else.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gen.emit import emit
from gen.unit import discover

__all__ = ["ROWS", "Row", "main", "measure"]


@dataclass(frozen=True)
class Row:
    """One goal: a unit of ours, a peer's figures, and the factors that are to be reached."""

    title: str
    unit: str
    options: dict[str, Any]
    peer: str
    area: float  #: Of the peer, in square micrometres.
    delay: int  #: Of the peer at that area, in picoseconds.
    lut: int | None  #: Of the peer.
    area_factor: float
    delay_factor: float = 1.1
    lut_goal: int | None = None


def _mac(weight: str, lanes: int = 1, **more: Any) -> dict[str, Any]:
    core = {"core": "accumulate", "acc_bits": 32}
    return {"format": weight, "act": "int8", "lanes": lanes, "max_k": 4096, **core, **more}


ROWS = (
    Row("int8 x int8 carry-save MAC", "pe", _mac("int8", arch="csa"), "tpe_opt1", 76.6, 503, 232,
        0.85, 1.0, 197),
    Row("column of 8, encoded digits", "pe",
        {"format": "int8", "act": "int8", "arch": "sparse-digit", "lanes": 4, "columns": 8,
         "core": "accumulate"}, "tpe_opt4c8", 298.9, 542, 618, 0.85, 1.0, 525),
    Row("int8 x int8 MAC", "pe", _mac("int8", arch="shift-add"), "tpe_mac", 55.2, 976, 270,
        0.9, 1.1, 162),
    Row("8-lane int8 x int4 + acc32", "pe", _mac("int4", 8), "dotk8_84", 166.8, 1170, 558,
        0.85, 1.1, 280),
    # As sign and magnitude: the fourth code is zero, as in the peer.
    Row("8-lane int8 x ternary + acc32", "pe", _mac("sm2", 8), "dottk8", 65.5, 964, 243,
        0.8, 1.1, 130),
    Row("8-lane int8 x E2M1 + acc32", "pe", _mac("e2m1", 8), "dote2k8", 133.7, 1261, 500,
        0.8, 1.1, 320),
    Row("8-lane E2M1 x E2M1", "pe",
        {"format": "e2m1", "act": "e2m1", "lanes": 8, "core": "dot", "arch": "shift-add"},
        "mx_dotfp_e2m1_8", 59.7, 786, 313, 0.8, 1.0, 180),
    Row("8x8 / 2x(8x4) / 4x(8x2), acc20", "pe",
        {"format": "int8", "act": "int8", "arch": "fused", "mode": "weights", "max_k": 16,
         "acc_bits": 20, "core": "accumulate"}, "ps_bfusion1d2", 100.1, 885, 288, 0.8, 1.0),
    Row("FP16 FMA", "fma", {"format": "fp16", "core": "cell"}, "fma_fp16", 150.0, 3454, 782,
        0.9, 0.9),
    Row("E5M2 FMA", "fma", {"format": "e5m2", "core": "cell"}, "fma_fp8e5m2", 43.1, 2515, 244,
        0.9, 0.9),
    Row("posit(8,2) multiplier", "mul", {"format": "posit8_2", "core": "cell"}, "pacogen_mul8_2",
        28.0, 1578, 164, 0.85),
)  # fmt: skip


def measure(row: Row, recipe: Path) -> dict[str, Any]:
    """Return area, delay, fast point and LUTs of our module, each built for its target."""
    unit = discover()[row.unit]
    found: dict[str, Any] = {}
    for target, only in (("gates", "asic"), ("xcup", "xil")):
        options = {**row.options, **({"target": target} if row.unit == "pe" else {})}
        text, manifest = emit(unit, unit.params(**options), "dut")
        with tempfile.TemporaryDirectory(prefix="bitloom-") as folder:
            (Path(folder) / "dut.v").write_text(text, encoding="utf-8")
            command = [sys.executable, str(recipe), "row", "dut", "out", "dut.v", "--only", only]
            command += ["--clk", "clk"] if manifest["clock"] else []
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            result = Path(folder) / "out" / "row" / "result.json"
            if done.returncode or not result.exists():
                raise ValueError(f"the recipe failed on {row.title}: {done.stdout[-300:].strip()}")
            found |= json.loads(result.read_text(encoding="utf-8"))
    return found


def line(row: Row, found: dict[str, Any]) -> tuple[str, bool]:
    """Return the row's line of the table and whether one of our two points reaches every goal."""
    area, fast, lut = found["asic_area"], found["asic_fast"], found["xil_lut"]
    ratio, slow = area["um2"] / row.area, area["ps"] / row.delay
    reached = any(
        point["um2"] <= row.area_factor * row.area and point["ps"] <= row.delay_factor * row.delay
        for point in (area, fast)
    )
    if row.lut_goal is not None:
        reached = reached and lut["LUT"] <= row.lut_goal
    cells = (
        row.title,
        f"{row.peer}: {row.area:g} @ {row.delay}, {row.lut} LUT",
        f"{area['um2']:g} @ {area['ps']}",
        f"{fast['ps']} @ {fast['um2']:g}",
        f"{lut['LUT']} ({lut['FF']} FF)",
        f"{ratio:.2f} (<= {row.area_factor:g})",
        f"{slow:.2f} (<= {row.delay_factor:g})",
        "-" if row.lut_goal is None else f"<= {row.lut_goal}",
        "yes" if reached else "no",
    )
    return f"| {' | '.join(cells)} |", reached


def main() -> int:
    """Print the table; exit status 2 without a recipe."""
    name = os.environ.get("RECIPE", "")
    recipe = Path(name).resolve()
    if not name or not recipe.is_file():
        print("make goals RECIPE=path/to/synth.py: RECIPE must be the measuring program, "
              f"not {name!r}", file=sys.stderr)  # fmt: skip
        return 2
    print("| row | peer (um2 @ ps) | ours: area @ ps | fast: ps @ area | US+ LUT | area ratio "
          "| delay ratio | LUT goal | reached |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    missed = 0
    for row in ROWS:
        text, reached = line(row, measure(row, recipe))
        missed += not reached
        print(text, flush=True)
    print(f"\n{len(ROWS) - missed} of {len(ROWS)} rows reach every goal")
    return 0
