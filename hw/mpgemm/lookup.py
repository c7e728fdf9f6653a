# SPDX-License-Identifier: Apache-2.0
"""The core of the lookup engine: tables for each row, keys for each column, sums for both."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.constants import add_multiple
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.aligned import aligned
from hw.mpgemm.lookup_cells import KeyDecoder, LookupCell, key_bits, place_bits, shifted
from hw.mpgemm.lookup_shape import LookupShape
from hw.mpgemm.shape import Shape
from hw.mpgemm.tables import TableBuilder
from hw.mpgemm.tile_rows import TileRows
from hw.mpgemm.writer import row_signature

__all__ = ["Lookup", "LookupRow"]


class LookupRow(Cell):
    """One row of a tile: its tables, and its sums, which all look up in them.

    Parameters
    ----------
    shape : LookupShape
    acc_bits : int

    Members
    -------
    load : ``In(1)``
        Lets the tables into their register. Used with ``pipeline`` only.
    look, en, clr, top, keys
        As of :class:`~hw.mpgemm.lookup_cells.LookupCell`, ``keys`` of all columns.
    low, high : ``In(1)``
        The beat at the lookup is the first, the last, of its step. Never without a beat.
    place, place_acc : ``In``
        Number of the beat within its step, at the lookup and when it enters the sums.
    act : ``In(shape.row_bits)``
        Activations, or tables.
    sums : ``Out(columns * acc_bits)``
    nan : ``Out(1)``
        An activation in them was not finite. Present where that occurs.

    Timing
    ------
    ``pipeline + 1`` cycles from ``act`` to ``sums``.
    """

    def __init__(self, shape: LookupShape, acc_bits: int):
        self.shape, self._acc_bits = shape, acc_bits
        self.label = f"row{shape.columns}_{shape.label}_c{acc_bits}"
        members: dict[str, Any] = {
            "load": In(1),
            "look": In(1),
            "en": In(1),
            "clr": In(1),
            "top": In(1),
            "low": In(1),
            "high": In(1),
            "place": In(place_bits(shape)),
            "place_acc": In(place_bits(shape)),
            "keys": In(shape.columns * shape.planes * shape.tables * key_bits(shape)),
            "act": In(shape.row_bits),
            "sums": Out(shape.columns * acc_bits),
        }
        if shape.act.nan:
            members["nan"] = Out(1)
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        tables = self._tables(m)
        first = 1 if shape.paired else 0
        words = [
            table.word_select(e, shape.table.entry_bits)[first:]
            for table in tables
            for e in range(shape.entries)
        ]
        entries = wire(m, Cat(*words), "entries")
        odd = wire(m, Cat(table[0] for table in tables)[: shape.odd_bits], "odd")
        share = self._share(m, tables) if shape.share_bits else None
        for c in range(shape.columns):
            m.submodules[f"column{c}"] = cell = LookupCell(shape, self._acc_bits)
            m.d.comb += [
                cell.look.eq(self.look),
                cell.en.eq(self.en),
                cell.clr.eq(self.clr),
                cell.top.eq(self.top),
                cell.place.eq(self.place_acc),
                cell.keys.eq(self.keys.word_select(c, len(cell.keys))),
                cell.table.eq(entries),
                cell.odd.eq(odd),
                self.sums.word_select(c, self._acc_bits).eq(cell.acc),
            ]
            if share is not None:
                m.d.comb += cell.share.eq(share)
        return m

    def _tables(self, m: Module) -> list[Value]:
        """Return the tables at the lookup."""
        shape, tables = self.shape, []
        acts = self.act if shape.outside else self._aligned(m)
        for number in range(shape.tables):
            if shape.outside:
                word = self.act.word_select(number, shape.table.port_bits)
                table = shape.table.from_port(word)
            else:
                m.submodules[f"builder{number}"] = builder = TableBuilder(shape.table)
                m.d.comb += builder.act.eq(acts.word_select(number, len(builder.act)))
                table = builder.table
            if shape.pipeline:
                held = Signal(shape.table.bits, reset_less=True, name=f"table{number}")
                with m.If(self.load):
                    m.d.sync += held.eq(table)
                table = held
            tables.append(wire(m, table, "table"))
        return tables

    def _aligned(self, m: Module) -> Value:
        """Return the activations as integers, and keep in mind whether one is none."""
        shape = self.shape
        acts, nan = aligned(m, shape.act, self.act)
        if not shape.act.nan:
            return acts
        for stage, enable in enumerate((self.load, self.look)[: shape.pipeline]):
            held = Signal(name=f"not_finite{stage}", reset_less=True)
            with m.If(enable):
                m.d.sync += held.eq(nan)
            nan = held
        found = Signal(name="nan_found", reset_less=True)
        with m.If(self.en):
            m.d.sync += found.eq(nan | found & ~self.clr)
        m.d.comb += self.nan.eq(found)
        return acts

    def _share(self, m: Module, tables: list[Value]) -> Value:
        """Return what this row adds to all its sums, when the beat enters them."""
        shape, width = self.shape, self.shape.share_bits
        first, odd, last = shape.share_factors
        negated = shape.paired and first == -1 and not last
        centred = not negated and (shape.paired or last)
        heap = BitHeap(m, width, shape.carry_chains)
        centre = BitHeap(m, width, shape.carry_chains)  # what the last beat adds too, or a multiple
        for table in tables:
            total = wire(m, table[-shape.table.entry_bits :].as_signed(), "total")
            if negated:
                heap.add((~total[1:]).as_signed(), carry=~total[0])
            elif not centred:
                add_multiple(m, heap, total, first)
            elif shape.paired:
                centre.add(total[1:].as_signed(), carry=total[0])
            else:
                centre.add(total)
            for weight in range(odd.bit_length()):
                if odd >> weight & 1:
                    heap.add(total[0], weight)
        middle = centre.total() if centred else None
        if middle is not None:
            add_multiple(m, heap, middle, first)
        share = wire(m, Cat(heap.total()) & self.low.replicate(width), "share_low")
        if last and middle is not None:
            most = (shape.beats - 1) * shape.planes
            high = shifted(m, middle, self.place, shape.planes, most, Const(0, 1))
            high = (high << shape.planes)[:width] & self.high.replicate(width)
            share = wire(m, (share + high)[:width], "share")
        if shape.pipeline == 2:
            held = Signal(width, reset_less=True, name="share_held")
            with m.If(self.look):
                m.d.sync += held.eq(share)
            share = wire(m, held & self.en.replicate(width), "share_taken")
        return share


class Lookup(wiring.Component):
    """The core of the lookup engine.

    Every row makes its tables from the activations of a step, and all its columns look up in them.
    A lookup of a half table is an entry and a sign: the entry's bits are inverted, and a carry goes
    into the sum. As all entries of a table are even, or all are odd, that bit is left out of them.
    What it and the half of all activations add is the same for all columns: the row's share.

    Parameters
    ----------
    shape : LookupShape
    frame : :class:`~hw.mpgemm.shape.Shape`

    Members
    -------
    i : ``In(stream.Signature({act, wgt, first, last[, low, high]}))``
        Steps, or the beats of steps, as of :class:`~hw.mpgemm.sequencer.Sequencer`.
    o : ``Out(row_signature(frame))``

    Timing
    ------
    One beat per cycle; a tile may follow another ``rows`` cycles later. Row 0 is valid
    :attr:`latency` cycles after the tile's last beat is accepted.
    """

    def __init__(self, shape: LookupShape, frame: Shape):
        self.shape, self._frame = shape, frame
        self.latency = shape.pipeline + 1 + (shape.rows > 1)
        self.tiles_inside = shape.pipeline + 3
        step: dict[str, Any] = {
            "act": unsigned(frame.act_bits),
            "wgt": unsigned(frame.wgt_bits),
            "first": 1,
            "last": 1,
        }
        if shape.beats > 1:
            step |= {"low": 1, "high": 1}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(step))),
                "o": Out(row_signature(frame)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, shape, step = Module(), self.shape, self.i.payload
        acc_bits = self._frame.acc_bits
        m.submodules.out = out = TileRows(shape.rows, shape.columns * acc_bits + shape.act.nan)
        moving = Signal()
        m.d.comb += [moving.eq(~out.done | out.free), self.i.ready.eq(moving)]
        beats = self._stages(m, moving)
        with m.If(moving):
            m.d.sync += out.done.eq(beats[-1]["valid"] & beats[-1]["last"])
        enables = [wire(m, moving & beat["valid"], "enable") for beat in beats]

        at_lookup = min(shape.pipeline, 1)
        look, looked = enables[at_lookup], beats[at_lookup]
        keys = self._keys(m, looked["keys"], look)
        for r in range(shape.rows):
            m.submodules[f"row{r}"] = row = LookupRow(shape, acc_bits)
            m.d.comb += [
                row.load.eq(enables[0]),
                row.look.eq(look),
                row.en.eq(enables[-1]),
                row.clr.eq(enables[-1] & beats[-1]["first"]),
                row.top.eq(look & looked["high"]),
                row.low.eq(look & looked["low"]),
                row.high.eq(look & looked["high"]),
                row.place.eq(looked["place"]),
                row.place_acc.eq(beats[-1]["place"]),
                row.keys.eq(keys),
                row.act.eq(step.act.word_select(r, shape.row_bits)),
            ]
            m.d.comb += out.sums[r].eq(Cat(row.sums, row.nan) if shape.act.nan else row.sums)
        m.d.comb += [
            self.o.valid.eq(out.o.valid),
            Value.cast(self.o.payload.acc).eq(out.o.payload[: shape.columns * acc_bits]),
            out.o.ready.eq(self.o.ready),
        ]
        if shape.act.nan:
            m.d.comb += self.o.payload.nan.eq(out.o.payload[-1].replicate(shape.columns))
        return m

    def _stages(self, m: Module, moving: Value) -> list[dict[str, Value]]:
        """Return what is known of the beat in every stage."""
        shape, step = self.shape, self.i.payload
        one = Const(1, 1)
        count = Signal(place_bits(shape))
        # A job that fails leaves a step behind: only its first beat says where the next one is.
        first = step.low if shape.beats > 1 else one
        place = wire(m, count & (~first).replicate(len(count)), "place")
        beat: dict[str, Value] = {
            "valid": self.i.valid,
            "first": step.first,
            "last": step.last,
            "low": first,
            "high": step.high if shape.beats > 1 else one,
            "place": place,
            "keys": step.wgt,
        }
        with m.If(self.i.valid & moving):
            m.d.sync += count.eq(place + 1)
        beats = [beat]
        for stage in range(shape.pipeline):
            later: dict[str, Value] = {}
            for name, value in beats[-1].items():
                held = Signal(len(value), name=f"{name}{stage}", reset_less=name != "valid")
                with m.If(moving):
                    m.d.sync += held.eq(value)
                later[name] = held
            beats.append(later)
        return beats

    def _keys(self, m: Module, keys: Value, taken: Value) -> Value:
        """Return the keys as the lookups take them, of all columns."""
        shape = self.shape
        if shape.carry_chains:
            return keys
        lines = []
        for number in range(shape.wgt_bits // shape.group):
            m.submodules[f"key{number}"] = decoder = KeyDecoder(shape)
            m.d.comb += decoder.key.eq(keys.word_select(number, shape.group))
            m.d.comb += decoder.taken.eq(taken)
            lines.append(decoder.lines)
        return wire(m, Cat(*lines), "lines")
