# SPDX-License-Identifier: Apache-2.0
"""Outlier-victim pairs: every pair decoded, every two 4-bit pairs multiplied, traffic."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog

from hw.cell import Cell
from hw.pe.datapath import BeatSum
from hw.pe.olive import FORMATS, PairDatapath, PairDecoder
from hw.pe.params import PEParams
from hw.spec.formats import parse
from sim.bench.check import Pass
from sim.bench.netlist import Netlist
from sim.golden.formats import decode
from sim.golden.pe import olive as golden
from tests.verilog.test_stream import PASSES, run


def netlist(cell: Cell, folder: Path) -> Netlist:
    text = verilog.convert(cell, name="cell", emit_src=False)
    (folder / "cell.v").write_text(text, encoding="utf-8")
    return Netlist.read([folder / "cell.v"], "cell", folder)


def integer(bits: Any, signed: bool = True) -> Any:
    bits = bits.astype(np.int64)
    width = bits.shape[1]
    return bits @ (1 << np.arange(width)) - (bits[:, -1] << width if signed else 0)


def meaning(name: str, code: int, other: int) -> int:
    """One element of a pair, written once more from the definition."""
    fmt, form = parse(name), FORMATS[name]
    mark = 1 << form.bits - 1
    if code == mark:
        return 0
    if other != mark:
        return int(decode(fmt, [code])[0][0])
    exp, man = divmod(code % mark, 1 << form.man_bits)
    if not exp and not man:
        return 0
    worth = min((1 << form.man_bits) + man << exp + form.bias, form.largest)
    return -worth if code & mark else worth


@pytest.mark.parametrize("name", FORMATS)
def test_every_pair_is_decoded(name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    pairs = np.arange(1 << 2 * form.bits)
    found = netlist(PairDecoder(name), tmp_path).evaluate({"code": pairs})
    low, high = pairs % (1 << form.bits), pairs >> form.bits
    for element, (code, other) in enumerate(((low, high), (high, low))):
        total = np.zeros(len(pairs), dtype=np.int64)
        for part, base in enumerate(form.base):
            value = integer(found[f"v{element}{part}"])
            if form.exponents[part]:
                value = value << integer(found[f"e{element}{part}"], False)
            total += value << base
        if form.bits == 4:
            due = [meaning(name, c, o) for c, o in zip(code.tolist(), other.tolist(), strict=True)]
        else:
            book = {
                marked: np.array([meaning(name, c, 128 * marked) for c in range(256)])
                for marked in (0, 1)
            }
            due = np.where(other == 128, book[1][code], book[0][code])
        assert total.tolist() == list(due)


@pytest.mark.parametrize("name", ["int4", "flint4"])
def test_every_two_pairs(name: str, tmp_path: Path) -> None:
    params = PEParams(format=name, act=name, arch="olive", lanes=2, max_k=2)
    both = np.arange(1 << 16)
    a, w = both & 255, both >> 8
    found = netlist(BeatSum(PairDatapath(params)), tmp_path).evaluate({"a": a, "w": w})
    codes = {"a": np.stack([a & 15, a >> 4], 1), "w": np.stack([w & 15, w >> 4], 1)}
    due = golden.run({"format": name, "act": name, "lanes": 2, "max_k": 2, "core": "dot"}, codes)
    assert integer(found["p"]).tolist() == due["p"].tolist()


CASES = {
    "int8": {"format": "int8", "act": "int8", "lanes": 2},
    "int4": {"format": "int4", "act": "int4", "lanes": 4, "pipeline": 2, "target": "xcup"},
    "flint4": {"format": "flint4", "act": "flint4", "lanes": 2, "pipeline": 1, "acc_bits": 40},
    "accumulate": {"format": "int8", "act": "int8", "lanes": 2, "core": "accumulate"},
    "dot": {"format": "int8", "act": "int8", "lanes": 2, "core": "dot", "target": "xcup"},
}


@pytest.mark.parametrize("name", CASES)
def test_traffic(name: str, tmp_path: Path) -> None:
    passes = [Pass("none", "none")] if "core" in CASES[name] else PASSES
    report = run({"arch": "olive", **CASES[name]}, tmp_path, beats=250, passes=passes)
    assert report.passed, (report.fault, report.mismatch)


def test_the_accumulator_holds_the_largest_sum() -> None:
    for name, form in FORMATS.items():
        params = PEParams(format=name, act=name, arch="olive", lanes=2, max_k=64)
        assert params.acc_width == 1 + (32 * form.largest**2).bit_length()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "int6"}, "format must be one of int4, flint4, int8 with arch olive, not 'int6"),
        ({"format": "int4"}, "act must be as format with arch olive, 'int4', not 'int8'"),
        ({"format": "int8", "lanes": 3}, "lanes must be even with arch olive, not 3"),
        ({"format": "int8", "lanes": 2, "pipeline": 3}, "pipeline must be 0, 1 or 2 with arch"),
        ({"format": "int8", "lanes": 2, "acc_bits": 24}, "acc_bits must be an integer from 39"),
    ],
)
def test_refusals(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PEParams(arch="olive", **wrong)
