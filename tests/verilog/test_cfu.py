# SPDX-License-Identifier: Apache-2.0
"""The emitted ``cfu`` in a Verilog simulator; the bench is ``cocotb_cfu``."""

import re

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from sim.golden.coprocessor import cfu
from sim.runner import SimulationError, simulate

UNIT = discover()["cfu"]
TREE = "array --dataflow tree --rows 1 --columns 2 --lanes 2 --format int4"
ENGINES = {
    "tree": TREE,
    "ws": "array --dataflow ws --rows 2 --columns 3 --format int2 --depth 4",
    "lut": "mpgemm --engine lut --rows 2 --columns 3 --bits 2 --planes 1 --act int4 --max-k 64",
    "wide": "array --dataflow cube --rows 1 --columns 2 --lanes 1 --format int8 --act fp16",
    "scaled": "array --dataflow cube --rows 2 --columns 2 --lanes 2 --format int4 --group 4 "
    "--scale fp16 --zero-point",
    "requant": "array --dataflow cube --rows 2 --columns 2 --lanes 2 --format int4 --requant rhu",
}


def check(tmp_path, engine, eager=True, mutate=lambda text: text, jobs=3):
    text, manifest = emit(UNIT, UNIT.params(engine=engine))
    parameters = manifest["parameters"]
    given = cfu.vectors(parameters, np.random.default_rng(7), jobs)
    np.savez(tmp_path / "stimulus.npz", **given, **cfu.run(parameters, given))
    source = tmp_path / "cfu.v"
    source.write_text(mutate(text))
    env = {"BITLOOM_STIMULUS": str(tmp_path / "stimulus.npz"), "BITLOOM_EAGER": str(int(eager))}
    return simulate([source], "cfu", "tests.verilog.cocotb_cfu", tmp_path / "run", env=env)


@pytest.mark.parametrize("name", ENGINES)
def test_products(tmp_path, name):
    assert check(tmp_path, ENGINES[name], eager=name != "tree").tests == 1


#: Engine, what to break in the wrapper, and by what.
FAULTS = {
    "second word": ("scaled", r"\(cmd_payload_inputs_1\)", "(cmd_payload_inputs_0)"),
    "job": ("tree", r"cmd_payload_inputs_1\[19:0\]", "20'h00001"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_caught(tmp_path, fault):
    engine, pattern, other = FAULTS[fault]

    def broken(text):
        found, count = re.subn(pattern, other, text)
        assert count
        return found

    with pytest.raises(SimulationError, match=r"instruction|no answer"):
        check(tmp_path, ENGINES[engine], mutate=broken)


def test_engine_is_refused_by_its_own_words():
    with pytest.raises(ValueError, match=r"rows must be an integer from 1 .* not 0"):
        UNIT.params(engine="array --rows 0")
    with pytest.raises(ValueError, match="engine must begin with array or mpgemm, not 'fma'"):
        UNIT.params(engine="fma")
