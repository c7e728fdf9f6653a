# SPDX-License-Identifier: Apache-2.0
"""Tables of the unit ``lut-table``: entry by entry, and as engine ``lut`` takes them."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden import lut_table
from sim.golden.mpgemm import lut, table_beats
from sim.golden.mpgemm.words import pack_codes


def parameters(**others):
    base = {"act": "int8", "group": 4, "tables": 2, "table_kind": "half", "pipeline": 0}
    return {**base, "target": "gates", **others}


CASES = [
    {},
    {"table_kind": "full"},
    {"act": "uint4", "group": 3, "tables": 1},
    {"act": "e2m1", "group": 2, "tables": 3},
    {"act": "e3m2", "group": 2, "table_kind": "full"},
    {"act": "int2", "group": 6, "tables": 1},
]


def values_of(act, codes):
    """Integers in units of the least step of the format."""
    floats = {"e2m1": (ml_dtypes.float4_e2m1fn, 2), "e3m2": (ml_dtypes.float6_e3m2fn, 16)}
    if act in floats:
        kind, scale = floats[act]
        return (codes.astype(np.uint8).view(kind).astype(np.float64) * scale).astype(int).tolist()
    top = 0 if act[0] == "u" else 1 << int(act[-1]) - 1
    return [int(code) - 2 * (int(code) & top) for code in codes]


def entry(a, index, half):
    """A.0.2, one activation at a time."""
    if not half:
        return sum(x for i, x in enumerate(a) if index >> i & 1)
    return a[-1] + sum(x if index >> i & 1 else -x for i, x in enumerate(a[:-1]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_entry(case):
    p = parameters(**case)
    beats = lut_table.vectors(p, np.random.default_rng(1), 40)
    tables = lut_table.run(p, beats)["table"]
    group, half = p["group"], p["table_kind"] == "half"
    size = 1 << group - half
    assert tables.shape == (40, p["tables"] * size)
    for codes, found in zip(beats["act"], tables, strict=True):
        values = values_of(p["act"], codes)
        groups = [values[at : at + group] for at in range(0, len(values), group)]
        due = [entry(a, p_, half) for a, p_ in itertools.product(groups, range(size))]
        assert found.tolist() == due


def test_corners_reach_the_widest_entries():
    """A.0.3: eight times -128 needs 12 bits as soon as it is negated."""
    p = parameters(group=8, tables=1)
    tables = lut_table.run(p, lut_table.vectors(p, np.random.default_rng(1), 30))["table"]
    assert (tables.min(), tables.max()) == (-1024, 1023)
    width = table_beats.entry_width("int8", 8, True)
    assert width == 12 and -tables.min() == 1 << width - 2


@pytest.mark.parametrize("case", CASES, ids=str)
def test_words_are_those_of_the_port(case):
    """One row and one column: a beat of the engine is the word of the builder."""
    p = parameters(**case)
    port = p | {"rows": 1, "columns": 1, "max_k": 99, "bits": 2, "planes": 1}
    port |= {"table_source": "port", "zero_point": None}
    rng = np.random.default_rng(2)
    act = lut_table.vectors(p, rng, 25)["act"]
    fields = table_beats.table_fields(port)
    entries = lut_table.run(p, {"act": act})["table"] & (1 << fields.bits) - 1
    assert pack_codes(entries, fields.bits) == lut.pack_act(port, act.reshape(1, -1), 1)
    assert_array_equal(entries.shape, (25, fields.count))


def test_what_is_not_finite():
    text = "a table holds no sums of activations that are not finite"
    with pytest.raises(ValueError, match=text):
        lut_table.run(parameters(act="e4m3"), {"act": [[0x7F] * 8]})
