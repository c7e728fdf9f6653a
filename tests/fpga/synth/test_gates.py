# SPDX-License-Identifier: Apache-2.0
"""Area and depth of circuits that can be worked out by hand from ``fpga/cells.lib``."""

import gzip

import pytest

from fpga import tools
from fpga.report import report
from fpga.synth import gates

REGISTER = """module r(input clk, input [7:0] d, output reg [7:0] q);
always @(posedge clk) q <= d; endmodule"""

XOR = "module x(input [{m}:0] a, output y); assign y = ^a; endmodule"

TWO_GATES = """module g(input a, b, c, d, output y, z);
assign y = ~(a & b); assign z = ~(c | d); endmodule"""


def test_gates_by_hand():
    """NAND2 1.00 and NOR2 1.00 gate equivalents; 1.0 and 1.2 NAND2 delays."""
    record = report(TWO_GATES, "g", "gates")
    for point in record["points"]:
        assert point["counts"] == {"NAND2": 1, "NOR2": 1}
        assert point["area"] == {"total": 2.0, "sequential": 0.0, "unit": "GE"}
        assert point["delay"] == {"value": 1.2, "unit": "NAND2"}
    assert [point["name"] for point in record["points"]] == ["area", "fast"]


def test_delay_is_the_depth():
    """Four inputs make a tree of two XOR2, 1.9 each."""
    record = report(XOR.format(m=3), "x", "gates")
    assert set(record["counts"]) <= {"XOR2", "XNOR2"} and sum(record["counts"].values()) == 3
    assert record["area"]["total"] == 6.0
    assert record["points"][1]["delay"]["value"] == 3.8


def test_registers_alone_have_area_and_no_delay():
    record = report(REGISTER, "r", "gates")
    assert record["counts"] == {"DFF": 8}
    assert record["area"] == {"total": 45.36, "sequential": 45.36, "unit": "GE"}
    assert record["delay"]["value"] == 0


@pytest.mark.parametrize("value", [0, 1])
def test_asynchronous_reset_is_mapped(value):
    text = f"""module r(input clk, n, d, output reg q);
    always @(posedge clk, negedge n) if (!n) q <= {value}; else q <= d; endmodule"""
    record = report(text, "r", "gates")
    assert record["counts"] == {"DFFS" if value else "DFFR": 1}
    assert record["area"]["sequential"] == 6.33


def test_area_point_is_smallest_and_fast_point_fastest():
    multiplier = "module m(input [5:0] a, b, output [11:0] y); assign y = a * b; endmodule"
    steps = []
    record = report(multiplier, "m", "gates", use_cache=False, progress=steps.append)
    area, fast = record["points"]
    assert area["area"]["total"] < fast["area"]["total"]
    assert area["delay"]["value"] > fast["delay"]["value"]
    assert all(" multiplier, " in point["recipe"] for point in (area, fast))
    tried = [step for step in steps if step.startswith("yosys: abc_")]
    for style in ("default", "booth"):
        assert sum(style in step for step in tried) == len(tried) / 2 >= 2


def generic_text():
    return gates.generic().texts[0]


@pytest.mark.parametrize("packed", [False, True])
def test_library_of_the_user(tmp_path, packed):
    """The same cells twice as large and in picoseconds, split over two files."""
    text = generic_text().replace('time_unit : "1ns"', 'time_unit : "1ps"')
    text = text.replace("area : 1.00", "area : 2.00")
    head, cut, tail = text.partition("  cell (DFF)")
    start = text[: text.index("  cell (")]
    files = [tmp_path / "comb.lib", tmp_path / "seq.lib"]
    for path, body in zip(files, (head + "}\n", start + cut + tail), strict=True):
        path.write_bytes(gzip.compress(body.encode()) if packed else body.encode())
    record = report(TWO_GATES, "g", "gates", liberty=files)
    assert record["area"] == {"total": 4.0, "sequential": 0.0, "unit": "library units"}
    assert record["delay"] == {"value": 1.2, "unit": "ps"}
    assert [file["name"] for file in record["options"]["liberty"]] == ["comb.lib", "seq.lib"]
    assert report(REGISTER, "r", "gates", liberty=files)["counts"] == {"DFF": 8}


def test_library_without_flip_flops(tmp_path):
    text = generic_text()
    (tmp_path / "comb.lib").write_text(text[: text.index("  cell (DFF)")] + "}\n")
    with pytest.raises(tools.ToolError, match="D flip-flops are not supported"):
        report(REGISTER, "r", "gates", liberty=[tmp_path / "comb.lib"])


def test_cell_that_is_not_in_the_library():
    text = """(* blackbox *) module ram(input a, output y); endmodule
    module r(input a, output y); ram u(.a(a), .y(y)); endmodule"""
    with pytest.raises(tools.ToolError, match=r"^cells\.lib has no cell for ram$"):
        report(text, "r", "gates")


def test_one_failing_try_is_left_out_and_said(monkeypatch, own_cache):
    monkeypatch.setitem(gates._SCRIPTS, "area-cuts", ("strash; no_such_command", False))
    record = report(TWO_GATES, "g", "gates")
    assert record["area"]["total"] == 2.0
    (note,) = record["notes"]
    assert note.startswith("one try left out: yosys failed: ")
