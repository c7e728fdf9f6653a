# SPDX-License-Identifier: Apache-2.0
"""The golden dot products against rational arithmetic, quires and the promised widths."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import exact_width, parse
from sim.golden.formats import decode_float, legal_codes
from sim.golden.pe.operands import Operand, acc_bits, operands
from sim.golden.pe.pe import dot, matmul, run, vectors
from tests.sim.golden.oracles import posits

PAIRS = [
    ("int4", "int8"),
    ("int2", "uint8"),
    ("e2m1", "int8"),
    ("e2m1_sr", "fp4_ea-"),
    ("ternary", "int8"),
    ("ternary_i2s", "bipolar3"),
    ("shift4", "e4m3"),
    ("e5m2", "e4m3"),
    ("e5m2", "e5m2"),
    ("e2m1", "fp16"),
    ("posit8_0", "posit16_1"),
    ("codebook:0,1,2,5", "sm4"),
    ("bf16", "bf16"),
]


def parameters(weight, act, **others):
    base = {"lanes": 1, "max_k": 256, "acc_bits": None, "core": "stream", "window": None}
    return {"format": weight, "act": act, **base, **others}


def exact(weight, act, a, w):
    """Sum of products as a fraction over finite pairs, and whether a value is not finite."""
    total, bad = Fraction(0), False
    for x, y in zip(decode_float(act, a).tolist(), decode_float(weight, w).tolist(), strict=True):
        if np.isfinite(x) and np.isfinite(y):
            total += Fraction(x) * Fraction(y)
        # A non-finite operand contributes nothing.
        bad |= not (np.isfinite(x) and np.isfinite(y))
    return total, bad


@pytest.mark.parametrize("k", [1, 15, 16, 128])
@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_dot_is_exact(names, k):
    weight, act = (parse(n) for n in names)
    rng = np.random.default_rng(k)
    a = rng.choice(legal_codes(act), (6, k))
    w = rng.choice(legal_codes(weight), (6, k))
    acc, nan = dot(weight, act, a, w)
    unit = Fraction(2) ** (weight.lam + act.lam)
    for row in range(6):
        total, bad = exact(weight, act, a[row], w[row])
        assert int(acc[row]) * unit == total
        assert bool(nan[row]) == bad


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_largest_sum_meets_the_width(names):
    weight, act = (parse(n) for n in names)
    limits = []
    for fmt in (weight, act):
        codes = legal_codes(fmt)
        values = decode_float(fmt, codes)
        values = np.where(np.isfinite(values), np.abs(values), -1)
        limits.append(codes[values.argmax()])
    for k in (1, 16, 128):
        acc, _ = dot(weight, act, np.full(k, limits[1]), np.full(k, limits[0]))
        assert abs(int(acc)) == k * weight.max_int * act.max_int
        assert int(acc).bit_length() == exact_width(weight, act, k) - 1


def test_matmul_equals_dot():
    rng = np.random.default_rng(0)
    for names in (("int4", "int8"), ("e5m2", "e4m3"), ("e5m2", "e5m2"), ("e4m3", "fp16")):
        weight, act = (parse(n) for n in names)
        a = rng.choice(legal_codes(act), (3, 20))
        w = rng.choice(legal_codes(weight), (5, 20))
        acc, nan = matmul(weight, act, a, w)
        expected, marks = dot(weight, act, a[:, None, :], w[None, :, :])
        assert_array_equal(acc, expected)
        assert_array_equal(nan, marks)


def test_posits_equal_the_quire():
    soft, fmt = posits(), parse("posit8_0")
    rng = np.random.default_rng(0)
    codes = legal_codes(fmt)
    codes = codes[codes != 128]
    a, w = rng.choice(codes, (2, 40, 16))
    acc, _ = dot(fmt, fmt, a, w)
    for row in range(len(a)):
        quire = soft.quire8()
        for x, y in zip(a[row].tolist(), w[row].tolist(), strict=True):
            quire.qma(soft.posit8(bits=x), soft.posit8(bits=y))
        assert float(quire.toPosit()) == float(soft.posit8(int(acc[row]) * 2.0**-12))


# -- the unit -------------------------------------------------------------------------------------


def test_run_sums_up_to_last():
    p = parameters("int4", "int8", lanes=2)
    beats = {
        "a": [[1, 2], [255, 3], [5, 5], [1, 1]],
        "w": [[1, 1], [2, 15], [8, 0], [1, 1]],
        "last": [False, True, True, False],
    }
    result = run(p, beats)
    assert list(result) == ["acc"]
    assert result["acc"].tolist() == [3 - 2 - 3, -40]
    assert all(type(v) is int for v in result["acc"])


def test_run_of_the_bare_cells():
    beats = {"a": [[1], [2], [3]], "w": [[1], [1], [2]]}
    p = parameters("int4", "int8", core="dot")
    assert run(p, beats)["p"].tolist() == [1, 2, 6]
    p = parameters("int4", "int8", core="accumulate")
    assert run(p, {**beats, "clr": [0, 0, 1]})["acc"].tolist() == [1, 3, 6]


def test_non_finite_codes_mark_their_own_sum_only():
    p = parameters("e4m3", "e5m2")
    one, half = 0x38, 0x38  # 1 in e4m3, 0.5 in e5m2
    beats = {
        "a": [[half], [0x7C], [half], [half]],
        "w": [[one], [one], [0x7F], [one]],
        "last": [False, True, True, True],
    }
    result = run(p, beats)
    unit = 1 << 9 + 16 - 1
    assert result["acc"].tolist() == [unit, 0, unit]
    assert result["nan"].tolist() == [True, True, False]
    running = run({**p, "core": "accumulate"}, {**beats, "clr": [1, 0, 1, 0]})
    assert running["nan"].tolist() == [False, True, True, True]


def test_sums_of_different_length_hold_still():
    rng = np.random.default_rng(1)
    p = parameters("e2m1", "fp16", lanes=3)
    v = vectors(p, rng, 300)
    result = run(p, v)
    start = 0
    for i, end in enumerate(np.flatnonzero(v["last"]).tolist()):
        a, w = v["a"][start : end + 1].ravel(), v["w"][start : end + 1].ravel()
        total, bad = exact(parse("e2m1"), parse("fp16"), a, w)
        assert result["acc"][i] * Fraction(2) ** -25 == total
        assert result["nan"][i] == bad
        start = end + 1
    assert start == 300 and len(result["acc"]) == i + 1


@pytest.mark.parametrize(
    "window, bits", [(None, (-24, 16)), ("-4:3", (-4, 3)), ("-200:130", (-200, 130))]
)
def test_window_truncates_and_marks(window, bits):
    low, high = bits
    weight, act = operands(parameters("int4", "bf16", window=window))
    assert act.lam == low
    codes = legal_codes(parse("bf16"))[::7]
    codes = np.append(codes, [0x7F80, 0xFF80, 0x7FC0, 0x8000, 0x477F, 0x4780, 0xC780])
    ints, nan = act.decode(codes)
    for value, integer, mark in zip(decode_float(parse("bf16"), codes), ints, nan, strict=True):
        if not np.isfinite(value) or abs(Fraction(value)) >= Fraction(2) ** high:
            assert mark and integer == 0
        else:
            scaled = abs(Fraction(value)) * Fraction(2) ** -low
            magnitude = scaled.numerator // scaled.denominator
            assert not mark and integer == (magnitude if value > 0 else -magnitude)
    assert act.max_int == max(abs(int(i)) for i in act.decode(act.codes)[0])
    assert acc_bits(parameters("int4", "bf16", window=window), weight, act) == (
        1 + (256 * 8 * act.max_int).bit_length()
    )


def test_a_window_has_a_mark_even_for_finite_formats():
    p = parameters("int4", "e3m2", window="-2:2")
    result = run(p, {"a": [[0x13], [0x14], [0x01]], "w": [[1], [1], [1]], "last": [1, 1, 1]})
    assert result["acc"].tolist() == [14, 0, 0]
    assert result["nan"].tolist() == [False, True, False]


@pytest.mark.parametrize("core", ["stream", "accumulate", "dot"])
@pytest.mark.parametrize("lanes", [1, 3, 16])
@pytest.mark.parametrize("names", [*PAIRS, ("e2m1", "bf16")], ids="-".join)
def test_vectors_keep_their_promise(names, lanes, core):
    p = parameters(*names, lanes=lanes, core=core, max_k=50)
    v = vectors(p, np.random.default_rng(0), 400)
    weight, act = operands(p)
    assert v["a"].shape == v["w"].shape == (400, lanes)
    assert set(v) == {"a", "w", *{"stream": ["last"], "accumulate": ["clr"]}.get(core, [])}
    run(p, v)
    for name, operand in (("a", act), ("w", weight)):
        assert np.isin(v[name], operand.codes).all()
        finite = operand.codes[~operand.decode(operand.codes)[1]]
        ints = operand.decode(finite)[0]
        assert {int(finite[ints.argmax()]), int(finite[ints.argmin()])} <= set(v[name].flat)
        if operand.fmt.bits <= 8:
            special = operand.codes[operand.decode(operand.codes)[1]]
            assert set(special.tolist()) <= set(v[name].flat)
    if core == "stream":
        lengths = np.diff(np.append(-1, np.flatnonzero(v["last"])))
        assert v["last"][-1] and lengths.max() == 50 // lanes and lengths.min() == 1
        sums = run(p, v)["acc"]
        bound = 50 // lanes * lanes * weight.max_int * act.max_int
        assert max(abs(s) for s in sums) == bound
    if core == "accumulate":
        assert v["clr"][0]


def test_vectors_of_any_number_of_beats():
    for beats in (1, 2, 7, 40):
        v = vectors(parameters("e4m3", "fp16", lanes=4), np.random.default_rng(0), beats)
        assert len(v["a"]) == len(v["last"]) == beats and v["last"][-1]


def test_same_seed_same_vectors():
    p = parameters("e4m3", "fp16", lanes=4)
    one, two = (vectors(p, np.random.default_rng(3), 100) for _ in range(2))
    for name in one:
        assert_array_equal(one[name], two[name])


@pytest.mark.parametrize(
    "others, beats, message",
    [
        ({"acc_bits": 8}, {"a": [[127], [2]], "w": [[1], [1]], "last": [0, 1]}, "sum 129 does not"),
        ({"acc_bits": 8}, {"a": [[128], [255]], "w": [[1], [1]], "last": [0, 1]}, "sum -129 does"),
        ({"max_k": 1}, {"a": [[128]] * 3, "w": [[8]] * 3, "last": [0, 0, 1]}, "12-bit accumulator"),
        ({"lanes": 2}, {"a": [[1]], "w": [[1]], "last": [1]}, r"a must have shape \(beats, 2\)"),
        ({}, {"a": [[1], [1]], "w": [[1]], "last": [1]}, "w must have shape"),
        ({"format": "ternary"}, {"a": [[1]], "w": [[2]], "last": [1]}, "code 2 .10. is illegal"),
        ({"window": "3:3"}, {"a": [[1]], "w": [[1]], "last": [1]}, "LO < HI.*not '3:3'"),
        ({"window": "wide"}, {"a": [[1]], "w": [[1]], "last": [1]}, "not 'wide'"),
    ],
)
def test_errors(others, beats, message):
    with pytest.raises(ValueError, match=message):
        run(parameters("int4", "int8", **others) | others, beats)


def test_the_edge_of_the_accumulator_fits():
    p = parameters("int4", "int8", acc_bits=8)
    beats = {"a": [[127], [128]], "w": [[1], [1]], "last": [1, 1]}
    assert run(p, beats)["acc"].tolist() == [127, -128]


def test_operands_without_window_are_the_format():
    operand = Operand(parse("e4m3"))
    assert (operand.lam, operand.max_int) == (-9, parse("e4m3").max_int)
