# SPDX-License-Identifier: Apache-2.0
"""Matrix engines without multipliers under traffic: good jobs, faulty jobs, cycles of each alone.

Rows of the acceptance table: LUT Tensor Core; T-MAC; TeLLMe and the ternary table generator of KU
Leuven; ABQ-LLM and FlexQ; GANQ; PQA.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Const, Module, Signal, Value

from gen.emit import emit
from gen.unit import discover
from hw.arith.select import lines
from hw.mpgemm.aligned import Activation, aligned
from hw.mpgemm.book_drain import BookSums
from hw.mpgemm.lookup_cells import LookupCell
from hw.mpgemm.nearest import NearestRows, nearest
from sim.bench import streams
from sim.bench.check import Pass, Report, golden_of

_TERNARY = {"engine": "lut-ternary", "rows": 2, "columns": 2, "max_k": 14}

_LUT = {"engine": "lut", "rows": 2, "columns": 2, "bits": 2, "group": 2, "max_k": 5}
_ROUNDED = {**_LUT, "tables": 2, "table_source": "port", "table_bits": 4}
_PLANES = {"engine": "bit-plane", "rows": 2, "columns": 2, "max_k": 14, "lanes": 3}
_CODES = {"engine": "pq", "rows": 2, "columns": 2, "max_k": 7, "act": "int4"}
_BOOK = {"engine": "codebook", "rows": 2, "columns": 2, "max_k": 7, "act": "int4", "lanes": 2}
_BOOKS = {"engine": "codebook", "book": "rows", "rows": 2, "columns": 2, "max_k": 7, "act": "int4"}

#: Each engine, with each of its structures and odd shapes.
CASES: dict[str, dict[str, Any]] = {
    "lut-rounded": {**_ROUNDED, "rows": 1, "columns": 1, "scheme": "offset", "zero_point": 1,
                    "group_size": 4, "scale": "int8"},
    "lut-average": {**_ROUNDED, "rows": 1, "aggregate": "average"},
    "lut-average-full": {**_ROUNDED, "rows": 1, "aggregate": "average", "table_kind": "full",
                         "planes": 2, "pipeline": 2, "target": "xcup"},
    "lut-fp16": {**_LUT, "act": "fp16", "planes": 2, "pipeline": 2, "rows": 1, "max_k": 3},
    "lut-window": {**_LUT, "act": "bf16", "window": "-4:4", "table_kind": "full", "pipeline": 1,
                   "target": "xcup"},
    "lut-book": {**_LUT, "act": "nf4", "rows": 1, "columns": 1, "max_k": 3},
    "lut-e2m1-tables": {**_LUT, "act": "e2m1", "table_source": "port", "rows": 1,
                        "scheme": "offset", "zero_point": 0},
    "ternary-float": {**_TERNARY, "act": "e5m2", "group": 2, "pipeline": 1},
    "ternary": {**_TERNARY, "group": 3, "tables": 2},
    "ternary-split": {**_TERNARY, "act": "uint4", "table_kind": "split", "pipeline": 1},
    "ternary-chains": {**_TERNARY, "rows": 1, "group": 4, "target": "xcup"},
    "planes": {**_PLANES, "act": "int4", "bits": 3},
    "planes-offset": {**_PLANES, "act": "uint3", "scheme": "offset", "zero_point": 1,
                      "target": "xcup"},
    "planes-bipolar": {**_PLANES, "act": "bipolar2", "scheme": "bipolar", "rows": 1, "lanes": 5},
    "planes-serial": {**_PLANES, "act": "int4", "bits": 3, "planes": 1, "pipeline": 1},
    "planes-serial-chains": {**_PLANES, "act": "uint3", "bits": 3, "planes": 2, "pipeline": 2,
                             "target": "xcup"},
    "planes-serial-offset": {**_PLANES, "act": "int3", "bits": 3, "planes": 2, "pipeline": 2,
                             "scheme": "offset"},
    "planes-serial-bipolar": {**_PLANES, "act": "bipolar2", "bits": 4, "planes": 2, "rows": 1,
                              "scheme": "bipolar"},
    "books": {**_BOOKS, "bits": 2, "entry_bits": 5, "lanes": 2, "pipeline": 1},
    "books-chains": {**_BOOKS, "bits": 3, "rows": 1, "lanes": 3, "target": "xcup"},
    "shared": {**_BOOK, "book": "codebook:-3,3,5,0", "products": "shared"},
    "shared-chains": {**_BOOK, "act": "uint3", "book": "codebook:-9,-3,7,9", "products": "shared",
                      "rows": 1, "pipeline": 1, "target": "xcup"},
    "shared-floats": {**_BOOK, "act": "e3m1_fn", "book": "codebook:0,1", "products": "shared",
                      "pipeline": 1},
    "buckets": {**_BOOK, "book": "codebook:-3,3,5,0", "products": "buckets"},
    "buckets-chains": {**_BOOK, "act": "uint3", "book": "codebook:-3,3", "products": "buckets",
                       "rows": 1, "pipeline": 1, "target": "xcup"},
    "buckets-groups": {**_BOOK, "book": "codebook:0,1,2,-7", "products": "buckets", "columns": 1,
                       "group_size": 4, "scale": "int8"},
    "buckets-books": {**_BOOKS, "bits": 2, "entry_bits": 4, "lanes": 1, "products": "buckets",
                      "pipeline": 1},
    "pq": {**_CODES, "subvector": 3, "centroids": 5, "entry_bits": 5},
    "pq-squares": {**_CODES, "subvector": 2, "centroids": 3, "distance": "l2", "rows": 1,
                   "target": "xcup"},
    "pq-registers": {**_CODES, "subvector": 2, "centroids": 3, "pipeline": 1},
}  # fmt: skip

_DECODE: Any = NearestRows.decode
_FACTORS: Any = BookSums._factors

_ALIGNED: Any = aligned
_AVERAGE: Any = LookupCell._average

PASSES = [Pass("none", "none"), Pass("random", "bursty")]


def run(parameters: dict[str, Any], folder: Path, jobs: int = 1) -> Report:
    unit = discover()["mpgemm"]
    text, manifest = emit(unit, unit.params(**parameters))
    source = folder / "mpgemm.v"
    source.write_text(text, encoding="utf-8")
    rng = np.random.default_rng(1)
    golden = golden_of(manifest)
    stimulus = streams.stimulus_of(golden, manifest["parameters"], rng, jobs)
    return streams.check(source, manifest, stimulus, folder / "build", passes=PASSES)


#: Cases and faults that take no way of their own, or one that the tests of cells take too.
DEEP = {
    *("planes-serial-chains", "shared-chains", "buckets-chains"),
    *("place of a beat", "multiples of an activation", "turns of a book"),
}


def _names(cases: Iterable[str]) -> list[Any]:
    return [pytest.param(n, marks=[pytest.mark.deep] * (n in DEEP)) for n in cases]


@pytest.mark.parametrize("name", _names(CASES))
def test_engine(name: str, tmp_path: Path) -> None:
    report = run(CASES[name], tmp_path)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 30
    assert all(spent == due for _, spent, due in report.times)


def test_zeros_are_zeros(tmp_path: Path) -> None:
    """Entries of 0.0 stay zero in every plane: nothing is added to an exponent."""
    unit = discover()["mpgemm"]
    text, manifest = emit(unit, unit.params(**{**_LUT, "act": "fp16", "bits": 4}))
    (tmp_path / "mpgemm.v").write_text(text, encoding="utf-8")
    stimulus = {
        "s_axis_job": {"tdata": [2 | 2 << 16 | 4 << 32]},
        "s_axis_act": {"tdata": [0x8000_0000_0000_8000, 0x8000_8000_8000_8000], "tlast": [0, 1]},
        "s_axis_wgt": {"tdata": [*range(8)], "tlast": [0] * 7 + [1]},
    }
    report = streams.check(
        tmp_path / "mpgemm.v", manifest, stimulus, tmp_path / "build", passes=PASSES[:1]
    )
    assert report.passed, (report.fault, report.mismatch)
    found = golden_of(manifest).run(manifest["parameters"], stimulus)["m_axis_out"]
    assert list(found["tdata"]) == [0, 0]
    assert list(found["tuser"]) == [0, 0]


def _last(m: Module, distances: list[Value], taken: Value) -> list[Value]:
    return nearest(m, distances[::-1], taken)[::-1]


def _early(self: Any, m: Module, word: Value, taken: Value) -> Value:
    near = dataclasses.replace(self.near, pipeline=0)
    return _DECODE(SimpleNamespace(near=near, shape=self.shape), m, word, taken)


def _finite(m: Module, act: Activation, codes: Value) -> tuple[Value, Value]:
    return _ALIGNED(m, act, codes)[0], Const(0, 1)


def _added(self: Any, m: Module, plane: int, words: Any) -> tuple[Value, Value | None]:
    total = sum((word + (0 if carry is None else carry) for word, carry in words), Const(0, 1))
    return total, None


def _positive(self: Any, m: Module, plane: int, words: Any) -> tuple[Value, Value | None]:
    return _AVERAGE(SimpleNamespace(shape=self.shape, top=Const(0, 1)), m, plane, words)


def _kept(self: Any, m: Module, nan: Value) -> list[Value]:
    found = Signal(reset_less=True)
    with m.If(self.en[0]):
        m.d.sync += found.eq(nan | found & ~self.clr)
    return [found]


def _stuck(self: Any, m: Module, entry: Value, load: Value, turn: Value) -> list[Value]:
    factors: list[Value] = _FACTORS(self, m, entry, load, Const(0, 1))
    return factors


def _plain(m: Module, word: Value, constants: tuple[int, ...], chains: bool) -> dict[int, Value]:
    return dict.fromkeys(constants, word)


#: What is broken, and a case that shows it.
BROKEN: dict[str, tuple[str, Any, str]] = {
    "marks of activations": ("hw.mpgemm.lookup.aligned", _finite, "lut-fp16"),
    "marks a cycle early": ("hw.mpgemm.table_rows.TableRow._flag", _kept, "ternary-float"),
    "code of zero": ("hw.mpgemm.aligned.Activation.zero", 0, "lut-book"),
    "rounding of averages": ("hw.mpgemm.lookup_cells.LookupCell._average", _added, "lut-average"),
    "sign of the last average": ("hw.mpgemm.lookup_cells.LookupCell._average", _positive,
                                 "lut-average-full"),
    "share of rounded tables": ("hw.mpgemm.lookup_shape.LookupShape.share_factors", (-3, 0, 0),
                                "lut-rounded"),
    "illegal keys": ("hw.mpgemm.ternary._lines",
                     lambda m, number, first: [first] * (1 << len(number)), "ternary"),
    "digits of a key": ("hw.mpgemm.ternary._part",
                        lambda number, low, size, group: int(number == 1), "ternary-split"),
    "negative planes": ("hw.mpgemm.plane_shape.PlaneShape.negative", lambda *_: False, "planes"),
    "zero point": ("hw.mpgemm.popcount.PlaneRow._zero_share",
                   lambda self, m, act: Const(0, self.shape.share_bits), "planes-offset"),
    "lanes that count": ("hw.mpgemm.popcount.PlaneRows._lanes_share",
                         lambda self, m, keep: Const(self.planes.lanes * self.planes.most,
                                                     self.planes.share_bits), "planes-bipolar"),
    "place of a beat": ("hw.mpgemm.plane_cell.shifted",
                        lambda m, word, place, step, most, fill: word, "planes-serial"),
    "sign of the last plane": ("hw.mpgemm.plane_shape.PlaneShape.switched", False,
                               "planes-serial-chains"),
    "share of the first beat": ("hw.mpgemm.popcount.PlaneRow._later",
                                lambda self, m, share, counts, look: share,
                                "planes-serial-offset"),
    "bits that fill no beat": ("hw.mpgemm.sequencer.lookup", lambda *_: Const(0, 1),
                               "planes-serial-bipolar"),
    "tables beside distances": ("hw.mpgemm.nearest.NearestRows.decode", _early, "pq-registers"),
    "ties": ("hw.mpgemm.nearest.nearest", _last, "pq"),
    "elements beyond K": ("hw.mpgemm.nearest.NearestRows.decode",
                          lambda self, m, word, taken: Cat(word[: self.shape.wgt_bits],
                                                           word[-self.shape.scale_bits :]), "pq"),
    "signs of a book": ("hw.mpgemm.book.Book._number",
                        lambda self, value: value and 1 + self.factors.index(abs(value)),
                        "shared"),
    "carry of what is negated": ("hw.mpgemm.book.Book.both", lambda *_: False, "buckets"),
    "multiples of an activation": ("hw.mpgemm.book_products.multiples", _plain, "shared-chains"),
    "sum that is read": ("hw.mpgemm.book_drain._one_of", lambda m, chosen, words: words[0],
                         "buckets-books"),
    "turns of a book": ("hw.mpgemm.book_drain.BookSums._factors", _stuck, "buckets-books"),
    "order of a book": ("hw.mpgemm.books.lines",
                        lambda m, code, top: lines(m, code, top)[::-1], "books"),
    "errors": ("hw.mpgemm.sequencer.judged", lambda shape, job: Const(0, 4), "ternary"),
}  # fmt: skip


@pytest.mark.parametrize("name", _names(BROKEN))
def test_a_broken_engine_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, wrong, case = BROKEN[name]
    monkeypatch.setattr(place, wrong)
    assert not run(CASES[case], tmp_path).passed
