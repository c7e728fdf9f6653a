# SPDX-License-Identifier: Apache-2.0
"""Registers around a module, and what place and route says of it."""

import pytest

from fpga.report import report
from fpga.synth import pnr, yosys

REGISTER = """module r(input clk, input [7:0] d, output reg [7:0] q);
always @(posedge clk) q <= d; endmodule"""

PRODUCT = """module p(input signed [{m}:0] a, b, output signed [2*{m}+1:0] y);
assign y = a * b; endmodule"""


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
