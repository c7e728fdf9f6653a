# SPDX-License-Identifier: Apache-2.0
"""T-MAN: one packed weight file feeds both the lookup engine and the MAC array."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm.image import pack, unpack
from sim.golden.mpgemm.plane_major import (
    dequantized,
    expansion_table,
    level_one,
    operand_tables,
    parallel_codes,
    view_codes,
    view_macs,
    wiring,
)
from sim.golden.mpgemm.unit import Unit
from sim.golden.mpgemm.words import stream_bytes

BASE = {"act": "int8", "rows": 2, "max_k": 64, "acc_bits": 30}
CUBE = BASE | {"dataflow": "cube", "format": "int5", "group": None, "scale": None, "sum": None}


def lut(bits, planes, kind, zero, group=4, tables=1, columns=3):
    p = {"engine": "lut", "bits": bits, "planes": planes, "group": group, "tables": tables}
    p |= {"table_kind": kind, "zero_point": zero, "table_source": "builder", "columns": columns}
    return {"unit": "mpgemm", "parameters": BASE | p}


def cube(columns=3, lanes=4, **others):
    return {"unit": "array", "parameters": CUBE | {"columns": columns, "lanes": lanes} | others}


KINDS = [
    lut(4, 1, "half", None),
    lut(4, 3, "half", None, tables=2),
    lut(4, 4, "full", None, columns=2),
    lut(3, 2, "full", 5),
    lut(2, 1, "half", 1, group=3),
    lut(1, 1, "half", None, group=5),
]


def product(manifest, a, image, words):
    unit = Unit.of(manifest)
    streams = unit.job(a & 255, words, image.n)
    out = unit.module.run(unit.parameters, streams)["m_axis_out"]
    return unit.results(len(a), image.n, image.k, out)[0].astype(np.int64)


@pytest.mark.parametrize("manifest", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (5, 7, 13), (3, 4, 31)])
def test_t_man_both_engines_give_equal_integers(manifest, shape):
    m, n, k = shape
    rng = np.random.default_rng(shape)
    p = manifest["parameters"]
    low = -(1 << p["bits"] - 1) if p["zero_point"] is None else -p["zero_point"]
    w = rng.integers(low, low + (1 << p["bits"]), (k, n))
    a = rng.integers(-128, 128, (m, k))
    data = pack(manifest, w)
    image = unpack(manifest, data)
    assert_array_equal(operand_tables(image)[0][parallel_codes(image)], w)
    decode = product(manifest, a, image, image.packet(m))
    for array in (cube(), cube(columns=2, lanes=3)):
        beats = list(view_macs(image, array)) * -(-m // BASE["rows"])
        prefill = product(array, a, image, beats)
        assert_array_equal(decode, a @ w)
        assert_array_equal(prefill, decode)


def test_groups_have_their_own_scales_and_zero_points():
    """The MAC array dequantises; the lookup engine's sums of each group are scaled afterwards."""
    manifest, rng = lut(2, 1, "full", 0), np.random.default_rng(5)
    k, n, m, group = 27, 5, 3, 8
    u, a = rng.integers(0, 4, (k, n)), rng.integers(-128, 128, (m, k))
    s, z = np.array([1, -3, 5, 2]), np.array([0, 1, 3, 2])
    image = unpack(manifest, pack(manifest, u))
    array = cube(format="int8")
    beats = list(view_macs(image, array, dequantized(s, z, 2), group)) * 2
    due = np.zeros((m, n), dtype=np.int64)
    for g in range(len(s)):
        own = np.where(np.arange(k) // group == g, a, 0)
        sums = product(manifest, own, image, image.packet(m))
        due += s[g] * (sums - z[g] * own.sum(axis=1)[:, None])
    assert_array_equal(product(array, a, image, beats), due)


def test_level_one_by_hand():
    """Four two-bit codes 1, 2, 3, 0: plane 0 is 0101, plane 1 is 0110."""
    assert expansion_table(0, 2)[0b0101] == 0b00_01_00_01
    assert expansion_table(1, 2)[0b0110] == 0b00_10_10_00
    assert level_one([0b0101, 0b0110]).tolist() == [1, 2, 3, 0]
    assert expansion_table(2, 3, 2).tolist() == [0, 4, 32, 36]


@pytest.mark.parametrize("manifest", [m for m in KINDS if m["parameters"]["table_kind"] == "full"])
def test_level_one_is_a_permutation_of_bits(manifest):
    """Every used bit of a step's beats goes to one place; expansion tables say the same."""
    p, rng = manifest["parameters"], np.random.default_rng(1)
    place = wiring(p)
    used = p["columns"] * p["planes"] * p["tables"] * p["group"]
    beats = -(-p["bits"] // p["planes"])
    assert sorted(place.ravel().tolist()) == list(range(beats * used))
    words = [int.from_bytes(rng.bytes(stream_bytes(used))) >> 1 for _ in range(beats)]
    bits = np.array([word >> at & 1 for word in words for at in range(used)])
    codes = (bits[place] << np.arange(place.shape[2])).sum(axis=-1)
    for c in range(p["columns"]):
        for table in range(p["tables"]):
            keys = [
                words[t // p["planes"]]
                >> ((c * p["planes"] + t % p["planes"]) * p["tables"] + table) * p["group"]
                & (1 << p["group"]) - 1
                for t in range(place.shape[2])
            ]
            own = slice(table * p["group"], (table + 1) * p["group"])
            assert_array_equal(codes[c, own], level_one(keys, p["group"]))


def test_fewer_planes():
    manifest = lut(4, 1, "half", None)
    w = np.array([[-2, 1], [0, -1], [1, 1]])
    image = unpack(manifest, pack(manifest, w, 2))
    assert_array_equal(operand_tables(image)[0][parallel_codes(image)], w)


def test_bad_input():
    manifest = lut(2, 1, "full", 0)
    image = unpack(manifest, pack(manifest, [[3], [2], [1]]))
    with pytest.raises(ValueError, match="K of 3 has 2 groups of 2, not 1 tables"):
        view_codes(image, [[0, 1, 2, 3]], 2, "int4")
    with pytest.raises(ValueError, match="code 3 has no entry in a table of 2"):
        view_codes(image, [[0, 1]], 3, "int4")
    with pytest.raises(ValueError, match="int4 has no 9, which a table holds"):
        view_codes(image, [[0, 1, 2, 9]], 3, "int4")
    with pytest.raises(ValueError, match="for the engine lut, not for array"):
        parallel_codes(unpack(cube(), pack(cube(), [[1]])))
