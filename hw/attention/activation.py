# SPDX-License-Identifier: Apache-2.0
"""The unit ``activation``: functions of each element, one beat a cycle."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.attention.activation_params import ActivationParams
from hw.attention.half_up import clamped, half_up
from hw.attention.products import add_product, add_square
from hw.attention.rows import along, give, signed_of
from hw.attention.table import TableParams, interpolated

__all__ = ["Activation", "build"]

#: Kind -> stages before the register of the result.
_STEPS = {"lut": 1, "swiglu": 2, "pwl": 4, "ita": 4, "ibert": 3}

#: Kind -> fields of a row, taken with its first beat.
_OF_ROWS: dict[str, dict[str, Any]] = {
    "swiglu": {"s": unsigned(6)},
    "ita": {"m": signed(8), "s": unsigned(6), "z": signed(8)},
}


class Activation(wiring.Component):
    """A function of each element.

    Parameters
    ----------
    params : :class:`ActivationParams`

    Members
    -------
    i : ``In(stream)``
        ``x``, ``keep``, ``last``; ``load`` and ``t`` of a table that is loaded; ``u`` and ``s`` of
        ``swiglu``; ``m``, ``s``, ``z`` of ``ita``.
    o : ``Out(stream)``
        ``y``, ``keep``, ``last``.

    Timing
    ------
    One beat per cycle, a result :attr:`latency` cycles after its beat; beats of ``load`` packets
    have none. While a result waits nothing moves: ``i.ready`` follows ``o.ready``.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: ActivationParams):
        self.params = params
        lanes = params.lanes
        self._steps = _STEPS[params.kind]
        self.latency = self._steps + 1
        beat = {"x": unsigned(lanes * params["x_bits"]), "keep": unsigned(lanes)}
        beat["last"] = unsigned(1)
        if params.loaded:
            beat |= {"load": unsigned(1), "t": unsigned(lanes * params["table_bits"])}
        if params.kind == "swiglu":
            beat["u"] = unsigned(lanes * 8)
        beat |= _OF_ROWS.get(params.kind, {})
        answer = {"y": unsigned(lanes * params.y_bits), "keep": unsigned(lanes)}
        answer["last"] = unsigned(1)
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(answer))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params, beat, steps = Module(), self.params, self.i.payload, self._steps
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        takes = wire(m, self.i.valid & moving, "takes")
        first = Signal(init=1)
        with m.If(takes):
            m.d.sync += first.eq(beat.last)
        loading: Value = Const(0, 1)
        if params.loaded:
            held = Signal(name="loads")
            loading = wire(m, Mux(first, beat.load, held), "loading")
            with m.If(takes):
                m.d.sync += held.eq(loading)
        m.d.comb += self.i.ready.eq(moving)
        later, valid = along(m, moving, self.i.valid & ~loading, steps)
        row = {}
        for name in _OF_ROWS.get(params.kind, {}):
            kept = Signal.like(beat[name], name=f"row_{name}", reset_less=True)
            with m.If(takes & first):
                m.d.sync += kept.eq(beat[name])
            row[name] = wire(m, Mux(first, beat[name], kept), name)
            if beat[name].shape().signed:
                row[name] = wire(m, row[name][:8].as_signed(), name)

        writes = self._place(m, wire(m, takes & loading, "writes"), first) if params.loaded else ()
        results = []
        for lane in range(params.lanes):
            x = signed_of(beat.x, lane, params["x_bits"])
            if params.kind in ("lut", "swiglu"):
                y = self._entry(m, later, x, writes, moving, lane)
            elif params.kind == "pwl":
                y = self._segment(m, later, x)
            else:
                y = self._polynomial(m, later, x)
            if params.kind == "swiglu":
                heap = self._heap(m, len(y) + 8)
                add_product(m, heap, y, later(signed_of(beat.u, lane, 8), 0))
                whole = later(wire(m, heap.total(), "product"), 1)
                y = clamped(m, half_up(m, whole, later(row["s"], 0, 1)), 8)
            elif params.kind == "ita":
                heap = self._heap(m, len(y) + 8)
                add_product(m, heap, y, later(row["m"], 0, 2))
                whole = later(wire(m, heap.total(), "product"), 3)
                moved = half_up(m, whole, later(row["s"], 0, 3))
                y = clamped(m, wire(m, moved + later(row["z"], 0, 3), "with_zero"), 8)
            keep = later(beat.keep[lane], 0, steps - 1)
            results.append(wire(m, y[: params.y_bits] & keep.replicate(params.y_bits), "y"))
        fields = {"y": Cat(*results)}
        fields |= {name: later(beat[name], 0, steps - 1) for name in ("keep", "last")}
        give(m, self.o, moving, valid, fields)
        return m

    def _heap(self, m: Module, width: int) -> BitHeap:
        return BitHeap(m, width, self.params.target == "fpga")

    def _place(self, m: Module, writes: Value, first: Value) -> tuple[Value, Value]:
        """Return whether a beat of entries is written, and where."""
        depth = -(-256 // self.params.lanes)
        count = Signal(range(depth + 1))
        at = wire(m, Mux(first, 0, count), "at")
        enable = wire(m, writes & (at != depth), "enable")
        with m.If(enable):
            m.d.sync += count.eq(at + 1)
        return enable, at

    def _entry(
        self, m: Module, later: Any, x: Value, writes: Any, moving: Value, lane: int
    ) -> Value:
        """Return the entry of x, behind one stage; each lane has a copy of the table."""
        params, bits, lanes = self.params, self.params["table_bits"], self.params.lanes
        if not params.loaded:
            words = [entry & (1 << bits) - 1 for entry in params.entries]
            code = wire(m, later(x, 0).as_unsigned(), "code")
            return wire(m, lookup(words, code, bits).as_signed(), "entry")
        depth = -(-256 // lanes)
        m.submodules[f"table{lane}"] = table = Memory(shape=lanes * bits, depth=depth, init=[])
        write, read = table.write_port(), table.read_port()
        code = wire(m, x.as_unsigned(), "code")
        rows, columns = [k // lanes for k in range(256)], [k % lanes for k in range(256)]
        width = max(1, (lanes - 1).bit_length())
        column = later(wire(m, lookup(columns, code, width), "column"), 0)
        m.d.comb += [
            write.en.eq(writes[0]),
            write.addr.eq(writes[1]),
            write.data.eq(self.i.payload.t),
            read.en.eq(moving),
            read.addr.eq(lookup(rows, code, max(1, (depth - 1).bit_length()))),
        ]
        return wire(m, read.data.word_select(column, bits).as_signed(), "entry")

    def _segment(self, m: Module, later: Any, x: Value) -> Value:
        """Return x times its sigmoid, behind four stages."""
        params, chains = self.params, self.params.target == "fpga"
        table = TableParams("sigmoid", params["index_bits"], 16 - params["index_bits"])
        x = wire(m, later(x, 0), "x")
        size = wire(m, Mux(x[-1], -x, x)[:16], "size")
        where = wire(m, size << (13 - params["frac"]), "where")
        where = wire(m, Cat(where, Const(0, 1)), "where")
        index, rest = where[table.rest_bits : 16], where[: table.rest_bits]
        value = interpolated(m, later, 1, [table.values], index, rest, chains)
        beyond = later(wire(m, where[16:].any(), "beyond"), 1)
        x = later(x, 1)
        near = wire(m, Mux(beyond, 65536, value)[:17], "positive")
        sigma = later(wire(m, Mux(x[-1], 65536 - near, near)[:17], "sigma"), 2)
        heap = self._heap(m, 34)
        add_product(m, heap, sigma, later(x, 2))
        product = later(wire(m, heap.total(), "product"), 3)
        return clamped(m, half_up(m, product, 16), 16)

    def _polynomial(self, m: Module, later: Any, x: Value) -> Value:
        """Return x times the error function plus one, behind three stages."""
        params, bits, bend = self.params, self.params["x_bits"], self.params.bend
        x = wire(m, later(x, 0), "x")
        size = wire(m, Mux(x[-1], -x, x)[:bits], "size")
        left = wire(m, Mux(size > bend, 0, bend - size)[: bend.bit_length()], "left")
        heap = self._heap(m, 2 * len(left) + 2)
        add_square(m, heap, left)
        square = wire(m, heap.total(), "square")
        positive = wire(m, square + params.constant, "positive")
        if params.kind == "ita":
            turned = wire(m, Mux(x[-1], -positive, positive), "error")
            factor = wire(m, turned + params.one, "factor")
        else:
            turned = wire(m, Mux(x[-1], -positive, Mux(x.any(), positive, 0)), "error")
            factor = wire(m, (turned >> 14) + params.one, "factor")
        factor, x = later(factor, 1), later(x, 1)
        heap = self._heap(m, bits + len(factor))
        add_product(m, heap, factor, x)
        return later(wire(m, heap.total(), "product"), 2)


def build(params: ActivationParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = Activation(params)
    lanes = {"lanes": params.lanes}
    component.number_formats = {
        "i_x": {"format": f"int{params['x_bits']}", **lanes},
        "o_y": {"format": f"int{params.y_bits}", **lanes},
    }
    if params.loaded:
        component.number_formats["i_t"] = {"format": f"int{params['table_bits']}", **lanes}
    if params.kind == "swiglu":
        component.number_formats["i_u"] = {"format": "int8", **lanes}
    component.contract = {"answers": "each"}
    return component
