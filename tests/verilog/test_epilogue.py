# SPDX-License-Identifier: Apache-2.0
"""What becomes of an engine's sums, under traffic: scales of groups, requantisation.

Good jobs, faulty jobs, and the cycles of each job alone, as in the tests of the engines.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from gen.emit import emit
from gen.unit import discover
from hw.mpgemm.engine import Engine
from hw.mpgemm.finish import FinishStage
from hw.mpgemm.scaling import RowSums
from hw.mpgemm.sequencer import Sequencer
from hw.spec.gemm import error_code
from sim.bench import streams
from sim.bench.check import Pass, Report, golden_of

_ENGINE = {"rows": 2, "columns": 1, "max_k": 12, "act": "int4"}
_ARRAY = {"rows": 2, "columns": 1, "max_k": 12, "act": "int3", "format": "int3", "mult_bits": 5}

_STAYS = {**_ARRAY, "columns": 2, "max_k": 5, "depth": 2, "requant": "rhu"}
_NEAREST = {
    **_ENGINE,
    "engine": "pq",
    "max_k": 7,
    "subvector": 2,
    "centroids": 3,
    "act": "int3",
    "entry_bits": 3,
    "requant": "rhu",
    "mult_bits": 4,
}

#: Each engine with scales of its own; each scheme, field and dataflow of requantisation.
CASES: dict[str, dict[str, Any]] = {
    "lut-scales": {**_ENGINE, "engine": "lut", "group": 2, "bits": 3, "planes": 2,
                   "group_size": 4, "scale": "int8", "zero_points": True, "rows": 1, "max_k": 7},
    "book-groups": {**_ENGINE, "engine": "codebook", "book": "codebook:-3,0,1,5", "lanes": 2,
                    "group_size": 4, "sum": "int"},
    "lut-requant": {**_ENGINE, "engine": "lut", "group": 2, "bits": 2, "requant": "rne",
                    "mult_bits": 4, "bias": True, "requant_out": "uint4", "out_zero_point": True},
    "add-requant": {**_ENGINE, "engine": "ternary-add", "lanes": 2, "requant": "rbe", "rows": 1,
                    "columns": 2, "mult_bits": 5, "requant_out": "int3"},
    "broadcast": {**_ARRAY, "dataflow": "broadcast", "rows": 3, "requant": "rha",
                  "out_zero_point": True},
    "os": {**_ARRAY, "dataflow": "os", "columns": 2, "requant": "floor", "requant_out": "uint9",
           "format": "e3m2"},
    "nan": {**_ARRAY, "dataflow": "broadcast", "act": "e2m1", "format": "e4m3", "max_k": 3,
            "requant": "rhu"},
    "scales": {**_ARRAY, "dataflow": "broadcast", "group": 2, "max_k": 5, "scale": "int8",
               "zero_point": True, "requant": "rhu", "requant_out": "int4"},
    "ws": {**_STAYS, "dataflow": "ws", "depth": 3, "bias": True},
    "is": {**_STAYS, "dataflow": "is", "out_zero_point": True},
    "os-ws": {**_STAYS, "dataflow": "os-ws", "rows": 1},
    "pq": {**_NEAREST, "columns": 2, "rows": 1},
}  # fmt: skip

#: Slower ones.
DEEP: dict[str, dict[str, Any]] = {
    "ternary-scales": {**_ENGINE, "engine": "lut-ternary", "group": 2, "group_size": 4, "rows": 1,
                       "scale": "ue4m3", "sum": "exact"},
    "planes-scales": {**_ENGINE, "engine": "bit-plane", "lanes": 3, "bits": 1, "act": "bipolar1",
                      "scheme": "bipolar", "group_size": 6, "scale": "e8m0", "rows": 1},
    "tree": {**_ARRAY, "dataflow": "tree", "rows": 1, "lanes": 2, "requant": "tflite",
             "mult_bits": 32, "pipeline": 1, "target": "xcup"},
    "planes-zeros": {**_ENGINE, "engine": "bit-plane", "lanes": 3, "bits": 2, "group_size": 6,
                     "scale": "int8", "act_scale": "int8", "zero_points": True},
    "ternary-floats": {**_ENGINE, "engine": "lut-ternary", "group": 3, "group_size": 6,
                       "scale": "fp16", "zero_points": True},
    "add-floats": {**_ENGINE, "engine": "ternary-add", "lanes": 2, "group_size": 6,
                   "scale": "bf16", "act_scale": "ue4m3"},
    "gemmlowp": {**_ARRAY, "dataflow": "cube", "lanes": 2, "requant": "gemmlowp",
                 "mult_bits": 32, "out_zero_point": True},
    "planes-requant": {**_ENGINE, "engine": "bit-plane", "bits": 3, "planes": 1, "lanes": 3,
                       "group_size": 6, "scale": "fp16", "sum": "exact", "requant": "tflite",
                       "bias": True},
    "buckets-requant": {**_ENGINE, "engine": "codebook", "book": "codebook:-3,0,1,5", "lanes": 2,
                        "products": "buckets", "requant": "rhu", "columns": 2},
    "ws-tile": {**_STAYS, "dataflow": "ws", "load": "tile", "rows": 3, "depth": 1, "bias": True,
                "requant": "rne", "out_zero_point": True, "requant_out": "uint4"},
    "ws-wide": {**_STAYS, "dataflow": "ws", "columns": 5, "requant": "rbe"},
    "is-wide": {**_STAYS, "dataflow": "is", "rows": 1, "columns": 6, "format": "e4m3", "max_k": 3,
                "requant": "rha", "bias": True},
    "os-ws-wide": {**_STAYS, "dataflow": "os-ws", "rows": 1, "columns": 3, "depth": 1,
                   "skew": "addr", "requant": "floor"},
    "os-ws-tall": {**_STAYS, "dataflow": "os-ws", "rows": 3, "depth": 4, "requant": "rne"},
    "pq-pipeline": {**_NEAREST, "rows": 2, "columns": 3, "pipeline": 1, "distance": "l2",
                    "requant": "tflite", "mult_bits": 32, "bias": True, "out_zero_point": True,
                    "requant_out": "uint8"},
}  # fmt: skip

PASSES = [Pass("none", "none"), Pass("random", "bursty")]


def run(parameters: dict[str, Any], folder: Path) -> Report:
    unit = discover()["mpgemm" if "engine" in parameters else "array"]
    text, manifest = emit(unit, unit.params(**parameters))
    source = folder / "engine.v"
    source.write_text(text, encoding="utf-8")
    rng = np.random.default_rng(1)
    stimulus = streams.stimulus_of(golden_of(manifest), manifest["parameters"], rng, 1)
    return streams.check(source, manifest, stimulus, folder / "build", passes=PASSES)


def _held(report: Report) -> None:
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 30
    assert all(spent == due for _, spent, due in report.times)


@pytest.mark.parametrize("name", CASES)
def test_epilogue(name: str, tmp_path: Path) -> None:
    _held(run(CASES[name], tmp_path))


@pytest.mark.deep
@pytest.mark.parametrize("name", DEEP)
def test_slower_epilogue(name: str, tmp_path: Path) -> None:
    _held(run(DEEP[name], tmp_path))


#: Engines of small tiles whose steps have two or four products, for draws.
DRAWN: tuple[dict[str, Any], ...] = (
    {"engine": "lut", "group": 2, "bits": 2},
    {"engine": "lut", "group": 2, "tables": 2, "bits": 3, "planes": 2, "pipeline": 2},
    {"engine": "lut-ternary", "group": 2, "pipeline": 1},
    {"engine": "ternary-add", "lanes": 2},
    {"engine": "codebook", "lanes": 2, "book": "codebook:-2,0,1,7"},
    {"engine": "bit-plane", "lanes": 4, "bits": 2, "planes": 1},
    {"dataflow": "cube", "lanes": 2, "format": "int4", "pipeline": 1},
    {"dataflow": "os", "lanes": 2, "format": "ternary"},
    {"dataflow": "cube", "lanes": 4, "format": "int2", "arch": "csa"},
)  # fmt: skip


def _draw(rng: np.random.Generator) -> dict[str, Any]:
    """Return an engine with scales of groups, requantisation, or both."""
    drawn = dict(DRAWN[rng.integers(len(DRAWN))])
    group, zeros = ("group_size", "zero_points") if "engine" in drawn else ("group", "zero_point")
    drawn |= {name: int(rng.integers(1, 4)) for name in ("rows", "columns")}
    drawn |= {"act": "int4", "max_k": int(rng.integers(8, 20))}
    scaled = rng.random() < 0.5
    if scaled:
        drawn |= {group: 4 * int(rng.integers(1, 3)), "scale": str(rng.choice(("int8", "ue4m3")))}
        drawn |= {"sum": "exact", zeros: drawn.get("engine") != "codebook" and rng.random() < 0.5}
        drawn |= {"act_scale": "int8"} if rng.random() < 0.3 else {}
    if not scaled or rng.random() < 0.6:
        drawn |= {"requant": str(rng.choice(("rhu", "rha", "rne", "floor", "rbe")))}
        drawn |= {"requant_out": str(rng.choice(("int8", "uint4", "int11"))), "mult_bits": 6}
        drawn |= {"bias": drawn["requant"] != "rbe" and rng.random() < 0.5}
        drawn |= {"out_zero_point": rng.random() < 0.5}
    return drawn


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(24))
def test_any_epilogue(seed: int, tmp_path: Path) -> None:
    _held(run(_draw(np.random.default_rng(seed)), tmp_path))


def _every_beat(self: Engine, m: Module, sequencer: Sequencer, sums: RowSums) -> Value:
    m.submodules.row_sums = sums
    step = sequencer.step
    m.d.comb += [
        sums.act.eq(step.payload.act),
        sums.en.eq(step.valid & step.ready),
        sums.clr.eq(step.payload.first),
    ]
    return sums.sums


_column = FinishStage._column


def _no_bias(
    self: FinishStage, m: Module, number: int, taken: Value, acc: Value, word: Value
) -> Value:
    low = self.params.fields["m"] + self.params.fields["s"]
    return _column(self, m, number, taken, acc, Cat(word[:low], Const(0, 32), word[low + 32 :]))


def _no_zero(
    self: FinishStage, m: Module, number: int, taken: Value, acc: Value, word: Value
) -> Value:
    low = self.params.bits - self.params.fields["z"]
    return _column(self, m, number, taken, acc, Cat(word[:low], Const(0, len(word) - low)))


def _one_for_all(
    self: FinishStage, m: Module, number: int, taken: Value, acc: Value, word: Value
) -> Value:
    first = self.tile.payload.word_select(0, self.params.bits)
    return _column(self, m, number, taken, acc, first)


def _each_row(self: FinishStage, m: Module, tile_ends: Value) -> Value:
    return tile_ends


def _first_for_all(self: FinishStage, m: Module, tile_ends: Value) -> Value:
    return Const(0, 1)


_ends = FinishStage._ends


def _kept(self: FinishStage, m: Module, tile_ends: Value) -> Value:
    """What is left of the last batch stays when sums stay again."""
    _ends(self, m, tile_ends)
    batch_ends = Signal()
    used = Signal()
    m.d.comb += batch_ends.eq(used & self.begins)
    with m.If(self.begins):
        m.d.sync += used.eq(1)
    return Mux(self.flow, batch_ends, tile_ends)


def _other_end(name: str) -> int:
    swapped = {"scales end early": "scales end late", "scales end late": "scales end early"}
    return error_code(swapped.get(name, name))


#: What is broken, and a case that shows it.
BROKEN: dict[str, tuple[str, Any, str]] = {
    "sums of activations of serial planes": ("hw.mpgemm.engine.Engine._summed", _every_beat,
                                             "lut-scales"),
    "bias": ("hw.mpgemm.finish.FinishStage._column", _no_bias, "lut-requant"),
    "zero point": ("hw.mpgemm.finish.FinishStage._column", _no_zero, "broadcast"),
    "columns": ("hw.mpgemm.finish.FinishStage._column", _one_for_all, "add-requant"),
    "scales below": ("hw.mpgemm.shape.Shape.group_bits", 8, "scales"),
    "rows of a batch": ("hw.mpgemm.finish.FinishStage._ends", _each_row, "ws"),
    "next batch": ("hw.mpgemm.finish.FinishStage._ends", _first_for_all, "ws"),
    "bias of a batch": ("hw.mpgemm.finish.FinishStage._column", _no_bias, "ws"),
    "end of scales": ("hw.mpgemm.stationary_sequencer.error_code", _other_end, "is"),
    "zero point of a column": ("hw.mpgemm.finish.FinishStage._column", _no_zero, "is"),
    "change of dataflow": ("hw.mpgemm.finish.FinishStage._ends", _kept, "os-ws"),
    "columns of pq": ("hw.mpgemm.finish.FinishStage._column", _one_for_all, "pq"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_epilogue_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, wrong, case = BROKEN[name]
    monkeypatch.setattr(place, wrong)
    assert not run(CASES[case], tmp_path).passed
