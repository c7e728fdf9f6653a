# SPDX-License-Identifier: Apache-2.0
"""Engine ``lut`` against tables that are built and looked up as the sheet's A.0 says."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm import lut, table_beats
from sim.golden.mpgemm.frame import unpack_out
from sim.golden.mpgemm.jobs import job_word
from tests.sim.golden.mpgemm.tables import (
    Machine,
    binary_table,
    binary_value,
    jobs_of,
    split_out,
)


def parameters(**others):
    base = {"engine": "lut", "act": "int8", "rows": 2, "columns": 3, "max_k": 40, "acc_bits": 24}
    base |= {"pipeline": 0, "target": "gates", "bits": 4, "scheme": "twos", "zero_point": None}
    base |= {"group": 4, "tables": 1, "planes": 1, "table_kind": "half"}
    return {**base, "table_source": "builder", **others}


def lookups(p, bits):
    """Sum of a step and a column by lookups (D1 or D2 of A.0.1)."""
    group, tables, planes = p["group"], p["tables"], p["planes"]
    serial = planes < p["bits"]
    own = (bits or p["bits"]) if serial else p["bits"]
    beats = -(-own // planes)
    count = beats * planes
    zero = p["zero_point"]

    def column(a, words, c, _):
        total = 0
        for t, table in itertools.product(range(count), range(tables)):
            at = ((c * planes + t % planes) * tables + table) * group
            key = words[t // planes] >> at & (1 << group) - 1
            mine = a[table * group : (table + 1) * group]
            if p["table_kind"] == "half":
                total += binary_value(binary_table(mine), key, group) << t
            else:
                subset = sum(x for i, x in enumerate(mine) if key >> i & 1)
                top = t == count - 1 and zero is None
                total += -(subset << t) if top else subset << t
        if p["table_kind"] == "full":
            return total - (zero or 0) * sum(a)
        offset = 1 << count - 1 if zero is None else zero
        doubled = total + ((1 << count) - 1 - 2 * offset) * sum(a)
        assert doubled % 2 == 0
        return doubled // 2

    return Machine(p, group * tables, beats, column)


CASES = [
    {},
    {"table_kind": "full"},
    {"planes": 3},
    {"planes": 4, "tables": 2, "group": 2},
    {"planes": 3, "table_kind": "full", "bits": 8, "group": 3},
    {"bits": 1, "act": "uint4", "group": 5},
    {"bits": 1, "act": "int4", "table_kind": "full", "tables": 3},
    {"scheme": "offset"},
    {"scheme": "offset", "zero_point": 3, "planes": 2, "bits": 3},
    {"scheme": "offset", "zero_point": 0, "table_kind": "full", "bits": 2},
    {"act": "ternary", "rows": 1, "columns": 1, "bits": 2, "group": 3},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vectors_against_lookups(case):
    p = parameters(**case)
    streams = lut.vectors(p, np.random.default_rng(1), 14)
    outs = split_out(lut.run(p, streams))
    for (job, act, wgt), out in zip(jobs_of(streams), outs, strict=True):
        c, nan = unpack_out(p, job.m, job.n, out)
        assert c.tolist() == lookups(p, job.bits).run(job, act, wgt)
        assert not nan.any()


@pytest.mark.parametrize("act", ["int8", "int4", "uint8"])
@pytest.mark.parametrize("group", [2, 3, 4, 5])
def test_every_key_and_corner(act, group):
    """One group: all keys times all corner vectors."""
    low, high = {"int8": (-128, 127), "int4": (-8, 7), "uint8": (0, 255)}[act]
    corners = [[low] * group, [high] * group, [0] * group]
    corners += [[(low, high)[i % 2] for i in range(group)]]
    corners += [[low * (i == hot) for i in range(group)] for hot in range(group)]
    for folded, a in itertools.product(range(1 << group), corners):
        plain = int(lut.unfold(folded, group))
        signs = [1 if plain >> i & 1 else -1 for i in range(group)]
        plain_sum = sum(s * x for s, x in zip(signs, a, strict=True))
        assert binary_value(binary_table(a), folded, group) == plain_sum
        assert int(lut.fold(plain, group)) == folded


PORT = {"table_source": "port", "tables": 2, "group": 3}


@pytest.mark.parametrize("case", [*CASES, PORT, {**PORT, "table_kind": "full"}], ids=str)
@pytest.mark.parametrize("bits", [0, 1, 2])
def test_products_and_both_ways(case, bits):
    p = parameters(**case, max_k=100)
    rng = np.random.default_rng(bits)
    if bits > p["bits"]:
        return
    low, high = lut.weight_range(p, bits)
    w = rng.integers(low, high + 1, (37, 7))
    signed = {"int8": 8, "int4": 4, "ternary": 2}.get(p["act"])
    a = rng.choice([0, 1, 3] if p["act"] == "ternary" else 1 << (signed or 4), (5, 37))
    values = np.where(a >> signed - 1, a - (1 << signed), a) if signed else a
    for padding in (None, rng):
        words = lut.pack_weights(p, w, 5, bits, padding)
        assert_array_equal(lut.unpack_weights(p, words, 37, 7, bits), w)
        act = lut.pack_act(p, a, 7, padding)
        streams = {"s_axis_job": {"tdata": [job_word(5, 7, 37, bits)]}}
        for name, packet in (("s_axis_act", act), ("s_axis_wgt", words)):
            streams[name] = {"tdata": packet, "tlast": [0] * (len(packet) - 1) + [1]}
        c, _ = unpack_out(p, 5, 7, lut.run(p, streams)["m_axis_out"])
        assert_array_equal(c.astype(np.int64), values @ w)


def test_layout_by_hand():
    """Two columns, one table of two activations, three planes of which two come in a beat."""
    p = parameters(rows=1, columns=2, group=2, bits=3, planes=2, table_kind="full")
    w = np.array([[-4, 3], [1, -1]])
    # Mod 16: 12 and 1, 3 and 15. Keys by planes of column 0: 2 0 1 1, of column 1: 3 3 2 2.
    assert lut.pack_weights(p, w) == [0b11_11_00_10, 0b10_10_01_01]
    half = parameters(rows=1, columns=2, group=2, bits=3, planes=2)
    # Plus 8: 4 and 9, 11 and 7. Keys 2 0 1 2 and 3 3 2 1, folded 2 1 0 2 and 3 3 2 0.
    assert lut.pack_weights(half, w) == [0b11_11_01_10, 0b00_10_10_00]


@pytest.mark.parametrize("case", [{}, {"planes": 3, "tables": 2, "group": 3}], ids=str)
def test_the_last_job_has_every_key(case):
    p = parameters(**case)
    *_, (job, _, wgt) = jobs_of(lut.vectors(p, np.random.default_rng(1), 2))
    group, tables, planes = p["group"], p["tables"], p["planes"]
    beats, seen = -(-4 // planes), set()
    for at, word in enumerate(wgt):
        for c, plane, table in itertools.product(range(3), range(planes), range(tables)):
            t = at % beats * planes + plane
            key = word >> ((c * planes + plane) * tables + table) * group & (1 << group) - 1
            if t < 4:
                seen.add((t, table, key))
    assert job.k == group * tables
    assert len(seen) == 4 * tables << group


def test_refusals():
    with pytest.raises(ValueError, match="weights must be -8 to 7, not -8 to 8"):
        lut.pack_weights(parameters(), [[-8], [8]])
    with pytest.raises(ValueError, match="weights must be -3 to 4, not 5 to 5"):
        lut.pack_weights(parameters(scheme="offset", zero_point=3), [[5]], bits=3)


def test_fewer_planes_only_where_they_come_one_after_the_other():
    assert lut.planes_of(parameters(planes=4), 2) == (4, 1)
    assert lut.planes_of(parameters(planes=3), 2) == (2, 1)
    assert lut.planes_of(parameters(), 0) == (4, 4)
    streams = lut.vectors(parameters(), np.random.default_rng(1), 14)
    assert {job.bits for job, _, _ in jobs_of(streams)} == {0, 1, 2, 3}
    streams = lut.vectors(parameters(planes=4), np.random.default_rng(1), 14)
    assert {job.bits for job, _, _ in jobs_of(streams)} == {0}


@pytest.mark.parametrize("planes", [1, 3])
def test_faulty(planes):
    p = parameters(planes=planes)
    streams = lut.faulty(p, np.random.default_rng(1))
    codes = [out["tuser"][-1] & 15 for out in split_out(lut.run(p, streams))]
    assert set(codes) == set(range(8))
    assert {job.bits for job, _, _ in jobs_of(streams)} >= {0, 3}


@pytest.mark.parametrize("kind", ["half", "full"])
@pytest.mark.parametrize("act", ["int8", "uint4", "ternary"])
def test_vectors_with_tables_by_the_port(kind, act):
    p = parameters(table_kind=kind, act=act, **PORT)
    outs = split_out(lut.run(p, lut.vectors(p, np.random.default_rng(1), 14)))
    assert [out["tuser"][-1] for out in outs] == [0] * 14


def test_tables_that_are_none():
    p = parameters(table_kind="full", act="int4", group=2, rows=1, table_source="port")
    values = table_beats.table_values(p)
    assert values(np.array([[[0, 5, 3, 8]]]), 2).tolist() == [[5, 3]]
    with pytest.raises(ValueError, match="a beat of tables is none of activations"):
        values(np.array([[[0, 5, 3, 9]]]), 2)


@pytest.mark.parametrize("kind", ["half", "full"])
def test_table_beats_by_hand(kind):
    p = parameters(table_kind=kind, act="int4", group=2, rows=1, table_source="port")
    entries = [3 - 5, 3 + 5] if kind == "half" else [0, 5, 3, 8]
    width = 6 if kind == "half" else 5
    word = sum((entry & (1 << width) - 1) << at * width for at, entry in enumerate(entries))
    assert table_beats.table_fields(p) == table_beats.Fields(len(entries), width)
    assert lut.pack_act(p, [[5, 3]], 1) == [word]
    with pytest.raises(ValueError, match="a beat of tables is none of activations"):
        streams = {"s_axis_job": {"tdata": [job_word(1, 1, 1)]}}
        for name, data in (("s_axis_act", word), ("s_axis_wgt", 0)):
            streams[name] = {"tdata": [data], "tlast": [1]}
        lut.run({**p, "planes": 4}, streams)


def test_entry_widths_of_the_sheet():
    """A.0.3."""
    rows = {
        ("int8", False): [9, 10, 10, 11, 11, 11],
        ("int8", True): [10, 10, 11, 11, 11, 12],
        ("uint8", False): [10, 11, 11, 12, 12, 12],
        ("int4", True): [6, 6, 7, 7, 7, 8],
        ("int16", True): [18, 18, 19, 19, 19, 20],
    }
    for (act, half), widths in rows.items():
        found = [table_beats.entry_width(act, group, half) for group in (2, 3, 4, 5, 6, 8)]
        assert found == widths


def test_cycles():
    p = parameters(columns=64, tables=2)
    # Four steps of four planes, six tiles, the last of one row.
    assert lut.cycles(p, 5, 65, 32) == 6 * 16 + 1 + 3
    assert lut.cycles(p, 5, 65, 32, 2) == 6 * 8 + 1 + 3
    assert lut.cycles({**p, "pipeline": 2}, 5, 65, 32, 2) == 6 * 8 + 1 + 5
    # Rows bound.
    assert lut.cycles({**p, "planes": 4}, 4, 129, 8) == 5 * 2 + 1 + 2 + 3
    # One row needs no copy to leave from.
    assert lut.cycles({**p, "rows": 1}, 2, 65, 32) == 4 * 16 + 1 + 2
