# SPDX-License-Identifier: Apache-2.0
"""Any formats, shape and traffic against the golden model.

In Amaranth's simulator, which starts in milliseconds. Derandomised, with bounded examples and
watchdogs: a failing property must not take minutes to shrink.
"""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gen.unit import discover
from hw.spec.formats import CATALOGUE, parse
from sim.bench.pack import pack, unpack
from sim.bench.pysim import exchange
from sim.bench.stalls import PATTERNS
from sim.golden.pe import pe as golden

WEIGHTS = [name for name in CATALOGUE if parse(name).bits <= 8]
ACTS = [name for name in CATALOGUE if parse(name).bits <= 8 or name in ("fp16", "bf16", "int16")]


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, Any]:
    lanes = draw(st.integers(1, 5))
    return {
        "format": draw(st.sampled_from(WEIGHTS)),
        "act": draw(st.sampled_from(ACTS)),
        "arch": draw(st.sampled_from(["multiply", "shift-add"])),
        "lanes": lanes,
        "max_k": draw(st.integers(lanes, 8 * lanes)),
        "pipeline": draw(st.integers(0, 3)),
    }


@settings(
    derandomize=True,
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@given(
    parameters(),
    st.integers(1, 24),
    st.sampled_from(PATTERNS),
    st.sampled_from(PATTERNS),
    st.integers(0, 99),
)
def test_any(chosen: dict[str, Any], beats: int, source: str, sink: str, seed: int) -> None:
    unit = discover()["pe"]
    params = unit.params(**chosen)
    full = {**chosen, "core": "stream", "window": params.window, "acc_bits": None}
    stimulus = golden.vectors(full, np.random.default_rng(seed), beats)
    due = golden.run(full, stimulus)
    widths = {"a": parse(chosen["act"]).bits, "w": parse(chosen["format"]).bits}
    words = {name: pack(stimulus[name], bits * chosen["lanes"]) for name, bits in widths.items()}
    rows = [
        {"a": a, "w": w, "last": int(last)}
        for a, w, last in zip(words["a"], words["w"], stimulus["last"], strict=True)
    ]
    component = unit.build(params)
    got, cycles = exchange(component, rows, len(due["acc"]), source=source, sink=sink, seed=seed)
    assert [row["acc"] for row in got] == [int(value) for value in due["acc"]]
    if "nan" in due:
        assert [row["nan"] for row in got] == [int(value) for value in due["nan"]]
    if source == sink == "none":
        assert cycles <= len(rows) + component.latency


@settings(derandomize=True, max_examples=50, deadline=None, database=None)
@given(st.integers(1, 4), st.integers(1, 70), st.booleans(), st.data())
def test_pack_and_unpack_are_inverse(
    lanes: int, bits: int, signed: bool, data: st.DataObject
) -> None:
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    row = st.lists(st.integers(least, most), min_size=lanes, max_size=lanes)
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    codes = np.array(rows, dtype=object)
    words = pack(codes, bits * lanes)
    assert all(0 <= word < 1 << bits * lanes for word in words)
    back = unpack(words, bits * lanes, lanes, signed)
    assert np.reshape(back, codes.shape).tolist() == codes.tolist()
