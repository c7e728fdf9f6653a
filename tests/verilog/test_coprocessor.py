# SPDX-License-Identifier: Apache-2.0
"""The emitted ``coprocessor`` in a Verilog simulator; the bench is ``cocotb_coprocessor``."""

import json
import re
from functools import cache

import pytest

from gen.emit import emit
from gen.unit import discover
from sim.runner import SimulationError, simulate

UNIT = discover()["coprocessor"]
CASE = UNIT.cases[0]
WIDE = {
    "engine": "mpgemm --engine lut --rows 2 --columns 3 --bits 2 --act int4 --max-k 64",
    "data_width": 64,
    "act_kib": 1,
    "wgt_kib": 1,
    "max_burst": 8,
    "outstanding": 4,
}


def wrapped(manifest):
    """Return a module ``bench`` that gives the AXI4 master the IDs that the memory wants."""
    ports = [(p["dir"], p["width"], p["name"]) for p in manifest["ports"]]
    pins = ", ".join(f".{name}({name})" for _, _, name in ports)
    ids = [("out", 1, "m_axi_awid"), ("out", 1, "m_axi_arid")]
    ids += [("in", 1, "m_axi_bid"), ("in", 1, "m_axi_rid")]
    heads = [f"{way}put wire [{width - 1}:0] {name}" for way, width, name in ports + ids]
    return (
        f"module bench({', '.join(heads)});\n"
        "  assign m_axi_awid = 0;\n  assign m_axi_arid = 0;\n"
        f"  {manifest['module']} dut({pins});\nendmodule\n"
    )


@cache
def emitted(**case):
    return emit(UNIT, UNIT.params(**case))


def check(tmp_path, case=CASE, mutate=lambda text: text, only="", jobs=2):
    text, manifest = emitted(**case)
    source = tmp_path / "design.v"
    source.write_text(mutate(text) + wrapped(manifest))
    env = {"BITLOOM_MANIFEST": json.dumps(manifest), "COCOTB_TEST_FILTER": only}
    env["BITLOOM_JOBS"] = str(jobs)
    return simulate(
        [source], "bench", "tests.verilog.cocotb_coprocessor", tmp_path / "run", env=env
    )


def test_axi4(tmp_path):
    assert check(tmp_path).tests == 6


@pytest.mark.deep
@pytest.mark.parametrize("case", [CASE, WIDE])
def test_axi4_for_longer(tmp_path, case):
    assert check(tmp_path, case, jobs=20).tests == 6


def test_fault(tmp_path):
    """A burst that crosses 4 KiB, put into the Verilog, is noticed."""
    text, _ = emitted(**CASE)
    start = text.index(f"module {UNIT.name}_core_write_split(")
    end = text.index("endmodule", start)
    split, count = re.subn(r"(assign \S+  =) \S+  \? \S+  : 4'h4;", r"\1 4'h4;", text[start:end])
    assert count
    with pytest.raises(SimulationError, match=r"test products failed: .*BOUNDARY"):
        check(tmp_path, mutate=lambda _: text[:start] + split + text[end:], only="products", jobs=6)
