# SPDX-License-Identifier: Apache-2.0
"""Reports that are remembered."""

import pytest

from fpga import tools
from fpga.report import report
from fpga.synth import cache, gates

XOR = "module x(input [{m}:0] a, output y); assign y = ^a; endmodule"

TWO_GATES = """module g(input a, b, c, d, output y, z);
assign y = ~(a & b); assign z = ~(c | d); endmodule"""


def no_tools(*_arguments, **_options):
    raise AssertionError("a tool was called")


def test_second_report_runs_no_tool(monkeypatch, own_cache):
    first = report(XOR.format(m=3), "x", "gates")
    monkeypatch.setattr(tools, "run", no_tools)
    assert report(XOR.format(m=3), "x", "gates") == first
    assert not list(own_cache.rglob("*.part"))
    with pytest.raises(AssertionError, match="a tool was called"):
        report(XOR.format(m=3), "x", "gates", use_cache=False)


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


def test_everything_that_decides_the_result_is_in_the_key(monkeypatch, own_cache, tmp_path):
    report(TWO_GATES, "g", "ice40", seeds=0)
    report(TWO_GATES, "g", "ecp5", seeds=0)
    report(TWO_GATES, "g", "gates")
    monkeypatch.setattr(tools, "run", no_tools)
    report(TWO_GATES, "g", "ice40", seeds=0)
    other = tmp_path / "other.lib"
    other.write_text(gates.generic().texts[0].replace("1.33", "1.34"))
    questions = [
        (TWO_GATES + "\n", "g", "ice40", {"seeds": 0}),
        (TWO_GATES, "g", "ice40", {"seeds": 1}),
        (TWO_GATES, "g", "ice40", {"seeds": 0, "dsp": True}),
        (TWO_GATES, "g", "ice40:hx8k", {"seeds": 0}),
        (TWO_GATES, "g", "ecp5:85k", {"seeds": 0}),
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


def test_interrupted_store_leaves_the_old_record(monkeypatch, own_cache):
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
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "file")
    assert report(XOR.format(m=3), "x", "ice40", seeds=0)["counts"]["LUT4"] == 1
