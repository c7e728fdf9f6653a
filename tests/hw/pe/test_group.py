# SPDX-License-Identifier: Apache-2.0
"""Dot products in groups with scales: streams under stalls, meaning by fractions, refusals."""

from fractions import Fraction

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.pe.params import PEParams
from hw.spec.formats import parse
from sim.bench.check import Pass, check, golden_of
from sim.golden.formats import decode_float

UNIT = discover()["pe"]
PASSES = [Pass("none", "none"), Pass("random", "bursty"), Pass("none", "slow")]

STREAMS = {
    "int4-fp16-zero": {"lanes": 8, "group": 16, "scale": "fp16", "zero_point": True},
    "nvfp4": {"format": "e2m1", "act": "e2m1", "group": 16, "scale": "ue4m3",
              "act_scale": "ue4m3"},
    "mxfp4": {"format": "e2m1", "act": "e4m3", "group": 32, "scale": "e8m0",
              "act_scale": "e8m0"},
    "one-beat-groups": {"lanes": 4, "group": 4, "scale": "int8", "pipeline": 3,
                        "zero_point": True},
    "exact-nan": {"format": "e4m3", "act": "e5m2", "lanes": 2, "group": 4, "scale": "fp16",
                  "sum": "exact", "pipeline": 1},
    "bf16-chains": {"format": "int8", "lanes": 2, "group": 6, "scale": "bf16", "pipeline": 2,
                    "act_scale": "ue5m3", "arch": "multiply", "target": "xcup",
                    "zero_point": True},
    "table": {"format": "nf4", "act": "int4", "lanes": 2, "group": 4, "scale": "fp16",
              "arch": "product-lut", "pipeline": 1},
    "digits": {"lanes": 4, "group": 8, "scale": "int8", "zero_point": True, "arch": "vector"},
    "window": {"format": "int4", "act": "bf16", "group": 2, "scale": "fp16", "arch": "booth"},
    "tree": {"format": "nf4", "act": "fp16", "group": 4, "scale": "fp16", "sum": "fp32-tree",
             "zero_point": True, "max_k": 64},
}  # fmt: skip
QUICK = ("int4-fp16-zero", "nvfp4", "mxfp4", "one-beat-groups", "exact-nan", "table", "digits")


def bench(case, folder, beats, expected=None):
    text, manifest = emit(UNIT, PEParams(**{"format": "int4", **case}), "dut")
    (folder / "dut.v").write_text(text)
    if isinstance(beats, int):
        rng = np.random.default_rng(4)
        beats = golden_of(manifest).vectors(manifest["parameters"], rng, beats)
    where = folder / "build"
    report = check(folder / "dut.v", manifest, beats, where, passes=PASSES, expected=expected)
    return report, manifest


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.deep) for n in STREAMS],
)
def test_streams(name, tmp_path):
    report, manifest = bench(STREAMS[name], tmp_path, 240)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 10
    assert manifest["beats_per_cycle"] == 1
    assert report.passes[0].cycles == 240 + manifest["latency"]


def test_sum_of_extremes_by_fractions(tmp_path):
    """The largest group there is, of either sign, a `last` inside a group, and one beat alone."""
    case = {"lanes": 4, "group": 16, "scale": "int8", "zero_point": True, "max_k": 64}
    beats = 4 * 4 + 4 * 4 + 6 + 1
    a, w = np.full((beats, 4), 0x80), np.full((beats, 4), 8)
    z, s = np.full(beats, 0x7F), np.full(beats, 0x80)
    a[16:32] = 0x7F
    rng = np.random.default_rng(1)
    a[32:], w[32:] = rng.integers(0, 256, (7, 4)), rng.integers(0, 16, (7, 4))
    # What comes with a beat that closes no group has no effect.
    closing = np.isin(np.arange(beats), [3, 7, 11, 15, 19, 23, 27, 31, 35, 37, 38])
    z, s = (np.where(closing, v, rng.integers(0, 256, beats)) for v in (z, s))
    last = np.isin(np.arange(beats), [15, 31, 37, 38])
    ints = {bits: np.arange(1 << bits) - ((np.arange(1 << bits) >> bits - 1) << bits)
            for bits in (4, 8)}  # fmt: skip
    terms = (ints[8][a] * (ints[4][w] - 127)).sum(axis=1)
    due, total, group = [], 0, 0
    for beat in range(beats):
        group += int(terms[beat])
        if closing[beat]:
            total, group = total + -128 * group, 0
        if last[beat]:
            due.append(total)
            total = 0
    expected = {"y": np.array(due, dtype=object)}
    given = {"a": a, "w": w, "s": s, "z": z, "last": last}
    report, manifest = bench(case, tmp_path, given, expected)
    assert report.passed, (report.fault, report.mismatch)
    assert due[0] == -(64 * 128 * 135 * 128)
    width = next(p["width"] for p in manifest["ports"] if p["name"] == "o_y")
    assert width == manifest["contract"]["y_bits"] >= due[0].bit_length() + 1


def test_nvfp4_by_fractions(tmp_path):
    """One group is exact in binary32: a sum of 16 products has few bits."""
    rng, count = np.random.default_rng(5), 160
    a, w = rng.integers(0, 16, (count, 1)), rng.integers(0, 16, (count, 1))
    s, t = rng.integers(0, 127, count), rng.integers(0, 127, count)
    last = np.arange(count) % 16 == 15
    element, scale = parse("e2m1"), parse("ue4m3")
    due = []
    for end in np.flatnonzero(last):
        rows = slice(end - 15, end + 1)
        products = decode_float(element, a[rows]) * decode_float(element, w[rows])
        real = Fraction(float(products.sum()))
        for code in (s[end], t[end]):
            real *= Fraction(float(decode_float(scale, code)))
        single = np.float32(float(real))
        assert Fraction(float(single)) == real
        due.append(int((single + np.float32(0)).view(np.uint32)))
    given = {"a": a, "w": w, "s": s, "t": t, "last": last}
    expected = {"y": np.array(due, dtype=object)}
    report, _ = bench(STREAMS["nvfp4"], tmp_path, given, expected)
    assert report.passed, (report.fault, report.mismatch)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (
            {"group": 4, "scale": "fp16", "columns": 2, "arch": "vector"},
            "columns must be 1 where group is given, not 2",
        ),
        ({"group": 0}, "group must be an integer from 1 to 256, not 0"),
        ({"group": 512}, "group must be an integer from 1 to 256, not 512"),
        ({"group": 6, "lanes": 4}, "group must be a multiple of lanes, 4, not 6"),
        ({"scale": None}, "scale must be given with group, such as fp16, not None"),
        ({"scale": "e4m3"}, "scale must be one of e8m0, .*, int8, not 'e4m3'"),
        ({"act_scale": "fp32"}, "act_scale must be one of e8m0, .*, int8, not 'fp32'"),
        ({"scale": "e8m0", "sum": "exact"}, "scale must be ue4m3, .* sum is exact, not 'e8m0'"),
        ({"sum": "tree"}, "sum must be one of exact, fp32-seq, fp32-tree, not 'tree'"),
        ({"core": "accumulate"}, "core must be stream where group is given, not 'accumulate'"),
        ({"format": "e2m1", "zero_point": True}, "format must be one of integers where zero_point"),
        ({"arch": "fused"}, "group must not be given with arch fused, but is 16; these take it"),
        ({"group": None}, "scale must not be given without group, but is 'fp16'"),
        ({"group": None, "scale": None, "sum": "exact"}, "sum must not be given without group"),
    ],
)
def test_refusals(wrong, message):
    good = {"format": "int4", "arch": "shift-add", "group": 16, "scale": "fp16"}
    with pytest.raises(ValueError, match=message) as caught:
        PEParams(**{**good, **wrong})
    assert "\n" not in str(caught.value)


def test_group_of_auto_and_its_defaults():
    params = PEParams(format="int4", group=32, scale="int8")
    assert params.resolved["sum"] == "exact"
    assert params.acc_width == 1 + (32 * 8 * 128).bit_length()
    assert "group" in params.architecture.options
