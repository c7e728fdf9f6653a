# SPDX-License-Identifier: Apache-2.0
"""Books that come with the job: every code, and messages."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.mpgemm.books import BookColumn
from hw.mpgemm.params import MpGemmParams


@pytest.mark.parametrize("chains", [False, True], ids=["gates", "chains"])
def test_every_code(chains: bool) -> None:
    dut = BookColumn(3, 5, 2, chains)

    async def bench(ctx: Any) -> None:
        for entries in (range(8), range(31, 23, -1)):
            ctx.set(dut.load, 1)
            for entry in entries:
                ctx.set(dut.entry, entry)
                await ctx.tick()
            ctx.set(dut.load, 0)
            for code in range(64):
                ctx.set(dut.codes, code)
                await ctx.tick()
                assert ctx.get(dut.values) == entries[code & 7] | entries[code >> 3] << 5

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bits": 4}, "bits must not be given with book nf4, but is 4; rows takes it"),
        ({"entry_bits": 4}, "entry_bits must not be given with book nf4, but is 4; rows takes it"),
        ({"book": "rows", "bits": 9}, "bits must be an integer from 1 to 8, not 9"),
        ({"book": "rows", "entry_bits": 1}, "entry_bits must be an integer from 2 to 16, not 1"),
        ({"book": "rows", "act": "e4m3"}, "act must be a two's complement or unsigned integer"),
    ],
    ids=str,
)
def test_wrong_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MpGemmParams(engine="codebook", **given)
