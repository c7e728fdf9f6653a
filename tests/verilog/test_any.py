# SPDX-License-Identifier: Apache-2.0
"""Any architecture, formats, shape and traffic against the golden model.

In Amaranth's simulator, which starts in milliseconds. Derandomised, with bounded examples and
watchdogs: a failing property must not take minutes to shrink.
"""

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gen.flatten import flat_ports
from gen.unit import discover
from hw.pe.arch import NAMES, architecture
from hw.pe.params import PEParams
from hw.spec.formats import CATALOGUE, parse
from sim.bench.pack import pack, unpack
from sim.bench.pysim import exchange
from sim.bench.stalls import PATTERNS

WEIGHTS = [name for name in CATALOGUE if parse(name).bits <= 8]
ACTS = [name for name in CATALOGUE if parse(name).bits <= 8 or name in ("fp16", "bf16", "int16")]
UNIT = discover()["pe"]


@cache
def accepted(arch: str) -> list[tuple[str, str]]:
    """Return the format pairs that an architecture takes in its typical use, of a sample."""
    typical = architecture(arch).typical
    rng = np.random.default_rng(1)
    pairs = [(w, a) for w in WEIGHTS for a in ACTS]
    chosen = [pairs[k] for k in rng.choice(len(pairs), 400, replace=False)]
    ints = [name for name in WEIGHTS if name.startswith("int")]
    usual = [*ints, "e2m1", "e2m0", "e4m3", "e5m2", "flint4"]
    chosen += [(w, a) for w in usual for a in (*usual, "fp16", "int16")]
    chosen += [("int16", "int16"), ("fp16", "fp16"), ("int4", "uint4")]
    found = []
    for weight, act in dict.fromkeys(chosen):
        try:
            UNIT.params(**{**typical, "format": weight, "act": act, "arch": arch, "max_k": 4096})
        except ValueError:
            continue
        found.append((weight, act))
    return found or [("", "")]  # an architecture whose formats are chosen at run time


@st.composite
def parameters(draw: st.DrawFn) -> PEParams:
    """Draw an architecture, then what it takes."""
    arch = draw(st.sampled_from(NAMES))
    typical = architecture(arch).typical
    weight, act = draw(st.sampled_from(accepted(arch)))
    lanes = typical.get("lanes") or draw(st.integers(1, 5))
    chosen = {
        **typical,
        **({"format": weight, "act": act} if weight else {}),
        "arch": arch,
        "lanes": lanes,
        "max_k": draw(st.integers(2 * lanes, 8 * lanes)),
        "pipeline": draw(st.integers(0, 3)),
    }
    try:
        params = UNIT.params(**chosen)
    except ValueError:  # not every architecture takes register stages or every number of lanes
        params = UNIT.params(**{**chosen, "pipeline": 0, "lanes": typical.get("lanes", 1)})
    assert isinstance(params, PEParams)
    return params


@settings(
    derandomize=True,
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    phases=[Phase.generate, Phase.shrink],
)
@given(
    parameters(),
    st.integers(1, 24),
    st.sampled_from(PATTERNS),
    st.sampled_from(PATTERNS),
    st.integers(0, 99),
)
def test_any(params: PEParams, beats: int, source: str, sink: str, seed: int) -> None:
    component: Any = UNIT.build(params)
    golden = import_module(getattr(component, "golden", UNIT.golden))
    stimulus = golden.vectors(params.resolved, np.random.default_rng(seed), beats)
    due = golden.run(params.resolved, stimulus)
    ports = {port.name: port for port in flat_ports(component)}
    fields = {name: f"i_{name}" for name in stimulus if f"i_{name}" in ports}
    words = {name: pack(stimulus[name], ports[port].width) for name, port in fields.items()}
    rows = [dict(zip(words, values, strict=True)) for values in zip(*words.values(), strict=True)]
    results = len(next(iter(due.values())))
    got, cycles = exchange(component, rows, results, source=source, sink=sink, seed=seed)
    outputs = [n for n, port in ports.items() if port.role == "payload" and n.startswith("o_")]
    for name in (output.removeprefix("o_") for output in outputs):
        width = ports[f"o_{name}"].width
        seen = pack(np.array([row[name] for row in got], dtype=object), width)
        assert seen == pack(due[name], width), name
    if source == sink == "none":
        assert cycles <= len(rows) / component.beats_per_cycle + component.latency


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
