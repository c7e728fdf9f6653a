# SPDX-License-Identifier: Apache-2.0
"""Packed products: every operand of small cases, extremes of all, the multiplier, refusals."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog

from gen.emit import emit
from gen.unit import discover
from hw.cell import Cell
from hw.pe.datapath import BeatSum
from hw.pe.dsp_packed import PackedDatapath, packing
from hw.pe.params import PEParams
from hw.spec.formats import parse
from sim.bench.check import Pass
from sim.bench.netlist import Netlist, run_yosys
from sim.golden.formats import decode
from sim.golden.pe import pe as golden
from tests.verilog.test_stream import PASSES, run

NAMES = ("int8", "uint8", "int6", "uint5", "int4", "uint4", "int3", "int2", "uint2")


def netlist(cell: Cell, folder: Path) -> Netlist:
    text = verilog.convert(cell, name="cell", emit_src=False)
    (folder / "cell.v").write_text(text, encoding="utf-8")
    return Netlist.read([folder / "cell.v"], "cell", folder)


def integer(bits: Any) -> Any:
    bits = bits.astype(np.int64)
    return bits @ (1 << np.arange(bits.shape[1])) - (bits[:, -1] << bits.shape[1])


def words(codes: Any, bits: int) -> Any:
    return [sum(int(c) << bits * k for k, c in enumerate(row)) for row in codes]


@pytest.mark.parametrize(
    ("weight", "act", "columns", "lanes"),
    [("int8", "int8", 2, 8), ("int4", "int8", 3, 1), ("int4", "int4", 4, 1),
     ("int4", "uint4", 4, 1), ("int8", "int8", 3, 0), ("int4", "int4", 5, 0)],
)  # fmt: skip
def test_what_fits(weight: str, act: str, columns: int, lanes: int) -> None:
    found = packing(parse(weight), parse(act), columns)
    assert (found.lanes if found else 0) == lanes


@pytest.mark.parametrize("names", list(itertools.product(NAMES, NAMES)), ids="-".join)
def test_fields_hold_every_sum(names: tuple[str, str]) -> None:
    """Of the model of a field: no value of a sum of products shares its code with another."""
    weight, act = map(parse, names)
    for columns in range(1, 9):
        how = packing(weight, act, columns)
        if how is None:
            continue
        bits = how.stride + how.overlap
        assert columns == 1 or how.lanes * (how.high - how.low) < 1 << bits
        least, most = (v * sum(1 << how.stride * c for c in range(columns))
                       for v in (-1 << weight.bits - 1, (1 << weight.bits) - 1))  # fmt: skip
        assert -(1 << 27) < least and most < 1 << 27


@pytest.mark.parametrize(
    ("weight", "act", "columns"),
    [
        ("int2", "int2", 4),
        ("int3", "uint4", 3),
        pytest.param("int4", "int4", 3, marks=pytest.mark.deep),
        pytest.param("int8", "int2", 2, marks=pytest.mark.deep),
    ],
)
def test_every_operand(weight: str, act: str, columns: int, tmp_path: Path) -> None:
    formats = parse(weight), parse(act)
    params = PEParams(format=weight, act=act, arch="dsp-packed", columns=columns, target="xcup",
                      core="dot")  # fmt: skip
    total = formats[1].bits + columns * formats[0].bits
    every = np.arange(1 << total)
    a, w = every % (1 << formats[1].bits), every >> formats[1].bits
    found = netlist(BeatSum(PackedDatapath(params)), tmp_path).evaluate({"a": a, "w": w})
    width = params.dot_width
    values = [decode(fmt, np.arange(1 << fmt.bits))[0] for fmt in formats]
    for column in range(columns):
        codes = w >> column * formats[0].bits & (1 << formats[0].bits) - 1
        got = integer(found["p"][:, column * width : (column + 1) * width])
        assert (got == values[0][codes] * values[1][a]).all()


@pytest.mark.parametrize(
    ("weight", "act", "columns", "lanes"),
    [
        ("int8", "int8", 2, 2),
        ("int4", "int8", 3, 1),
        ("int4", "int4", 4, 1),
        ("int4", "uint4", 4, 1),
        *(
            pytest.param(*case, marks=pytest.mark.deep)
            for case in (
                ("int8", "int8", 2, 8),
                ("int8", "int8", 2, 9),
                ("int8", "uint8", 3, 5),
                ("int4", "uint8", 2, 17),
                ("uint8", "uint8", 2, 4),
                ("int4", "int8", 3, 2),
                ("int4", "uint4", 4, 2),
                ("int6", "int6", 3, 2),
            )
        ),
    ],
)
def test_extremes(weight: str, act: str, columns: int, lanes: int, tmp_path: Path) -> None:
    """All lanes and columns at their ends in every mixture, where borrows are the longest."""
    formats = parse(weight), parse(act)
    rng = np.random.default_rng(2)
    ends = [[0, 1, 1 << f.bits - 1, (1 << f.bits - 1) - 1, (1 << f.bits) - 1] for f in formats]
    n = 4000
    a = rng.choice(ends[1], (n, lanes))
    w = rng.choice(ends[0], (n, columns * lanes))
    same = rng.random((n, 1)) < 0.7  # the same in all lanes: the ends of the sums
    a = np.where(same, a[:, :1], a)
    w = np.where(
        same, np.repeat(w.reshape(n, columns, lanes)[:, :, :1], lanes, 2).reshape(n, -1), w
    )
    params = PEParams(format=weight, act=act, arch="dsp-packed", columns=columns, target="xcup",
                      core="dot", lanes=lanes)  # fmt: skip
    inputs = {
        "a": np.array(words(a, formats[1].bits), dtype=object),
        "w": np.array(words(w, formats[0].bits), dtype=object),
    }
    found = netlist(BeatSum(PackedDatapath(params)), tmp_path).evaluate(inputs)
    due = golden.run({**params.resolved, "core": "dot"}, {"a": a, "w": w})["p"]
    width = params.dot_width
    for column in range(columns):
        got = integer(found["p"][:, column * width : (column + 1) * width])
        assert got.tolist() == due[:, column].tolist()


@pytest.mark.parametrize(
    ("weight", "act", "columns", "slices"),
    [
        ("int8", "int8", 2, 2),
        pytest.param("int4", "uint4", 4, 2, marks=pytest.mark.deep),
        pytest.param("int4", "int8", 3, 2, marks=pytest.mark.deep),
        pytest.param("int8", "int8", 3, 4, marks=pytest.mark.deep),
    ],
)
def test_slices(weight: str, act: str, columns: int, slices: int, tmp_path: Path) -> None:
    """Two lanes: synthesis takes one slice for each lane and as many columns as fit."""
    unit = discover()["pe"]
    case = {"format": weight, "act": act, "columns": columns, "lanes": 2, "target": "xcup"}
    text, manifest = emit(unit, unit.params(arch="dsp-packed", **case))
    (tmp_path / "pe.v").write_text(text, encoding="utf-8")
    synthesis = "synth_xilinx -family xcup -flatten -noiopad -noclkbuf -top pe -run :fine"
    run_yosys(f"read_verilog pe.v\n{synthesis}\ntee -o stat.json stat -json\n", tmp_path)
    cells = json.loads((tmp_path / "stat.json").read_text())["design"]["num_cells_by_type"]
    assert cells["DSP48E2"] == slices
    assert any(
        note.startswith(f"{slices} multipliers of 27 x 18 bits") for note in manifest["notes"]
    )


CASES = {
    "int8": {"format": "int8", "act": "int8", "columns": 2, "lanes": 3},
    "int4": {"format": "int4", "act": "uint4", "columns": 4, "lanes": 2, "pipeline": 2},
    "three": {"format": "int4", "act": "int8", "columns": 4, "pipeline": 1},
    "accumulate": {"format": "int8", "act": "uint8", "columns": 2, "core": "accumulate"},
}


@pytest.mark.parametrize("name", CASES)
def test_traffic(name: str, tmp_path: Path) -> None:
    passes = [Pass("none", "none")] if "core" in CASES[name] else PASSES
    case = {"arch": "dsp-packed", "target": "xcup", **CASES[name]}
    report = run(case, tmp_path, passes=passes)
    assert report.passed, (report.fault, report.mismatch)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "e2m1"}, "format must be intN or uintN of 2 to 8 bits with arch dsp-packed"),
        ({"format": "sm8"}, "such as int8, not 'sm8'"),
        ({"act": "int9"}, "act must be intN or uintN of 2 to 8 bits with arch dsp-packed, such as"),
        ({"columns": 1}, "columns must be at least 2 with arch dsp-packed"),
        ({"target": "gates"}, "target must be xcup with arch dsp-packed, not 'gates'"),
        ({"pipeline": 3}, "pipeline must be 0, 1 or 2 with arch dsp-packed, not 3"),
    ],
)
def test_refusals(wrong: dict[str, Any], message: str) -> None:
    case = {"format": "int8", "act": "int8", "columns": 2, "target": "xcup", "arch": "dsp-packed"}
    with pytest.raises(ValueError, match=message):
        PEParams(**{**case, **wrong})
