# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/product_pair.py``: which operands it takes, and all their products."""

import itertools
from dataclasses import replace

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from hw.pe.decode import Operand, decode
from hw.pe.product_pair import is_pair, signed_product
from hw.pe.values import values_of
from hw.spec.formats import parse


def operand(significand: int, top: int = 2) -> Operand:
    return Operand(Signal(significand), Signal(2), Signal(), top=top)


def test_pairs_that_are_taken():
    for one, other in itertools.product([1, 2], repeat=2):
        assert is_pair(operand(one), operand(other)) and is_pair(operand(other), operand(one))
    plain = operand(2)
    for other in (
        operand(2, top=3),
        replace(plain, fraction=1),
        replace(plain, negative=None),
        replace(plain, shift=None),
    ):
        assert not is_pair(plain, other) and not is_pair(other, plain)
    assert not is_pair(operand(3), operand(3)) and not is_pair(operand(2), operand(3))


@pytest.mark.parametrize(
    "names", [("e2m1", "e2m1"), ("e2m0", "e2m0"), ("e2m0", "e2m1"), ("e2m3", "e2m1")]
)
def test_every_product(names):
    m, formats = Module(), [parse(name) for name in names]
    codes = [Signal(fmt.bits, name=f"code{k}") for k, fmt in enumerate(formats)]
    operands = [
        decode(m, f"decode{k}", fmt, code, None)
        for k, (fmt, code) in enumerate(zip(formats, codes, strict=True))
    ]
    result = Signal(signed(16))
    m.d.comb += result.eq(signed_product(m, operands[0], operands[1]))
    entries = [list(enumerate(values_of(fmt))) for fmt in formats]

    async def bench(ctx):
        for (w, weight), (a, act) in itertools.product(*entries):
            ctx.set(codes[0], w)
            ctx.set(codes[1], a)
            assert ctx.get(result) == weight * act, (w, a)

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
