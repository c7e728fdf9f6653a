# SPDX-License-Identifier: Apache-2.0
"""Engines without multipliers on floating-point activations, against fractions from numpy."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from sim.golden.mpgemm.unit import Unit
from tests.sim.golden.mpgemm.tables import jobs_of

TYPES = {
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e2m1": ml_dtypes.float4_e2m1fn,
}
BITS = {"fp16": 16, "bf16": 16, "e2m1": 4}

ENGINES = {
    "lut": {"group": 3, "tables": 2, "bits": 3, "planes": 1, "table_kind": "half"},
    "lut full": {"group": 2, "tables": 1, "bits": 2, "planes": 2, "table_kind": "full"},
    "lut-ternary": {"group": 3, "tables": 2},
    "ternary-add": {"lanes": 4},
    "codebook": {"lanes": 3, "book": "codebook:-3,0,1,2"},
}


def unit(name, act, **others):
    engine = name.split()[0]
    base = {"engine": engine, "act": act, "rows": 2, "columns": 3, "max_k": 40, "acc_bits": 64}
    base |= {"pipeline": 0, "target": "gates", "zero_point": None, "window": None}
    base |= {"table_source": "builder"} | ENGINES[name] | others
    return Unit.of({"unit": "mpgemm", "parameters": base})


def weights(name, rng, k, n):
    """What the packer takes, and the integers that it means."""
    if name == "codebook":
        codes = rng.integers(0, 4, (k, n))
        return codes, np.array([-3, 0, 1, 2])[codes]
    low, high = {"lut": (-4, 3), "lut full": (-2, 1)}.get(name, (-1, 1))
    found = rng.integers(low, high + 1, (k, n))
    return found, found


def fractions_of(act, codes, low=None, high=None):
    """Values as fractions, None where there is none; cut off by a window if there is one."""
    values = codes.astype(f"uint{max(8, BITS.get(act, 8))}").view(TYPES[act])

    # The NaNs of some of these types warn where they are converted.
    with np.errstate(invalid="ignore"):
        values = values.astype(np.float64)

    def exact(x):
        if not np.isfinite(x) or (high is not None and abs(x) >= 2.0**high):
            return None
        found = Fraction(x)
        return found if low is None else Fraction(int(found / Fraction(2) ** low)) * 2**low

    return [[exact(x) for x in row] for row in values]


def product(acts, w, unit_exponent):
    """C in units of 2**unit_exponent without what is not finite, and marks of rows with such."""
    c = [
        [sum((x or 0) * int(y) for x, y in zip(row, column, strict=True)) for column in w.T]
        for row in acts
    ]
    scaled = [[value / Fraction(2) ** unit_exponent for value in row] for row in c]
    assert all(value.denominator == 1 for row in scaled for value in map(Fraction, row))
    marks = [[any(x is None for x in row)] * w.shape[1] for row in acts]
    return [[int(value) for value in row] for row in scaled], marks


#: Format, window, exponent of the unit.
FORMATS = [
    ("fp16", None, -24),
    ("bf16", None, -24),
    ("bf16", "-6:5", -6),
    ("fp16", "-30:4", -30),
    ("e4m3", None, -9),
    ("e5m2", None, -16),
    ("e5m2", "-3:2", -3),
    ("e2m1", None, -1),
]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("act", "window", "lam"), FORMATS)
def test_products_are_exact(name, act, window, lam):
    rng = np.random.default_rng(1)
    engine = unit(name, act, window=window)
    bounds = (-24, 16) if (act, window) == ("bf16", None) else (None, None)
    if window:
        bounds = tuple(int(x) for x in window.split(":"))
    rows = 0
    for kind in ("any", "finite", "zeros"):
        codes = rng.integers(0, 1 << BITS.get(act, 8), (5, 13))
        if kind == "finite":
            marked = [[x is None for x in row] for row in fractions_of(act, codes, *bounds)]
            codes = np.where(marked, 0, codes)
        if kind == "zeros":
            # Plus and minus zero: no table entry may become anything else.
            codes = rng.choice([0, 1 << BITS.get(act, 8) - 1], (5, 13))
        w, values = weights(name, rng, 13, 4)
        c, nan = engine.product(codes, w)
        due, marks = product(fractions_of(act, codes, *bounds), values, lam)
        assert c.tolist() == due
        assert nan.tolist() == marks
        rows += np.any(c != 0, axis=1).sum()
    assert rows > 5


@pytest.mark.parametrize("name", ENGINES)
def test_an_activation_beyond_k_marks_nothing(name):
    """Padding has NaNs, the matrix has none, or one that no weight takes."""
    engine, rng = unit(name, "fp16"), np.random.default_rng(1)
    codes, nan = np.full((3, 5), 0x3C00), 0x7E00
    w, values = weights(name, rng, 5, 4)
    words = engine.module.pack_act(engine.parameters, codes, 4, np.random.default_rng(2))
    streams = engine.job(codes, engine.weights(w, 3), 4)
    assert words != streams["s_axis_act"]["tdata"]
    streams["s_axis_act"]["tdata"] = words
    out = engine.module.run(engine.parameters, streams)["m_axis_out"]
    c, marks = engine.results(3, 4, 5, out)
    assert c.tolist() == [[int(x) << 24 for x in values.sum(axis=0)]] * 3
    assert not marks.any()
    zero = np.full((5, 4), 1 if name == "codebook" else 0)
    codes[1, 2] = nan
    c, marks = engine.product(codes, zero)
    assert not c.any() and marks.any(axis=1).tolist() == [False, True, False] and marks[1].all()


@pytest.mark.parametrize("name", ENGINES)
def test_stimulus_has_marked_rows_and_errors(name):
    p = unit(name, "e5m2").parameters
    module, rng = unit(name, "e5m2").module, np.random.default_rng(1)
    out = module.run(p, module.vectors(p, rng, 14))["m_axis_out"]
    assert any(user >> 4 for user in out["tuser"]) and not all(user >> 4 for user in out["tuser"])
    streams = module.faulty(p, rng)
    codes = {user & 15 for user in module.run(p, streams)["m_axis_out"]["tuser"]}
    assert codes == set(range(8))
    assert len(jobs_of(streams)) > 10


def test_tables_of_small_floats_by_the_port():
    port = unit("lut", "e2m1", table_source="port")
    rng = np.random.default_rng(1)
    codes, w = rng.integers(0, 16, (4, 20)), rng.integers(-4, 4, (20, 5))
    c, nan = port.product(codes, w)
    assert not nan.any()
    assert c.tolist() == product(fractions_of("e2m1", codes), w, -1)[0]
    text = "a table holds no sums of activations that are not finite"
    with pytest.raises(ValueError, match=text):
        unit("lut", "e4m3", table_source="port").product([[0x7F]], [[1]])
