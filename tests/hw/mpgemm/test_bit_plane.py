# SPDX-License-Identifier: Apache-2.0
"""Counts of bit planes: every pair of codes of one product, and messages."""

from typing import Any

import pytest
from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.sim import Simulator

from hw.mpgemm.params import MpGemmParams
from hw.mpgemm.plane_shape import PlaneShape
from hw.mpgemm.popcount import PlaneRows
from hw.spec.formats import IntFormat


def value(code: int, bits: int, kind: str, zero: int) -> int:
    """Return what a code means."""
    if kind == "bipolar":
        return 2 * code - (1 << bits) + 1
    if kind == "twos":
        return code - (1 << bits if code >> bits - 1 else 0)
    return code - zero


@pytest.mark.parametrize(
    ("act", "bits", "scheme", "zero", "target"),
    [
        ("int3", 4, "twos", None, "gates"),
        ("uint3", 3, "twos", None, "xcup"),
        ("int4", 3, "offset", None, "gates"),
        ("int4", 3, "offset", 6, "xcup"),
        ("uint2", 3, "offset", 1, "gates"),
        ("bipolar3", 2, "bipolar", None, "gates"),
        ("bipolar1", 3, "bipolar", None, "xcup"),
    ],
    ids=str,
)
def test_every_pair_of_codes(
    act: str, bits: int, scheme: str, zero: int | None, target: str
) -> None:
    params = MpGemmParams(engine="bit-plane", act=act, bits=bits, scheme=scheme, zero_point=zero,
                          target=target, lanes=3, rows=1, columns=1, max_k=3)  # fmt: skip
    fmt, width = params.act_format, params.acc_width
    assert isinstance(fmt, IntFormat)
    chains = target != "gates"
    maker = PlaneRows(PlaneShape(bits, 3, fmt, scheme, zero, chains), params.shape)
    m = Module()
    m.submodules.row = row = maker.new_row()
    codes, lanes = Signal(3 * bits), Signal(3)
    beat = Cat(codes, lanes) if maker.shape.marked else codes
    m.d.comb += row.wgt.eq(maker.decode(m, beat, Const(1, 1)))
    kind = {"bipolar": "bipolar", "twos": "twos"}.get(fmt.encoding, "offset")
    own_zero = (1 << bits - 1) if scheme == "offset" and zero is None else zero or 0

    async def bench(ctx: Any) -> None:
        ctx.set(row.en, 1)
        ctx.set(row.clr, 1)
        ctx.set(lanes, 0b011)
        for a in range(1 << fmt.bits):
            for w in range(1 << bits):
                others = a * 5 % (1 << fmt.bits), w * 3 % (1 << bits)
                ctx.set(row.act, a | others[0] << fmt.bits)
                pair = [w, others[1], 1]
                planes = [sum((c >> t & 1) << lane for lane, c in enumerate(pair))
                          for t in range(bits)]  # fmt: skip
                ctx.set(codes, sum(plane << 3 * t for t, plane in enumerate(planes)))
                await ctx.tick()
                due = sum(value(x, fmt.bits, kind, 0) * value(y, bits, scheme, own_zero)
                          for x, y in ((a, w), others))  # fmt: skip
                assert ctx.get(row.sums) == due % (1 << width), (a, w)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("act", "bits", "planes", "scheme", "target"),
    [
        ("int3", 3, 1, "twos", "gates"),
        ("uint2", 4, 3, "twos", "gates"),
        ("int2", 4, 2, "twos", "xcup"),
        ("uint2", 3, 1, "twos", "xcup"),
        ("int3", 3, 2, "offset", "gates"),
        ("uint3", 3, 2, "offset", "xcup"),
        ("bipolar2", 4, 2, "bipolar", "gates"),
    ],
    ids=str,
)
def test_planes_beat_by_beat(act: str, bits: int, planes: int, scheme: str, target: str) -> None:
    """Every pair of codes, of weights of every number of beats."""
    lanes = 2
    params = MpGemmParams(engine="bit-plane", act=act, bits=bits, scheme=scheme, planes=planes,
                          target=target, lanes=lanes, rows=1, columns=1, max_k=lanes)  # fmt: skip
    fmt, width = params.act_format, params.acc_width
    assert isinstance(fmt, IntFormat)
    shape = PlaneShape(bits, lanes, fmt, scheme, None, target != "gates", planes)
    maker = PlaneRows(shape, params.shape)
    m = Module()
    m.submodules.row = row = maker.new_row()
    keys, there, low, high = Signal(planes * lanes), Signal(lanes), Signal(), Signal()
    beat = Cat(keys, there, low, high) if maker.shape.marked else Cat(keys, low, high)
    m.d.comb += row.wgt.eq(maker.decode(m, beat, row.en))
    kind = {"bipolar": "bipolar", "twos": "twos"}.get(fmt.encoding, "offset")
    zero = 1 << bits - 1 if scheme == "offset" else 0

    async def bench(ctx: Any) -> None:
        ctx.set(row.en, 1)
        for beats in range(1, shape.beats + 1):
            own = beats * planes if scheme != "offset" else min(bits, beats * planes)
            for a in range(1 << fmt.bits):
                for w in range(1 << own):
                    pair = [w, w * 3 % (1 << own)]
                    acts = [a, a * 5 % (1 << fmt.bits)]
                    ctx.set(row.act, acts[0] | acts[1] << fmt.bits)
                    ctx.set(there, 3)
                    for number in range(beats):
                        ctx.set(keys, sum((code >> number * planes + p & 1) << p * lanes + lane
                                          for p in range(planes)
                                          for lane, code in enumerate(pair)))  # fmt: skip
                        ctx.set(low, number == 0)
                        ctx.set(high, number == beats - 1)
                        ctx.set(row.clr, number == 0)
                        await ctx.tick()
                    due = sum(value(x, fmt.bits, kind, 0) * value(y, own, scheme, zero)
                              for x, y in zip(acts, pair, strict=True))  # fmt: skip
                    assert ctx.get(row.sums) == due % (1 << width), (a, w, beats)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bits": 9}, "bits must be an integer from 1 to 8, not 9"),
        ({"lanes": 0}, "lanes must be an integer from 1 to 256, not 0"),
        ({"pipeline": 3}, "pipeline must be an integer from 0 to 2, not 3"),
        ({"scheme": "sign"}, "scheme must be twos, offset or bipolar, not 'sign'"),
        ({"scheme": "bipolar"}, "act must be bipolar1 to bipolar8 with scheme bipolar"),
        ({"act": "int9"}, "act must be int2 to int8 or uint1 to uint8 with scheme twos"),
        ({"bits": 4, "planes": 5}, "planes must be an integer from 1 to 4, not 5"),
        ({"bits": 3, "planes": 2, "scheme": "bipolar", "act": "bipolar1"},
         "planes must divide bits, 3, with scheme bipolar, not be 2"),
        ({"zero_point": 1}, "zero_point must not be given with scheme twos"),
        ({"scheme": "offset", "zero_point": 4}, "zero_point must be an integer from 0 to 3"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MpGemmParams(engine="bit-plane", **given)
