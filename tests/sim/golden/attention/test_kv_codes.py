# SPDX-License-Identifier: Apache-2.0
"""Codes, words, dot products and slots of the key-value cache, against their definitions."""

from fractions import Fraction

import numpy as np
import pytest

from sim.golden.attention import kv_codes, kv_dot


def torch_codes(x, bits):
    """KIVI's code: quotients in floats, rounded half to even."""
    least = x.min(axis=-1, keepdims=True)
    scale = (x.max(axis=-1, keepdims=True) - least) / (2**bits - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient = (x - least) / scale
    near_tie = np.abs(np.abs(quotient - np.floor(quotient)) - 0.5) < 1e-9
    return np.round(np.clip(np.nan_to_num(quotient), 0, 2**bits - 1)), near_tie


@pytest.mark.parametrize("bits", [2, 4])
def test_kivi_codes_are_those_of_the_published_code(bits):
    x = np.random.default_rng(bits).integers(-128, 128, (2000, 32))
    codes, least, spread = kv_codes.kivi_codes(x, bits)
    due, near_tie = torch_codes(x.astype(float), bits)
    assert (codes == due)[~near_tie].all() and near_tie.mean() < 0.02
    assert np.array_equal(least, x.min(axis=1)) and np.array_equal(spread, np.ptp(x, axis=1))
    top = 2**bits - 1
    for row in (0, 1, 2):  # exactly, ties too
        exact = [round(Fraction(int(v - least[row]) * top, int(spread[row]))) for v in x[row]]
        assert codes[row].tolist() == exact


def test_ties_go_to_the_even_code_and_constant_groups_to_zero():
    codes, least, spread = kv_codes.kivi_codes([0, 1, 2, 3, 4, 5, 6], 2)
    assert codes.tolist() == [0, 0, 1, 2, 2, 2, 3] and (least, spread) == (0, 6)
    codes, least, spread = kv_codes.kivi_codes(np.full((2, 32), -77), 4)
    assert not codes.any() and not spread.any()
    assert (kv_codes.kivi_values(codes, least[:, None], spread[:, None], 4) == -77).all()


@pytest.mark.parametrize("bits", [2, 4])
def test_values_are_within_half_a_step(bits):
    x = np.random.default_rng(bits).integers(-32768, 32768, (500, 32)) >> 7
    codes, least, spread = (np.asarray(v) for v in kv_codes.kivi_codes(x, bits))
    found = kv_codes.kivi_values(codes, least[:, None], spread[:, None], bits)
    top = 2**bits - 1
    assert (np.abs(found - x) <= spread[:, None] / (2 * top) + 0.5).all()
    exact = least[:, None] + codes * spread[:, None] / top
    assert np.abs(found - exact).max() <= 0.5
    low, high = codes == 0, codes == top
    assert (found == least[:, None])[low].all()
    assert (found == (least + spread)[:, None])[high].all()


@pytest.mark.parametrize("bits", [2, 4])
def test_words_hold_the_first_code_lowest(bits):
    codes = np.random.default_rng(0).integers(0, 1 << bits, (3, 64))
    words = np.zeros((3, 64 * bits // 32), dtype=np.int64)
    each = 32 // bits
    for row in range(3):  # KIVI's loop
        for word in range(words.shape[1]):
            for j in range(word * each, (word + 1) * each):
                words[row, word] |= int(codes[row, j]) << bits * (j - word * each)
    assert np.array_equal(kv_codes.pack(codes, bits), words)
    assert np.array_equal(kv_codes.unpack(words, bits), codes)
    assert kv_codes.pack(np.full(32, (1 << bits) - 1), bits).max() == 0xFFFFFFFF


def test_bits_per_element_of_the_sheet():
    for bits, due in ((2, 3), (4, 5)):
        words = kv_codes.pack(np.zeros(32, dtype=int), bits)
        assert (32 * len(words) + 16 + 16) / 32 == due


def attention(q, k, v):
    """The float reference."""
    scores = q @ k.T / np.sqrt(q.shape[1])
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True) @ v


@pytest.mark.parametrize(("bits", "keys", "values"), [(2, 0.44, 0.40), (4, 0.086, 0.08)])
def test_attention_with_outlier_channels_errs_as_the_sheet_says(bits, keys, values):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(512, 64)) for _ in range(3))
    k[:, [3, 17, 40, 61]] *= 8

    def restored(x):
        codes, least, spread = kv_codes.kivi_codes(x, bits)
        return kv_codes.kivi_values(codes, least[..., None], spread[..., None], bits) / 256

    def error(k, v):
        return np.linalg.norm(attention(q, k, v) - exact) / np.linalg.norm(exact)

    exact = attention(q, k, v)
    whole_k, whole_v = (np.round(part * 256).astype(np.int64) for part in (k, v))
    per_channel = restored(whole_k.T.reshape(64, 16, 32)).reshape(64, 512).T
    per_token = restored(whole_k.reshape(512, 2, 32)).reshape(512, 64)
    kept_v = restored(whole_v.reshape(512, 2, 32)).reshape(512, 64)
    assert 0.7 * keys < error(per_channel, v) < 1.5 * keys  # its outliers are not known
    assert error(per_token, v) > 2 * error(per_channel, v)
    assert error(k, kept_v) == pytest.approx(values, rel=0.1)


@pytest.mark.parametrize("bits", [8, 16])
def test_kv4_keeps_zero_and_errs_by_a_step_at_most(bits):
    rng = np.random.default_rng(bits)
    for k in range(300):
        x = rng.integers(-1 << bits - 1, 1 << bits - 1, 64) >> int(rng.integers(0, bits))
        if k % 3 == 0:
            x = np.abs(x + 1) - 1 if k % 2 else -np.abs(x)
        x[5] = 0
        codes, zero, spread = kv_codes.kv4_codes(x)
        assert 0 <= codes.min() and codes.max() <= 15 and 0 <= zero <= 15
        found = kv_codes.kv4_values(codes, zero, spread, bits)
        assert found[5] == 0
        assert np.abs(found - x).max() <= max(1, spread / 15 + 0.5)
        if spread:  # as QServe, in floats
            scale = (max(x.max(), 0) - min(x.min(), 0)) / 15
            assert abs(zero + min(x.min(), 0) / scale) <= 0.5 + 1e-9
    assert [np.asarray(v).tolist() for v in kv_codes.kv4_codes([0, 0])] == [[0, 0], 0, 0]
    assert kv_codes.kv4_codes([])[1:] == (0, 0)
    codes, zero, spread = kv_codes.kv4_codes([-128, 127])
    assert (codes.tolist(), zero, spread) == ([0, 15], 8, 255)


def test_code_books_give_the_nearest_and_of_equals_the_lowest():
    rng = np.random.default_rng(2)
    book = np.sort(rng.integers(-32768, 32768, 8))
    s, f = rng.integers(0, 65536, 40), rng.integers(-3000, 3000, 40)
    meanings = kv_codes.book_values(book, s, f)
    for code in range(8):
        for lane in range(40):
            exact = Fraction(int(book[code]) * int(s[lane]), 1 << 15) + Fraction(1, 2)
            due = min(max(exact.__floor__() + int(f[lane]), -32768), 32767)
            assert meanings[code, lane] == due
    x = rng.integers(-32768, 32768, 40)
    found = kv_codes.nearest_codes(x, meanings)
    for lane in range(40):
        distances = [abs(int(x[lane]) - int(v)) for v in meanings[:, lane]]
        assert found[lane] == distances.index(min(distances))
    ties = kv_codes.book_values([10, -10, 10], [1 << 15], [0])
    assert kv_codes.nearest_codes([0], ties) == [0] and kv_codes.nearest_codes([7], ties) == [0]


@pytest.mark.parametrize("bits", [2, 4])
def test_scores_without_dequantising(bits):
    rng = np.random.default_rng(bits)
    top = 2**bits - 1
    for scale in (1, 8, 127):
        q, keys = rng.integers(-scale, scale + 1, 128), rng.integers(-128, 128, (32, 128))
        codes, least, spread = kv_codes.kivi_codes(keys.T, bits)
        codes = codes.T
        exact = top * (q * least).sum() + (q * spread * codes).sum(axis=1)
        found = kv_dot.scores(q, spread, least, codes, bits)
        folded, exponent = kv_dot.folded(q, spread)
        assert np.abs(folded).max() <= 32767 and (exponent == 0) == (
            np.abs(q * spread).max() < 2**15
        )
        bound = codes.sum(axis=1) * 2.0**exponent / 2 if exponent else 0
        assert (np.abs(found - exact) <= bound).all()
        real = ((least[:, None] + codes.T * spread[:, None] / top) * q[:, None]).sum(axis=0)
        assert np.allclose(exact / top, real)


def test_folded_query_holds_fifteen_bits():
    rng = np.random.default_rng(3)
    for _ in range(50):
        q, spread = rng.integers(-32768, 32768, 64), rng.integers(0, 65536, 64)
        folded, exponent = kv_dot.folded(q, spread)
        exact = q * spread
        assert np.abs(folded * 2.0**exponent - exact).max() <= 2.0**-15 * np.abs(exact).max() * 1.01
    folded, exponent = kv_dot.folded([1], [65535])
    assert (folded.tolist(), exponent) == ([32767], 1)  # rounds up to 2**15, which does not fit
    assert kv_dot.folded([0], [9])[1] == 0


@pytest.mark.parametrize("bits", [2, 4])
def test_outputs_without_dequantising(bits):
    rng = np.random.default_rng(bits)
    p, values = rng.integers(0, 65536, 100), rng.integers(-128, 128, (100, 32))
    codes, least, spread = kv_codes.kivi_codes(values, bits)
    found = kv_dot.outputs(p, spread, least, codes, bits)
    top = 2**bits - 1
    exact = [sum(int(p[t]) * (top * int(least[t]) + int(spread[t]) * int(codes[t, c]))
                 for t in range(100)) for c in range(32)]  # fmt: skip
    assert found.tolist() == exact
    rebuilt = (p[:, None] * kv_codes.kivi_values(codes, least[:, None], spread[:, None], bits)).sum(
        0
    )
    assert np.abs(found / top - rebuilt).max() <= 0.5 * p.sum()


@pytest.mark.parametrize(("sinks", "span"), [(4, 8), (0, 5), (3, 1), (16, 16)])
def test_ring_holds_what_the_mask_shows(sinks, span):
    slots = {}
    for token in range(80):
        slots[int(kv_codes.ring_slot(token, sinks, span))] = token
        seen = {key for key in range(100) if kv_codes.visible(token, key, sinks, span)}
        assert set(slots.values()) >= seen and len(slots) == min(token + 1, sinks + span)
        assert set(slots.values()) == seen
        assert kv_codes.ring_tokens(token, sinks, span).tolist() == [
            slots[k] for k in sorted(slots)
        ]


def test_residual_window_of_kivi():
    residual, keys, values, quantised = 8, [], [], {"k": [], "v": []}
    for token in range(60):
        keys.append(token)
        values.append(token)
        if len(keys) == residual:
            quantised["k"] += keys
            keys = []
        if len(values) > residual:
            quantised["v"].append(values.pop(0))
        found = kv_codes.window(token + 1, residual)
        assert (found["full_k"], found["full_v"]) == (len(keys), len(values))
        assert bool(found["k"]) == (not keys)
        assert bool(found["v"]) == (quantised["v"][-1:] == [token - residual])
        # Prefill: keys up to the last multiple of the window.
        assert len(quantised["k"]) == (token + 1) // residual * residual
