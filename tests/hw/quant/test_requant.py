# SPDX-License-Identifier: Apache-2.0
"""The unit ``requant``: corners through the netlist, streams under stalls, refusals."""

from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.arith.constants import signed_digits
from hw.quant.requant_params import SCHEMES, RequantParams
from sim.bench.check import Pass, check, golden_of, passes_for
from sim.bench.netlist import Netlist
from sim.golden import requant as golden

UNIT = discover()["requant"]
HALF = Fraction(1, 2)
TOP = 1 << 31
#: Sheet E.7.
CORNERS = [0, 1, -1, 1 << 30, -(1 << 30), -TOP, TOP - 1]


def nearest(value, ties):
    low = floor(value)
    if value - low != HALF:
        return floor(value + HALF)
    return {"up": low + 1, "away": low + (value > 0), "even": low + low % 2}[ties]


def defined(scheme, x, m, s):
    """B.14 by rational numbers, before saturation."""
    if scheme == "gemmlowp":
        raised = min(max(x << -s if s < 0 else x, -TOP), TOP - 1)
        product = raised * m
        doubled = abs(product + (1 << 30 if product >= 0 else 1 - (1 << 30))) >> 31
        doubled = min(doubled, TOP - 1) if product + (1 << 30) > 0 else -doubled
        return nearest(Fraction(doubled, 1 << max(s, 0)), "away")
    if scheme == "tflite":
        return x * m + (1 << 30 - s) >> 31 - s
    real = Fraction(x * m, 1 << s)
    ties = {"rhu": "up", "rha": "away", "rne": "even", "ibert": "even"}.get(scheme)
    return nearest(real, ties) if ties else floor(real)


def outputs(folder, vectors, **parameters):
    """What the netlist of the cell gives, as signed or unsigned integers, and its manifest."""
    text, manifest = emit(UNIT, RequantParams(core="cell", **parameters), "dut")
    (folder / "dut.v").write_text(text)
    net = Netlist.read([folder / "dut.v"], "dut", folder)
    arrays = {name: np.array(vectors[name], dtype=np.int64) for name in net.inputs}
    bits = net.evaluate(arrays)["y"].astype(np.int64)
    weights = 1 << np.arange(bits.shape[1])
    if manifest["ports"][-1]["signed"]:
        weights[-1] *= -1
    return bits @ weights, manifest


@pytest.mark.parametrize("scheme", SCHEMES)
def test_corners_of_all_shifts_by_definition(scheme, tmp_path):
    shifts = range(-31, 31) if scheme in ("gemmlowp", "tflite") else range(64)
    multipliers = [1 << 30, TOP - 1, (1 << 30) + 1, 1, 0, 1518500250]
    multipliers += [-1, -TOP, -(1 << 30)]
    near = sorted({*CORNERS, *range(-9, 10), 1 << 20, -(1 << 20), 3 << 20, 5 << 9, -5 << 9})
    if scheme == "rbe":
        multipliers = [1, 2, 3, 32768, 65535, 0]
    rows = [(x, m, s) for s in shifts for m in multipliers for x in near]
    x, m, s = zip(*rows, strict=True)
    vectors = {"x": x, "m": m, "s": s, "add": [0] * len(x)}
    got, _ = outputs(tmp_path, vectors, scheme=scheme, out="int16")
    due = [min(max(defined(scheme, *row), -(1 << 15)), (1 << 15) - 1) for row in rows]
    wrong = [(row, a, b) for row, a, b in zip(rows, got.tolist(), due, strict=True) if a != b]
    assert not wrong, (len(wrong), wrong[:3])


CELLS = [
    {"out": "uint8", "zero_point": True, "in_bits": 12},
    {"multiplier": 12345, "in_bits": 16, "out": "int4"},
    {"multiplier": 1518500250, "shift": 20, "zero_point": True},
    {"shift": 7, "target": "fpga", "in_bits": 24, "out": "int16"},
]
#: One scheme of each shape of datapath; the others are for ``-m deep``.
QUICK = [("rha", 0), ("gemmlowp", 0), ("rbe", 1), ("tflite", 1), ("rne", 2), ("gemmlowp", 3)]


@pytest.mark.parametrize(
    ("scheme", "number"),
    [
        pytest.param(scheme, number, marks=() if (scheme, number) in QUICK else pytest.mark.deep)
        for scheme in SCHEMES
        for number in range(len(CELLS))
    ],
)
def test_cells_equal_the_golden_model(scheme, number, tmp_path):
    case = CELLS[number]
    if scheme == "rbe" and "multiplier" in case:
        case = {**case, "multiplier": case["multiplier"] % (1 << 16)}
    parameters = RequantParams(core="cell", scheme=scheme, **case).resolved
    beats = golden.vectors(parameters, np.random.default_rng(2), 1500)
    flat = {name: np.reshape(values, -1) for name, values in beats.items()}
    got, manifest = outputs(tmp_path, flat, scheme=scheme, **case)
    assert manifest["parameters"] == parameters
    assert got.tolist() == [int(v) for v in np.ravel(golden.run(parameters, beats)["y"])]


STREAMS = [
    {"scheme": "tflite", "pipeline": 3, "lanes": 2, "in_bits": 12, "zero_point": True},
    {"scheme": "gemmlowp", "pipeline": 3, "out": "uint8", "in_bits": 20},
    {"scheme": "rbe", "pipeline": 1, "in_bits": 24},
    {"scheme": "gemmlowp", "pipeline": 2, "in_bits": 16, "target": "fpga"},
    {"scheme": "rha", "pipeline": 3, "target": "fpga", "multiplier": 77, "in_bits": 16},
    {"scheme": "rne", "pipeline": 0, "shift": 9, "mult_bits": 8, "out": "int4", "lanes": 3},
]


@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=() if n < 3 else pytest.mark.deep) for n in range(len(STREAMS))],
)
def test_streams(number, tmp_path):
    case = STREAMS[number]
    text, manifest = emit(UNIT, RequantParams(**case))
    (tmp_path / "dut.v").write_text(text)
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(3), 120)
    passes = [*passes_for("all")[:3], Pass("none", "slow")]
    report = check(tmp_path / "dut.v", manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results == 120
    assert report.passes[0].cycles == 120 + case["pipeline"] + 1


def test_signed_digits_are_the_fewest():
    """A.8: how many of the 8-bit integers need 0 to 4 digits."""
    counts = [0] * 5
    for value in range(-128, 128):
        digits = signed_digits(value)
        assert sum(d << w for w, d in digits) == value
        assert all(b - a > 1 for (a, _), (b, _) in pairwise(digits))
        counts[len(digits)] += 1
    assert counts == [1, 15, 72, 120, 48]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"scheme": "up"}, "scheme must be one of rhu, .*, rbe, not 'up'"),
        ({"core": "dot"}, "core must be one of stream, cell, not 'dot'"),
        ({"in_bits": 65}, "in_bits must be an integer from 4 to 64, not 65"),
        ({"in_bits": 33, "scheme": "gemmlowp"}, "in_bits must be an integer from 4 to 32, not 33"),
        ({"mult_bits": 16, "scheme": "tflite"}, "mult_bits must be an integer from 32 to 32"),
        ({"mult_bits": 33}, "mult_bits must be an integer from 2 to 32, not 33"),
        ({"lanes": 0}, "lanes must be an integer from 1 to 256, not 0"),
        ({"pipeline": 4}, "pipeline must be an integer from 0 to 3, not 4"),
        ({"pipeline": 1, "core": "cell"}, "pipeline must be 0 where core is cell, not 1"),
        ({"out": "e4m3"}, "out must be intN or uintN, not 'e4m3'"),
        ({"out": "ternary"}, "out must be intN or uintN, not 'ternary'"),
        ({"multiplier": -1, "scheme": "gemmlowp"}, "multiplier must be .* from 0 to 2147483647"),
        (
            {"multiplier": 65536, "scheme": "rbe"},
            "multiplier must be .* from 0 to 65535",
        ),
        ({"shift": 64}, "shift must be an integer from 0 to 63, not 64"),
        ({"shift": 31, "scheme": "tflite"}, "shift must be an integer from -31 to 30, not 31"),
        ({"target": "asic"}, "target must be one of gates, fpga, not 'asic'"),
    ],
)
def test_refusals(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        RequantParams(**wrong)
    assert "\n" not in str(caught.value)
