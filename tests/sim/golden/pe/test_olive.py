# SPDX-License-Identifier: Apache-2.0
"""Outlier-victim pairs against the tables of the paper's sheet and a decoder by cases."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.formats import decode
from sim.golden.pe.olive import acc_bits, decode_pairs, run, vectors

#: Magnitudes of the 4-bit outlier codes 000 to 111 (sheet A.0).
OUTLIERS = {
    "int4": [0, 12, 16, 24, 32, 48, 64, 96],
    "flint4": [0, 24, 32, 48, 64, 96, 128, 192],
}
NORMALS = {"int4": [0, 1, 2, 3, 4, 5, 6, 7], "flint4": [0, 1, 2, 3, 16, 8, 4, 6]}


def parameters(name, **others):
    return {"format": name, "act": name, "lanes": 2, "max_k": 256, "core": "stream", **others}


@pytest.mark.parametrize("name", OUTLIERS)
def test_all_pairs_of_four_bits(name):
    for first in range(16):
        for second in range(16):
            got = decode_pairs(name, [first, second]).tolist()
            expected = [0, 0]
            for k, (own, other) in enumerate(((first, second), (second, first))):
                if own != 8 and other == 8:
                    expected[k] = OUTLIERS[name][own % 8] * (-1 if own > 8 else 1)
                elif own != 8:
                    positive = NORMALS[name][own % 8] * (-1 if own > 8 else 1)
                    expected[k] = own - 16 if name == "int4" and own > 8 else positive
            assert got == expected, (first, second)


@pytest.mark.parametrize(("name", "table"), [("int4", "abfloat4_2"), ("flint4", "abfloat4_3")])
def test_outliers_are_the_code_book(name, table):
    codes = np.array([c for c in range(16) if c != 8])
    pairs = np.stack([codes, np.full(15, 8)], axis=1)
    assert_array_equal(decode_pairs(name, pairs)[:, 0], decode(parse(table), codes)[0])
    assert_array_equal(decode_pairs(name, pairs[:, ::-1])[:, 1], decode(parse(table), codes)[0])


def test_eight_bits():
    codes = np.arange(256)
    normal = np.where(codes == 128, 0, (codes + 128) % 256 - 128)
    other = np.full(256, 5)
    assert_array_equal(decode_pairs("int8", np.stack([codes, other], 1))[:128, 0], normal[:128])
    outlier = decode_pairs("int8", np.stack([codes, np.full(256, 128)], 1))
    assert not outlier[:, 1].any()
    assert outlier[0, 0] == outlier[128, 0] == 0
    assert outlier[1, 0] == 9 << 4  # the smallest lies above every normal value
    assert outlier[8, 0] == 8 << 5
    for code in range(1, 128):
        magnitude = min((8 + code % 8) << code // 8 + 4, 1 << 15)
        assert outlier[code, 0] == magnitude
        assert outlier[code + 128, 0] == -magnitude


def test_all_pairs_of_pairs_multiply():
    """Every weight pair meets every activation pair: 65 536 products of two elements."""
    pairs = np.stack(np.divmod(np.arange(256), 16), axis=1)
    a, w = np.repeat(pairs, 256, axis=0), np.tile(pairs, (256, 1))
    acc = run(parameters("int4"), {"a": a, "w": w, "last": np.ones(len(a), bool)})["acc"]
    table = decode_pairs("int4", pairs)
    assert_array_equal(acc.astype(int), (table @ table.T).ravel())


@pytest.mark.parametrize("name", ["int4", "flint4", "int8"])
@pytest.mark.parametrize("max_k", [2, 7, 256])
def test_the_largest_sum_meets_the_width(name, max_k):
    p = parameters(name, max_k=max_k)
    pairs = -(-max_k // 2)
    bits = parse(name).bits
    codes = np.tile([(1 << bits - 1) - 1, 1 << bits - 1], (pairs, 1))
    last = np.arange(pairs) == pairs - 1
    total = int(run(p, {"a": codes, "w": codes, "last": last})["acc"][0])
    assert total.bit_length() == acc_bits(p) - 1


@pytest.mark.parametrize("core", ["stream", "accumulate", "dot"])
@pytest.mark.parametrize("name", ["int4", "flint4", "int8"])
def test_vectors_reach_every_kind_of_pair(name, core):
    p = parameters(name, lanes=4, core=core, max_k=64)
    v = vectors(p, np.random.default_rng(1), 600)
    mark = 1 << parse(name).bits - 1
    kinds = {side: {(x == mark, y == mark) for x, y in v[side][:, :2].tolist()} for side in "aw"}
    assert kinds["a"] == kinds["w"] and len(kinds["a"]) == 4
    assert all(len(field) == 600 for field in v.values())
    sums = run(p, v)["p" if core == "dot" else "acc"].tolist()
    bound = 1 << acc_bits(p) - 1
    assert all(-bound <= total < bound for total in sums)
    if core == "stream":
        assert max(sums) == -min(sums) >= bound // 2
        assert len(sums) == v["last"].sum()


def test_refusals():
    with pytest.raises(ValueError, match="format must be one of int4, flint4, int8, not 'e2m1'"):
        decode_pairs("e2m1", [0, 0])
    with pytest.raises(ValueError, match="must come in pairs, not 3"):
        decode_pairs("int4", [0, 0, 0])
    with pytest.raises(ValueError, match="code 16 is not a code of int4"):
        decode_pairs("int4", [0, 16])
    with pytest.raises(ValueError, match="act must be 'int4' as format is, not 'int8'"):
        run(parameters("int4", act="int8"), {"a": [[0, 0]], "w": [[0, 0]], "last": [True]})
