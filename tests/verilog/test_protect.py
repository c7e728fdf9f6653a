# SPDX-License-Identifier: Apache-2.0
"""Flipped bits in the emitted co-processor; the bench is ``cocotb_protect``."""

import json
from pathlib import Path

from gen.emit import emit
from sim.runner import simulate
from tests.verilog.test_coprocessor import CASE, UNIT, wrapped

#: Errors that bits bring about which flip, and the test of the bench that flips them.
PROVOKED = {"memory": "two_bits", "parity": "descriptor"}


def test_the_bench_provokes_them():
    text = Path(__file__).with_name("cocotb_protect.py").read_text(encoding="utf-8")
    for code, name in PROVOKED.items():
        test = text.partition(f"async def {name}(")[2].partition("@cocotb.test")[0]
        assert f'== ERROR_CODES["{code}"]' in test


def test_flipped_bits(tmp_path):
    text, manifest = emit(UNIT, UNIT.params(**CASE, protect="secded"))
    source = tmp_path / "design.v"
    source.write_text(text + wrapped(manifest))
    env = {"BITLOOM_MANIFEST": json.dumps(manifest)}
    # Verilator hides what lies inside, and bits are to be flipped there.
    bench, folder = "tests.verilog.cocotb_protect", tmp_path / "run"
    run = simulate([source], "bench", bench, folder, simulator="icarus", env=env)
    assert run.tests == 4
