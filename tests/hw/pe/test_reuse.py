# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/reuse.py``: exact cycles, multiplications counted, and refusals."""

import numpy as np
import pytest

from hw.pe.params import PEParams
from hw.pe.reuse import ReusePE
from sim.bench.pack import pack
from sim.bench.pysim import exchange


def stream(params, a, w, last):
    """Return (acc of each column, mults) for every result, the cycles and the promised latency."""
    columns, bits = params.columns, params.weight_format.bits
    rows = [
        {"a": x, "w": y, "last": int(end)}
        for x, y, end in zip(
            pack(a, params.act_format.bits), pack(w, columns * bits), last, strict=True
        )
    ]
    component = ReusePE(params)
    got, cycles = exchange(component, rows, int(last.sum()))
    mask = (1 << params.acc_width * columns) - 1
    return [(row["acc"] & mask, row["mults"]) for row in got], cycles, component.latency


@pytest.mark.parametrize(
    ("weight", "act", "columns"),
    [("int2", "int8", 3), ("int4", "int8", 12), ("int8", "uint4", 6), ("int3", "int4", 1)],
)
def test_sums_multiplications_and_cycles(weight, act, columns):
    params = PEParams(format=weight, act=act, arch="reuse", columns=columns, max_k=16)
    bits, rng = params.weight_format.bits, np.random.default_rng(1)
    signed = act.startswith("int")
    low, high = (-(1 << int(act[-1]) - 1), 1 << int(act[-1]) - 1) if signed else (0, 16)
    a = rng.integers(low, high, 24)
    a[:2] = low, high - 1
    w = rng.integers(-(1 << bits - 1), 1 << bits - 1, (24, columns))
    w[:2], w[2] = -(1 << bits - 1), 0
    last = np.arange(24) % 5 == 3
    last[-1] = True
    got, cycles, latency = stream(params, a, w, last)
    distinct = [len(set(np.abs(row).tolist()) - {0}) for row in w]
    due, begin = [], 0
    for end in np.flatnonzero(last) + 1:
        sums = (a[begin:end, None] * w[begin:end]).sum(axis=0)
        width = params.acc_width
        word = sum((int(v) % (1 << width)) << width * c for c, v in enumerate(sums))
        due.append((word, sum(distinct[begin:end])))
        begin = end
    assert got == due
    # A weight takes one cycle, a multiplication one more for each bit of the weight; then there
    # are the cycles that take the first beat and show the last result.
    assert cycles == 24 * columns + bits * sum(distinct) + 2
    assert latency == 1 + columns + bits * min(columns, 1 << bits - 1)


def test_equal_weights_cost_one_multiplication_a_beat():
    params = PEParams(format="int4", arch="reuse", columns=8, max_k=4)
    w = np.array([[5, -5] * 4, [0] * 8, [-8] * 8])
    got, cycles, _ = stream(params, np.array([3, 3, 3]), w, np.array([0, 0, 1]))
    assert [mults for _, mults in got] == [2]
    assert cycles == 3 * 8 + 2 * 4 + 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "uint4"}, "format must be int2 to int8 with arch reuse, not 'uint4'"),
        ({"format": "int9"}, "format must be int2 to int8 with arch reuse, not 'int9'"),
        ({"format": "nf4"}, "format must be intN or uintN .* reuse, not 'nf4'"),
        ({"act": "fp16"}, "act must be intN or uintN .* reuse, not 'fp16'"),
        ({"lanes": 2}, "lanes must be 1 with arch reuse, not 2"),
        ({"pipeline": 1}, "pipeline must be 0 with arch reuse, not 1"),
        ({"core": "accumulate"}, "core must be stream with arch reuse, not 'accumulate'"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        PEParams(**{"format": "int4", "arch": "reuse", **options})
