# SPDX-License-Identifier: Apache-2.0
"""Against float32 sums of numpy over groups that fractions and ml_dtypes compute."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from sim.golden.dequant import NAN
from sim.golden.pe.group import mode_of, run, vectors

BASE = {"format": "int4", "act": "int8", "lanes": 2, "max_k": 32, "group": 8, "window": None}
BASE |= {"scale": "fp16", "act_scale": None, "zero_point": False, "sum": None}


def signed(code, bits):
    return int(code) - (int(code) >> bits - 1 << bits)


def test_default_sum():
    assert mode_of({"scale": "int8", "sum": None}) == "exact"
    assert mode_of({"scale": "e8m0"}) == "fp32-seq"
    assert mode_of({"scale": "int8", "sum": "fp32-seq"}) == "fp32-seq"


def groups_by_hand(lasts, length):
    """Slices of the groups of each dot product."""
    dots, groups, begin = [], [], 0
    for row, last in enumerate(lasts):
        if last or row + 1 - begin == length:
            groups.append((begin, row + 1))
            begin = row + 1
        if last:
            dots.append(groups)
            groups = []
    return dots


@pytest.mark.parametrize("zero_point", [False, True])
def test_integers_with_fp16_scales(zero_point):
    parameters = BASE | {"zero_point": zero_point}
    beats = vectors(parameters, np.random.default_rng(3), 240)
    finite = np.float16(np.random.default_rng(4).normal(size=240)).view(np.uint16)
    beats["s"] = finite.astype(object)
    due = []
    for dot in groups_by_hand(beats["last"], 4):
        acc = np.float32(0)
        for begin, end in dot:
            zero = signed(beats["z"][end - 1] & 0xFF, 8) if zero_point else 0
            total = sum(
                signed(a, 8) * (signed(w, 4) - zero)
                for a, w in zip(
                    beats["a"][begin:end].ravel(), beats["w"][begin:end].ravel(), strict=True
                )
            )
            # An integer below 2**24 times 11 bits: float64 holds the product.
            acc = np.float32(acc + np.float32(total * float(finite[end - 1 : end].view("f2")[0])))
        due.append(int(acc.view(np.uint32)))
    found = run(parameters, beats)
    assert found["y"].tolist() == due and len(due) > 20
    assert set(found) == {"y"}


def test_mx_pair_of_scales():
    parameters = BASE | {"format": "e2m1", "act": "e4m3", "scale": "e8m0", "act_scale": "e8m0"}
    beats = vectors(parameters, np.random.default_rng(5), 200)
    w = beats["w"].astype(np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float64)
    a = beats["a"].astype(np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    due = []
    with np.errstate(over="ignore"):
        for dot in groups_by_hand(beats["last"], 4):
            acc = np.float32(0)
            for begin, end in dot:
                s, t = int(beats["s"][end - 1]), int(beats["t"][end - 1])
                total = (a[begin:end] * w[begin:end]).sum()
                value = np.float64(np.nan) if 255 in (s, t) else np.ldexp(total, s + t - 254)
                acc = np.float32(acc + np.float32(value))
            due.append(NAN if np.isnan(acc) else int(acc.view(np.uint32)))
    assert run(parameters, beats)["y"].tolist() == due
    assert NAN in due and len(set(due)) > 10


def test_exact_int8_scales_and_early_last():
    parameters = BASE | {"scale": "int8"}
    beats = {
        "a": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [255, 1], [2, 2]],
        "w": [[1, 1], [1, 1], [1, 1], [1, 1], [1, 1], [15, 1], [8, 7]],
        "s": [9, 9, 9, 2, 200, 128, 3],
        "last": [False, False, False, False, True, True, True],
    }
    found = run(parameters, {k: np.array(v) for k, v in beats.items()})
    # 36 * 2 + 19 * (200 - 256); 2 * -128; (-16 + 14) * 3
    assert found["y"].tolist() == [72 - 19 * 56, -256, -6]
    assert set(found) == {"y"}


def test_nonfinite_operands():
    one, nan = int(np.float16(1).view(np.uint16)), 0x7E00
    beats = {"a": np.array([[one], [nan], [one]]), "w": np.array([[3], [3], [3]])}
    beats |= {"s": np.array([2, 2, 2]), "last": np.array([False, True, True])}
    parameters = BASE | {"act": "fp16", "lanes": 1, "group": 1, "scale": "int8"}
    exact = run(parameters, beats)
    assert exact["nan"].tolist() == [True, False]
    assert [Fraction(int(y), 1 << 24) for y in exact["y"]] == [6, 6]
    found = run(parameters | {"sum": "fp32-seq"}, beats)["y"].tolist()
    assert found == [NAN, int(np.float32(6).view(np.uint32))]
