# SPDX-License-Identifier: Apache-2.0
"""Operands in blocks: the errors that the specification has for them, through the integer core."""

import numpy as np
import pytest

from sim.golden.attention.sage import attention, quantize_blocks, smooth_keys, tile_scales


def exact(q, k, v, scale):
    x = q @ k.T * scale
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True) @ v


def error(bits, smooth, bias, seed=1):
    """1024 keys of 128 channels, of which 8 have a bias."""
    rng = np.random.default_rng(seed)
    q, k, v = (
        rng.normal(0, 1, (64, 128)),
        rng.normal(0, 1, (1024, 128)),
        rng.normal(0, 1, (1024, 128)),
    )
    k[:, :8] += bias
    due = exact(q, k, v, 128**-0.5)
    keys = quantize_blocks(smooth_keys(k)[0] if smooth else k, 64, bits)
    scale = np.abs(v).max(axis=0) / 127
    found = attention(quantize_blocks(q, 32, bits), keys, np.rint(v / scale).astype(int), 128**-0.5)
    return np.linalg.norm(found * scale - due) / np.linalg.norm(due)


@pytest.mark.parametrize(
    ("bits", "smooth", "bias", "due"),
    [
        (8, False, 0, 0.0125),
        (4, False, 0, 0.23),
        (8, False, 8, 0.028),
        (8, True, 8, 0.013),
        (4, False, 8, 0.56),
        (4, True, 8, 0.245),
    ],
)
def test_errors_of_the_specification(bits, smooth, bias, due):
    assert due / 1.6 < error(bits, smooth, bias) < due * 1.4


def test_rounding_leaves_zero_and_blocks_have_their_own_scale():
    x = np.array([[127.0, 0.5], [-2.5, 2.5], [0, 0], [0, 0], [7, -7]])
    found = quantize_blocks(x, 2)
    assert found.codes.tolist() == [[127, 1], [-3, 3], [0, 0], [0, 0], [127, -127]]
    assert found.scales.tolist() == [1, 1, 7 / 127]
    assert quantize_blocks(x, 2, 4).codes.tolist()[-1] == [7, -7]


def test_smoothing_changes_no_weight():
    rng = np.random.default_rng(2)
    q, k, v = rng.normal(0, 1, (5, 8)), rng.normal(3, 1, (40, 8)), rng.normal(0, 1, (40, 3))
    smooth, mean = smooth_keys(k)
    np.testing.assert_allclose(exact(q, k, v, 1), exact(q, smooth, v, 1), rtol=1e-9)
    np.testing.assert_allclose(smooth + mean, k)


def test_scales_of_tiles():
    k = quantize_blocks(np.outer(np.repeat([1.0, 4.0], 32), np.ones(4)), 32)
    m, sh = tile_scales(0.01, k, 16, 0.5)
    assert len(m) == 4 and (m == m[0]).all() and sh.tolist() == [sh[0]] * 2 + [sh[0] - 2] * 2
    with pytest.raises(ValueError, match="tile must divide the block of 32 keys, not 12"):
        tile_scales(1.0, k, 12, 1.0)
