# SPDX-License-Identifier: Apache-2.0
"""Weights of files: anchors of the sheet, and formulas of one element at a time."""

import itertools
from math import ceil

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm import lut, lut_ternary, transcode


def tensors(n=3, k=512, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(-1, 2, (k, n)), rng.standard_normal((k // 256, n)).astype(np.float16)


def test_tq1_0_bytes_of_the_sheet():
    anchors = {(0,) * 5: 128, (-1,) * 5: 0, (1,) * 5: 255, (1, 0, -1, 1, -1): 206}
    for trits in itertools.product((-1, 0, 1), repeat=5):
        w = np.zeros((256, 1), dtype=int)
        w[[7 + 32 * place for place in range(5)], 0] = trits
        data = transcode.to_tq1_0(w, [[1]])
        number = sum((t + 1) * 3 ** (4 - place) for place, t in enumerate(trits))
        assert data[7] == ceil(number * 256 / 243)
        assert data[7] == anchors.get(trits, data[7])
        assert_array_equal(transcode.from_tq1_0(data, 1, 256)[0], w)


def element_of_tq1_0(block, e):
    """One element of the bytes of a block, by the rule of D.1.4."""
    if e < 160:
        at, place = e % 32, e // 32
    elif e < 240:
        at, place = 32 + (e - 160) % 16, (e - 160) // 16
    else:
        at, place = 48 + (e - 240) % 4, (e - 240) // 4
    return (int(block[at]) * 3**place % 256 * 3 >> 8) - 1


def element_of_tq2_0(block, e):
    half, rest = divmod(e, 128)
    line, m = divmod(rest, 32)
    return (int(block[32 * half + m]) >> 2 * line & 3) - 1


@pytest.mark.parametrize(
    ("read", "write", "element", "size"),
    [
        (transcode.from_tq1_0, transcode.to_tq1_0, element_of_tq1_0, 54),
        (transcode.from_tq2_0, transcode.to_tq2_0, element_of_tq2_0, 66),
    ],
    ids=["tq1_0", "tq2_0"],
)
def test_blocks_both_ways(read, write, element, size):
    w, scales = tensors()
    data = write(w, scales)
    assert len(data) == 6 * size
    found, factors = read(data, 3, 512)
    assert_array_equal(found, w)
    assert_array_equal(factors, scales.astype(np.float32))
    for block, (n, part) in zip(
        data.reshape(6, size), itertools.product(range(3), range(2)), strict=True
    ):
        expected = w[256 * part : 256 * part + 256, n]
        assert [element(block, e) for e in range(256)] == expected.tolist()
        assert block[-2:].tobytes() == scales[part, n].tobytes()


@pytest.mark.parametrize("size", [54, 66])
def test_any_bytes_of_tq1_0_and_illegal_ones_of_tq2_0(size):
    data = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    if size == 54:
        w, _ = transcode.from_tq1_0(data, 1, 256)
        assert w[:, 0].tolist() == [element_of_tq1_0(data, e) for e in range(256)]
    else:
        with pytest.raises(ValueError, match="code 3 of TQ2_0 is no ternary weight"):
            transcode.from_tq2_0(data, 1, 256)


def test_i2_s():
    w, _ = tensors(4, 96)
    data = transcode.to_i2_s(w, 0.3)
    assert len(data) == 96 + 32
    found, scale = transcode.from_i2_s(data, 4, 96)
    assert_array_equal(found, w)
    assert scale == np.float32(0.3)
    flat = w.T.ravel()
    for j in range(384):
        block, e = divmod(j, 128)
        assert (int(data[32 * block + e % 32]) >> 6 - 2 * (e // 32) & 3) - 1 == flat[j]
    data[0] |= 3
    with pytest.raises(ValueError, match="code 3 of I2_S is no ternary weight"):
        transcode.from_i2_s(data, 4, 96)


def test_i2_s_with_four_rows_a_byte():
    w, _ = tensors(8, 96)
    data = transcode.to_i2_s_rows(w, 2.0)
    found, scale = transcode.from_i2_s_rows(data, 8, 96)
    assert_array_equal(found, w)
    assert scale == 2
    for n, k in itertools.product(range(8), range(96)):
        assert (int(data[n // 4 * 96 + k]) >> 6 - 2 * (n % 4) & 3) - 1 == w[k, n]


@pytest.mark.parametrize(
    ("bits", "bm", "kfactor"), [(1, 32, 8), (2, 128, 16), (3, 192, 8), (4, 256, 16)]
)
def test_tmac(bits, bm, kfactor):
    rng = np.random.default_rng(bits)
    n, k = bm * 2 // bits, 8 * kfactor
    codes = rng.integers(0, 1 << bits, (k, n))
    data = transcode.to_tmac(codes, bits, bm, kfactor)
    assert data.shape == (2, 2, bm // 32, kfactor, 16)
    assert_array_equal(transcode.from_tmac(data, n, k, bits, bm, kfactor), codes)
    # By hand: planes of eight outputs one after the other are rows; four codes make a nibble.
    rows = [
        [codes[:, base + o] >> plane & 1 for o in range(8)]
        for base in range(0, n, 8)
        for plane in range(bits)
    ]
    rows = np.array(rows).reshape(n * bits, k // 4, 4) @ (1 << np.arange(4))
    for tile, far, group, near, place in itertools.product(*map(range, data.shape)):
        row = tile * bm + group * 32 + place
        low, high = rows[row, far * kfactor + near], rows[row + 16, far * kfactor + near]
        assert data[tile, far, group, near, place] == low | high << 4


def test_refusals():
    w, scales = tensors()
    for call, message in (
        (lambda: transcode.from_tq1_0(bytes_of(54), 1, 255), "K must be a multiple of 256"),
        (lambda: transcode.from_tq1_0(bytes_of(53), 1, 256), "54 bytes are needed, not 53"),
        (lambda: transcode.to_tq2_0(w * 2, scales), "weights must be a matrix of -1, 0 and 1"),
        (lambda: transcode.to_tq2_0(w, scales[:1]), r"scales must have shape \(2, 3\), not \(1, 3"),
        (lambda: transcode.from_i2_s_rows(bytes_of(9), 6, 64), "rows of I2_S must be a multiple"),
        (lambda: transcode.to_i2_s(w[:5], 1), "weights of I2_S must be a multiple of 128, not 15"),
        (lambda: transcode.to_tmac(w, 2), "outputs must be a multiple of 8, not 3"),
        (lambda: transcode.to_tmac(np.full((64, 256), 4), 2), "codes must have 2 bits"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def bytes_of(size):
    return np.zeros(size, dtype=np.uint8)


def test_files_reach_the_engines():
    """TQ1_0 to keys of five weights, and to two bit planes of the engine of binary tables."""
    w, scales = tensors(4, 256)
    read, _ = transcode.from_tq1_0(transcode.to_tq1_0(w, scales), 4, 256)
    p = {"engine": "lut-ternary", "act": "int8", "rows": 1, "columns": 4, "tables": 2, "group": 5}
    words = lut_ternary.pack_weights(p, read)
    assert_array_equal(lut_ternary.unpack_weights(p, words, 256, 4), w)
    p |= {"bits": 2, "planes": 1, "zero_point": None, "table_kind": "half", "group": 4}
    p["table_source"] = "builder"
    assert_array_equal(lut.unpack_weights(p, lut.pack_weights(p, read), 256, 4), w)
