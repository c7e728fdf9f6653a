# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/csa.py``: the rows, the cuts, and what the architecture refuses."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.arith.bitheap import BitHeap
from hw.pe.csa import CarrySave, add_and_rows
from hw.pe.decode import decode
from hw.pe.params import PEParams
from hw.spec.formats import parse
from sim.bench.netlist import Netlist
from sim.golden.pe import pe as golden


class Product(wiring.Component):
    """One product of AND rows."""

    def __init__(self, weight, act, bits):
        self.weight, self.act = parse(weight), parse(act)
        super().__init__(
            {"w": In(self.weight.bits), "a": In(self.act.bits), "p": Out(bits)},
        )

    def elaborate(self, platform):
        m = Module()
        heap = BitHeap(m, len(self.p))
        operands = [
            decode(m, name, fmt, code, None)
            for name, fmt, code in (("dw", self.weight, self.w), ("da", self.act, self.a))
        ]
        add_and_rows(m, heap, *operands)
        m.d.comb += self.p.eq(heap.total())
        return m


@pytest.mark.parametrize(
    ("weight", "act"),
    [
        ("int8", "int8"),
        ("uint8", "int8"),
        ("int8", "uint8"),
        ("sm8", "int8"),
        ("int4", "bipolar8"),
        ("int4", "sm8"),
        ("sm4", "sm4"),
        ("ternary_i2s", "uint4"),
        ("uint1", "ternary"),
    ],
)
def test_every_product(weight: str, act: str, tmp_path: Path) -> None:
    bits = parse(weight).bits + parse(act).bits + 1
    text = verilog.convert(Product(weight, act, bits), name="product", emit_src=False)
    (tmp_path / "product.v").write_text(text)
    netlist = Netlist.read([tmp_path / "product.v"], "product", tmp_path)
    codes = [np.arange(1 << parse(name).bits) for name in (weight, act)]
    illegal = [
        np.isin(c, list(parse(n).illegal)) for c, n in zip(codes, (weight, act), strict=True)
    ]
    w, a = (x.ravel() for x in np.meshgrid(codes[0][~illegal[0]], codes[1][~illegal[1]]))
    found = netlist.evaluate({"w": w, "a": a})["p"].astype(np.int64) @ (1 << np.arange(bits))
    due, _ = golden.dot(parse(weight), parse(act), a[:, None], w[:, None])
    assert np.array_equal(found, due % (1 << bits))


def test_words_mean_the_sum_while_nothing_is_added() -> None:
    """Idle cycles may move carries on, and after some of them the first word is the sum."""
    cell = CarrySave(PEParams(format="int8", arch="csa", core="accumulate", acc_bits=32))
    seen = []

    async def bench(ctx):
        for en, clr, a, w in ((1, 1, 127, 127), (1, 0, -128, 127), *[(0, 1, 85, 85)] * 12):
            ctx.set(cell.en, en)
            ctx.set(cell.clr, clr)
            ctx.set(cell.a, a)
            ctx.set(cell.w, w)
            await ctx.tick()
            seen.append((ctx.get(cell.acc_sum), ctx.get(cell.acc_carry)))

    sim = Simulator(cell)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert [sum(words) % (1 << 32) for words in seen[:2]] == [127 * 127, -127 % (1 << 32)]
    assert {sum(words) % (1 << 32) for words in seen[1:]} == {-127 % (1 << 32)}
    assert all(carry & ~0x1011110 == 0 for _, carry in seen), "a carry that is no cut's"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "e2m1"}, "format must be an integer format .* csa, .* not 'e2m1'"),
        ({"act": "fp16"}, "act must be an integer format .* csa, .* not 'fp16'"),
        ({"format": "nf4"}, "format must be an integer format"),
        ({"pipeline": 2}, "pipeline must be 0 or 1 with arch csa, not 2"),
        ({"core": "dot", "max_k": 1}, "core must be stream or accumulate with arch csa, not 'dot'"),
        ({"columns": 2}, "columns must not be given with arch csa"),
    ],
)
def test_refusals(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PEParams(**{"format": "int8", "arch": "csa", **options})
