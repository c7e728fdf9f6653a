# SPDX-License-Identifier: Apache-2.0
"""Products that are looked up once they have been formed: weights of few values repeat."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.pe.params import PEParams

__all__ = ["ReusePE"]

#: A larger table is a memory, a smaller one flip-flops.
_MOST_REGISTERS = 16


class ReusePE(wiring.Component):
    """Sums of one activation times many weights, each distinct product formed once.

    The products of the activation are kept by the magnitude of the weight; a sign negates. One
    adder serves all columns: their sums pass by it in a ring.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    i : ``In(stream.Signature({a: 1 code, w: columns codes, last: 1}))``
        One activation and the weight of every column. ``last`` closes the dot products.
    o : ``Out(stream.Signature({acc: columns * acc_width, mults}))``
        The dot products, each signed, and the number of multiplications that they took: for each
        beat the distinct magnitudes, other than 0, of its weights.

    Timing
    ------
    A weight takes one cycle; one whose product is not yet known takes as many more as it has bits.
    ``o`` is valid one cycle after the last weight; :attr:`latency` is for the longest beat.
    ``i.ready`` follows ``o.ready`` combinationally while a result waits.
    """

    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: PEParams):
        self.params = params
        bits, columns, width = params.weight_format.bits, params.columns, params.acc_width
        misses = min(columns, 1 << bits - 1)
        cycles = columns + misses * bits
        self.latency = cycles + 1
        self.beats_per_cycle = 1 / cycles
        self.mults_bits = (params.max_k * misses).bit_length()
        beat = data.StructLayout(
            {
                "a": data.ArrayLayout(unsigned(params.act_format.bits), 1),
                "w": data.ArrayLayout(unsigned(bits), columns),
                "last": 1,
            }
        )
        acc = signed(width) if columns == 1 else data.ArrayLayout(signed(width), columns)
        result = data.StructLayout({"acc": acc, "mults": unsigned(self.mults_bits)})
        super().__init__({"i": In(stream.Signature(beat)), "o": Out(stream.Signature(result))})

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        bits, columns = params.weight_format.bits, params.columns
        act = Signal(self._act_shape, reset_less=True)
        weights = Signal(columns * bits, reset_less=True)
        last = Signal(reset_less=True)
        index = Signal(range(max(2, columns)), reset_less=True)
        busy, run, step, finish = Signal(), Signal(), Signal(), Signal()
        code = weights[:bits].as_signed()
        magnitude = wire(m, Mux(code < 0, -code, code)[:bits], "magnitude")
        zero = wire(m, ~magnitude.any(), "zero")
        product, known, formed = self._table(m, run & ~zero, magnitude, act, run & finish | ~busy)
        waiting = self.o.valid & ~self.o.ready
        m.d.comb += [
            run.eq(busy & ~waiting),
            step.eq(zero | known),
            finish.eq(step & (index == columns - 1)),
            self.i.ready.eq(~busy | run & finish),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(run & step):
            m.d.sync += [weights.eq(weights >> bits), index.eq(index + 1)]
            with m.If(finish):
                m.d.sync += [busy.eq(0), self.o.valid.eq(last)]
        with m.If(self.i.valid & self.i.ready):
            payload = self.i.payload
            m.d.sync += [act.eq(payload.a[0]), weights.eq(payload.w), last.eq(payload.last)]
            m.d.sync += [busy.eq(1), index.eq(0)]
        addend = wire(m, Mux(zero, 0, Mux(code < 0, -product, product)), "addend")
        self._sums(m, run, run & step, run & finish, last, addend, formed)
        return m

    @property
    def _act_shape(self) -> Any:
        fmt = self.params.act_format
        return signed(fmt.bits) if fmt.signed else unsigned(fmt.bits)

    def _table(
        self, m: Module, asks: Value, magnitude: Value, act: Value, clear: Value
    ) -> tuple[Value, Value, Value]:
        """Return the product, whether it is known, and whether it is formed in this cycle.

        A multiplication takes one bit of the magnitude per cycle, from the top.
        """
        bits = len(magnitude)
        # The magnitude 2**(bits - 1) has the place of 0, which is never looked up.
        place = magnitude[:-1]
        valid = Signal(1 << bits - 1)
        known = wire(m, valid.bit_select(place, 1), "known")
        shape = signed(len(act) + bits)
        turn, part = Signal(range(bits), init=bits - 1), Signal(shape, reset_less=True)
        digit = magnitude.bit_select(turn, 1)
        before = Mux(turn == bits - 1, 0, part)
        longer = wire(m, (before << 1) + Mux(digit, act, 0), "longer")[: len(part)].as_signed()
        longer = wire(m, longer, "sum")
        formed = wire(m, asks & ~known & (turn == 0), "formed")
        with m.If(asks & ~known):
            m.d.sync += [part.eq(longer), turn.eq(turn - 1)]
        with m.If(formed):
            m.d.sync += [turn.eq(bits - 1), valid.eq(valid | Const(1, len(valid)) << place)]
        with m.If(clear):
            m.d.sync += valid.eq(0)
        if len(valid) > _MOST_REGISTERS:
            m.submodules.table = table = memory.Memory(shape=shape, depth=len(valid), init=[])
            write, read = table.write_port(), table.read_port(domain="comb")
            m.d.comb += [write.addr.eq(place), write.data.eq(longer), write.en.eq(formed)]
            m.d.comb += read.addr.eq(place)
            return wire(m, read.data, "product"), known, formed
        words = Array(Signal(shape, name=f"product{k}", reset_less=True) for k in range(len(valid)))
        with m.If(formed):
            m.d.sync += words[place].eq(longer)
        return wire(m, words[place], "product"), known, formed

    def _sums(
        self, m: Module, run: Value, step: Value, finish: Value, last: Value, addend: Value,
        formed: Value,
    ) -> None:  # fmt: skip
        """Add ``addend`` to the sum whose turn it is, and count what was ``formed``."""
        width, columns = self.params.acc_width, self.params.columns
        ring, mults = Signal(columns * width, reset_less=True), Signal(self.mults_bits)
        fresh, begins = Signal(init=1), Signal(init=1)
        kept = ring[:width].as_signed() & (~begins).replicate(width).as_signed()
        total = wire(m, kept + addend, "total")[:width]
        with m.If(run):
            m.d.sync += [mults.eq(Mux(fresh, 0, mults) + formed), fresh.eq(0)]
        with m.If(step):
            m.d.sync += ring.eq(Cat(ring[width:], total))
        with m.If(finish):
            m.d.sync += [begins.eq(last), fresh.eq(last)]
        result = self.o.payload
        m.d.comb += [Value.cast(result.acc).eq(ring), result.mults.eq(mults)]
