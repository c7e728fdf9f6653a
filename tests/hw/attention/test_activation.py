# SPDX-License-Identifier: Apache-2.0
"""The unit ``activation``: emitted Verilog against the definition, its cycles, faults, refusals."""

import numpy as np
import pytest

from hw.attention import activation
from hw.attention.activation_params import ActivationParams
from sim.bench.pack import unpack
from tests.hw.attention.bench import BUSY, broken, holds, simulate

CASES = [
    {"kind": "lut", "function": "gelu-tanh", "lanes": 2, "scale": "1/20"},
    {"kind": "lut", "function": "load", "lanes": 3, "table_bits": 12},
    {"kind": "swiglu", "lanes": 2},
    {"kind": "pwl", "lanes": 2, "frac": 0, "index_bits": 8, "target": "fpga"},
    {"kind": "pwl", "lanes": 1},
    {"kind": "ita", "lanes": 2},
    {"kind": "ibert", "lanes": 2, "x_bits": 24, "scale": "1/100000"},
]


@pytest.mark.parametrize("parameters", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_verilog(parameters, tmp_path):
    holds("activation", parameters, tmp_path, passes=BUSY)


def every_code(**fields):
    x = np.arange(-128, 128).reshape(-1, 1)
    count = len(x)
    beats = {"x": x, "keep": np.ones_like(x, dtype=bool), "last": np.arange(count) == count - 1}
    return {**beats, **{name: np.full(count, value) for name, value in fields.items()}}


@pytest.mark.parametrize(
    "case",
    [{"function": f} for f in ("gelu", "quick-gelu", "h-gelu", "silu", "hard-swish")]
    + [{"kind": "ita"}],
    ids=lambda case: next(iter(case.values())),
)
def test_every_code(case, tmp_path):
    fields = {"m": -3, "s": 12, "z": 5} if case.get("kind") else {}
    parameters = {**case, "lanes": 1}
    report, manifest = simulate("activation", parameters, tmp_path, every_code(**fields))
    assert report.passed, report.mismatch or report.fault
    assert report.passes[0].cycles == 256 + manifest["latency"]


def test_near_the_real_function(tmp_path):
    report, _ = simulate("activation", {"function": "silu", "lanes": 1}, tmp_path, every_code())
    v = np.arange(-128, 128) / 16
    found = unpack([int(w) for w in report.outputs["o_y"]], 8, 1, True).ravel() / 16
    assert np.abs(found - v / (1 + np.exp(-v))).max() <= 1 / 32 + 1e-9


FAULTS = [
    ({"kind": "lut", "function": "load"}, "_place", "at != depth", "0 == 1"),
    ({"kind": "pwl"}, "_segment", "65536 - near, near", "near, near"),
    ({"kind": "ita"}, "_polynomial", "size > bend", "size > 2 * bend"),
    ({"kind": "ibert"}, "_polynomial", "turned >> 14", "turned >> 13"),
    ({"kind": "swiglu"}, "elaborate", "Mux(first, beat[name], kept)", "beat[name]"),
]


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_fault_is_caught(number, tmp_path, monkeypatch):
    parameters, *fault = FAULTS[number]
    broken(monkeypatch, activation.Activation, *fault)
    report, _ = simulate("activation", {**parameters, "lanes": 2}, tmp_path)
    assert not report.passed


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"kind": "relu"}, "kind must be one of lut, .*, not 'relu'"),
        ({"function": "relu"}, "function must be one of gelu, .*, not 'relu'"),
        ({"kind": "pwl", "function": "gelu"}, "function must not be given with kind pwl"),
        ({"function": "load", "scale": "1"}, "scale must not be given with function load"),
        ({"scale": "0"}, "scale must be a fraction above 0, not '0'"),
        ({"scale_out": "x"}, "scale_out must be a fraction above 0, not 'x'"),
        ({"x_bits": 9}, "x_bits must be an integer from 8 to 8, not 9"),
        ({"kind": "ibert", "x_bits": 25}, "x_bits must be an integer from 8 to 24, not 25"),
        ({"table_bits": 17}, "table_bits must be an integer from 8 to 16, not 17"),
        ({"kind": "pwl", "index_bits": 3}, "index_bits must be an integer from 4 to 8, not 3"),
        ({"kind": "ita", "scale": "1/1000"}, "scale is too small for .*: '1/1000'"),
        ({"kind": "ibert", "scale": "1/16"}, "scale must leave constants .*, not '1/16'"),
    ],
)
def test_refusals(parameters, text):
    with pytest.raises(ValueError, match=text):
        ActivationParams(**parameters)
