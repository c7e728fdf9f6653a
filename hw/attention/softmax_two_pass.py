# SPDX-License-Identifier: Apache-2.0
"""Softmax by mantissas and exponents: two passes, and no maximum is looked for.

Source: Dukhan and Ablavatski, "Two-Pass Softmax Algorithm" (2020); the integers are ours.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Shape, Signal, Value, signed, unsigned

from hw.arith.wires import wire
from hw.attention.first_pass import FirstPass, Group
from hw.attention.mantissa import Mantissa, MantissaParams, Pair, merged
from hw.attention.normalize import Normalize, NormalizeParams
from hw.attention.rows import delayed, flow, give, signed_of
from hw.attention.softmax_core import Softmax
from hw.attention.softmax_params import SoftmaxParams
from hw.attention.softmax_safe import RECIP, reciprocal

__all__ = ["TwoPass", "TwoPassSoftmax"]

_MANTISSA = Mantissa.latency + 1


class TwoPass(FirstPass):
    """A :class:`FirstPass` that adds up pairs of mantissa and exponent."""

    def __init__(self, params: SoftmaxParams):
        self._levels = params.width.bit_length() - 1
        self._summed = 1 + _MANTISSA + self._levels + 1
        self.FOUND = self._summed + RECIP
        self._cell = MantissaParams(params.in_bits, params.target)
        super().__init__(params)

    def fields(self) -> dict[str, Shape]:
        exponent = unsigned((self.params.sum_bits - 1).bit_length())
        known = {"e": signed(self._cell.exponent_bits), "k": exponent, "y": unsigned(31)}
        return {"m": unsigned(15), "sh": unsigned(6), **known}

    def describe(self, m: Module, takes: Value, first: Value, err: Value) -> list[Group]:
        params, beat, end = self.params, self.i.payload, self._summed - 1
        later = flow(m, self.FOUND)
        x, keep = later(beat.x, 0), later(beat.keep, 0, _MANTISSA)
        scale = self.scales(m, takes, first, 1)
        pairs = []
        for lane in range(params.width):
            m.submodules[f"mantissa{lane}"] = made = Mantissa(self._cell)
            m.d.comb += [
                made.x.eq(signed_of(x, lane, params.in_bits)),
                made.m.eq(scale["m"]),
                made.sh.eq(scale["sh"]),
                made.en.eq(-1),
            ]
            n, v = later(made.n, _MANTISSA), later(made.v, _MANTISSA)
            pairs.append(Pair(keep[lane], n, wire(m, v & keep[lane].replicate(17), "v")))
        for level in range(self._levels):
            halves = [merged(m, *pairs[k : k + 2]) for k in range(0, len(pairs), 2)]
            at = 1 + _MANTISSA + level
            pairs = [Pair(later(p.some, at), later(p.exponent, at), later(wire(m, p.v, "v"), at))
                     for p in halves]  # fmt: skip

        valid, opens = delayed(m, takes, end), later(first, 0, end - 1)
        some = Signal()
        exponent = Signal(signed(self._cell.exponent_bits), reset_less=True)
        total = Signal(params.sum_bits, reset_less=True)
        so_far = Pair(wire(m, some & ~opens, "so_far"), exponent,
                      wire(m, total & (some & ~opens).replicate(len(total)), "held"))  # fmt: skip
        row = merged(m, so_far, pairs[0])
        with m.If(valid):
            m.d.sync += [some.eq(row.some), exponent.eq(row.exponent), total.eq(row.v)]
        ends = wire(m, takes & beat.last, "ends")
        return [
            (delayed(m, ends, 1), {**scale, "err": later(err, 0)}),
            (delayed(m, ends, self._summed), {"e": exponent}),
            (delayed(m, ends, self.FOUND), reciprocal(m, params, total)),
        ]


class TwoPassSoftmax(Softmax):
    """The kind ``two-pass``; see :class:`Softmax`."""

    passes = 2

    def __init__(self, params: SoftmaxParams):
        super().__init__(params)
        summed = 1 + _MANTISSA + params.width.bit_length() - 1 + 1
        self.overhead = summed + RECIP + 3 + _MANTISSA + 2 - 1

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        rows: Any = TwoPass(params)
        later, moving, valid = self.second_of_two(m, rows, _MANTISSA + 1)
        end = _MANTISSA - 1
        k, y, e = (later(v, 0, end) for v in (rows.o_k, rows.o_y, rows.o_e))
        keep = later(rows.o_keep, 0, end)
        cell = MantissaParams(params.in_bits, params.target)
        out = NormalizeParams(17, 46 - params.p_bits, cell.exponent_bits + 2, params.p_bits,
                              params.target)  # fmt: skip
        results = []
        for lane in range(params.width):
            m.submodules[f"mantissa{lane}"] = made = Mantissa(cell)
            m.submodules[f"normalize{lane}"] = normalize = Normalize(out)
            n, v = later(made.n, end), later(made.v, end)
            m.d.comb += [
                *(getattr(made, name).eq(getattr(rows, f"o_{name}")) for name in ("m", "sh")),
                made.x.eq(signed_of(rows.o_x, lane, params.in_bits)),
                made.en.eq(moving.replicate(Mantissa.latency)),
                normalize.e.eq(v & keep[lane].replicate(17)),
                normalize.y.eq(y),
                normalize.s.eq(k - 16 + (e - n)),
                normalize.en.eq(moving),
            ]
            results.append(normalize.p)
        fields = {
            "p": Cat(*results),
            "keep": later(keep, end + 1),
            "last": later(rows.o_last, 0, end + 1),
            "err": later(rows.o_err, 0, end + 1),
        }
        give(m, self.o, moving, valid, fields)
        return m
