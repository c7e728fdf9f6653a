# SPDX-License-Identifier: Apache-2.0
"""The unit ``rope``: emitted Verilog against the definition, its cycles, faults, refusals."""

import numpy as np
import pytest

from hw.attention import rope, rope_rows
from hw.attention.rope_params import RopeParams
from sim.bench.pack import unpack
from tests.hw.attention.bench import BUSY, broken, holds, simulate

CASES = [
    {"dim": 14, "lanes": 4},
    {"dim": 9, "lanes": 3, "layout": "interleaved", "grow": True},
    {"dim": 7, "lanes": 2, "x_bits": 16, "coef_bits": 18, "base": "3/2", "target": "fpga"},
    {"dim": 5, "lanes": 8, "layout": "half"},
]


@pytest.mark.parametrize("parameters", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_verilog(parameters, tmp_path):
    holds("rope", parameters, tmp_path, passes=BUSY)


@pytest.mark.deep
@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_default_size(layout, tmp_path):
    holds("rope", {"layout": layout}, tmp_path, beats=1500, passes=BUSY)


def rows(dim, lanes, positions, inverse=0):
    count = -(-dim // lanes)
    total = count * len(positions)
    x = np.arange(total * lanes).reshape(total, lanes) * 37 % 201 - 100
    keep = np.tile(np.arange(count * lanes) < dim, len(positions)).reshape(total, lanes)
    beats = {"x": x, "keep": keep, "last": np.arange(total) % count == count - 1}
    return {**beats, "pos": np.repeat(positions, count), "inverse": np.full(total, inverse)}


def test_cycles(tmp_path):
    """Of a row alone 2 * n + overhead; rows behind it take as many cycles as beats."""
    for positions in ([5], [1, 2, 3, 4, 5]):
        report, manifest = simulate("rope", {"dim": 8, "lanes": 2}, tmp_path, rows(8, 2, positions))
        assert report.passed, report.mismatch or report.fault
        overhead = manifest["contract"]["overhead"]
        assert report.passes[0].cycles == 4 * (len(positions) - 1) + 2 * 4 + overhead
    assert overhead == 7


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_real_rotation(layout, tmp_path):
    """Position 0 changes nothing; others turn each pair by its angle."""
    dim, positions = 8, np.array([0, 1, 77, 4095])
    parameters = {"dim": dim, "lanes": dim, "layout": layout, "grow": True}
    stimulus = rows(dim, dim, positions)
    report, _ = simulate("rope", parameters, tmp_path, stimulus)
    assert report.passed, report.mismatch or report.fault
    found = unpack([int(w) for w in report.outputs["o_y"]], 9 * dim, dim, True)
    x = stimulus["x"]
    assert (found[0] == x[0]).all()
    first = np.arange(4) if layout == "half" else np.arange(0, 8, 2)
    second = first + (4 if layout == "half" else 1)
    turn = np.exp(1j * positions[:, None] * 10000.0 ** (-2 * np.arange(4) / dim))
    due = (x[:, first] + 1j * x[:, second]) * turn
    assert np.abs(found[:, first] - due.real).max() < 0.6
    assert np.abs(found[:, second] - due.imag).max() < 0.6


FAULTS = [
    (rope.Rope, "elaborate", "sine_falls ^ inverse ^ minus", "sine_falls ^ minus"),
    (rope.Rope, "_sines", "quadrant[0] ^ quadrant[1]", "quadrant[1]"),
    (rope_rows.RopeRows, "elaborate", "bad | (count != beats - 1)", "bad"),
    (rope_rows.RopeRows, "elaborate", "used != 2", "used != 3"),
]


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.deep) for n in range(1, len(FAULTS)))]
)
def test_fault_is_caught(number, tmp_path, monkeypatch):
    broken(monkeypatch, *FAULTS[number])
    report, _ = simulate("rope", {"dim": 6, "lanes": 2}, tmp_path, passes=BUSY[1:2])
    assert not report.passed


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"dim": 1}, "dim must be an integer from 2 to 1024, not 1"),
        ({"layout": "both"}, "layout must be one of half, interleaved, not 'both'"),
        ({"x_bits": 17}, "x_bits must be an integer from 4 to 16, not 17"),
        ({"coef_bits": 17}, "coef_bits must be 16 or 18, not 17"),
        ({"base": "1"}, "base must be a fraction above 1, not '1'"),
        ({"base": "x"}, "base must be a fraction above 1, not 'x'"),
        ({"lanes": 65}, "lanes must be an integer from 1 to 64, not 65"),
    ],
)
def test_refusals(parameters, text):
    with pytest.raises(ValueError, match=text):
        RopeParams(**parameters)
