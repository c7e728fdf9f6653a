# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/fp/mul.py`` and ``hw/posit``: products against exact rational arithmetic."""

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.fp.params import MulParams
from hw.spec.formats import parse
from hw.spec.rounding import ROUNDINGS
from sim.bench.check import Pass, check, golden_of
from tests.hw.fp.units import every, hold, stimulus

#: Every kind of shape: no exponent bits, no fraction bits, codes that end inside the exponent.
SMALL = ["posit3_0", "posit3_3", "posit4_1", "posit5_2", "posit6_0", "posit6_3"]
MIXED = [
    {"format": "posit8_0", "format_b": "posit8_2", "result": "posit6_1"},
    {"format": "posit5_0", "format_b": "posit8_1", "result": "posit7_1"},
    {"format": "posit8_0", "format_b": "posit3_3", "result": "posit16_2"},
]
FLOATS = [
    {"format": "e4m3"},
    {"format": "e5m2"},
    {"format": "e4m3_fnuz", "overflow": "sat"},
    {"format": "e3m4_ieee", "rounding": "ties-to-zero"},
    {"format": "e4m3", "format_b": "e2m1", "result": "e5m2"},
    {"format": "e5m2", "format_b": "e3m2", "result": "e2m5"},
    {"format": "e2m3", "result": "e0m3"},
    {"format": "e3m0_ieee", "format_b": "e0m3", "result": "fp32"},
]


def all_codes(case):
    names = case["format"], case.get("format_b", case["format"])
    a, b = (np.arange(1 << parse(name).bits) for name in names)
    return every(a=a, b=b)


@pytest.mark.parametrize("name", ["posit8_0", "posit8_1", "posit8_2", *SMALL])
def test_every_product_of_posits(name, tmp_path):
    hold("mul", tmp_path, {"format": name}, all_codes({"format": name}))


@pytest.mark.parametrize("case", MIXED, ids=lambda case: "-".join(case.values()))
def test_every_product_of_mixed_posits(case, tmp_path):
    hold("mul", tmp_path, case, all_codes(case))


@pytest.mark.parametrize("name", ["posit16_0", "posit16_1", "posit16_3", "posit12_2"])
def test_wide_posits(name, tmp_path):
    case = {"format": name}
    hold("mul", tmp_path, case, stimulus("mul", case, 12_000))


@pytest.mark.parametrize("case", FLOATS, ids=lambda case: "-".join(case.values()))
def test_every_product_of_small_minifloats(case, tmp_path):
    hold("mul", tmp_path, case, all_codes(case))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_roundings(rounding, tmp_path):
    case = {"format": "e2m3_fn", "rounding": rounding}
    hold("mul", tmp_path, case, all_codes(case))


@pytest.mark.parametrize(
    "case",
    [
        {"format": "fp16"},
        {"format": "bf16", "result": "fp32"},
        {"format": "fp32"},
        {"format": "fp16", "result": "e4m3"},
        {"format": "fp32", "format_b": "e2m1", "result": "e5m2"},
    ],
    ids=lambda case: "-".join(case.values()),
)
def test_wide_minifloats(case, tmp_path):
    hold("mul", tmp_path, case, stimulus("mul", case, 4_000))


@pytest.mark.parametrize(
    ("name", "pipeline"), [("posit8_2", 1), ("posit8_2", 3), ("e4m3", 0), ("e4m3", 2)]
)
def test_stream_under_stalls(name, pipeline, tmp_path):
    unit = discover()["mul"]
    text, manifest = emit(unit, unit.params(name, pipeline=pipeline))
    (tmp_path / "mul.v").write_text(text, encoding="utf-8")
    rng = np.random.default_rng(4)
    beats = golden_of(manifest).vectors(manifest["parameters"], rng, 200)
    passes = [Pass("none", "none"), Pass("random", "random"), Pass("none", "slow")]
    report = check(tmp_path / "mul.v", manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.passes[0].cycles == report.vectors + pipeline + 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "int8"}, "format must be a minifloat with a sign, such as e4m3, not 'int8'"),
        ({"format_b": "e4m3"}, "must all be posits or none, not 'posit8_2' with 'e4m3'"),
        ({"format": "e4m3", "result": "posit8_0"}, "not 'posit8_0' with 'e4m3'"),
        ({"format": "e4m3", "format_b": "ue4m3"}, "format_b must be a minifloat with a sign"),
        ({"rounding": "rtz"}, "rounding must not be given with posits, .*, not 'rtz'"),
        ({"overflow": "sat"}, "overflow must not be given with posits, .*, not 'sat'"),
        ({"format": "e4m3", "rounding": "up"}, "rounding must be one of rne, .*, not 'up'"),
        ({"core": "dot"}, "core must be one of stream, cell, not 'dot'"),
        ({"pipeline": -1}, "pipeline must be an integer from 0 to 3, not -1"),
    ],
)
def test_wrong_parameters(wrong, message):
    with pytest.raises(ValueError, match=message):
        MulParams(**wrong)
