# SPDX-License-Identifier: Apache-2.0
"""Against exact fractions, the listed ties, and the published C integer code in int64 of numpy."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sim.golden.requant import output_range, rdpot, requant, run, srdhm, vectors

CORNERS = [0, 1, -1, 1 << 30, -(1 << 30), -(1 << 31), (1 << 31) - 1]
BASE = {"scheme": "rhu", "in_bits": 32, "mult_bits": 32, "out": "int8", "zero_point": False}
BASE |= {"lanes": 1, "multiplier": None, "shift": None}


def rounded(value: Fraction, scheme: str) -> int:
    """The definition of a rounding by name, with Python's own functions."""
    if scheme in ("floor", "rbe"):
        return math.floor(value)
    if scheme in ("rne", "ibert"):
        return round(value)
    if scheme == "rhu":
        return math.floor(value + Fraction(1, 2))
    away = math.floor(abs(value) + Fraction(1, 2))
    return away if value >= 0 else -away


@pytest.mark.parametrize("scheme", ["floor", "rhu", "rha", "rne", "ibert", "rbe"])
def test_named_roundings_are_those_of_the_fraction(scheme):
    for x in CORNERS:
        for m in (1, 3, 1 << 30, (1 << 31) - 1) if scheme == "rbe" else (1, -3, 1 << 30, -1 << 31):
            for s in range(64):
                assert requant(scheme, x, m, s) == rounded(Fraction(x * m, 1 << s), scheme)
    for s in range(1, 6):
        for x in range(-200, 200):
            assert requant(scheme, x, 1, s) == rounded(Fraction(x, 1 << s), scheme)


def test_rbe_adds_before_it_shifts():
    assert requant("rbe", 10, 3, 2, 5) == 35 >> 2
    assert requant("rbe", -10, 3, 2, 1) == -29 >> 2
    for x in range(-50, 50):
        assert requant("rbe", x, 3, 3, 4) == requant("rhu", x, 3, 3)


@pytest.mark.parametrize(("half", "due"), [(1, 1), (-1, 0), (3, 2), (-3, -1)])
def test_ties_of_the_doubling_high_multiplication_rise(half, due):
    assert srdhm(half, 1 << 30) == due


@pytest.mark.parametrize(("half", "due"), [(5, 3), (-5, -3), (1, 1), (-1, -1), (3, 2), (-3, -2)])
def test_ties_of_the_division_by_a_power_leave_zero(half, due):
    assert rdpot(half, 1) == due


def test_srdhm_on_its_corners():
    assert srdhm(-(1 << 31), -(1 << 31)) == (1 << 31) - 1
    for a in CORNERS:
        for b in CORNERS[:-2]:
            assert srdhm(a, b) == rounded(Fraction(a * b, 1 << 31), "rhu")


def test_rdpot_is_rounding_away():
    for x in [*CORNERS, *range(-70, 70)]:
        for e in range(32):
            assert rdpot(x, e) == rounded(Fraction(x, 1 << e), "rha")


def test_gemmlowp_is_two_roundings_with_a_saturated_left_shift():
    for x in [*CORNERS, 12345, -98765]:
        for m in (1 << 30, 0x5A82799A, (1 << 31) - 1):
            for s in range(-64, 64):
                left, right = max(-s, 0), max(s, 0)
                shifted = max(min(x << left, (1 << 31) - 1), -(1 << 31))
                high = rounded(Fraction(shifted * m, 1 << 31), "rhu")
                due = rounded(Fraction(high, 1 << min(right, 31)), "rha")
                assert requant("gemmlowp", x, m, s) == due
    # Double rounding shows: 0.49999 becomes 1/2 becomes 1.
    assert requant("gemmlowp", 1, (1 << 31) - 1, 1) == 1
    assert requant("rne", 1, (1 << 31) - 1, 32) == 0


def test_tflite_is_one_rounding_in_64_bits():
    rng = np.random.default_rng(3)
    for x in [*CORNERS, *rng.integers(-1 << 31, 1 << 31, 20).tolist()]:
        for m in (1 << 30, 0x5A82799A, (1 << 31) - 1):
            for shift in range(-31, 31):
                total = 31 - shift
                # As the C code does it; the product and the half fit int64.
                due = (np.int64(x) * np.int64(m) + (np.int64(1) << total - 1)) >> np.int64(total)
                assert requant("tflite", x, m, shift) == due
    assert requant("tflite", 3, 1 << 30, 63) == requant("tflite", 3, 1 << 30, 30)
    assert requant("tflite", 3, 1 << 30, -64) == requant("tflite", 3, 1 << 30, -31)


def test_unknown_scheme():
    with pytest.raises(ValueError, match="unknown scheme 'up'"):
        requant("up", 1, 1, 1)


@pytest.mark.parametrize(
    ("out", "due"), [("int8", (-128, 127)), ("uint4", (0, 15)), ("int32", (-(1 << 31), 2**31 - 1))]
)
def test_output_range(out, due):
    assert output_range(out) == due


def test_output_range_refuses():
    with pytest.raises(ValueError, match="out must be intN or uintN, not 'fp16'"):
        output_range("fp16")


def test_clamp_and_zero_point():
    beats = {"x": [[100, -100], [3, 4]], "m": [2, 2], "s": [0, 1], "z": [-73, 5]}
    parameters = BASE | {"lanes": 2, "zero_point": True}
    found = run(parameters, beats)
    assert found["y"].tolist() == [[127, -128], [8, 9]]
    assert found["saturated"].tolist() == [True, False] or found["saturated"].tolist() == [1, 0]
    exact = run(parameters, beats | {"x": [[100, -27], [3, 4]]})
    assert exact["y"].tolist()[0] == [127, -127] and not exact["saturated"][0]


def test_constants_and_codes():
    signed = run(BASE, {"x": [[-7]], "m": [-3], "s": [1]})["y"]
    codes = run(BASE, {"x": [[(1 << 32) - 7]], "m": [(1 << 32) - 3], "s": [1]})["y"]
    folded = run(BASE | {"multiplier": -3, "shift": 1}, {"x": [[-7]]})["y"]
    assert signed.tolist() == codes.tolist() == folded.tolist() == [[11]]
    # The factor of rbe has no sign.
    rbe = BASE | {"scheme": "rbe", "mult_bits": 16, "out": "int32"}
    beats = {"x": [[1]], "m": [0xFFFF], "s": [0], "add": [0xFFFFFFFF]}
    assert run(rbe, beats)["y"].tolist() == [[0xFFFE]]


@pytest.mark.parametrize("scheme", ["floor", "rha", "rne", "rbe", "tflite", "gemmlowp"])
@pytest.mark.parametrize("fixed", [False, True])
def test_vectors_meet_ties_and_both_ends(scheme, fixed):
    shift = {"tflite": -3, "gemmlowp": 3}.get(scheme, 34)
    parameters = BASE | {"scheme": scheme, "lanes": 2, "zero_point": not fixed}
    if fixed:
        parameters |= {"multiplier": (1 << 30) + 12345, "shift": shift}
    beats = vectors(parameters, np.random.default_rng(1), 300)
    assert beats["x"].shape == (300, 2)
    assert ("m" in beats, "z" in beats, "add" in beats) == (not fixed, not fixed, scheme == "rbe")
    found = run(parameters, beats)
    y = set(found["y"].ravel().tolist())
    assert {-128, 127} <= y and len(y) > 40
    assert 0.1 < np.mean(found["saturated"].astype(bool)) < 0.9
    assert set(CORNERS) <= set(beats["x"].ravel().tolist())
