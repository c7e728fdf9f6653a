# SPDX-License-Identifier: Apache-2.0
"""Any matrix engine, parameters and shapes against the golden model: draws, each its own test."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.mpgemm.array_params import SKEWS, SPARSE, SYSTOLIC
from hw.mpgemm.dataflow import NAMES
from sim.bench import streams
from sim.bench.check import Pass, golden_of
from sim.bench.stalls import PATTERNS

RATIOS = ("1:2", "2:4", "3:4", "1:8", "2:8", "2:16")
FORMATS = ("int2", "int4", "int5", "sm2", "ternary", "e2m1", "uint3", "nf4", "posit4_1", "e2m3")
ENGINES = ("lut", "lut-ternary", "shift-add", "ternary-add", "codebook", "bit-plane")


def _array(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    flow = str(rng.choice(NAMES))
    drawn: dict[str, Any] = {"dataflow": flow, "format": str(rng.choice(FORMATS))}
    drawn |= {"act": str(rng.choice(("int4", "int8", "e2m1", "uint4")))}
    drawn |= {name: int(rng.integers(1, 5)) for name in ("rows", "columns", "lanes")}
    drawn |= {"tree": {"rows": 1}, "broadcast": {"lanes": 1}}.get(flow, {})
    if flow in SYSTOLIC:
        drawn["skew"] = str(rng.choice(SKEWS))
    if flow in ("is", "os-ws", "ws"):
        drawn["depth"] = int(rng.integers(1, 6))
        if flow == "ws":
            drawn["load"] = str(rng.choice(("row", "tile")))
    else:
        drawn["pipeline"] = int(rng.integers(0, 3))
        products = drawn["lanes"]
        if flow in SPARSE and rng.random() < 0.4:
            kept, of = (int(n) for n in rng.choice(RATIOS).split(":"))
            drawn |= {"arch": "nm", "sparsity": f"{kept}:{of}", "lanes": kept * products}
            products *= of
        if rng.random() < 0.3:
            drawn["group"] = products * int(rng.integers(1, 4))
    drawn["max_k"] = int(rng.integers(1, 40)) + drawn["lanes"]
    return "array", drawn


def _mpgemm(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    engine = str(rng.choice(ENGINES))
    drawn: dict[str, Any] = {"engine": engine, "act": str(rng.choice(("int4", "int8")))}
    if engine not in ("bit-plane", "shift-add") and rng.random() < 0.3:
        drawn["act"] = str(rng.choice(("e2m1", "e4m3", "e5m2", "nf4")))
    drawn |= {name: int(rng.integers(1, 4)) for name in ("rows", "columns")}
    drawn["max_k"] = int(rng.integers(12, 40))
    if engine == "lut":
        drawn |= {"bits": int(rng.integers(1, 5)), "group": int(rng.integers(2, 5))}
        drawn |= {
            "tables": int(rng.integers(1, 3)),
            "planes": int(rng.integers(1, drawn["bits"] + 1)),
        }
        drawn |= {
            "table_kind": str(rng.choice(("half", "full"))),
            "pipeline": int(rng.integers(0, 3)),
        }
        if drawn["act"].startswith("int") and rng.random() < 0.3:
            drawn |= {"table_source": "port", "table_bits": int(rng.integers(2, 6))}
            if drawn["tables"] == 2:
                drawn["aggregate"] = str(rng.choice(("sum", "average")))
    elif engine == "lut-ternary":
        drawn |= {"group": int(rng.integers(2, 5)), "tables": int(rng.integers(1, 3))}
    else:
        drawn["lanes"] = int(rng.integers(1, 5))
    if engine == "shift-add":
        drawn["format"] = str(rng.choice(("int2", "int4", "e2m1")))
    elif engine == "codebook":
        drawn["book"] = str(rng.choice(("nf4", "codebook:-5,-1,0,3")))
    elif engine == "bit-plane":
        drawn["bits"] = int(rng.integers(1, 5))
    return "mpgemm", drawn


def _holds(unit_name: str, drawn: dict[str, Any], seed: int, folder: Path) -> None:
    rng = np.random.default_rng(seed)
    unit = discover()[unit_name]
    text, manifest = emit(unit, unit.params(**drawn))
    source = folder / "engine.v"
    source.write_text(text, encoding="utf-8")
    stimulus = golden_of(manifest).vectors(manifest["parameters"], rng, 6)
    stalls = Pass(str(rng.choice(PATTERNS)), str(rng.choice(PATTERNS)))
    passes = [Pass("none", "none"), stalls]
    report = streams.check(source, manifest, stimulus, folder / "build", passes=passes)
    assert report.passed, (drawn, stalls, report.fault, report.mismatch)
    assert report.results >= 6
    assert all(spent == due for _, spent, due in report.times), drawn


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(s, marks=pytest.mark.deep) for s in range(8, 60))]
)
@pytest.mark.parametrize("draw", [_array, _mpgemm])
def test_any_engine(draw: Any, seed: int, tmp_path: Path) -> None:
    _holds(*draw(np.random.default_rng(seed)), seed, tmp_path)
