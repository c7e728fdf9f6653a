# SPDX-License-Identifier: Apache-2.0
"""The encoder: every difference, ties, and messages."""

import itertools
from typing import Any

import pytest
from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.sim import Simulator

from hw.mpgemm.nearest import Distance, NearestShape, nearest
from hw.mpgemm.params import MpGemmParams
from hw.spec.formats import IntFormat, parse


@pytest.mark.parametrize("chains", [False, True], ids=["gates", "chains"])
@pytest.mark.parametrize("squares", [False, True], ids=["l1", "l2"])
@pytest.mark.parametrize("act", ["int3", "uint3"])
def test_every_difference(act: str, squares: bool, chains: bool) -> None:
    fmt = parse(act)
    assert isinstance(fmt, IntFormat)
    dut = Distance(NearestShape(2, 2, squares, 4, fmt, chains))
    low = -4 if fmt.signed else 0

    async def bench(ctx: Any) -> None:
        for a, b in itertools.product(range(low, low + 8), repeat=2):
            for other in (low, low + 7):
                ctx.set(dut.a, (a & 7) | (other & 7) << 3)
                ctx.set(dut.b, (b & 7) | (low & 7) << 3)
                power = 2 if squares else 1
                assert ctx.get(dut.far) == abs(a - b) ** power + (other - low) ** power

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_first_of_the_nearest(count: int) -> None:
    m = Module()
    distances = [Signal(2, name=f"d{k}") for k in range(count)]
    found = Signal(count)
    m.d.comb += found.eq(Cat(*nearest(m, list(distances), Const(1, 1))))

    async def bench(ctx: Any) -> None:
        for values in itertools.product(range(3), repeat=count):
            for signal, number in zip(distances, values, strict=True):
                ctx.set(signal, number)
            assert ctx.get(found) == 1 << values.index(min(values)), values

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"subvector": 0}, "subvector must be an integer from 1 to 64, not 0"),
        ({"centroids": 1}, "centroids must be an integer from 2 to 256, not 1"),
        ({"entry_bits": 33}, "entry_bits must be an integer from 2 to 32, not 33"),
        ({"distance": "l0"}, "distance must be l1 or l2, not 'l0'"),
        ({"pipeline": 2}, "pipeline must be an integer from 0 to 1, not 2"),
        ({"act": "sm4"}, "act must be a two's complement or unsigned integer with engine pq"),
        ({"lanes": 4}, "lanes must not be given with engine pq"),
    ],
    ids=str,
)
def test_wrong_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MpGemmParams(engine="pq", **given)
