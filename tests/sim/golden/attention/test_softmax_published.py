# SPDX-License-Identifier: Apache-2.0
"""Published kinds of softmax: equal to the public code in their own arithmetic, faults included."""

from fractions import Fraction

import numpy as np
import pytest

from sim.golden.attention import softmax_ibert, softmax_ivit
from sim.golden.attention.softmax_ita import divide
from sim.golden.attention.softmax_log import adalog_tables, code, values
from tests.sim.golden.attention.softmax_rows import exact, probabilities, row

SHORT = [0, -3, -8, -16, -40, -100, 5, 5]

# -- ITA ------------------------------------------------------------------------------------------

ITA = {
    0: (
        [10, 10, 9, 8, 7, 3, 0, -5, 12, 12, 11, 2, 1, 0, -1, -128,
         13, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12, 12, 13, 13, -20, 0],
        [5, 5, 2, 1, 0, 0, 0, 0, 20, 20, 10, 0, 0, 0, 0, 0,
         40, 0, 0, 0, 0, 1, 2, 5, 5, 10, 20, 20, 40, 40, 0, 0],
    ),
    5: (
        [100, 90, 80, 64, 48, 32, 16, 0, -16, -32, -48, -64, -80, -100, -127, -128,
         110, 95, 85, 60, 50, 30, 10, 5, -5, -10, -30, -50, -60, -85, -95, -110],
        [33, 16, 16, 16, 8, 8, 4, 4, 2, 2, 1, 1, 0, 0, 0, 0,
         33, 33, 16, 8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 0, 0, 0],
    ),
}  # fmt: skip


def ita_by_hand(q: list[int], shift: int) -> list[int]:
    """The three phases for one row, number by number, without a width but for the sum."""

    def octaves(difference: int) -> int:
        if not shift:
            return difference
        return (difference >> shift) + (difference >> (shift - 1)) % 2

    top, total = -128, 0
    for begin in range(0, len(q), 16):
        new = max([top, *q[begin : begin + 16]])
        total //= 2 ** octaves(new - top)
        for x in q[begin : begin + 16]:
            total += 256 // 2 ** octaves(new - x)
        top = new
    inverse = 65280 // total
    return [inverse // 2 ** octaves(top - x) for x in q]


@pytest.mark.parametrize("shift", ITA)
def test_ita_of_the_specification(shift):
    q, due = ITA[shift]
    assert row("ita", q, shift=shift)["p"].tolist() == due == ita_by_hand(q, shift)
    assert divide({0: 1595, 5: 1958}[shift]) == {0: 40, 5: 33}[shift]


@pytest.mark.parametrize("shift", range(8))
def test_ita_by_hand(shift):
    rng = np.random.default_rng(shift)
    for n, spread in ((16, 3), (64, 10), (100, 40), (250, 128)):
        q = rng.integers(-spread, spread, n).tolist()
        assert row("ita", q, shift=shift)["p"].tolist() == ita_by_hand(q, shift)


def test_ita_of_equal_logits():
    for n, p in ((64, 3), (128, 1), (255, 1)):
        assert row("ita", [7] * n)["p"].tolist() == [p] * n
    assert row("ita", [7])["p"].tolist() == [255]


def test_fault_of_ita_256_equal_logits_are_a_row_of_zeros():
    for n in (256, 257, 1024):
        assert not row("ita", [7] * n)["p"].any()
        assert row("safe", [7] * n, out_bits=16)["p"].all()
        assert row("online", [7] * n, out_bits=16)["p"].all()


def test_fault_of_ita_the_sum_of_2048_equal_logits_is_zero():
    assert row("ita", [7] * 2048)["p"].tolist() == [255] * 2048
    assert divide(0) == 65535
    # 16 more: a sum of 4096, the reciprocal of a row of 16.
    assert row("ita", [7] * 2064)["p"].tolist() == [15] * 2064
    assert row("safe", [7] * 2048, out_bits=16)["p"].tolist() == [32] * 2048


def test_what_ita_loses_of_long_rows():
    """Sums of p over 255, as the specification has them; a few elements change with the groups."""
    rng = np.random.default_rng(1)
    sums = {}
    for n in (64, 256, 1024):
        rows = [np.rint(rng.normal(0, 1, n) / np.log(2)).astype(int) for _ in range(40)]
        found = [row("ita", q)["p"] for q in rows]
        sums[n] = np.mean([p.sum() / 255 for p in found])
    assert sums[64] == pytest.approx(0.88, abs=0.06)
    assert sums[256] == pytest.approx(0.64, abs=0.08)
    assert sums[1024] == pytest.approx(0.2, abs=0.08)
    for n in (64, 128):
        rows = [rng.integers(-128, 128, n) for _ in range(30)]
        changed = [
            row("ita", q, shift=5)["p"] != row("ita", q, shift=5, lanes=64)["p"] for q in rows
        ]
        assert 0.02 < np.mean(changed) < 0.1


# -- I-BERT ---------------------------------------------------------------------------------------


def ibert_in_float(q: np.ndarray, scale: float) -> np.ndarray:
    """The layers of the public code, integers in float64."""
    x = q - q.max()
    x0 = np.floor(-0.6931 / scale)
    x = np.maximum(x, 30 * x0)
    z = np.floor(x / x0)
    r = x - x0 * z
    b, c = np.floor(0.96963238 / 0.35815147 / scale), np.floor(1 / 0.35815147 / scale**2)
    e = np.maximum(np.floor(((r + b) * r + c) * 2 ** (30 - z)), 0)
    mantissa, exponent = np.frexp(32767 / (c * 2.0**30))
    m31 = np.floor(mantissa * 2.0**31 + 0.5)
    e16 = np.round(e * m31 / 2.0 ** (31 - exponent))
    factor = np.floor(2.0**32 / e16.sum())
    return np.minimum(np.floor(e16 * factor / 2.0**24), 255)


@pytest.mark.parametrize("scale", ["1/16", "1/32", "3/128", "1/100", "1/500", "1/5"])
@pytest.mark.parametrize("n", [1, 8, 100, 1000])
def test_ibert_is_the_public_code(scale, n):
    rng = np.random.default_rng(n)
    for spread in (5, 60, 128):
        q = rng.integers(-spread, spread, n)
        due = ibert_in_float(q, float(Fraction(scale)))
        assert row("ibert", q, scale=scale)["p"].tolist() == due.tolist()


def test_ibert_of_the_specification():
    assert row("ibert", SHORT)["p"].tolist() == [45, 37, 28, 17, 4, 0, 61, 61]
    assert softmax_ibert.constants("1/100")[:3] == (-70, 270, 27921)
    assert softmax_ibert.constants("1/1000")[2].bit_length() == 22
    assert row("ibert", [3])["p"].tolist() == [255]


def test_ibert_multiplier_is_normalised():
    for scale in ("1/1024", "1/4", "1/16", "3/61"):
        _, _, c, mult, places = softmax_ibert.constants(scale)
        assert 1 << 30 <= mult < 1 << 31
        assert abs(Fraction(mult, 1 << places) - Fraction(32767, c)) <= Fraction(1, 2 << places)


@pytest.mark.parametrize("scale", ["1/16", "1/100", "1/1024", "68/501"])
def test_ibert_rounds_to_even(scale):
    """In exact fractions; at 68/501 the multiplier is 217, and halves are frequent."""
    x0, b, c, mult, places = softmax_ibert.constants(scale)
    ties = 0
    for d in range(0, -40 * abs(x0), -1 if x0 > -100 else -37):
        z = max(d, 30 * x0) // x0
        r = max(d, 30 * x0) - x0 * z
        real = Fraction((r * (r + b) + c) * mult, 1 << places + z)
        ties += real.denominator == 2
        assert softmax_ibert.exponentials(np.array([d]), scale).tolist() == [round(real)]
    assert ties > 2 or scale != "68/501"


@pytest.mark.parametrize(
    ("scale", "worst"), [("1/100", 4e-3), ("1/10", 4e-3), ("3/100", 1.3e-2), ("1/4", 3.2e-2)]
)
def test_error_of_the_exponential_of_ibert(scale, worst):
    """As the specification, which has 2.7e-2 for 1/4: so it is at -3, at -5 it is larger."""
    d = np.arange(-4000, 1)
    error = softmax_ibert.exponentials(d, scale) / 32767 - np.exp(d * float(Fraction(scale)))
    assert np.abs(error).max() == pytest.approx(worst, rel=0.15)


def test_fault_of_ibert_the_octave_of_coarse_steps():
    """At 1/4 the logarithm of 2 is 3 steps, 0.75: three steps are a half and not 0.47."""
    e = softmax_ibert.exponentials(np.array([0, -3, -6]), "1/4")
    assert e.tolist() == [32767, 16384, 8192]
    assert abs(e[1] / 32767 - np.exp(-0.75)) > 0.027
    p = row("safe", [0, -3], out_bits=8)["p"] / 256  # here with steps of 1/16
    assert np.abs(p - exact([0, -3])).max() < 1 / 256


# -- I-ViT ----------------------------------------------------------------------------------------


def ivit_in_int32(q: np.ndarray, scale: Fraction) -> np.ndarray:
    """The operators of the TVM form, in int32 of numpy."""
    with np.errstate(over="ignore"):
        x = (q - q.max()).astype(np.int32)
        x = x + (x >> np.int32(1)) - (x >> np.int32(4))
        x0 = np.int32(int(-1 / scale - 1))
        x = np.maximum(x, np.int32(16) * x0)
        z = (x / x0).astype(np.int32)
        r = x - x0 * z
        e = ((r >> np.int32(1)) - x0) << (np.int32(16) - z)
        total = e.sum(dtype=np.int32)
        factor = np.int32(int((2**31 - 1) / int(total)))
        return ((e * factor) >> np.int32(24)).astype(np.int8)


def ivit_in_float(q: np.ndarray, scale: float) -> np.ndarray:
    """The PyTorch form."""
    x = q - q.max()
    x = x + np.floor(x / 2) - np.floor(x / 16)
    x0 = np.floor(-1 / scale)
    x = np.maximum(x, 15 * x0)
    z = np.floor(x / x0)
    e = np.maximum(np.floor(((x - x0 * z) / 2 - x0) * 2 ** (15 - z)), 0)
    factor = np.floor((2.0**31 - 1) / min(e.sum(), 2.0**31 - 1))
    return np.floor(e * factor / 2.0**24)


@pytest.mark.parametrize("scale", ["1/16", "1/32", "3/128", "1/100", "1/4"])
@pytest.mark.parametrize("n", [1, 8, 100, 700, 2500])
def test_ivit_is_the_tvm_form(scale, n):
    rng = np.random.default_rng(n)
    for spread in (1, 60, 128):
        q = rng.integers(-spread, spread, n)
        due = ivit_in_int32(q, Fraction(scale))
        assert row("ivit", q, scale=scale)["p"].tolist() == due.tolist()


def test_ivit_of_the_specification():
    assert row("ivit", SHORT)["p"].tolist() == [23, 19, 14, 8, 2, 0, 30, 30]
    assert ivit_in_float(np.array(SHORT), 1 / 16).tolist() == [23, 19, 13, 8, 1, 0, 30, 30]
    assert row("ivit", [3])["p"].tolist() == [127]


def test_ivit_is_near_the_other_form():
    rng = np.random.default_rng(1)
    different = []
    for _ in range(50):
        q = rng.integers(-128, 128, 197)
        change = row("ivit", q, scale="1/32")["p"] - ivit_in_float(q, 1 / 32)
        assert np.abs(change).max() <= 1
        different.append(np.mean(change != 0))
    assert np.mean(different) < 0.05


@pytest.mark.parametrize("scale", ["1/100", "1/32", "1/10", "1/4"])
def test_error_of_the_exponential_of_ivit(scale):
    d = np.arange(-3000, 1)
    e = softmax_ivit.exponentials(d, scale)
    error = np.abs(e / e[-1] - np.exp(d * float(Fraction(scale)))).max()
    assert 0.03 < error < (0.2 if scale == "1/4" else 0.12)


def test_fault_of_ivit_the_sum_wraps():
    """At 1/32 each of equal logits is 33 * 2**16: from 993 on the sum is negative."""
    assert row("ivit", [7] * 992, scale="1/32")["p"].tolist() == [0] * 992
    wrapped = row("ivit", [7] * 1985, scale="1/32")["p"]
    assert abs(int(wrapped[0])) > 40, "of 1/1985 hardly anything would be left"
    found = row("ivit", [127] * 1000, scale="1/32")["p"]
    assert (found <= 0).all() and (found < 0).any()
    assert probabilities("safe", [127] * 1000, out_bits=16).sum() == pytest.approx(1, abs=0.01)


def test_ivit_of_a_sum_that_is_zero():
    """2048 times 32 * 2**16 is 2**32. The quotient is then all ones, and e * f is -e."""
    assert row("ivit", [1] * 2048, scale="1/31")["p"].tolist() == [-1] * 2048


# -- logarithmic ----------------------------------------------------------------------------------


def test_tables_of_adalog_of_the_specification():
    shifts, mantissas = adalog_tables(4, 22)
    assert shifts.tolist() == [0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 7, 7, 8, 8]
    assert mantissas.tolist() == [30, 20, 26, 17, 23, 15, 20, 27, 18, 24, 16, 21, 27, 18, 24, 16]


@pytest.mark.parametrize(
    ("kind", "base", "octave"),
    [("log2", None, 1), ("log-sqrt2", None, 2), ("adalog", 22, 37 / 22), ("adalog", 45, 37 / 45)],
)
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_codes_are_the_nearest_logarithms(kind, base, octave, bits):
    d = np.arange(0, 20 << 12)
    found = code(kind, d, base)
    real = d / 4096 * octave
    # At a tie, and where the rounded factor of AdaLog decides, either is as near.
    assert np.abs(found - real).max() <= 0.5 + 2e-3
    numbers = values(kind, bits, base)
    relative = numbers * np.exp2(np.arange(1 << bits) / octave) - 1
    # Mantissas of AdaLog are 2**bits - 1 at least.
    assert np.abs(relative).max() < (0 if base is None else 0.5 / ((1 << bits) - 1)) + 1e-12


@pytest.mark.parametrize("base", [10, 22, 37, 60])
def test_factor_of_adalog_is_rounded(base):
    factor = int(Fraction(37 << 15, base) + Fraction(1, 2))
    d = np.random.default_rng(base).integers(0, 1 << 24, 2000)
    due = [int(Fraction(int(v) * factor, 1 << 27) + Fraction(1, 2)) for v in d]
    assert code("adalog", d, base).tolist() == due


def test_sums_of_odd_and_even_codes():
    """Four elements half an octave apart: 1, 2**-0.5, 1/2 and 2**-1.5, in units of 2**-15."""
    from sim.golden.attention import softmax
    from tests.sim.golden.attention.softmax_rows import beats, parameters

    given = beats([3, 2, 1, 0], 4)
    given = {**given, "m": given["m"] * 0 + 16384, "sh": given["sh"] * 0 + 3}  # 2048 a step
    found = softmax.run(parameters("log-sqrt2"), given)
    assert found["p"].tolist() == [[0, 1, 2, 3]]
    even, odd = (1 << 15) + (1 << 14), (1 << 14) + (1 << 13)
    assert found["l"].tolist() == [even + ((odd * 46341 + (1 << 14)) >> 15)]
    assert found["l"][0] / 2**15 == pytest.approx(1.5 + 0.75 * np.sqrt(2), abs=1e-4)
