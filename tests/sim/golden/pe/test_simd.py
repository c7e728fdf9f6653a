# SPDX-License-Identifier: Apache-2.0
"""The golden model of ``simd`` against softposit's quires, ml_dtypes and exact fractions."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from hw.spec.formats import parse
from sim.golden.formats import decode_float
from sim.golden.pe import simd
from sim.golden.pe.simd import FORMATS, round_e2m1, round_posit, run, vectors
from tests.sim.golden.oracles import posits

P = {"lanes": 1, "max_k": 256, "core": "stream"}


def one_dot(a, w, kind, p=P):
    last = np.arange(len(a)) == len(a) - 1
    got = run(p, {"a": a, "w": w, "fmt": np.full(len(a), kind), "last": last})
    return tuple(int(got[name][0]) for name in ("quire", "nar", "y"))


def parts(words, size):
    """Codes of one format in words of 16 bits: shape (n, 16 / size)."""
    return np.asarray(words)[:, None] >> np.arange(0, 16, size) & (1 << size) - 1


@pytest.mark.parametrize("kind, name, size", [(2, "8", 8), (3, "16", 16)])
@pytest.mark.parametrize("length", [1, 3, 40])
def test_posit_dot_products_equal_softposit(kind, name, size, length):
    soft = posits()
    rng = np.random.default_rng(length)
    for trial in range(60):
        codes = rng.integers(0, 1 << 16, (2, length))
        if trial % 3 == 0:  # values about one, so that sums need their fractions
            codes = codes & 0x9F9F | 0x2020 if size == 8 else codes & 0x9FFF | 0x2000
        _, nar, y = one_dot(*codes, kind)
        for place, (a, w) in enumerate(
            zip(parts(codes[0], size).T, parts(codes[1], size).T, strict=True)
        ):
            quire = getattr(soft, f"quire{name}")()
            quire.clr()
            posit = getattr(soft, f"posit{name}")
            for x, y1 in zip(a.tolist(), w.tolist(), strict=True):
                quire.qma(posit(bits=x), posit(bits=y1))
            want = quire.toPosit().v.v if hasattr(quire.toPosit().v, "v") else quire.toPosit().v
            got = y >> size * place & (1 << size) - 1
            is_nar = bool({*a, *w} & {1 << size - 1})
            assert nar >> place & 1 == is_nar
            assert got == (1 << size - 1 if is_nar else int(want))


@pytest.mark.parametrize("kind", range(4))
def test_quires_hold_exact_sums(kind):
    """Sums of the exact products of the values, in units of the smallest product."""
    fmt = parse(FORMATS[kind])
    places = 16 // fmt.bits
    each = 128 // places
    rng = np.random.default_rng(kind)
    a, w = rng.integers(0, 1 << 16, (2, 5, 7, 2))
    for x, y in zip(a, w, strict=True):
        quire, nar, _ = one_dot(x, y, kind, P | {"lanes": 2})
        for place in range(places):
            codes = [v.ravel() >> fmt.bits * place & (1 << fmt.bits) - 1 for v in (x, y)]
            reals = [decode_float(fmt, c) for c in codes]
            total, marked = Fraction(0), False
            for p, q in zip(*reals, strict=True):
                bad = np.isnan(p) or np.isnan(q)
                marked |= bool(bad)
                total += 0 if bad else Fraction(p) * Fraction(q)
            word = quire >> each * place & (1 << each) - 1
            signed = word - (word >> each - 1 << each)
            assert signed * Fraction(2) ** (2 * fmt.lam) == total
            assert nar >> place & 1 == marked
        assert nar >> places == 0


def test_e2m1_rounds_like_ml_dtypes():
    quarters = np.concatenate([np.arange(-200, 0), np.arange(1, 200), [4096, -4096, 0]])
    want = (quarters / 4).astype(ml_dtypes.float4_e2m1fn).view(np.uint8)
    assert [round_e2m1(int(q)) for q in quarters] == want.tolist()


def test_posit4_1_rounds_as_the_sheet_says():
    """The tie points of A.7, either side of each, and what never becomes zero or too large."""
    fmt, unit = parse("posit4_1"), 256
    points = [(1 / 8, 1, 2), (3 / 8, 2, 3), (3 / 4, 3, 4), (3 / 2, 4, 5), (3, 5, 6), (8, 6, 7)]
    for point, below, above in points:
        at = int(point * unit)
        even = below if below % 2 == 0 else above
        for step, code in ((-1, below), (0, even), (1, above)):
            assert round_posit(fmt, at + step, -8) == code
            assert round_posit(fmt, -at - step, -8) == 16 - code
    assert [round_posit(fmt, v, -8) for v in (1, 15, 16, -1, 1 << 20, 0)] == [1, 1, 1, 15, 7, 0]


@pytest.mark.parametrize("kind, name", [(2, "posit8"), (3, "posit16")])
def test_posits_round_like_softposit(kind, name):
    soft, fmt = posits(), parse(FORMATS[kind])
    rng = np.random.default_rng(kind)
    lam, size = 2 * fmt.lam, fmt.bits
    for _ in range(2000):
        bits = int(rng.integers(1, 50))
        integer = int(rng.integers(1, 1 << bits)) << int(rng.integers(0, max(1, -2 * lam - bits)))
        value = float(Fraction(integer) * Fraction(2) ** lam)
        code = getattr(soft, name)(value).v
        assert round_posit(fmt, integer, lam) == int(getattr(code, "v", code)) % (1 << size)


def test_the_format_of_the_first_beat_counts():
    beats = {"a": [0x2222] * 4, "w": [0x3333] * 4}
    got, want = (
        run(P, beats | {"fmt": fmt, "last": [0, 0, 1, 1]}) for fmt in ([0, 1, 3, 2], [0, 0, 0, 2])
    )
    assert all((got[name] == want[name]).all() for name in ("quire", "nar", "y"))
    got = run(P | {"core": "accumulate"}, beats | {"fmt": [0, 1, 1, 2], "clr": [0, 0, 1, 0]})
    assert got["quire"].tolist()[1] == 2 * got["quire"].tolist()[0]
    assert len(got["y"]) == 4


def test_nar_sticks_to_its_place():
    got = run(
        P, {"a": [0x0080, 0x4040, 0x4040], "w": [0x4040] * 3, "fmt": [2] * 3, "last": [0, 1, 1]}
    )
    assert got["nar"].tolist() == [1, 0]
    assert got["y"].tolist() == [0x4080, 0x4040]
    assert one_dot([0x8888], [0x1111], 0)[1] == 0, "e2m1 has no NaR"


def test_small_negative_e2m1_sums_keep_their_sign():
    assert one_dot([0x0009], [0x0001], 0) == (0xFFFFFFFF, 0, 8)


def test_vectors_reach_the_ends():
    p = P | {"lanes": 2}
    beats = vectors(p, np.random.default_rng(1), 2000)
    assert all(len(v) == 2000 for v in beats.values())
    assert set(beats["fmt"].tolist()) == {0, 1, 2, 3}
    got = run(p, beats)
    assert 0 < np.mean(got["nar"] > 0) < 0.5
    assert {0x7FFF, 0x8000, 0x8001, 0x7F7F, 0x7777} <= set(got["y"].tolist())
    starts = np.append(True, beats["last"][:-1])
    lengths = np.diff(np.append(np.flatnonzero(starts), 2000))
    assert lengths.max() * 2 <= 256
    for count in (1, 30):
        assert len(vectors(p, np.random.default_rng(1), count)["a"]) == count


@pytest.mark.parametrize(
    "beats, message",
    [
        ({"a": [1 << 16]}, "a must hold words of 16 bits"),
        ({"w": [[1, 2]]}, r"w must have shape \(beats, 1\), not \(1, 2\)"),
    ],
)
def test_wrong_stimulus(beats, message):
    with pytest.raises(ValueError, match=message):
        run(P, {"a": [0], "w": [0], "fmt": [0], "last": [1]} | beats)


def test_a_sum_that_is_too_large_is_an_error():
    with pytest.raises(ValueError, match="does not fit its quire of 32 bits"):
        simd._result(1, np.array([1 << 31, 0, 0, 0], object), np.zeros(4, bool))
