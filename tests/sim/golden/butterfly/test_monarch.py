# SPDX-License-Identifier: Apache-2.0
"""Monarch products against their definition, the DFT as two products against numpy and A5."""

import numpy as np
import pytest

from sim.golden.butterfly import fft
from sim.golden.butterfly.monarch import dft, monarch, operand, real_form


def snr(reference, got):
    return 10 * np.log10((np.abs(reference) ** 2).sum() / (np.abs(got - reference) ** 2).sum())


def gaussian(rows, size):
    parts = np.random.default_rng(size).normal(0, 8192, (2, rows, size))
    return np.clip(np.round(parts), -32768, 32767).astype(np.int64)


def test_monarch_product_is_its_definition():
    rng = np.random.default_rng(0)
    k, q, p, levels, s, r = 4, 6, 5, 8, 7, 3
    w1, w2 = rng.integers(-9, 9, (k, q, p)), rng.integers(-9, 9, (levels, s, r))
    x = rng.integers(-9, 9, (2, k * p))
    for row, found in zip(x, monarch(x, w1, w2), strict=True):
        flat = [sum(w1[b, i, j] * row[b * p + j] for j in range(p)) for b in range(k)
                for i in range(q)]  # fmt: skip
        for block in range(levels):
            for i in range(s):
                # Element (block, j) of the turned vector is (j, block) of the flat one.
                due = sum(w2[block, i, j] * flat[j * levels + block] for j in range(r))
                assert found[i * levels + block] == due


def test_real_form_is_a_complex_product():
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-9, 9, (2, 3, 3)) for _ in range(2))
    due = (a[0] + 1j * a[1]) @ (b[0] + 1j * b[1])
    found = np.concatenate(a, axis=1) @ real_form(*b)
    assert np.array_equal(found, np.concatenate([due.real, due.imag], axis=1))
    re, im = operand(8, 16)
    assert np.abs((re + 1j * im) / 2**14 - np.fft.fft(np.eye(8))).max() < 1e-4


@pytest.mark.parametrize("sizes", [(8, 8), (4, 16), (16, 4), (32, 32), (16, 16)])
def test_two_products_are_a_dft(sizes):
    re, im = gaussian(4, sizes[0] * sizes[1])
    reference = np.fft.fft(re + 1j * im)
    shifts = tuple(int(np.ceil(np.log2(n) / 2)) + 1 for n in sizes)
    found = dft(re, im, sizes, data_bits=16, twiddle_bits=16, shifts=shifts)
    got = (found[0] + 1j * found[1]) * 2.0 ** sum(shifts)
    assert snr(reference, got) > 65
    parts = fft.dft(re, im, scaling="bfp", data_bits=16, twiddle_bits=16)
    butterfly = (parts[0] + 1j * parts[1]) * 2.0 ** parts[2][:, np.newaxis]
    assert snr(butterfly, got) > 65


def test_blocks_that_count_for_nothing_may_be_left_out():
    sizes = (16, 8)
    re, im = (part.reshape(4, *sizes) for part in gaussian(4, 128))
    re[:, 5:], im[:, 5:] = 0, 0
    parts = re.reshape(4, -1), im.reshape(4, -1)
    options = {"data_bits": 16, "twiddle_bits": 16, "shifts": (2, 2)}
    whole = dft(*parts, sizes, **options)
    fewer = dft(*parts, sizes, **options, inputs=range(5), outputs=[0, 3])
    for a, b in zip(whole, fewer, strict=True):
        a, b = a.reshape(4, 8, 16), b.reshape(4, 8, 16)
        assert np.array_equal(a[:, [0, 3]], b[:, [0, 3]])
        assert not b[:, [1, 2, 4, 5, 6, 7]].any()
