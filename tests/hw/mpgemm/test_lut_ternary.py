# SPDX-License-Identifier: Apache-2.0
"""Ternary lookups: every key of one group, and messages."""

import itertools
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hw.mpgemm.aligned import Activation
from hw.mpgemm.params import MpGemmParams
from hw.mpgemm.table_rows import TableRow
from hw.mpgemm.ternary import TernaryKey, TernaryLookup
from hw.mpgemm.ternary_tables import KEY_BITS, TernaryTable, trits
from hw.spec.formats import parse

CORNERS = {
    "int8": [-128, 127, 0, 1, -1],
    "uint4": [15, 0, 7, 1, 8],
}


def test_a_table_has_one_adder_for_each_entry_of_several_activations() -> None:
    for size, adders in ((2, 2), (3, 10), (4, 36), (5, 116)):
        table = TernaryTable(size, Activation(parse("int8")))
        several = [n for n in range(1, table.entries + 1) if sum(map(abs, trits(n))) > 1]
        assert len(several) == adders == table.entries - size
        assert table.entry_bits == 8 + (size - 1).bit_length()


@pytest.mark.parametrize("chains", [False, True], ids=["gates", "chains"])
@pytest.mark.parametrize(
    ("group", "parts", "act"),
    [(2, (2,), "uint4"), (3, (3,), "int8"), (4, (2, 2), "int8"), (5, (2, 2, 1), "int8")],
    ids=str,
)
def test_every_key(group: int, parts: tuple[int, ...], act: str, chains: bool) -> None:
    shape = TernaryLookup(group, 1, Activation(parse(act)), parts, 0, chains)
    key, row = TernaryKey(shape), TableRow(shape, 1, 16)
    legal = {
        sum(w * 3**i for i, w in enumerate(weights)): weights
        for weights in itertools.product((-1, 0, 1), repeat=group)
    }
    rng, corners, bits = np.random.default_rng(1), CORNERS[act], parse(act).bits
    groups = [[c] * group for c in corners]
    groups += [list(rng.choice(corners, group)) for _ in range(3)]

    m = Module()
    m.submodules.key, m.submodules.row = key, row
    m.d.comb += row.wgt.eq(key.lines)
    codes = range(1 << KEY_BITS[group])

    async def bench(ctx: Any) -> None:
        for word in (row.en, row.clr, key.taken):
            ctx.set(word, 1)
        for acts in groups:
            ctx.set(row.act, sum((int(a) & (1 << bits) - 1) << k * bits
                                 for k, a in enumerate(acts)))  # fmt: skip
            for code in codes:
                ctx.set(key.key, code)
                await ctx.tick()
                number = code - (len(codes) if code >= len(codes) // 2 else 0)
                weights = legal.get(number, (0,) * group)
                due = sum(int(a) * w for a, w in zip(acts, weights, strict=True))
                assert ctx.get(row.sums) == due & 0xFFFF, (acts, code)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"group": 6}, "group must be an integer from 2 to 5, not 6"),
        ({"tables": 0}, "tables must be an integer from 1 to 64, not 0"),
        ({"pipeline": 2}, "pipeline must be an integer from 0 to 1, not 2"),
        ({"table_kind": "full"}, "table_kind must be half or split with engine lut-ternary"),
        ({"bits": 2}, "bits must not be given with engine lut-ternary"),
    ],
    ids=str,
)
def test_wrong_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MpGemmParams(engine="lut-ternary", **given)
