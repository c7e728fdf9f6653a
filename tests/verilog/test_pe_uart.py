# SPDX-License-Identifier: Apache-2.0
"""The emitted ``pe-uart`` in a Verilog simulator; the bench is ``cocotb_pe_uart``."""

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from sim.golden.coprocessor import pe_uart
from sim.runner import SimulationError, simulate

UNIT = discover()["pe-uart"]
RATE = {"clock_hz": 800_000, "baud": 100_000}
CASES = {
    "int4": {"format": "int4"},
    "nan": {"format": "e4m3", "act": "e5m2", "lanes": 3},
    "window": {"format": "e2m1", "act": "bf16", "lanes": 2, "pipeline": 1},
}


def check(tmp_path, case, mutate=lambda text: text):
    text, manifest = emit(UNIT, UNIT.params(**RATE, **case))
    stimulus = pe_uart.vectors(manifest["parameters"], np.random.default_rng(3), 1200)
    answers = pe_uart.run(manifest["parameters"], stimulus)
    np.savez(tmp_path / "stimulus.npz", **stimulus, **answers)
    source = tmp_path / "pe_uart.v"
    source.write_text(mutate(text))
    env = {"BITLOOM_STIMULUS": str(tmp_path / "stimulus.npz"), "BITLOOM_CYCLES_PER_BIT": "8"}
    return simulate([source], "pe_uart", "tests.verilog.cocotb_pe_uart", tmp_path / "run", env=env)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bytes(tmp_path, case):
    assert check(tmp_path, case).tests == 1


def test_the_bench_sees_a_wrong_bit(tmp_path):
    """The top bit of the identification turned over."""

    def mutate(text):
        assert text.count("32'd1162890306") == 1
        return text.replace("32'd1162890306", "32'd1162890307")

    with pytest.raises(SimulationError, match="bytes_answer_as_the_golden_model failed"):
        check(tmp_path, CASES["int4"], mutate)


def test_ports():
    _, manifest = emit(UNIT, UNIT.params(**RATE))
    ports = {port["name"]: (port["dir"], port["width"]) for port in manifest["ports"]}
    want = {"clk": ("in", 1), "rst": ("in", 1), "uart_rx": ("in", 1), "uart_tx": ("out", 1)}
    assert ports == {**want, "led": ("out", 4)}
    assert manifest["contract"]["uart"]["cycles_per_bit"] == 8
    assert manifest["streams"] == []
