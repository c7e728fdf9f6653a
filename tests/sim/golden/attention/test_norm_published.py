# SPDX-License-Identifier: Apache-2.0
"""Published normalisations: equal to their code, faults included, which ours does not have."""

import math

import numpy as np
import pytest

from sim.golden.attention.norm import normalise as ours
from sim.golden.attention.norm_published import divided, newton, normalise, rounded_mean


def steps(variance, count):
    """Every variance at once, as the published loop has it."""
    root = np.full(len(variance), 1 << 16, dtype=np.int64)
    for _ in range(count):
        root = (root + variance // root) // 2
    return root


def roots(variance):
    found = np.floor(np.sqrt(variance.astype(np.float64))).astype(np.int64)
    return found - (found * found > variance) + ((found + 1) ** 2 <= variance)


def test_root_of_ten_steps_is_wrong_below_its_limit():
    assert {newton(v) for v in range(101)} == {64}
    assert (newton(1000), math.isqrt(1000)) == (68, 31)
    assert (newton(20000), math.isqrt(20000)) == (144, 141)
    assert newton(0, 12) == 16 and newton(0, 20) == 0
    every = np.arange(1, 1 << 20)
    true = roots(every)
    below_square = (true + 1) ** 2 - 1 == every
    wrong = (steps(every, 10) != true) & ~below_square
    assert int(every[wrong].max()) == 142882
    assert steps(every, 10)[:64].tolist() == [newton(int(v)) for v in every[:64]]
    late = steps(every, 12)
    assert (late == true)[(every >= 4224) & ~below_square].all()
    assert not (late == true)[every == 4223].any()
    assert (steps(every, 16) == true)[~below_square].all()


def test_root_is_one_too_large_below_half_of_the_squares():
    for k in (1000, 5000, 65536):
        assert newton(k * k - 1) == k == math.isqrt(k * k - 1) + 1
    k = np.arange(379, 65537)
    found = steps(k * k - 1, 10)
    assert set(np.unique(found - k)) == {-1, 0} and 0.4 < (found == k).mean() < 0.6


def test_exact_root_by_newton_from_above_needs_few_steps():
    rng = np.random.default_rng(0)
    for value in [
        *range(1, 2000),
        *(rng.integers(1, 1 << 32, 20000) >> rng.integers(0, 32, 20000)),
    ]:
        v, count = max(1, int(value)), 0
        root = 1 << -(-v.bit_length() // 2)
        while (after := (root + v // root) // 2) < root:
            root, count = after, count + 1
        assert root == math.isqrt(v) and count <= 6


@pytest.mark.parametrize(
    ("deviation", "most", "rms"), [(2, 2.8, 0.59), (8, 0.35, 0.067), (30, 0.022, 0.0096)]
)
def test_damage_to_rows_of_little_variance(deviation, most, rms):
    rng = np.random.default_rng(1)
    errors, own = [], []
    for _ in range(200):
        x = np.clip(np.round(rng.normal(0, deviation, 192)), -128, 127).astype(np.int64)
        due = (x - x.mean()) / x.std()
        for kind in ("ivit-torch",):
            errors.append(normalise(kind, x)[0] * math.sqrt(192) / 2**30 - due)
        own.append(ours("ln", x) / 4096 - due)
    assert 0.6 * most < np.abs(errors).max() < 1.5 * most
    assert 0.8 * rms < np.sqrt(np.mean(np.square(errors))) < 1.2 * rms
    assert np.abs(own).max() < 0.000123


def ibert(x, shift):
    """As the code of I-BERT computes, in float64."""
    mean = np.round(np.mean(x, dtype=np.float64))
    y = x - mean
    variance = np.sum(np.floor(y / 2**shift) ** 2)
    deviation = np.floor(np.sqrt(variance)) * 2.0**shift
    return np.floor(y * np.floor(2**31 / deviation) / 2)


def ivit(x):
    """As PyTorch computes I-ViT, in float64."""
    y = x - np.round(np.mean(x, dtype=np.float64))
    variance, k = np.sum(y**2), 2.0**16
    for _ in range(10):
        k = np.floor((k + np.floor(variance / k)) / 2)
    return np.floor(y * np.floor((2**31 - 1) / k) / 2)


def tvm(x):
    """As TVM computes I-ViT: C's int32, which divides toward zero, and uint32."""
    mean = np.int32(math.trunc(int(x.sum()) / len(x)))
    data = x.astype(np.int32) - mean
    variance = np.sum((data * data).astype(np.uint32), dtype=np.uint32)
    deviation = np.uint32(1 << 16)
    for _ in range(10):
        deviation = (deviation + variance // deviation) // np.uint32(2)
    product = np.int32((2**31 - 1) // int(deviation)) * data
    return np.trunc(product / 2).astype(np.int64)


def test_equal_to_the_published_code():
    rng = np.random.default_rng(2)
    for count in (1, 2, 7, 192, 768):
        for spread in (1, 5, 128):
            x = rng.integers(-spread, spread, count)
            if normalise("ivit-torch", x)[0].any():
                assert np.array_equal(normalise("ivit-torch", x)[0], ivit(x))
            assert np.array_equal(normalise("ivit", x)[0], tvm(x))
            for shift in (0, 1, 3):
                y = x - np.round(x.mean())
                if np.any(np.floor(y / 2**shift)):
                    assert np.array_equal(normalise("ibert", x, shift)[0], ibert(x, shift))


def test_large_variances_and_the_shift_against_them():
    rng = np.random.default_rng(3)
    x = rng.integers(-32768, 32768, 4096)
    y, overflow = normalise("ibert", x)
    assert overflow
    y, overflow = normalise("ibert", x, 6)
    due = (x - x.mean()) / x.std()
    assert not overflow and np.abs(y * 64 / 2**30 - due).max() < 0.01
    assert normalise("ivit", x)[1]
    assert normalise("ibert", np.full(5, 9)) == (pytest.approx(np.zeros(5)), False)


def test_divisions_on_their_corners():
    for a in range(-20, 21):
        for b in (1, 2, 3, 4, 7):
            assert divided(a, b) == math.trunc(a / b)
            assert rounded_mean(a, b) == round(a / b)
    assert all(len(normalise(kind, np.zeros(0, dtype=int))[0]) == 0 for kind in ("ibert", "ivit"))
