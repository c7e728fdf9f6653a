# SPDX-License-Identifier: Apache-2.0
"""Rotary positions against float64, the errors of the specification, and the unit's packets."""

from fractions import Fraction

import numpy as np
import pytest

from sim.golden.attention.rope import LAYOUTS, pairs, rotate, run, sine_cosine, steps, vectors
from sim.golden.attention.tables import look_up, table

BASE = {"dim": 10, "layout": "half", "x_bits": 8, "coef_bits": 16, "base": "10000", "lanes": 4}
BASE |= {"grow": False}


def exact(x, pos, layout, base=10000.0):
    """The definition in float64, element by element."""
    dim = x.shape[1]
    y = x.astype(float)
    for pair in range(dim // 2):
        i, j = (pair, pair + dim // 2) if layout == "half" else (2 * pair, 2 * pair + 1)
        angle = np.asarray(pos) * base ** (-2 * pair / dim)
        y[:, i] = x[:, i] * np.cos(angle) - x[:, j] * np.sin(angle)
        y[:, j] = x[:, i] * np.sin(angle) + x[:, j] * np.cos(angle)
    return y


def test_table_of_the_quarter_wave():
    phase = np.random.default_rng(0).integers(0, 1 << 32, 300000)
    angle = phase / 2**32 * 2 * np.pi
    sine, cosine = sine_cosine(phase, 18)
    error = max(
        np.abs(sine - np.sin(angle) * 65536).max(), np.abs(cosine - np.cos(angle) * 65536).max()
    )
    assert 2.2 < error < 2.6
    # With 14 bits of index in a quarter a unit of phase is four as large.
    u = phase >> 16 & 0x3FFF
    coarse = look_up(table("sin", 8), u << 2)
    exact_sine = np.sin((phase & (1 << 30) - 1) / 2**32 * 2 * np.pi) * 65536
    assert 5.5 < np.abs(coarse - exact_sine).max() < 7.5


def test_quarters_are_exact_and_mirror_each_other():
    for bits in (16, 18):
        one = 1 << bits - 2
        sine, cosine = sine_cosine(np.arange(4) << 30, bits)
        assert sine.tolist() == [0, one, 0, -one] and cosine.tolist() == [one, 0, -one, 0]
        phase = np.arange(1, 1 << 16) << 14
        sine, cosine = sine_cosine(phase, bits)
        mirrored, _ = sine_cosine((1 << 31) - phase, bits)
        assert np.array_equal(sine, mirrored)
        negative, same = sine_cosine((1 << 32) - phase, bits)
        assert np.array_equal(negative, -sine) and np.array_equal(same, cosine)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dim", [2, 3, 5, 8, 64, 127])
def test_position_zero_is_the_identity(dim, layout):
    x = np.random.default_rng(dim).integers(-128, 128, (50, dim))
    x[0], x[1] = -128, 127
    for bits in (16, 18):
        assert np.array_equal(rotate(x, np.zeros(50), layout=layout, coef_bits=bits), x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dim", [7, 64, 128])
def test_rotation_against_floats(dim, layout):
    rng = np.random.default_rng(dim)
    x, pos = rng.integers(-20000, 20000, (64, dim)), rng.integers(0, 4096, 64)
    found = rotate(x, pos, layout=layout, coef_bits=18, out_bits=17)
    assert np.abs(found - exact(x, pos, layout)).max() < 1 + 28300 * (4 / 65536 + 3e-6)
    small = rng.integers(-90, 90, (64, dim))
    found = rotate(small, pos, layout=layout, coef_bits=16, out_bits=8)
    assert np.abs(found - exact(small, pos, layout)).max() < 0.53
    if dim % 2:
        assert np.array_equal(found[:, -1], small[:, -1])


def test_layouts_are_permutations_of_each_other():
    rng = np.random.default_rng(3)
    x, pos = rng.integers(-128, 128, (9, 16)), rng.integers(0, 1 << 32, 9)
    order = np.arange(16).reshape(2, 8).T.ravel()
    half = rotate(x, pos, layout="half")
    assert np.array_equal(rotate(x[:, order], pos, layout="interleaved"), half[:, order])
    assert [part.tolist() for part in pairs(5, "half")] == [[0, 1], [2, 3]]
    assert [part.tolist() for part in pairs(5, "interleaved")] == [[0, 2], [1, 3]]
    with pytest.raises(ValueError, match="layout must be one of half, interleaved, not 'both'"):
        pairs(4, "both")


@pytest.mark.parametrize(
    ("bits", "pos", "due"),
    [
        (24, 4096, 7.7e-4),
        (24, 131072, 2.5e-2),
        (32, 4096, 3.0e-6),
        (32, 131072, 9.5e-5),
        (32, 1 << 20, 7.6e-4),
    ],
)
def test_phase_loses_as_much_as_the_sheet_says(bits, pos, due):
    worst = 0.0
    for dim in (64, 80, 96, 128, 256):
        angle = 10000.0 ** (-2 * np.arange(dim // 2) / dim)
        if bits == 32:
            step = np.array(steps(dim)) / 2.0**32
        else:
            step = np.floor(angle / (2 * np.pi) * 2**bits + 0.5) / 2**bits
        worst = max(worst, np.abs(pos * (step * 2 * np.pi - angle)).max())
    assert 0.85 * due < worst < 1.05 * due


@pytest.mark.parametrize(("bits", "due"), [(14, 0.18), (22, 6.8e-4), (30, 2.6e-6)])
def test_recurrence_loses_more(bits, due):
    one, worst = 1 << bits, 0.0
    for angle in 10000.0 ** (-2 * np.arange(0, 64, 4) / 128):
        c, s = one, 0
        dc, ds = round(np.cos(angle) * one), round(np.sin(angle) * one)
        for _ in range(4096):
            c, s = c * dc - s * ds + one // 2 >> bits, c * ds + s * dc + one // 2 >> bits
        worst = max(worst, abs(c / one - np.cos(4096 * angle)), abs(s / one - np.sin(4096 * angle)))
    assert 0.2 * due < worst < 5 * due


def test_adding_a_step_per_token_is_multiplying():
    step = np.array(steps(64), dtype=np.uint64)
    phase = np.zeros(32, dtype=np.uint64)
    for pos in range(1, 2000):
        phase = (phase + step) % np.uint64(1 << 32)
        if pos % 97 == 0:
            assert np.array_equal(phase, step * np.uint64(pos) % np.uint64(1 << 32))
    assert steps(2, Fraction(500000)) == (683565276,)


def test_turning_back_and_growing():
    rng = np.random.default_rng(4)
    x, pos = rng.integers(-10000, 10000, (20, 32)), rng.integers(0, 5000, 20)
    options = {"layout": "half", "coef_bits": 18, "out_bits": 17}
    there = rotate(x, pos, **options)
    assert np.abs(rotate(there, pos, **options, inverse=True) - x).max() <= 3
    full = np.full((1, 2), 127)
    eighth = [int(np.argmin(np.abs(np.arange(5000) % (2 * np.pi) - 7 * np.pi / 4)))]
    assert rotate(full, eighth, layout="half").max() == 127
    assert rotate(full, eighth, layout="half", out_bits=9).max() > 177


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dim", "lanes"), [(10, 4), (8, 8), (5, 1), (128, 16), (7, 16)])
def test_rows_of_the_right_shape_only(layout, dim, lanes):
    parameters = BASE | {"layout": layout, "dim": dim, "lanes": lanes}
    beats = vectors(parameters, np.random.default_rng(dim), 60 + 20 * -(-dim // lanes))
    found = run(parameters, beats)
    each = -(-dim // lanes)
    begin = out = 0
    seen = set()
    for end in np.flatnonzero(beats["last"]) + 1:
        keep = beats["keep"][begin:end].ravel()
        good = end - begin == each and keep[:dim].all() and not keep[dim:].any()
        seen.add(bool(good))
        if good:
            x = beats["x"][begin:end].reshape(1, -1)[:, :dim]
            y = rotate(x, beats["pos"][begin], layout=layout, inverse=bool(beats["inverse"][begin]))
            assert np.array_equal(found["y"][out : out + each].ravel()[:dim], y[0])
            assert not found["y"][out : out + each].ravel()[dim:].any()
            assert not found["err"][out : out + each].any()
            out += each
        else:
            assert found["err"][out] == 1 and found["last"][out] and not found["y"][out].any()
            out += 1
        assert found["last"][out - 1]
        begin = end
    assert out == len(found["y"]) and seen == {True, False}
