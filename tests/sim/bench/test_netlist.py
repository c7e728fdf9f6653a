# SPDX-License-Identifier: Apache-2.0
"""Netlists on arrays against plain Python, and the exhaustive bench against faulty Verilog."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpga.tools import ToolError
from sim.bench import exhaustive
from sim.bench.exhaustive import Pair, chunks, compare
from sim.bench.netlist import Netlist
from sim.runner import choose

VERILOG = """\
module small(input [4:0] a, input signed [3:0] b, output [8:0] sum, output any, output one);
  wire [8:0] product = $signed({1'b0, a}) * b;
  assign sum = product - 9'd3;
  assign any = |(a & {5{b[3]}});
  assign one = 1'b1;
endmodule
"""


def test_evaluate(tmp_path: Path) -> None:
    source = tmp_path / "small.v"
    source.write_text(VERILOG)
    netlist = Netlist.read([source], "small", tmp_path)
    # 500 vectors are no multiple of 64.
    code = np.arange(500, dtype=np.int64)
    a, b = code & 31, code >> 5
    found = netlist.evaluate({"a": a, "b": b})
    signed = np.where(b > 7, b - 16, b)
    total = (found["sum"].astype(np.int64) << np.arange(9)).sum(axis=1)
    assert (total == (a * signed - 3) % 512).all()
    assert (found["any"][:, 0] == ((a != 0) & (signed < 0))).all()
    assert (found["one"] == 1).all()


def test_registers_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "small.v"
    source.write_text(
        "module small(input c, d, output reg q); always @(posedge c) q <= d; endmodule"
    )
    with pytest.raises(ValueError, match="registers"):
        Netlist.read([source], "small", tmp_path)


def test_text_that_does_not_parse(tmp_path: Path) -> None:
    source = tmp_path / "small.v"
    source.write_text("module small(input c; endmodule")
    with pytest.raises(ToolError, match=r"small\.v:1"):
        Netlist.read([source], "small", tmp_path)


def test_chunks() -> None:
    pairs = [Pair("int4", act, arch) for act in ("int8", "int2", "int3") for arch in ("b", "a")]
    cut = chunks(pairs, 3)
    assert sorted(pair for chunk in cut for pair in chunk) == sorted(pairs)
    assert all(len({max(p.bits) > 4 for p in chunk}) == 1 for chunk in cut)
    assert max(len(chunk) for chunk in cut) == 3


@pytest.mark.parametrize("engine", ["netlist", None])
def test_engines_see_one_wrong_code(
    engine: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = "(a == 7 && w == 4'h9) ? 8'sd1 : $signed(a) * $signed(w)"
    _replace(monkeypatch, {"int4": product})
    pairs = [Pair("int4", "int4", "multiply"), Pair("int4", "int3", "multiply")]
    compared, wrong = compare(pairs, tmp_path, engine)
    assert compared == 256 + 128
    # 7 is 7 in int4 but -1 in int3, where the comparison with the constant 7 holds as well.
    assert "1 of 256 wrong, first a=0x7 w=0x9: expected p -49, got 1" in wrong[0]
    assert len(wrong) == 2


def test_sign_error_in_both_operands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cancels in the product of the two, and shows beside uint1."""
    _replace(
        monkeypatch,
        {"int4": "(-8'sd1 * $signed(a)) * (-8'sd1 * $signed(w))", "uint1": "-$signed(a) * w"},
    )
    both, beside = Pair("int4", "int4", "multiply"), Pair("uint1", "int4", "multiply")
    assert compare([both], tmp_path / "both", "netlist")[1] == []
    assert len(compare([beside], tmp_path / "beside", "netlist")[1]) == 1


def test_x_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator without X draws a value instead, which is wrong as well, or the exact zero."""
    _replace(monkeypatch, {"int4": "a == 3 ? 8'bx : $signed(a) * $signed(w)"})
    pairs = [Pair("int4", "int4", "multiply")]
    if choose() == "icarus":
        with pytest.raises(ValueError, match="an output is X"):
            compare(pairs, tmp_path)
    else:
        assert len(compare(pairs, tmp_path)[1]) == 1


def _replace(monkeypatch: pytest.MonkeyPatch, products: dict[str, str]) -> None:
    """Emit modules of the usual ports with another product, by the name of the weight format."""
    genuine = exhaustive.emit

    def emit(unit: Any, params: Any, module: str) -> tuple[str, dict[str, Any]]:
        _, manifest = genuine(unit, params, module)
        ports = {port["name"]: port["width"] for port in manifest["ports"]}
        text = (
            f"module {module}(input [{ports['a'] - 1}:0] a, input [{ports['w'] - 1}:0] w, "
            f"output [{ports['p'] - 1}:0] p);\n"
            f"  assign p = {products[manifest['parameters']['format']]};\nendmodule\n"
        )
        return text, manifest

    monkeypatch.setattr(exhaustive, "emit", emit)
