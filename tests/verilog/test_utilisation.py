# SPDX-License-Identifier: Apache-2.0
"""On long streams every array and engine is busy for at least 99 % of its cycles."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from sim.bench import streams
from sim.golden.mpgemm.unit import Unit, weight_format

#: Parameters and (m, n, k) of one job whose tiles are whole and many.
LONG: dict[str, tuple[str, dict[str, Any], tuple[int, int, int]]] = {
    **{
        flow: ("array", {"dataflow": flow, "format": "int2", "act": "int2", **sizes}, shape)
        for flow, sizes, shape in (
            ("broadcast", {"rows": 2, "columns": 2}, (4, 4, 200)),
            ("cube", {"rows": 2, "columns": 2, "lanes": 2}, (4, 4, 400)),
            ("tree", {"rows": 1, "columns": 2, "lanes": 4}, (2, 4, 800)),
            ("os", {"rows": 2, "columns": 3}, (4, 6, 300)),
            ("ws", {"rows": 2, "columns": 3, "depth": 200}, (200, 6, 8)),
            ("is", {"rows": 3, "columns": 2, "depth": 200}, (4, 200, 12)),
        )
    },
    "ws-vector": (
        "array",
        {"dataflow": "ws", "format": "int2", "act": "int2", "rows": 2, "columns": 2, "depth": 1}
        | {"load": "tile"},
        (1, 80, 40),
    ),
    **{
        engine: ("mpgemm", {"engine": engine, "act": "int2", "columns": 2, **sizes}, shape)
        for engine, sizes, shape in (
            ("lut", {"bits": 2, "group": 2}, (2, 4, 500)),
            ("lut-ternary", {"group": 3}, (2, 4, 1500)),
            ("shift-add", {"format": "int2", "lanes": 2}, (2, 4, 800)),
            ("ternary-add", {"lanes": 4}, (2, 4, 1600)),
            ("codebook", {"book": "codebook:-3,0,1,5", "lanes": 2}, (2, 4, 800)),
            ("bit-plane", {"bits": 2, "lanes": 8}, (2, 4, 3200)),
        )
    },
}


def _lanes(parameters: dict[str, Any]) -> float:
    """Return the products that each sum takes in a cycle, by the definition of the unit."""
    if parameters.get("engine") == "lut":
        beats = -(-parameters["bits"] // parameters["planes"])
        return float(parameters["group"] * parameters["tables"] / beats)
    if parameters.get("engine") == "lut-ternary":
        return float(parameters["group"] * parameters["tables"])
    return float(parameters["lanes"] or 1)


@pytest.mark.parametrize("name", LONG)
def test_cells_are_busy(name: str, tmp_path: Path) -> None:
    unit_name, chosen, (m, n, k) = LONG[name]
    unit = discover()[unit_name]
    text, manifest = emit(unit, unit.params(**chosen))
    parameters = manifest["parameters"]
    rng = np.random.default_rng(3)
    engine = Unit.of(manifest)
    a = rng.integers(0, 4, (m, k))
    w = rng.integers(0, 4, (k, n)) if weight_format(engine) else rng.integers(-1, 2, (k, n))
    stimulus = engine.job(a, engine.weights(w, m), n)
    source = tmp_path / "engine.v"
    source.write_text(text, encoding="utf-8")
    report = streams.check(source, manifest, stimulus, tmp_path / "build")
    assert report.passed, (report.fault, report.mismatch)
    ((_, spent, _),) = report.times
    peak = parameters["rows"] * parameters["columns"] * _lanes(parameters)
    assert m * n * k / (peak * spent) >= 0.99
