# SPDX-License-Identifier: Apache-2.0
"""Integer Fourier transforms against numpy.fft and the figures of the specification."""

import numpy as np
import pytest

from sim.golden.butterfly.banks import reversed_index
from sim.golden.butterfly.fft import SCALINGS, block_shift, dft, rounded, transform, twiddles


def snr(reference, got):
    """Return the ratio of signal and noise in dB."""
    noise = (np.abs(got - reference) ** 2).sum()
    return 10 * np.log10((np.abs(reference) ** 2).sum() / noise)


def gaussian(size, bits, rows, seed=0):
    rng = np.random.default_rng(seed)
    top = 1 << bits - 1
    parts = np.round(rng.normal(0, top / 4, (2, rows, size)))
    return np.clip(parts, -top, top - 1).astype(np.int64)


def values(result):
    re, im, exponent = result
    return (re + 1j * im) * 2.0 ** exponent[:, np.newaxis]


GOLDEN = [1000, 2000, -3000, 4000, 5000, -6000, 7000, 8000]


def test_golden_values():
    re, im, e = dft([GOLDEN], scaling="half", data_bits=16, twiddle_bits=16)
    assert re.tolist() == [[2250, 561, 250, -1561, 250, -1561, 250, 561]]
    assert im.tolist() == [[0, 896, 2000, -1604, 0, 1604, -2000, -896]]
    assert e.tolist() == [3]
    re, im, e = dft([GOLDEN], scaling="bfp", data_bits=16, twiddle_bits=16)
    assert re.tolist() == [[9000, 2243, 1000, -6243, 1000, -6243, 1000, 2243]]
    assert im.tolist() == [[0, 3586, 8000, -6414, 0, 6414, -8000, -3586]]
    assert e.tolist() == [1]


@pytest.mark.parametrize("size", [2, 8, 64, 1024])
def test_schedule_is_a_dft_in_exact_arithmetic(size):
    rng = np.random.default_rng(size)
    x = rng.normal(size=size) + 1j * rng.normal(size=size)
    y = x.copy()
    for stage in range(size.bit_length() - 1):
        t = size >> stage + 1
        for block, brev in enumerate(reversed_index(stage)):
            a, c = (y[2 * t * block + k : 2 * t * block + k + t].copy() for k in (0, t))
            w = np.exp(-2j * np.pi * brev / 2 ** (stage + 1))
            y[2 * t * block : 2 * t * block + 2 * t] = np.concatenate([a + w * c, a - w * c])
    error = np.abs(y[reversed_index(size.bit_length() - 1)] - np.fft.fft(x)).max()
    assert error <= 2e-15 * size


@pytest.mark.parametrize(
    ("size", "bits", "figures", "mean"),
    [
        (64, 16, (59.2, 66.8, 68.0, 68.2, 74.9, 76.3), 3.9),
        (256, 16, (52.5, 61.4, 61.9, 64.7, 72.9, 73.7), 5.0),
        (1024, 16, (46.1, 55.7, 55.9, 61.7, 71.0, 71.6), 6.0),
        (4096, 16, (40.0, 49.8, 49.9, 60.0, 70.0, 70.3), 7.0),
        (1024, 18, (58.2, 67.8, 67.9, 73.8, 83.2, 83.8), 6.0),
        (1024, 12, (22.0, 31.6, 31.8, 37.7, 47.2, 47.5), 6.0),
        (1024, 8, (-1.8, 7.2, 7.5, 13.8, 23.1, 23.4), 6.0),
    ],
)
def test_noise_is_that_of_the_sheet(size, bits, figures, mean):
    re, im = gaussian(size, bits, max(2, 16384 // size))
    reference = np.fft.fft(re + 1j * im)
    kinds = [(s, r) for s in ("half", "bfp") for r in ("floor", "rhu", "rne")]
    for (scaling, rounding), due in zip(kinds, figures, strict=True):
        options = {"scaling": scaling, "rounding": rounding}
        result = dft(re, im, data_bits=bits, twiddle_bits=bits, **options)
        assert abs(snr(reference, values(result)) - due) < 1, (scaling, rounding)
        if scaling == "bfp":
            assert abs(result[2].mean() - mean) < 0.2


def half_float_dft(re, im):
    """Every product and every sum rounded to half; a power of two keeps it in range."""
    half = np.float16
    size = re.shape[1]
    re, im = (half(part / 2.0**15 / size) for part in (re, im))
    for stage in range(size.bit_length() - 1):
        w = np.exp(-2j * np.pi * reversed_index(stage) / 2 ** (stage + 1))[:, np.newaxis]
        wr, wi = half(w.real), half(w.imag)
        shape = (len(re), 1 << stage, 2, size >> stage + 1)
        (ar, cr), (ai, ci) = (np.moveaxis(v.reshape(shape), 2, 0) for v in (re, im))
        pr, pi = cr * wr - ci * wi, cr * wi + ci * wr
        re = np.stack([ar + pr, ar - pr], axis=2).reshape(re.shape)
        im = np.stack([ai + pi, ai - pi], axis=2).reshape(im.shape)
    found = (re.astype(float) + 1j * im.astype(float))[:, reversed_index(size.bit_length() - 1)]
    return found * size * 2.0**15


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_block_floating_point_beats_half_floats(size):
    re, im = gaussian(size, 16, 8)
    reference = np.fft.fft(re + 1j * im)
    halves = snr(reference, half_float_dft(re, im))
    assert 59 < halves < 66
    options = {"data_bits": 16, "twiddle_bits": 16}
    assert snr(reference, values(dft(re, im, scaling="bfp", **options))) > halves + 7
    if size >= 1024:
        assert snr(reference, values(dft(re, im, scaling="half", **options))) < halves


def test_growing_state_keeps_what_came_in():
    # The sheet's 98 dB and 13 units lie between Gaussian and full-scale numbers.
    re, im = gaussian(256, 16, 8)
    options = {"scaling": "grow", "data_bits": 16, "twiddle_bits": 18, "state_bits": 25}
    result = dft(re, im, **options)
    assert snr(np.fft.fft(re + 1j * im), values(result)) > 95
    full = np.random.default_rng(3).integers(-32768, 32768, (2, 64, 256))
    found, reference = values(dft(*full, **options)), np.fft.fft(full[0] + 1j * full[1])
    assert snr(reference, found) > 98
    error = found - reference
    assert np.abs([error.real, error.imag]).max() <= 16


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("size", [8, 16, 32, 128, 2048])
def test_every_size_against_numpy(size, scaling):
    re, im = gaussian(size, 16, 3, seed=size)
    state = 16 + (13 if scaling == "grow" else 0)
    options = {"scaling": scaling, "data_bits": 16, "twiddle_bits": 16, "state_bits": state}
    forward = values(dft(re, im, **options))
    assert snr(np.fft.fft(re + 1j * im), forward) > 50
    backward = values(dft(re, im, inverse=True, **options)) / size
    assert snr(np.fft.ifft(re + 1j * im), backward) > 50


def extremes(size, bits):
    rng = np.random.default_rng(size)
    top = 1 << bits - 1
    rows = rng.choice([-top, top - 1], (2, 40, size))
    phase = np.exp(2j * np.pi * np.outer(np.arange(8), np.arange(size)) / size)
    tones = np.stack([np.sign(phase.real), np.sign(phase.imag)]) * (top - 1)
    flat = np.full((2, 2, size), -top)
    return np.concatenate([rows, tones, flat], axis=1).astype(np.int64)


@pytest.mark.parametrize("size", [8, 64, 1024])
def test_block_floating_point_never_saturates(size):
    re, im = extremes(size, 16)
    options = {"scaling": "bfp", "data_bits": 16, "twiddle_bits": 16}
    for parts in ((re, im), (re >> 1, im >> 1), (re // 3, im // 3)):
        held, free = transform(*parts, **options), transform(*parts, **options, state_bits=24)
        assert all(np.array_equal(a, b) for a, b in zip(held, free, strict=True))


def test_halving_saturates_for_some_complex_inputs_and_for_no_real_ones():
    re, im = extremes(64, 16)
    options = {"scaling": "half", "data_bits": 16, "twiddle_bits": 16}
    held, free = transform(re, im, **options), transform(re, im, **options, state_bits=24)
    assert not np.array_equal(held[0], free[0])
    # More than the sheet's 1.207, which is one stage's: a modulus can keep sqrt 2 of full scale.
    assert 1.207 * 2**15 < np.abs(free[0]).max() <= np.sqrt(2) * 2**15
    # The most negative number has no opposite: it alone loses a unit.
    re, zero = np.maximum(re, -32767), np.zeros_like(re)
    held, free = transform(re, zero, **options), transform(re, zero, **options, state_bits=24)
    assert np.array_equal(held[0], free[0]) and np.array_equal(held[1], free[1])


def test_block_shift_changes_where_the_sheet_says():
    assert block_shift([0, 13572, 13573, 27144, 27145, 32768], 16).tolist() == [0, 0, 1, 1, 2, 2]
    growth = 1 + np.sqrt(2)
    for bits in (8, 12, 16, 24):
        largest = np.arange(1, (1 << bits - 1) + 1, 1 << max(0, bits - 12))
        grown = largest * growth / 2.0 ** block_shift(largest, bits)
        assert (grown <= 1 << bits - 1).all()


def test_twiddles_are_exact_at_the_axes_and_symmetric():
    for bits in (8, 16, 24):
        one = 1 << bits - 2
        re, im = twiddles(4096, bits)
        assert re[[0, 1024, 2048, 3072]].tolist() == [one, 0, -one, 0]
        assert im[[0, 1024, 2048, 3072]].tolist() == [0, -one, 0, one]
        assert np.abs(re).max() == one
        exact = np.exp(-2j * np.pi * np.arange(4096) / 4096) * one
        assert max(np.abs(re - exact.real).max(), np.abs(im - exact.imag).max()) <= 0.5 + 1e-6
    coarse = twiddles(64, 16)
    assert all(np.array_equal(a, b[::64]) for a, b in zip(coarse, twiddles(4096, 16), strict=True))


def test_two_real_rows_in_one_transform():
    a, b = gaussian(256, 14, 1, seed=5)[:, 0]
    options = {"scaling": "grow", "data_bits": 16, "twiddle_bits": 18, "state_bits": 26}
    both = values(dft(a[np.newaxis], b[np.newaxis], **options))[0]
    mirrored = np.conj(np.roll(both[::-1], 1))
    assert snr(np.fft.fft(a), (both + mirrored) / 2) > 80
    assert snr(np.fft.fft(b), (both - mirrored) / 2j) > 80


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="scaling must be one of half, bfp, grow, not 'full'"):
        dft([GOLDEN], scaling="full", data_bits=16, twiddle_bits=16)
    with pytest.raises(ValueError, match="rounding must be rhu, rne or floor, not 'up'"):
        rounded(1, 1, "up")


def test_roundings_on_their_ties():
    v = np.arange(-8, 9)
    exact = v / 4
    assert rounded(v, 2, "rhu").tolist() == np.floor(exact + 0.5).tolist()
    assert rounded(v, 2, "rne").tolist() == np.round(exact).tolist()
    assert rounded(v, 2, "floor").tolist() == np.floor(exact).tolist()
    assert rounded(v, 0, "rne").tolist() == v.tolist()
