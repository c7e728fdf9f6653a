# SPDX-License-Identifier: Apache-2.0
"""Packed weight images: what they hold, and which are refused."""

import struct
import zlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm.image import layout, pack, unpack
from sim.golden.mpgemm.unit import Unit

BASE = {"act": "int8", "rows": 2, "columns": 3, "max_k": 64, "acc_bits": 26, "zero_point": None}
ARRAY = BASE | {"format": "int4", "lanes": 2, "group": None, "scale": None, "sum": None, "depth": 4}
LUT = BASE | {"bits": 4, "planes": 3, "group": 3, "tables": 2, "table_source": "builder"}
PQ = BASE | {"subvector": 3, "centroids": 4, "distance": "l1", "entry_bits": 5}


def array(flow, **others):
    return {"unit": "array", "parameters": ARRAY | {"dataflow": flow} | others}


def mpgemm(engine, parameters):
    return {"unit": "mpgemm", "parameters": {"engine": engine} | parameters}


UNITS = [
    *((array(flow), 0, 16, 0) for flow in ("broadcast", "tree", "cube", "os", "ws", "is")),
    (array("cube", group=8, scale="fp16", sum="fp32-seq"), 0, 16, 0),
    (mpgemm("shift-add", ARRAY), 0, 16, 0),
    (mpgemm("lut", LUT | {"table_kind": "half"}), -8, 8, 0),
    (mpgemm("lut", LUT | {"table_kind": "half"}), -2, 2, 2),
    (mpgemm("lut", LUT | {"table_kind": "full", "zero_point": 3}), -3, 13, 0),
    (mpgemm("lut-ternary", BASE | {"group": 5, "tables": 1}), -1, 2, 0),
    (mpgemm("ternary-add", BASE | {"lanes": 5}), -1, 2, 0),
    (mpgemm("bit-plane", BASE | {"lanes": 5, "bits": 3, "scheme": "twos"}), -4, 4, 0),
    (mpgemm("codebook", BASE | {"lanes": 5, "book": "nf4"}), 0, 16, 0),
]
NAMES = [f"{m['parameters'].get('engine', m['parameters'].get('dataflow'))}" for m, *_ in UNITS]


@pytest.mark.parametrize(("manifest", "low", "high", "bits"), UNITS, ids=NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (6, 3), (13, 7)])
def test_round_trip(manifest, low, high, bits, shape):
    rng = np.random.default_rng(shape)
    w = rng.integers(low, high, shape)
    image = unpack(manifest, pack(manifest, w, bits))
    assert (image.k, image.n, image.bits) == (*shape, bits)
    assert_array_equal(image.matrix(), w)
    for m in (1, 4, 9):
        assert image.packet(m) == Unit.of(manifest).weights(w, m, bits)


def test_tables_of_product_quantisation():
    manifest, rng = mpgemm("pq", PQ), np.random.default_rng(1)
    tables = rng.integers(-16, 16, (3, 4, 5))
    image = unpack(manifest, pack(manifest, tables))
    assert (image.k, image.n) == (9, 5)
    assert_array_equal(image.matrix(), tables)
    short = mpgemm("pq", PQ | {"max_k": 8})
    image = unpack(short, pack(short, tables))
    assert image.k == 8
    assert_array_equal(image.matrix(), tables)
    with pytest.raises(ValueError, match="K must be 1 to 8, which is max_k, not 10"):
        pack(short, np.zeros((4, 4, 5), int))


def test_bytes_are_those_of_the_definition():
    """A step of two codes for each of three columns: nibbles, column 0 lowest."""
    data = pack(array("cube"), [[1, 2, 3, 4], [5, 6, 7, 8]])
    magic, version, bits, k, n, size, count, length = struct.unpack_from("<8sHHIIIQI", data)
    assert (magic, version, bits) == (b"BITLOOMW", 1, 0)
    assert (k, n, size, count) == (2, 4, 3, 2)
    assert data[68 + length :].hex(" ") == "51 62 73 84 00 00 " + data[-4:].hex(" ")
    assert data[68 : 68 + length].startswith(b'{"columns":3,"engine":"array","format":"int4"')


def test_layouts_are_shared_where_beats_are():
    flows = ("broadcast", "tree", "cube", "os")
    same = [array(flow, rows=rows) for rows, flow in enumerate(flows, 1)]
    same += [mpgemm("shift-add", ARRAY), array("cube", act="int4", max_k=9, acc_bits=20)]
    assert all(layout(manifest) == layout(same[0]) for manifest in same)
    data = pack(array("tree"), np.ones((5, 4), int))
    assert_array_equal(unpack(array("cube"), data).matrix(), 1)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (array("cube", columns=4), "packed for columns 3, not 4"),
        (array("cube", lanes=1), "packed for lanes 2, not 1"),
        (array("cube", format="sm4"), "packed for format int4, not sm4"),
        (array("ws"), "packed for operands in place, not ws"),
        (mpgemm("ternary-add", BASE | {"lanes": 2}), "packed for engine array, not ternary-add"),
        (array("cube", max_k=4), "K must be 1 to 4, which is max_k, not 5"),
    ],
)
def test_other_parameters_are_refused(other, message):
    with pytest.raises(ValueError, match=message):
        unpack(other, pack(array("cube"), np.ones((5, 4), int)))


def test_damage_is_refused():
    manifest = array("cube")
    data = pack(manifest, np.arange(20).reshape(5, 4) % 16)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"begins with|bytes"):
            unpack(manifest, data[:length])
    with pytest.raises(ValueError, match=f"must have {len(data)} bytes, not {len(data) + 1}"):
        unpack(manifest, data + b"\0")
    for at in range(len(data)):
        with pytest.raises(ValueError, match=r"^.+, not .+$"):
            unpack(manifest, data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])


def forged(data, at, value):
    """The image with another 4 bytes at a place, and a CRC that is right."""
    body = data[:at] + value.to_bytes(4, "little") + data[at + 4 : -4]
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_sizes_must_be_those_of_the_beats():
    manifest = array("cube")
    data = pack(manifest, np.ones((5, 4), int))
    for at, value, message in (
        (12, 9, "weights 9 x 4 have 30 bytes, not 18"),
        (16, 0, "N must be 1 to 65535, not 0"),
        (36, 0, "hash of the image's parameters is 00000000"),
    ):
        with pytest.raises(ValueError, match=message):
            unpack(manifest, forged(data, at, value))
    with pytest.raises(ValueError, match="version 2, not 1"):
        unpack(manifest, forged(data, 8, 2))


@pytest.mark.parametrize(
    ("manifest", "w", "bits", "message"),
    [
        (array("cube"), np.ones(3, int), 0, r"matrix of K rows and N columns, not \(3,\)"),
        (array("cube"), np.ones((0, 3), int), 0, r"not \(0, 3\)"),
        (array("cube"), np.full((1, 1), 16), 0, "codes must have 4 bits"),
        (array("cube"), np.ones((65, 1), int), 0, "K must be 1 to 64, which is max_k, not 65"),
        (array("cube"), np.ones((1, 1), int), 1, "refuses jobs of 1 bit planes: unsupported mode"),
        (array("cube", dataflow="torus"), np.ones((1, 1), int), 0, "not 'torus'"),
        (mpgemm("lut", LUT | {"table_kind": "half"}), [[2]], 2, "weights must be -2 to 1, not 2"),
        (mpgemm("abacus", BASE), [[2]], 0, "engine must be array or mpgemm .*, not mpgemm abacus"),
        ({"unit": "pe", "parameters": {}}, [[2]], 0, "not pe"),
    ],
)
def test_what_cannot_be_packed(manifest, w, bits, message):
    with pytest.raises(ValueError, match=message):
        pack(manifest, w, bits)
