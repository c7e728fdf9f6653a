# SPDX-License-Identifier: Apache-2.0
"""The unit ``norm``: rows to rows of mean 0 and variance 1, or of mean square 1, in integers."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.attention.half_up import clamped, half_up
from hw.attention.load_table import LoadTable
from hw.attention.norm_params import NormParams
from hw.attention.norm_sums import FOUND, RowSums, squared_row
from hw.attention.products import add_product
from hw.attention.row_store import RowStore
from hw.attention.rows import along, give, queue_records, signed_of

__all__ = ["Norm", "build"]

_G, _B = 16, 32  #: Bits of a scale and of a shift.


class Norm(wiring.Component):
    """Rows of integers, normalised.

    Parameters
    ----------
    params : :class:`NormParams`

    Members
    -------
    i : ``In(stream)``
        ``x``, ``keep``, ``last``, ``eps``; ``load``, ``g``, ``b``, ``sg`` with ``affine``; ``r``,
        ``m1``, ``m2``, ``ss`` with ``shortcut``.
    o : ``Out(stream)``
        ``y``, ``keep``, ``last``, ``err``.

    Timing
    ------
    One beat per cycle each way, rows without a gap. Of a row of n beats that is alone the last
    result is taken in cycle ``2 * n + overhead``, counted from its first beat, which is cycle 1.
    A ``load`` packet is accepted when the rows before it have read the table.
    """

    def __init__(self, params: NormParams):
        self.params = params
        lanes = params.lanes
        beat = {"x": unsigned(lanes * params.x_bits), "keep": unsigned(lanes), "last": unsigned(1)}
        if params.scaled:
            beat |= {"load": unsigned(1), "g": unsigned(lanes * _G), "b": unsigned(lanes * _B)}
            beat["sg"] = unsigned(6)
        beat["eps"] = unsigned(32)
        if params.shortcut:
            beat |= {"r": unsigned(lanes * params.y_bits), "m1": signed(16), "m2": signed(16)}
            beat["ss"] = unsigned(6)
        answer = {"y": unsigned(lanes * params.y_bits), "keep": unsigned(lanes)}
        answer |= {"last": unsigned(1), "err": unsigned(2)}
        self._steps = 3 + 2 * params.scaled + 2 * params.shortcut
        self.overhead = FOUND + 3 + self._steps
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(answer))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params, beat = Module(), self.params, self.i.payload
        first, moving = Signal(init=1), wire(m, ~self.o.valid | self.o.ready, "moving")
        shared = {"n": unsigned(params.count_bits), "y": unsigned(31), "h": unsigned(5)}
        shared |= {"some": unsigned(1), "err": unsigned(1)}
        if params.kind == "ln":
            shared["sum"] = signed(params.x_bits + params.count_bits)
        if params.shortcut:
            shared |= {"m1": signed(16), "m2": signed(16), "ss": unsigned(6)}
        width = params.lanes * (params.x_bits + 1 + (params.y_bits if params.shortcut else 0))
        slack = FOUND + 5
        m.submodules.store = store = RowStore(
            width, params.max_beats, slack, data.StructLayout(shared), checked=True
        )
        table = self._table(m, first, store, moving) if params.scaled else None
        loads, loadable = (table.loading, table.ready) if table else (Const(0, 1), Const(0, 1))
        takes = wire(m, self.i.valid & store.room & ~loads, "takes")
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += first.eq(beat.last)
        kept = [beat.x, beat.keep, *([beat.r] if params.shortcut else [])]
        m.d.comb += [
            self.i.ready.eq(Mux(loads, loadable, store.room)),
            store.put.eq(takes),
            store.data.eq(Cat(*kept)),
            store.last.eq(beat.last),
            store.moves.eq(moving),
        ]
        sums = RowSums(m, params, beat, takes, first, store.err)
        fields = squared_row(m, params, sums)
        queue_records(m, store, params.max_beats + slack, [(fields.pop("ready"), fields)])
        self._second_pass(m, store, moving, table)
        return m

    def _table(self, m: Module, first: Value, store: RowStore, moving: Value) -> LoadTable:
        """Return the table of scales and shifts, which rows read as they leave the store."""
        params, beat = self.params, self.i.payload
        m.submodules.table = table = LoadTable(params.lanes * (_G + _B), params.max_beats)
        m.d.comb += [
            table.valid.eq(self.i.valid),
            table.first.eq(first),
            table.load.eq(beat.load),
            table.data.eq(Cat(beat.g, beat.b)),
            table.opens.eq(self.i.valid & self.i.ready & first & ~table.loading),
            table.reads.eq(moving & store.o_valid),
            table.moves.eq(moving),
            table.reads_last.eq(store.o_last),
        ]
        return table

    def _second_pass(
        self, m: Module, store: RowStore, moving: Value, table: LoadTable | None
    ) -> None:
        params, steps, row = self.params, self._steps, store.o_record
        lanes, bits = params.lanes, params.x_bits
        later, valid = along(m, moving, store.o_valid, steps)
        x = store.o_data[: lanes * bits]
        keep = store.o_data[lanes * bits :][:lanes] & (~row.err).replicate(lanes)
        keep = wire(m, keep, "keep")
        held: dict[str, Callable[[int], Value]] = {}

        def hold(name: str, value: Value) -> None:
            """Let ``value`` be there behind each stage."""
            copies = [value]
            for stage in range(steps):
                copies.append(later(copies[-1], stage))
            held[name] = copies.__getitem__

        hold("keep", keep)
        hold("y", row.y)
        hold("h", row.h)
        hold("some", row.some)
        if table is not None:
            sg = Signal(6, reset_less=True)
            with m.If(table.begins):
                m.d.sync += sg.eq(self.i.payload.sg)
            hold("sg", sg)
            words = table.o_data
            for stage in (1, 2):
                words = later(words, stage)
        if params.shortcut:
            hold("r", store.o_data[lanes * (bits + 1) :])
            for name in ("m1", "m2", "ss"):
                hold(name, row[name])

        results = []
        for lane in range(lanes):
            u = signed_of(x, lane, bits)
            if params.kind == "ln":
                heap = self._heap(m, bits + params.count_bits + 1)
                add_product(m, heap, u, row.n)
                heap.add((~row.sum).as_signed())
                heap.add_constant(1)
                u = heap.total()
            u = later(wire(m, u, "apart"), 0)
            heap = self._heap(m, len(u) + 32)
            add_product(m, heap, u, held["y"](1))
            product = later(wire(m, heap.total()[29 - params.frac :].as_signed(), "product"), 1)
            moved = wire(m, product >> held["h"](2), "moved")
            normal = ((moved + 1) >> 1)[: params.normal_bits]
            some = wire(m, held["some"](2) & held["keep"](2)[lane], "some")
            y = wire(m, (normal & some.replicate(params.normal_bits)).as_signed(), "normal")
            y = later(y, 2)
            if table is not None:
                y = self._scaled(m, later, y, words, held, lane)
            if params.shortcut:
                y = self._shortcut(m, later, y, held, lane)
            results.append(wire(m, y[: params.y_bits], "y"))
        end = steps - 1
        err = later(wire(m, row.err, "err"), 0, end)
        fields = {"y": Cat(*results), "keep": held["keep"](steps), "err": err}
        give(m, self.o, moving, valid, {**fields, "last": later(store.o_last, 0, end)})

    def _heap(self, m: Module, width: int) -> BitHeap:
        return BitHeap(m, width, self.params.target == "fpga")

    def _scaled(self, m: Module, later: Any, y: Value, words: Value, held: Any, lane: int) -> Value:
        lanes = self.params.lanes
        heap = self._heap(m, max(self.params.normal_bits + _G, _B) + 1)
        add_product(m, heap, y, signed_of(words, lane, _G))
        heap.add(signed_of(words[lanes * _G :], lane, _B))
        sum_ = later(wire(m, heap.total(), "scaled"), 3)
        v = clamped(m, half_up(m, sum_, held["sg"](4)), self.params.y_bits)
        keep = held["keep"](4)[lane].replicate(self.params.y_bits)
        return later(wire(m, (v[: self.params.y_bits] & keep).as_signed(), "v"), 4)

    def _shortcut(self, m: Module, later: Any, v: Value, held: Any, lane: int) -> Value:
        bits = self.params.y_bits
        heap = self._heap(m, bits + 17)
        add_product(m, heap, v, held["m1"](5))
        add_product(m, heap, signed_of(held["r"](5), lane, bits), held["m2"](5))
        sum_ = later(wire(m, heap.total(), "both"), 5)
        v = clamped(m, half_up(m, sum_, held["ss"](6)), bits)
        return later(
            wire(m, (v[:bits] & held["keep"](6)[lane].replicate(bits)).as_signed(), "w"), 6
        )


def build(params: NormParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = Norm(params)
    lanes = {"lanes": params.lanes}
    component.latency = params.max_beats + component.overhead
    component.beats_per_cycle = 1
    component.number_formats = {
        "i_x": {"format": f"int{params.x_bits}", **lanes},
        "o_y": {"format": f"int{params.y_bits}", **lanes},
    }
    if params.scaled:
        component.number_formats |= {
            "i_g": {"format": "int16", **lanes},
            "i_b": {"format": "int32", **lanes},
        }
    if params.shortcut:
        component.number_formats["i_r"] = {"format": f"int{params.y_bits}", **lanes}
    component.contract = {
        "answers": "beats",
        "max_beats": params.max_beats,
        "passes": 2,
        "overhead": component.overhead,
        "row_interval": 1,
    }
    return component
