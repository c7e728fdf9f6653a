# SPDX-License-Identifier: Apache-2.0
"""The emitted ``pe-axi`` in a Verilog simulator; the bench is ``cocotb_pe_axi``."""

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from sim.golden.coprocessor import pe_axi
from sim.runner import simulate

UNIT = discover()["pe-axi"]
CASE = {"format": "e4m3", "act": "e5m2", "lanes": 3}


def check(tmp_path, case=CASE, mutate=lambda text: text):
    text, manifest = emit(UNIT, UNIT.params(**case))
    stimulus = pe_axi.vectors(manifest["parameters"], np.random.default_rng(5), 600)
    answers = pe_axi.run(manifest["parameters"], stimulus)
    np.savez(tmp_path / "stimulus.npz", **stimulus, **answers)
    source = tmp_path / "pe_axi.v"
    source.write_text(mutate(text))
    env = {"BITLOOM_STIMULUS": str(tmp_path / "stimulus.npz")}
    return simulate([source], "pe_axi", "tests.verilog.cocotb_pe_axi", tmp_path / "run", env=env)


@pytest.mark.parametrize("case", [CASE, {"format": "int4", "act": "int8", "lanes": 5}])
def test_axi_lite(tmp_path, case):
    assert check(tmp_path, case).tests == 6


def test_names_that_vendor_tools_infer():
    _, manifest = emit(UNIT, UNIT.params(**CASE))
    names = {port["name"] for port in manifest["ports"]}
    channels = {
        "aw": "addr prot",
        "w": "data strb",
        "b": "resp",
        "ar": "addr prot",
        "r": "data resp",
    }
    want = {"aclk", "aresetn"}
    for channel, fields in channels.items():
        want |= {f"s_axi_ctrl_{channel}{f}" for f in [*fields.split(), "valid", "ready"]}
    assert names == want
    assert manifest["clock"] == {
        "name": "aclk",
        "edge": "rising",
        "reset": "aresetn",
        "reset_active": "low",
        "reset_kind": "synchronous",
    }
    assert manifest["streams"] == []


def test_the_manifest_holds_the_registers():
    _, manifest = emit(UNIT, UNIT.params(**CASE))
    names = [row["name"] for row in manifest["contract"]["registers"]]
    assert names[:2] == ["ID", "VERSION"] and names[-1] == "PUSH"
    assert manifest["contract"]["lam"] == -9 - 16
