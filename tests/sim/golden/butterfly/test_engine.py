# SPDX-License-Identifier: Apache-2.0
"""Packets of the butterfly engine: what is answered, in which order, with which error."""

import numpy as np
import pytest

from sim.golden.butterfly import fft, linear
from sim.golden.butterfly.banks import reversed_index
from sim.golden.butterfly.engine import ERRORS, OPS, beats_of, run, vectors

BASE = {"max_size": 64, "lanes": 8, "engines": 1, "scaling": "bfp", "data_bits": 16}
BASE |= {"twiddle_bits": 16, "weight_bits": 8, "weight_frac": None, "order": "natural"}
BASE |= {"banks": "xor"}


def packet(op, log2n, re, im=None, sigma=0, keep=None):
    re = np.atleast_2d(re)
    n = len(re)
    found = {"re": re, "im": np.zeros_like(re) if im is None else np.atleast_2d(im)}
    found |= {"op": np.full(n, OPS.index(op)), "log2n": np.full(n, log2n)}
    found |= {"sigma": np.full(n, sigma, dtype=object), "last": np.arange(n) == n - 1}
    return found if keep is None else found | {"keep": np.tile(keep, (n, 1))}


def stream(*packets):
    return {name: np.concatenate([p[name] for p in packets]) for name in packets[0]}


def vector(rng, log2n, lanes=8):
    shape = (max(1, (1 << log2n) // lanes), lanes)
    return [rng.integers(-32768, 32768, shape) for _ in range(2)]


def test_modes_follow_each_other():
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, (5, 16, 2, 2))
    other = rng.integers(-128, 128, (5, 16, 2, 2))
    re, im = vector(rng, 5)
    sigma = [0, 1, 2, 0, 1]
    word = sum(v << 4 * k for k, v in enumerate(sigma))
    found = run(BASE, stream(
        packet("fft", 5, re, im),
        packet("weights", 5, *linear.pack(weights, 8), sigma=word),
        packet("butterfly", 5, re, im),
        packet("inverse", 5, re, im),
        packet("weights", 5, *linear.pack(other, 8)),
        packet("butterfly", 5, re),
    ))  # fmt: skip
    assert found["last"].tolist() == [0, 0, 0, 1] * 4 and not found["err"].any()
    options = {"scaling": "bfp", "data_bits": 16, "twiddle_bits": 16}
    rows = re.reshape(1, -1), im.reshape(1, -1)
    a, b, e = fft.dft(*rows, **options)
    assert np.array_equal(found["re"][:4].reshape(1, -1), a)
    assert np.array_equal(found["im"][:4].reshape(1, -1), b)
    assert (found["exp"][:4] == e).all()
    y = linear.multiply(rows[0], weights, sigma, 6, 16)
    assert np.array_equal(found["re"][4:8].reshape(1, -1), y) and not found["im"][4:8].any()
    assert (found["exp"][4:8] == 4).all()
    a, b, e = fft.dft(*rows, **options, inverse=True)
    assert (
        np.array_equal(found["re"][8:12].reshape(1, -1), a) and (found["exp"][8:12] == e - 5).all()
    )
    y = linear.multiply(rows[0], other, [0] * 5, 6, 16)
    assert np.array_equal(found["re"][12:].reshape(1, -1), y)


def test_reversed_order_is_what_memory_holds():
    re, im = vector(np.random.default_rng(1), 6)
    natural = run(BASE, packet("fft", 6, re, im))
    memory = run(BASE | {"order": "reversed"}, packet("fft", 6, re, im))
    for name in ("re", "im"):
        assert np.array_equal(natural[name].ravel(), memory[name].ravel()[reversed_index(6)])


@pytest.mark.parametrize("lanes", [16, 32])
def test_vectors_shorter_than_a_beat(lanes):
    rng = np.random.default_rng(lanes)
    parameters = BASE | {"lanes": lanes}
    weights = rng.integers(-128, 128, (3, 4, 2, 2))
    x = rng.integers(-32768, 32768, (1, lanes))
    found = run(parameters, stream(
        packet("weights", 3, *linear.pack(weights, lanes)), packet("butterfly", 3, x),
        packet("fft", 3, x, x),
    ))  # fmt: skip
    assert not found["re"][:, 8:].any() and not found["im"][:, 8:].any()
    assert np.array_equal(found["re"][0, :8], linear.multiply(x[:, :8], weights, [0] * 3, 6, 16)[0])
    re, _, _ = fft.dft(x[:, :8], x[:, :8], scaling="bfp", data_bits=16, twiddle_bits=16)
    assert np.array_equal(found["re"][1, :8], re[0])


def test_engines_have_their_own_rows_and_exponents():
    rng = np.random.default_rng(2)
    rows = [vector(rng, 4)[0] >> shift for shift in (0, 6, 0)]
    both = np.concatenate(rows, axis=1)
    found = run(BASE | {"engines": 3}, packet("fft", 4, both, keep=[1, 1, 0]))
    for engine, row in enumerate(rows):
        alone = run(BASE, packet("fft", 4, row if engine < 2 else 0 * row))
        part = slice(8 * engine, 8 * engine + 8)
        assert np.array_equal(found["re"][:, part], alone["re"])
        assert np.array_equal(found["exp"][:, engine : engine + 1], alone["exp"])
    assert found["keep"].tolist() == [[1, 1, 0]] * 2
    assert found["exp"][0, 0] != found["exp"][0, 1]


def test_every_error_and_the_packet_behind_it():
    rng = np.random.default_rng(3)
    re, im = vector(rng, 5)
    good = packet("fft", 5, re, im)
    weights = linear.pack(rng.integers(-128, 128, (5, 16, 2, 2)), 8)
    due = run(BASE, good)
    sound = packet("weights", 5, *weights)
    short = packet("weights", 5, weights[0][:-1], weights[1][:-1])
    wrong = {
        "size": [packet("fft", 2, re), packet("fft", 7, re), packet("weights", 15, re)],
        "length": [packet("fft", 4, re), packet("fft", 6, re), packet("inverse", 3, re), short],
        "weights": [packet("butterfly", 5, re)],
    }
    for error, packets in wrong.items():
        for bad in packets:
            found = run(BASE, stream(good, bad, good))
            assert found["err"].tolist() == [0] * 4 + [ERRORS.index(error)] + [0] * 4
            assert found["last"].tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 1]
            assert not found["re"][4].any() and not found["exp"][4].any()
            assert np.array_equal(found["re"][5:], due["re"])
    after = run(BASE, stream(sound, packet("butterfly", 5, re), packet("butterfly", 4, re[:2])))
    assert after["err"].tolist() == [0] * 4 + [3]
    spoilt = run(BASE, stream(sound, short, packet("butterfly", 5, re)))
    assert spoilt["err"].tolist() == [2, 3]


def test_growing_state_and_packets_without_an_end():
    rng = np.random.default_rng(4)
    re, im = vector(rng, 6)
    parameters = BASE | {"scaling": "grow", "twiddle_bits": 18}
    found = run(parameters, packet("fft", 6, re, im))
    reference = np.fft.fft((re + 1j * im).ravel())
    assert np.abs(found["re"].ravel() - reference.real).max() < 20
    assert not found["exp"].any()
    open_end = packet("fft", 6, re, im)
    open_end["last"][:] = False
    assert {name: len(column) for name, column in run(parameters, open_end).items()} == {
        name: 0 for name in ("re", "im", "exp", "last", "err")
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"engines": 2, "lanes": 4},
        {"lanes": 16, "scaling": "half"},
        {"scaling": "grow", "max_size": 8},
    ],
)
def test_stimulus_meets_everything(changes):
    parameters = BASE | changes
    beats = vectors(parameters, np.random.default_rng(7), 1500)
    found = run(parameters, beats)
    first = np.append(True, beats["last"][:-1].astype(bool))
    good = {
        (int(op), int(n)) for op, n in zip(beats["op"][first], beats["log2n"][first], strict=True)
    }
    levels = parameters["max_size"].bit_length() - 1
    assert {(op, n) for op in (1, 2) for n in range(3, levels + 1)} <= good
    state = 16 + (levels + 1 if parameters["scaling"] == "grow" else 0)
    for name, bits in (("re", state), ("im", state), ("exp", 9)):
        assert -1 << bits - 1 <= found[name].min() and found[name].max() < 1 << bits - 1
    errors = set(found["err"].tolist())
    assert errors == {0, 1, 2, 3} if levels > 3 else errors >= {0, 1, 2}
    codes = {name: np.asarray(column) & (1 << 16) - 1 if name in ("re", "im") else column
             for name, column in beats.items()}  # fmt: skip
    again = run(parameters, codes)
    assert all(np.array_equal(found[name], again[name]) for name in found)
    assert beats_of(3, 3, parameters["lanes"]) == 3 * max(1, 8 // parameters["lanes"])
