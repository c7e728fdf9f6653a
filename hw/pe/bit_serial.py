# SPDX-License-Identifier: Apache-2.0
"""Bit-serial processing element: one term of every weight a cycle."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.bit_serial_exact import BitSerialExact
from hw.pe.bit_serial_float import BitSerialFloat, scaled_code
from hw.pe.bit_serial_terms import STEPS
from hw.pe.params import PEParams
from hw.pe.serial import hold_result, take_steps
from hw.pe.serial_scale import BITS, SerialScale
from hw.spec.formats import FloatFormat

__all__ = ["SPECIAL_VALUES", "BitSerial"]

#: Contents of ``sv`` for the special values of BitMoD: sign and magnitude in half units.
SPECIAL_VALUES = {
    "e2m1": (10, 32 + 10, 16, 32 + 16),
    "e2m0": (6, 32 + 6, 12, 32 + 12),
}


class BitSerial(wiring.Component):
    """Dot products of a stream of beats, each held at the input until its last term is taken.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`
        ``mode`` hardware rounds the sum to 24 bits in each cycle; ``scale`` int8 multiplies the
        sum by a scale, one bit a cycle, while the next dot product runs; mode hardware then rounds
        once more.

    Members
    -------
    i : ``In(stream.Signature({a, w[, sel: 2][, s: signed(8)], last: 1}))``
        One beat of operands. ``sel`` picks the special value that the code of -0 stands for, ``s``
        is read with ``last``, which closes the dot product.
    sv : ``In(24)``
        Four special values of 6 bits, the first in the low bits: a sign above a magnitude in half
        units. Float weights only. It must not change while a dot product is under way.
    o : ``Out(stream.Signature({acc: signed or y: 32[, nan: 1][, bad: 1]}))``
        The dot product in units of ``2**lam``, exact for at most ``max_k`` products; ``y``, in mode
        hardware, as an fp32 code. ``nan``: an activation was NaN or infinite; those count as zero.
        ``bad``: a special value has more than two terms, of which the two leading ones counted.

    Timing
    ------
    4, 3, 3, 2 cycles a beat for weights of 8, 6, 5 and fewer bits. ``o`` is valid :attr:`latency`
    cycles after the beat with ``last`` is accepted: 1, with a scale 8. With a scale a ``last`` is
    not accepted earlier than 8 cycles after the one before, nor while a result waits. ``i.ready``
    follows ``o.ready`` combinationally while a result waits, with a scale also ``last``.
    """

    def __init__(self, params: PEParams):
        self.params = params
        weight, act = params.weight_format, params.act_format
        self.steps = STEPS[weight.name]
        self.special = isinstance(weight, FloatFormat)
        self.cell: Any = (BitSerialFloat if params.mode == "hardware" else BitSerialExact)(params)
        self.latency = BITS if params.scale else 1
        self.beats_per_cycle = 1 / max(self.steps, BITS if params.scale else 1)
        self.combinational_paths: tuple[tuple[str, str], ...] = (("o_ready", "i_ready"),)
        if params.scale:
            self.combinational_paths += (("i_last", "i_ready"),)
        beat = {
            "a": data.ArrayLayout(unsigned(act.bits), params.lanes),
            "w": data.ArrayLayout(unsigned(weight.bits), params.lanes),
            **({"sel": unsigned(2)} if self.special else {}),
            **({"s": signed(BITS)} if params.scale else {}),
            "last": unsigned(1),
        }
        flags = [n for n in ("nan", "bad") if n in self.cell.signature.members]
        result = self._result() | {name: unsigned(1) for name in flags}
        self.flags = flags
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                **({"sv": In(24)} if self.special else {}),
                "o": Out(stream.Signature(data.StructLayout(result))),
            }
        )
        self._describe()

    def _result(self) -> dict[str, Any]:
        if self.params.mode == "hardware":
            return {"y": unsigned(32)}
        return {"acc": signed(self.cell.width + (BITS if self.params.scale else 0))}

    def _describe(self) -> None:
        params = self.params
        self.lam = params.act_lam - self.special
        self.number_formats: dict[str, dict[str, Any]] = {
            "i_a": {"format": params.act_format.name, "lanes": params.lanes},
            "i_w": {"format": params.weight_format.name, "lanes": params.lanes},
        }
        self.contract: dict[str, Any] = {"max_k": params.max_k, "cycles_per_beat": self.steps}
        if params.mode == "hardware":
            self.number_formats["o_y"] = {"format": "fp32"}
        else:
            bits = len(self.o.payload.acc)
            self.number_formats["o_acc"] = {"format": f"int{bits}", "lam": self.lam}
            self.contract |= {"lam": self.lam, "acc_bits": bits}
        if self.special:
            values = SPECIAL_VALUES[params.weight_format.name]
            constant = sum(value << 6 * k for k, value in enumerate(values))
            self.number_formats["sv"] = {"constant": constant}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cell = cell = self.cell
        beat = self.i.payload
        moving = Signal()
        final, closes = take_steps(m, self.i, cell, self.steps, moving)
        m.d.comb += [cell.a.eq(beat.a), cell.w.eq(beat.w)]
        if self.special:
            m.d.comb += [cell.sel.eq(beat.sel), cell.sv.eq(self.sv)]
        if self.params.scale:
            self._scaled(m, moving, closes, final & beat.last)
            return m
        hold_result(m, self.o, moving, closes)
        name = "y" if self.params.mode == "hardware" else "acc"
        m.d.comb += [self.o.payload[n].eq(getattr(cell, n)) for n in (name, *self.flags)]
        return m

    def _scaled(self, m: Module, moving: Signal, closes: Value, closing: Value) -> None:
        """Let a finished sum go through the scale while the next dot product runs."""
        cell, result, scale = self.cell, self.o.payload, self.i.payload.s
        rounded = self.params.mode == "hardware"
        width = 25 if rounded else cell.width
        m.submodules.scale = unit = SerialScale(width, signed_scale=not rounded)
        m.d.comb += [
            moving.eq(~closing | ~unit.busy & (~self.o.valid | self.o.ready)),
            unit.load.eq(closes),
        ]
        with m.If(unit.done | self.o.ready):
            m.d.sync += self.o.valid.eq(unit.done)
        if rounded:
            magnitude = Mux(scale[-1], -scale, scale)
            kept = Signal(8, reset_less=True)  # exponent and sign
            with m.If(closes):
                m.d.sync += kept.eq(cell.total[23:] ^ Cat(Const(0, 7), scale[-1]))
            significand = Cat(cell.total[:23], cell.total[23:30].any())
            m.d.comb += [unit.x.eq(significand), unit.s.eq(magnitude)]
            m.d.comb += result.y.eq(scaled_code(m, unit.p[:31], kept[:7], kept[7]))
        else:
            m.d.comb += [unit.x.eq(cell.total), unit.s.eq(scale), result.acc.eq(unit.p)]
        for name in self.flags:
            flag = Signal(name=name, reset_less=True)
            with m.If(unit.first):  # before the next dot product touches them
                m.d.sync += flag.eq(getattr(cell, name))
            m.d.comb += result[name].eq(flag)
