# SPDX-License-Identifier: Apache-2.0
"""Arrays under traffic: good jobs, faulty jobs, and the cycles of each job alone.

Rows of the acceptance table: Bit-weight TPEs (systolic, cube, adder tree, 2D matrix, carry-save
accumulation); Gemmini (both dataflows; utilisation as the formulas say); MixPE (W4A8 by shift and
add, dequantised once for each group).
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Module

from gen.emit import emit
from gen.unit import discover
from hw.mpgemm.shape import Shape
from hw.mpgemm.sparse import sparse_weights
from hw.spec.gemm import FLOW
from sim.bench import streams
from sim.bench.check import Pass, Report, golden_of
from sim.golden.mpgemm import array
from sim.golden.mpgemm.jobs import job_word
from sim.golden.mpgemm.two_flows import of_flow

#: One of each dataflow, kind of format, architecture and odd shape.
CASES: dict[str, dict[str, Any]] = {
    "broadcast": {"dataflow": "broadcast", "rows": 3, "columns": 2, "format": "int4"},
    "broadcast-nan": {"dataflow": "broadcast", "rows": 2, "columns": 2, "format": "e4m3",
                      "act": "e5m2", "max_k": 31},
    "cube-csa": {"dataflow": "cube", "rows": 2, "columns": 2, "lanes": 2, "format": "int4",
                 "arch": "csa", "max_k": 40},
    "cube-posit": {"dataflow": "cube", "rows": 3, "columns": 2, "lanes": 3, "format": "posit8_0",
                   "act": "e2m1", "pipeline": 2},
    "cube-zero": {"dataflow": "cube", "rows": 2, "columns": 2, "lanes": 3, "format": "bipolar2",
                  "act": "nf4"},
    "tree": {"dataflow": "tree", "rows": 1, "columns": 4, "lanes": 8, "format": "int8",
             "arch": "multiply", "pipeline": 1, "target": "xcup"},
    "os": {"dataflow": "os", "rows": 4, "columns": 3, "format": "int8", "arch": "booth"},
    "os-csa": {"dataflow": "os", "rows": 2, "columns": 5, "lanes": 2, "format": "int4",
               "arch": "csa", "pipeline": 1},
    "os-one": {"dataflow": "os", "rows": 1, "columns": 1, "format": "e2m1", "act": "e4m3"},
    "ws": {"dataflow": "ws", "rows": 4, "columns": 3, "format": "int4", "depth": 5},
    "ws-nan": {"dataflow": "ws", "rows": 2, "columns": 2, "lanes": 2, "format": "e5m2",
               "act": "int4", "depth": 3},
    "HSA": {"dataflow": "ws", "rows": 3, "columns": 2, "lanes": 2, "format": "int4",
            "load": "tile", "depth": 4},
    "ws-one": {"dataflow": "ws", "rows": 1, "columns": 1, "format": "ternary", "depth": 1},
    "is": {"dataflow": "is", "rows": 3, "columns": 2, "lanes": 2, "format": "e3m2", "depth": 4,
           "act": "int4", "max_k": 40},
    "os-addr": {"dataflow": "os", "rows": 4, "columns": 6, "format": "int2", "act": "int2",
                "skew": "addr"},
    "HSA-addr": {"dataflow": "ws", "rows": 4, "columns": 3, "format": "int2", "act": "e2m1",
                 "load": "tile", "depth": 4, "skew": "addr"},
    "is-addr": {"dataflow": "is", "rows": 3, "columns": 4, "format": "e2m1", "act": "int2",
                "depth": 3, "skew": "addr"},
    "nm": {"dataflow": "cube", "rows": 2, "columns": 1, "lanes": 4, "format": "int4",
           "arch": "nm", "sparsity": "2:4", "max_k": 20},
    "nm-nan": {"dataflow": "tree", "rows": 1, "columns": 3, "lanes": 2, "format": "e5m2",
               "act": "e4m3", "arch": "nm", "sparsity": "1:4", "pipeline": 1, "max_k": 20},
    "nm-groups": {"dataflow": "broadcast", "rows": 2, "columns": 1, "lanes": 3, "format": "int2",
                  "act": "e5m2", "arch": "nm", "sparsity": "3:4", "group": 4, "scale": "e8m0",
                  "max_k": 16},
    "os-ws": {"dataflow": "os-ws", "rows": 3, "columns": 2, "format": "int4", "depth": 4,
              "max_k": 40},
    "os-ws-nan": {"dataflow": "os-ws", "rows": 2, "columns": 3, "format": "e5m2", "act": "int2",
                  "depth": 2, "max_k": 9, "skew": "addr"},
    "groups": {"dataflow": "os", "rows": 2, "columns": 3, "format": "e5m2", "group": 2,
               "max_k": 9},
    "MixPE": {"dataflow": "cube", "rows": 2, "columns": 1, "lanes": 4, "format": "int4",
              "act": "int8", "arch": "shift-add", "group": 8, "scale": "fp16", "zero_point": True,
              "max_k": 40},
    "MX": {"dataflow": "cube", "rows": 2, "columns": 1, "lanes": 2, "format": "e2m1",
           "act": "e4m3", "group": 4, "scale": "e8m0", "act_scale": "e8m0", "max_k": 16},
    "NVFP4": {"dataflow": "tree", "rows": 1, "columns": 2, "lanes": 4, "format": "e2m1",
              "act": "e2m1", "group": 4, "scale": "ue4m3", "act_scale": "ue4m3", "max_k": 16},
    "exact": {"dataflow": "broadcast", "rows": 3, "columns": 1, "format": "int4", "group": 3,
              "scale": "int8", "act_scale": "int8", "zero_point": True, "pipeline": 1,
              "max_k": 12, "target": "xcup"},
}  # fmt: skip

#: Cases whose simulation is slow: without faulty jobs.
GOOD = {"MixPE", "is-addr", "os-ws-nan"}

PASSES = [Pass("none", "none"), Pass("random", "bursty")]


def run(parameters: dict[str, Any], folder: Path, jobs: int = 6, good: bool = False) -> Report:
    unit = discover()["array"]
    text, manifest = emit(unit, unit.params(**parameters))
    source = folder / "array.v"
    source.write_text(text, encoding="utf-8")
    rng = np.random.default_rng(1)
    golden = golden_of(manifest)
    make = golden.vectors if good else partial(streams.stimulus_of, golden)
    stimulus = make(manifest["parameters"], rng, jobs)
    return streams.check(source, manifest, stimulus, folder / "build", passes=PASSES)


@pytest.mark.parametrize("name", CASES)
def test_array(name: str, tmp_path: Path) -> None:
    good = name in GOOD
    report = run(CASES[name], tmp_path, 12 if good else 6, good)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 30
    assert all(spent == due for _, spent, due in report.times)


def checked(
    parameters: dict[str, Any],
    jobs: list[tuple[int, Any, Any]],
    folder: Path,
    first: int | None = None,
) -> Report:
    """Run jobs of (flow, A, W), with only ``first`` beats of activations of the first, if given."""
    unit = discover()["array"]
    text, manifest = emit(unit, unit.params(**parameters))
    source = folder / "array.v"
    source.write_text(text, encoding="utf-8")
    stimulus: dict[str, dict[str, list[int]]] = {"s_axis_job": {"tdata": []}}
    for flow, a, w in jobs:
        act, wgt = array.pack(of_flow(manifest["parameters"], flow), a, w)
        act, first = act[:first], None
        (m, k), n = np.shape(a), np.shape(w)[1]
        stimulus["s_axis_job"]["tdata"].append(job_word(m, n, k) | flow << FLOW)
        for name, words in (("s_axis_act", act), ("s_axis_wgt", wgt)):
            columns = stimulus.setdefault(name, {"tdata": [], "tlast": []})
            columns["tdata"] += words
            columns["tlast"] += [0] * (len(words) - 1) + [1]
    return streams.check(source, manifest, stimulus, folder / "build")


#: Flow, (m, n, k) and the cycle of the last multiplication by the sheet, counted from the first
#: load where weights stay; isolated and streamed.
ANCHORS = {
    (4, 4): [(0, (4, 4, 4), 10)],
    (8, 8): [(0, (8, 8, 16), 30), (0, (32, 8, 3), 41), (1, (16, 8, 8), 8 + 30),
             (1, (16, 8, 24), 70), (1, (4, 8, 24), 42), (1, (1, 8, 40), 55)],
    (4, 6): [(0, (12, 6, 9), 35), (1, (9, 6, 16), 48)],
}  # fmt: skip


@pytest.mark.parametrize("size", ANCHORS)
def test_a_switched_array_keeps_the_anchors_of_the_sheet(
    size: tuple[int, int], tmp_path: Path
) -> None:
    rows, columns = size
    shape = {"rows": rows, "columns": columns, "depth": 16, "format": "int2", "act": "int2"}
    jobs = [(flow, np.ones((m, k)), np.ones((k, n))) for flow, (m, n, k), _ in ANCHORS[size]]
    report = checked({"dataflow": "os-ws", **shape}, jobs, tmp_path)
    assert report.passed, (report.fault, report.mismatch)
    # The last row leaves a cycle after the last multiplication, over three registers, and
    # activations pass one more than in an array of one dataflow.
    assert [spent - 1 - 3 - 1 for _, spent, _ in report.times] == [due for *_, due in ANCHORS[size]]


def test_a_failed_job_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """Sums of a job that fails at its second tile of K are no part of one whose sums stay."""
    shape = {"rows": 6, "columns": 1, "depth": 4, "format": "int4", "act": "int4", "max_k": 40}
    jobs = [(flow, np.ones((m, k)), np.ones((k, 1))) for flow, m, k in ((1, 2, 12), (0, 6, 1))]
    report = checked({"dataflow": "os-ws", **shape}, jobs, tmp_path, first=3)
    assert report.passed and report.results == 1 + 6, (report.fault, report.mismatch)


def _unmasked(m: Module, shape: Shape, kind: str, word: Any, left: Any, depth: int) -> Any:
    return word[: shape.act_bits if kind == "act" else shape.wgt_bits]


def _one_turn(cell: Any, m: Module, newest: Any) -> Any:
    return newest


def _no_skew(m: Module, moving: Any, word: Any, parts: int, **_: Any) -> Any:
    return word


def _alone(m: Module, params: Any, moving: Any, level: Any, flags: Any) -> Any:
    return level


def _at_once(array: Any, m: Module, moving: Any) -> Any:
    m.d.comb += array.i.ready.eq(moving)
    return array.i.valid


def _unguarded(params: Any, sparsity: Any, zero: int, guard: Any) -> Any:
    return sparse_weights(params, sparsity, zero, None)


def _first(m: Module, values: Any, index: Any) -> Any:
    return next(value for value in values if value is not None)


#: What is broken, and a case that shows it.
BROKEN: dict[str, tuple[str, Any, str]] = {
    "lanes beyond K": ("hw.mpgemm.sequencer.masked", _unmasked, "cube-csa"),
    "weights that are no numbers": ("hw.mpgemm.stationary_sequencer.masked", _unmasked, "ws-nan"),
    "skew": ("hw.mpgemm.systolic.skewed", _no_skew, "os"),
    "skew by memories": ("hw.mpgemm.systolic.addressed", _no_skew, "HSA-addr"),
    "skew of sums": ("hw.mpgemm.stationary.skewed", _no_skew, "ws"),
    "tiles of K": ("hw.mpgemm.switched.totals_of", _alone, "os-ws"),
    "room for a tile": ("hw.mpgemm.switched.Switched._steps", _at_once, "os-ws"),
    "order of indices": ("hw.mpgemm.sparse.pairwise", lambda indices: [], "nm"),
    "weights beyond K": ("hw.mpgemm.sparse._kept", lambda code, *_: code, "nm-nan"),
    "NaNs of bad blocks": ("hw.mpgemm.array_params.sparse_weights", _unguarded, "nm-groups"),
    "picks": ("hw.mpgemm.sparse.picked", _first, "nm"),
    "sums of rows": ("hw.quant.dequant_cell.Dequantize._before", _one_turn, "MX"),
    "errors": ("hw.mpgemm.sequencer.judged", lambda shape, job: Const(0, 4), "tree"),
}


#: What good jobs show.
SHOWN = {"skew by memories", "tiles of K", "weights beyond K", "picks"}

#: What takes long to simulate.
SLOW = {"order of indices", "NaNs of bad blocks"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.deep) if n in SLOW else n for n in BROKEN]
)
def test_a_broken_array_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, wrong, case = BROKEN[name]
    monkeypatch.setattr(place, wrong)
    good = name in SHOWN
    report = run(CASES[case], tmp_path, 12 if good else 6, good)
    assert not report.passed
