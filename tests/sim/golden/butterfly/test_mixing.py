# SPDX-License-Identifier: Apache-2.0
"""Fourier mixing against numpy.fft.fft2, and its packets."""

import numpy as np
import pytest

from sim.golden.butterfly.mixing import ERRORS, mix, run, vectors

BASE = {"max_tokens": 32, "max_channels": 16, "lanes": 8, "scaling": "bfp"}
BASE |= {"data_bits": 16, "twiddle_bits": 16}


def snr(reference, got):
    return 10 * np.log10((reference**2).sum() / ((got - reference) ** 2).sum())


@pytest.mark.parametrize("shape", [(8, 8), (64, 64), (8, 256), (128, 512), (512, 16)])
def test_real_part_of_the_two_dimensional_transform(shape):
    rng = np.random.default_rng(shape[0])
    x = np.clip(np.round(rng.normal(0, 8192, shape)), -32768, 32767).astype(int)
    y, exponent = mix(x, scaling="bfp", data_bits=16, twiddle_bits=16)
    reference = np.fft.fft2(x).real.T
    assert snr(reference, y * 2.0 ** exponent[:, np.newaxis]) > 55
    y, exponent = mix(x, scaling="half", data_bits=16, twiddle_bits=16)
    assert (exponent == np.log2(x.size)).all()
    if x.size <= 64:
        assert snr(reference, y * 2.0 ** exponent[:, np.newaxis]) > 55


def test_tokens_of_unlike_magnitude_meet_at_one_exponent():
    rng = np.random.default_rng(1)
    x = np.round(rng.normal(0, 1, (64, 64)) * 2.0 ** rng.integers(1, 13, (64, 1))).astype(int)
    y, exponent = mix(x, scaling="bfp", data_bits=16, twiddle_bits=16)
    assert snr(np.fft.fft2(x).real.T, y * 2.0 ** exponent[:, np.newaxis]) > 55


def test_zero_padding_is_another_transform():
    x = np.random.default_rng(0).integers(-9000, 9000, (12, 16))
    padded = np.pad(x, ((0, 4), (0, 0)))
    y, exponent = mix(padded, scaling="bfp", data_bits=16, twiddle_bits=16)
    found = y * 2.0 ** exponent[:, np.newaxis]
    assert snr(np.fft.fft2(padded).real.T, found) > 55
    assert snr(np.fft.fft2(x).real.T, found[:, :12]) < 10


@pytest.mark.parametrize("lanes", [4, 8, 32])
def test_stream_of_tiles(lanes):
    parameters = BASE | {"lanes": lanes}
    stimulus = vectors(parameters, np.random.default_rng(lanes), 1500)
    found = run(parameters, stimulus)
    tiles = np.flatnonzero(stimulus["last"]) + 1
    ends = np.flatnonzero(found["last"]) + 1
    assert len(tiles) == len(ends) and tiles[-1] == len(stimulus["x"])
    seen, begin, start = set(), 0, 0
    for tile, end in zip(tiles, ends, strict=True):
        error = ERRORS[found["err"][start]]
        seen.add(error)
        if error == "none":
            tokens, channels = (1 << int(stimulus[n][begin]) for n in ("log2t", "log2d"))
            x = stimulus["x"][begin:tile, : min(lanes, channels)].reshape(tokens, channels)
            y, exponent = mix(x, scaling="bfp", data_bits=16, twiddle_bits=16)
            got = found["y"][start:end]
            assert np.array_equal(got[:, : min(lanes, tokens)].reshape(y.shape), y)
            assert not got[:, tokens:].any()
            assert found["exp"][start:end].reshape(channels, -1).T.tolist()[0] == exponent.tolist()
        else:
            assert end == start + 1 and not found["y"][start].any()
        begin, start = tile, end
    assert seen == set(ERRORS)
