# SPDX-License-Identifier: Apache-2.0
"""The bit-serial model against the sheet's tables and against plain dot products."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.formats import decode, decode_float, legal_codes
from sim.golden.pe import pe
from sim.golden.pe.bit_serial import DEFAULT_SPECIALS, cycles, run, terms, vectors

#: |value| -> (exp of term 1, exp of term 2), None where there is none (sheet B.2).
TABLE = {
    0: (None, None),
    0.5: (None, 0),
    1: (0, None),
    1.5: (0, 0),
    2: (1, None),
    3: (1, 1),
    4: (2, None),
    5: (2, 1),
    6: (2, 2),
    8: (3, None),
}


def parameters(weight, act="fp16", **others):
    base = {"lanes": 4, "max_k": 256, "acc_bits": None, "core": "stream", "window": None}
    return {"format": weight, "act": act, "mode": None, "scale": None, **base, **others}


@pytest.mark.parametrize(("weight", "count"), [("int8", 4), ("int6", 3), ("int5", 3), ("e2m1", 2)])
def test_cycles(weight, count):
    assert cycles(parameters(weight)) == count
    assert terms(parse(weight), [0]).bsig.shape == (count,)


@pytest.mark.parametrize("weight", ["int8", "int6", "int5"])
def test_booth_digits_make_the_weight(weight):
    fmt = parse(weight)
    codes = legal_codes(fmt)
    found = terms(fmt, codes)
    assert_array_equal(found.halves(), 2 * decode(fmt, codes)[0])
    assert not found.bad.any()
    assert found.exp.max() == 1  # a digit is 0, 1 or 2


def test_booth_digits_by_hand():
    """7 = 8 - 1, 6 = 8 - 2, -2 = -2, 127 = 128 - 1."""
    found = terms(parse("int8"), [7, 6, 254, 127])
    digits = np.where(found.negative, -1, 1) * (found.man.astype(int) << found.exp)
    assert_array_equal(digits, [[-1, 2, 0, 0], [-2, 2, 0, 0], [-2, 0, 0, 0], [-1, 0, 0, 2]])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("value", TABLE)
def test_table_of_terms(value, sign):
    found = terms(parse("e2m1"), [8], int(2 * value) * sign)
    assert_array_equal(found.bsig, [0, -1])
    assert found.halves()[0] == 2 * value * sign
    for exp, man, due in zip(found.exp[0], found.man[0], TABLE[value], strict=True):
        assert (int(exp) if man else None) == due
    assert not found.bad[0]


def test_values_of_more_than_two_terms_keep_the_leading_two():
    halves = np.arange(32)
    found = terms(parse("e2m1"), np.full(32, 8), halves)
    ones = np.array([bin(v).count("1") for v in halves])
    assert_array_equal(found.bad, ones > 2)
    for v, got in zip(halves.tolist(), found.halves().tolist(), strict=True):
        leading = [b for b in (16, 8, 4, 2, 1) if v & b][:2]
        assert got == sum(leading)
    assert terms(parse("e2m1"), [8], -7).halves()[0] == -6


@pytest.mark.parametrize("weight", ["e2m1", "e2m0"])
def test_ordinary_codes_are_their_values(weight):
    fmt = parse(weight)
    codes = np.setdiff1d(legal_codes(fmt), [1 << fmt.bits - 1])
    assert_array_equal(terms(fmt, codes).halves(), 2 * decode_float(fmt, codes))


def test_special_values_are_those_of_the_format_family():
    for bits, weight in ((3, "e2m0"), (4, "e2m1")):
        for sel, name in enumerate(("er+", "er-", "ea+", "ea-")):
            family = parse(f"fp{bits}_{name}")
            special = DEFAULT_SPECIALS[weight][sel]
            codes = legal_codes(family)
            found = terms(parse(weight), codes, special)
            assert_array_equal(found.halves(), 2 * decode_float(family, codes))
            assert not found.bad.any()


@pytest.mark.parametrize("act", ["fp16", "bf16", "int8"])
@pytest.mark.parametrize("weight", ["int8", "int5", "fp4_er+", "fp3_ea-"])
def test_exact_is_the_plain_dot_product(weight, act):
    rng = np.random.default_rng(3)
    plain = parameters(weight, act)
    beats = pe.vectors(plain, rng, 120)
    want = pe.run(plain, beats)
    if weight.startswith("fp"):
        weight, sel = ("e2m1", 0) if weight == "fp4_er+" else ("e2m0", 3)
        beats["sel"] = np.full(120, sel)
    got = run(parameters(weight, act), beats)
    # fp3 counts in units, its model in halves.
    assert_array_equal(got["acc"], want["acc"] * (2 if weight == "e2m0" else 1))
    assert_array_equal(got["nan"], want.get("nan", np.zeros(len(got["nan"]), dtype=bool)))
    assert not got["bad"].any()


def test_scale_multiplies_with_the_sign():
    rng = np.random.default_rng(4)
    beats = vectors(parameters("int6", scale="int8"), rng, 150)
    last = np.flatnonzero(beats["last"])
    beats["s"][last[:3]] = [128, 127, 255]
    scale = (beats["s"][last] ^ 128) - 128
    assert scale[:3].tolist() == [-128, 127, -1]
    plain = run(parameters("int6"), beats)["acc"]
    assert_array_equal(run(parameters("int6", scale="int8"), beats)["acc"], plain * scale)


def test_selector_and_register_file():
    beats = {"a": [[0x3C00] * 4] * 4, "w": [[8, 0, 0, 0]] * 4, "sel": [0, 1, 2, 3], "last": [1] * 4}
    assert run(parameters("e2m1"), beats)["acc"].tolist() == [v << 24 for v in (10, -10, 16, -16)]
    beats["sv"] = [1, 33, 31, 7]
    got = run(parameters("e2m1"), beats)
    assert got["acc"].tolist() == [v << 24 for v in (1, -1, 24, 6)]
    assert got["bad"].tolist() == [False, False, True, True]
    beats["sv"] = np.array([[0, 0, 0, 0]] * 3 + [[0, 0, 0, 1]])
    with pytest.raises(ValueError, match="sv must not change"):
        run(parameters("e2m1"), beats)


def value(code):
    return Fraction(float(np.uint32(code).view(np.float32)))


@pytest.mark.parametrize("weight", ["int8", "int6", "e2m1", "e2m0"])
@pytest.mark.parametrize("spread", ["any", "small"])
def test_hardware_is_near_exact(weight, spread):
    """A lane loses less than 2**-13 of the cycle's largest term, a rounding 2**-24 of the sum."""
    rng = np.random.default_rng(5)
    p = parameters(weight)
    beats = vectors(p, rng, 400)
    if spread == "small":
        beats["a"] = rng.integers(0, 0x1000, (400, 4)) | rng.integers(0, 2, (400, 4)) << 15
    exact, twin = run(p, beats), run({**p, "mode": "hardware"}, beats)
    magnitudes = {**beats, "a": beats["a"] & 0x7FFF}
    most = 3 * np.abs(terms(parse(weight), beats["w"], 31).halves())
    ints, _ = decode(parse("fp16"), magnitudes["a"])
    lam = -24 - (weight in ("e2m1", "e2m0"))
    ends = np.append(0, np.flatnonzero(beats["last"]) + 1)
    losses = 0
    for k, (begin, end) in enumerate(itertools.pairwise(ends)):
        # 2 is 4 - 2, whose magnitudes add to three times 2; no weight has more.
        total = Fraction(int((ints * most)[begin:end].sum())) * Fraction(2) ** -25
        due = Fraction(int(exact["acc"][k])) * Fraction(2) ** lam
        bound = total * (Fraction(3, 1 << 13) + Fraction(int(4 * (end - begin)), 1 << 24))
        error = abs(value(int(twin["y"][k])) - due)
        assert error <= bound
        losses += error > 0
    assert losses or spread == "small"  # the bound is not met by being exact
    assert_array_equal(exact["nan"], twin["nan"])
    assert_array_equal(exact["bad"], twin["bad"])


def test_hardware_is_exact_where_nothing_is_shifted_out():
    rng = np.random.default_rng(6)
    beats = {
        "a": rng.integers(0x3C00, 0x4000, (60, 4)) | rng.integers(0, 2, (60, 4)) << 15,
        "w": rng.integers(0, 256, (60, 4)),
        "last": np.arange(60) % 3 == 2,
    }
    got = run(parameters("int8", mode="hardware"), beats)["y"]
    sums = run(parameters("int8"), beats)["acc"]
    assert [value(int(v)) for v in got] == [Fraction(int(v), 1 << 24) for v in sums]


def hardware(rows, weight="int8"):
    """Return the value of one dot product of (activations, weights) beats in hardware mode."""
    a, w = (np.array(column) for column in zip(*rows, strict=True))
    beats = {"a": a.astype(np.float16).view(np.uint16).astype(int), "w": w & 255}
    beats["last"] = np.arange(len(a)) == len(a) - 1
    return value(int(run(parameters(weight, mode="hardware"), beats)["y"][0]))


def test_hardware_corners_by_hand():
    # 2**-24 beside 1: shifted out, what is left of it is the sticky bit, 2**-13.
    assert hardware([([1, 2**-24, 0, 0], [1, 1, 0, 0])]) == 1 + Fraction(1, 1 << 13)
    # A zero activation with a great exponent term does not raise the common exponent.
    assert hardware([([0, 2**-24, 0, 0], [2, 1, 0, 0])]) == Fraction(1, 1 << 24)
    # 2048 + 2**-13 has 25 significant bits: a tie, to even; 3 * 2**-13 goes up.
    assert hardware([([2048, 0, 0, 0], [1] * 4), ([2**-13, 0, 0, 0], [1] * 4)]) == 2048
    third = [([2048, 0, 0, 0], [1] * 4), ([3 * 2**-13, 0, 0, 0], [1] * 4)]
    assert hardware(third) == 2048 + Fraction(2, 1 << 12)
    # Cancellation leaves +0.
    assert hardware([([1, 1, 0, 0], [3, -3, 0, 0])]) == 0


def test_scale_in_hardware_mode_rounds_once_more():
    p = parameters("int8", mode="hardware", scale="int8")
    a = np.array([[2048, 2**-12, 0, 0]], dtype=np.float16).view(np.uint16).astype(int)
    beats = {"a": np.repeat(a, 2, axis=0), "w": [[1, 0, 0, 0], [0, 1, 0, 0]]}
    beats |= {"last": [0, 1], "s": [0, 253]}
    # (2**23 + 1) * -3 has 25 bits and ends in 11: away to 12 below the 4th.
    got = value(int(run(p, beats)["y"][0]))
    exact = -3 * (2048 + Fraction(1, 1 << 12))
    assert got == -(Fraction(3 * (2**23 + 1) + 1)) / (1 << 12) and got != exact


def test_refusals():
    beats = {"a": [[0] * 4], "w": [[0] * 4], "last": [1]}
    with pytest.raises(ValueError, match=r"format must be one of int8, int6, .*not 'int4'"):
        run(parameters("int4"), beats)
    with pytest.raises(ValueError, match="mode hardware needs act fp16, not 'bf16'"):
        run(parameters("int8", "bf16", mode="hardware"), beats)
    with pytest.raises(ValueError, match=r"w must have shape \(beats, 4\)"):
        run(parameters("int8"), {**beats, "w": [[0] * 3]})
    with pytest.raises(ValueError, match="has 4 products, more than max_k"):
        run(parameters("int8", max_k=3), beats)


@pytest.mark.parametrize("scale", [None, "int8"])
@pytest.mark.parametrize("weight", ["int8", "e2m1", "e2m0"])
@pytest.mark.parametrize("beats", [1, 30, 200])
def test_vectors(weight, scale, beats):
    p = parameters(weight, scale=scale)
    stimuli = vectors(p, np.random.default_rng(7), beats)
    assert all(len(v) == beats for v in stimuli.values())
    got = run(p, stimuli)
    assert len(got["acc"]) == stimuli["last"].sum() > 0
    if beats == 200 and weight != "int8":
        assert got["bad"].any() and not got["bad"].all()
        assert set(stimuli["sel"].tolist()) == {0, 1, 2, 3}
        first = int(np.flatnonzero(stimuli["last"])[0]) + 1
        most = first * 4 * 24 * 65504 << 24
        assert got["acc"][0] == most * (-128 if scale else 1)
