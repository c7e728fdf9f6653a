# SPDX-License-Identifier: Apache-2.0
"""At least 95 % of the mutants of every unit are killed: on the page, and of a sample today."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutation import OUTPUT, UNITS, cases, label
from gen.emit import emit
from gen.unit import discover
from sim.bench.mutation import GOAL, mutate

#: Of each unit one case whose proofs and simulation are cheap.
SAMPLE: dict[str, dict[str, Any]] = {
    "pe": {"format": "int4"},
    "fma": {"format": "e2m1", "pipeline": 2},
    "mul": {"format": "posit6_1", "pipeline": 3},
    "quantize": {"source": "int8", "pipeline": 1},
    "block-quantize": {"block": "olive4"},
    "requant": {"in_bits": 6, "mult_bits": 4, "out": "int3", "zero_point": True, "pipeline": 2},
    "dequant": {"acc_bits": 4, "scale": "ue4m3", "sum": "exact", "max_groups": 2},
    "lut-table": {"act": "e2m1", "group": 2, "tables": 2, "pipeline": 1},
    "array": {"dataflow": "broadcast", "format": "int2", "act": "int2", "rows": 2, "columns": 2},
    "mpgemm": {"engine": "lut", "act": "int2", "bits": 2, "group": 2, "rows": 2, "columns": 2},
}

#: Thousands of cycles of all jobs.
SLOW = ("array", "mpgemm")


@pytest.mark.parametrize("name", UNITS)
def test_every_score_on_the_page(name: str) -> None:
    rows = [line.split(" | ") for line in OUTPUT.read_text(encoding="utf-8").splitlines()]
    scores = {row[0].removeprefix("| "): row[-1] for row in rows if len(row) == 7}
    mine = [label(unit, case) for unit, case in cases() if unit == name]
    assert mine and min(float(scores[words].split()[0]) for words in mine) >= 100 * GOAL


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.deep] * (n in SLOW)) for n in SAMPLE]
)
def test_a_sample_of_today(name: str, tmp_path: Path) -> None:
    unit = discover()[name]
    text, manifest = emit(unit, unit.params(**SAMPLE[name]))
    score = mutate(text, manifest, tmp_path, mutants=96)
    assert score.mutants == 96 and score.ratio >= GOAL, score.left
