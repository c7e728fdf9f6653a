# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/sparse_digit.py`` and ``sparse_digit_stream.py``: cycles, column, refusals."""

import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.arith.ent import ent
from hw.pe.params import PEParams
from hw.pe.sparse_digit import SparseColumn
from hw.pe.sparse_digit_stream import SparseDigitPE, beat_cycles
from sim.bench.pack import pack
from sim.bench.pysim import exchange
from sim.golden.pe import pe as golden
from sim.golden.pe.operands import operands


@pytest.mark.parametrize(
    ("values", "cycles"),
    [
        ([0, 0, 0, 0], 4),
        ([1, 0, 0, 0], 4),
        ([1, 1, 1, 1], 7),
        ([-128, 127, 0, 0], 5),
        # 85 is 1111 in radix 4.
        ([85, 85, 85, 85], 16),
        ([85, 85, -85, 0], 12),
        ([3, 0, 0, 0], 4),
    ],
)
def test_cycles_of_a_beat(values, cycles):
    assert beat_cycles(values, PEParams(format="int8", arch="sparse-digit", lanes=4)) == cycles


@pytest.mark.parametrize(
    ("weight", "act", "columns", "target"),
    [("int8", "int8", 1, "gates"), ("int4", "int5", 3, "gates"), ("uint3", "uint4", 2, "xcup")],
)
def test_exact_cycles_of_a_stream(weight, act, columns, target):
    """Without stalls the time of a stream is the sum of its beats', and the pipeline's three."""
    params = PEParams(
        format=weight, act=act, arch="sparse-digit", lanes=4, columns=columns, target=target
    )
    beats = golden.vectors(params.resolved, np.random.default_rng(3), 60)
    due = golden.run(params.resolved, beats)["acc"].reshape(-1, columns)
    widths = {"a": params.act_format.bits * 4, "w": params.weight_format.bits * 4 * columns}
    words = {name: pack(beats[name], width) for name, width in widths.items()}
    rows = [
        {"a": a, "w": w, "last": int(last)}
        for a, w, last in zip(words["a"], words["w"], beats["last"], strict=True)
    ]
    component = SparseDigitPE(params)
    got, cycles = exchange(component, rows, len(due))
    mask = (1 << params.acc_width) - 1
    assert [row["acc"] & (1 << columns * params.acc_width) - 1 for row in got] == [
        sum((v & mask) << params.acc_width * c for c, v in enumerate(row)) for row in due.tolist()
    ]
    values, _ = operands(params.resolved)[1].decode(beats["a"])
    taken = [beat_cycles(row.tolist(), params) for row in values]
    # One cycle to take the first beat, and three after the last digit until its result is out.
    assert cycles == 1 + sum(taken) + 3
    assert component.latency == 3 + max(4 * component.count, max(taken))
    assert component.beats_per_cycle == 1 / (4 * component.count)


def run_column(params, groups, weights, clears=(0,)):
    """Return (sum of each column, cycles) of a bare column, driven as its docstring says.

    ``groups`` holds four digits each, ``weights`` for each of them columns of four weights. A new
    sum starts with each group of ``clears``.
    """
    cell, columns, bits = SparseColumn(params), params.columns, params.weight_format.bits
    sums, spent = [], 0

    async def bench(ctx):
        nonlocal spent
        group, named, after = -1, None, 0
        while after < 4:
            ready, position = group < 0 or ctx.get(cell.ready), ctx.get(cell.position)
            if named is not None:
                chosen = [column[named[1]] for column in weights[named[0]]]
                ctx.set(cell.w, pack([chosen], bits * columns)[0])
            begins = ready and group + 1 < len(groups)
            digits = groups[group + 1] if begins else [1, 2, -1, -2]
            ctx.set(cell.start, int(begins))
            ctx.set(cell.clr, int(not begins or group + 1 in clears))
            # -2 is the digit 2 of a negative value, -1 the digit 3 of a positive one.
            ctx.set(cell.code, pack([[3 if d == -1 else abs(d) for d in digits]], 8)[0])
            ctx.set(cell.sign, sum((d == -2) << k for k, d in enumerate(digits)))
            named = (group, position) if group >= 0 else None
            spent += group >= 0 and not after
            group += begins
            after += ready and not begins
            await ctx.tick()
        words = [ctx.get(word) for word in (cell.acc_sum, cell.acc_carry)]
        width = params.acc_width
        for column in range(columns):
            total = sum(word >> width * column for word in words) % (1 << width)
            sums.append(total - (total >> width - 1 << width))

    sim = Simulator(cell)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return sums, spent


@pytest.mark.parametrize("target", ["gates", "xcup"])
@pytest.mark.parametrize(
    ("weight", "low", "high"), [("int8", -128, 127), ("uint4", 0, 15), ("int2", -2, 1)]
)
def test_column(weight, low, high, target):
    params = PEParams(
        format=weight, arch="sparse-digit", lanes=4, columns=3, core="accumulate",
        acc_bits=30, target=target,
    )  # fmt: skip
    rng = random.Random(1)
    groups = [[rng.choice((-2, -1, 0, 0, 1, 2)) for _ in range(4)] for _ in range(80)]
    groups[:3] = [[0] * 4, [2] * 4, [-2] * 4]
    weights = [[[rng.choice((low, high, rng.randint(low, high))) for _ in range(4)]
                for _ in range(3)] for _ in groups]  # fmt: skip
    weights[1][0] = weights[2][0] = [low] * 4
    # What is before the last clear does not count, all that comes with it does.
    groups[28:31] = [[1, -1, 2, 2], [0, 0, 0, 1], [2, 1, 0, 0]]
    sums, spent = run_column(params, groups, weights, clears=(0, 10, 30))
    assert sums == [
        sum(d * w for digits, all_w in zip(groups[30:], weights[30:], strict=True)
            for d, w in zip(digits, all_w[column], strict=True))
        for column in range(3)
    ]  # fmt: skip
    assert spent == sum(max(1, sum(d != 0 for d in digits)) for digits in groups)


def test_column_holds_the_largest_sums():
    """Every digit twice the least weight, as often as 26 bits hold, from both sides."""
    params = PEParams(
        format="int8", arch="sparse-digit", lanes=4, core="accumulate", acc_bits=26, max_k=256
    )
    for digit in (2, -2):
        groups = [[digit] * 4] * 64
        (total,), spent = run_column(params, groups, [[[-128] * 4]] * 64)
        assert (total, spent) == (digit * -128 * 256, 256)


def test_digits_of_a_dot_product_go_through_a_column():
    """As OPT4C does it: one pass for each digit weight, the sums added outside."""
    rng = random.Random(2)
    a, w = ([rng.randint(-128, 127) for _ in range(32)] for _ in range(2))
    params = PEParams(format="int8", arch="sparse-digit", lanes=4, core="accumulate")
    total = 0
    for place in range(4):
        digits = [ent(value, 4)[place] for value in a]
        groups = [digits[k : k + 4] for k in range(0, 32, 4)]
        (part,), _ = run_column(params, groups, [[w[k : k + 4]] for k in range(0, 32, 4)])
        total += part << 2 * place
    assert total == sum(x * y for x, y in zip(a, w, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "e2m1"}, "format must be intN or uintN .* sparse-digit, not 'e2m1'"),
        ({"act": "sm8"}, "act must be intN or uintN of at most 16 bits .*, not 'sm8'"),
        ({"lanes": 1}, "lanes must be 4 with arch sparse-digit, not 1"),
        ({"pipeline": 1}, "pipeline must be 0 with arch sparse-digit, not 1"),
        ({"core": "dot", "max_k": 4}, "core must be stream or accumulate"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        PEParams(**{"format": "int8", "arch": "sparse-digit", "lanes": 4, **options})
