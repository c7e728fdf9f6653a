# SPDX-License-Identifier: Apache-2.0
"""Cells and streams around architectures whose operands are not plain codes of the formats."""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.params import PEParams

__all__ = ["Accumulator", "BeatSum", "Datapath", "Streamed", "check_stages", "codes", "component"]


def codes(bits: int, count: int) -> data.ArrayLayout:
    """Return the shape of ``count`` codes in one field of a beat."""
    return data.ArrayLayout(unsigned(bits), count)


def check_stages(params: PEParams) -> None:
    """Raise ``ValueError`` for more stages before the accumulator than there are here."""
    if params.pipeline > 2:
        arch = params.chosen_arch[0]
        raise ValueError(f"pipeline must be 0, 1 or 2 with arch {arch}, not {params.pipeline}")


class Datapath:
    """What an architecture makes of one beat. Subclasses say it in :meth:`add`.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`
        Their ``acc_width`` and ``dot_width`` are those of each column's sum.
    name : str
        The architecture and whatever decides its logic beside lanes, columns and target.
    fields : dict
        Fields of a beat and their shapes, without ``last``.
    flags : sequence of str
        One-bit outputs that stay 1 once they were 1 in a dot product.
    tracked : dict
        Inputs, and their widths, that the stream derives from the beats before: :meth:`track`.
    """

    def __init__(
        self,
        params: PEParams,
        name: str,
        fields: Mapping[str, Any],
        flags: Sequence[str] = (),
        tracked: Mapping[str, int] | None = None,
    ):
        self.params = params
        self.fields, self.flags, self.tracked = fields, tuple(flags), tracked or {}
        columns = f"_n{params.columns}" if params.columns > 1 else ""
        chains = "_chains" if params.carry_chains else ""
        self.label = f"{name}_l{params.lanes}{columns}{chains}"

    @property
    def widths(self) -> dict[str, int]:
        """Bits of every input of the cells."""
        bits = {name: Shape.cast(shape).width for name, shape in self.fields.items()}
        return {**bits, **self.tracked}

    def add(
        self, m: Module, inputs: Mapping[str, Value], heaps: Sequence[BitHeap]
    ) -> dict[str, Value]:
        """Add one beat's products to the heap of every column; return the flags."""
        raise NotImplementedError

    def track(self, m: Module, beat: Any, taken: Value) -> dict[str, Value]:
        """Return the tracked inputs of ``beat``, which is taken at the next edge if ``taken``."""
        return {}


def _members(datapath: Datapath) -> dict[str, Any]:
    return {
        **{name: In(width) for name, width in datapath.widths.items()},
        **{name: Out(1) for name in datapath.flags},
    }


def _result(datapath: Datapath, width: int) -> Any:
    count = datapath.params.columns
    return signed(width) if count == 1 else unsigned(width * count)


class BeatSum(Cell):
    """Sum of the products of one beat.

    Parameters
    ----------
    datapath : :class:`Datapath`

    Members
    -------
    a, w, ... : ``In``
        The fields of a beat, lane 0 in the low bits.
    p : ``Out``
        The sum, ``signed(dot_width)``; those of several columns side by side.
    nan, bad : ``Out(1)``
        The flags that the datapath has.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, datapath: Datapath):
        self.datapath = datapath
        self.label = f"dot_{datapath.label}"
        p = Out(_result(datapath, datapath.params.dot_width))
        super().__init__({**_members(datapath), "p": p})

    def body(self, platform: Any) -> Module:
        m, path = Module(), self.datapath
        params = path.params
        heaps = [BitHeap(m, params.dot_width, params.carry_chains) for _ in range(params.columns)]
        flags = path.add(m, {name: getattr(self, name) for name in path.widths}, heaps)
        m.d.comb += self.p.eq(Cat(heap.total() for heap in heaps))
        m.d.comb += [getattr(self, name).eq(value) for name, value in flags.items()]
        return m


class Accumulator(Cell):
    """Multiply and accumulate one beat per cycle.

    Parameters
    ----------
    datapath : :class:`Datapath`
        ``pipeline`` stages of its parameters lie before the accumulator: 1 registers the sum of
        the products, 2 also the operands.

    Members
    -------
    en : ``In(pipeline + 1)``
        Bit k lets the beat into stage k; the top bit lets it into the accumulator.
    clr : ``In(1)``
        With the top bit of ``en``: this beat starts a new sum.
    a, w, ... : ``In``
        The fields of a beat, lane 0 in the low bits.
    acc : ``Out``
        The sum, ``signed(acc_width)``; those of several columns side by side.
    nan, bad : ``Out(1)``
        The flags that the datapath has, or-ed since ``clr``.

    Timing
    ------
    The sum holds a beat ``pipeline + 1`` cycles after it came, if every stage is let in at once.
    """

    def __init__(self, datapath: Datapath):
        self.datapath = datapath
        params = datapath.params
        self.latency = params.pipeline + 1
        stages = f"_p{params.pipeline}" if params.pipeline else ""
        self.label = f"accumulate_{datapath.label}_c{params.acc_width}{stages}"
        members = {"en": In(params.pipeline + 1), "clr": In(1), **_members(datapath)}
        acc = Out(_result(datapath, params.acc_width), init=0)
        super().__init__({**members, "acc": acc})

    def body(self, platform: Any) -> Module:
        m, path = Module(), self.datapath
        params, stages = path.params, path.params.pipeline
        inputs: dict[str, Value] = {name: getattr(self, name) for name in path.widths}
        if stages >= 2:
            inputs = {name: self._register(m, v, 0) for name, v in inputs.items()}
        separate = stages > 0 or params.carry_chains
        width = params.dot_width if separate else params.acc_width
        heaps = [BitHeap(m, width, params.carry_chains) for _ in range(params.columns)]
        flags = path.add(m, inputs, heaps)
        if stages >= 1:
            flags = {name: self._register(m, flag, stages - 1) for name, flag in flags.items()}
        totals = []
        for column, heap in enumerate(heaps):
            kept = self.acc.word_select(column, params.acc_width)
            kept = kept & (~self.clr).replicate(params.acc_width)
            if not separate:
                heap.add(kept)
                totals.append(heap.total())
                continue
            beat = heap.total()
            if stages:
                beat = self._register(m, beat, stages - 1)
            totals.append((kept.as_signed() + beat)[: params.acc_width])
        with m.If(self.en[-1]):
            m.d.sync += self.acc.eq(Cat(totals))
            for name, flag in flags.items():
                held = getattr(self, name)
                m.d.sync += held.eq(held & ~self.clr | flag)
        return m

    def _register(self, m: Module, value: Value, stage: int) -> Signal:
        """Return ``value`` as it was when the beat entered ``stage``."""
        held = Signal(value.shape(), reset_less=True, name=f"stage{stage}")
        with m.If(self.en[stage]):
            m.d.sync += held.eq(value)
        return held


class Streamed(wiring.Component):
    """Dot products of a stream of beats: an :class:`Accumulator` and its handshake.

    Parameters
    ----------
    datapath : :class:`Datapath`

    Members
    -------
    i : ``In(stream.Signature({a, w, ..., last: 1}))``
        One beat: the fields of the datapath. ``last`` closes the dot product.
    o : ``Out(stream.Signature({acc[, nan][, bad]}))``
        The dot product, ``signed(acc_width)`` or several of them, and the flags.

    Timing
    ------
    One beat per cycle. ``o`` is valid :attr:`latency` cycles after the beat with ``last`` is
    accepted. ``i.ready`` follows ``o.ready`` combinationally while a result waits.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, datapath: Datapath):
        self.datapath = datapath
        params = datapath.params
        self.latency = params.pipeline + 1
        beat = data.StructLayout({**datapath.fields, "last": 1})
        acc: Any = signed(params.acc_width)
        if params.columns > 1:
            acc = data.ArrayLayout(acc, params.columns)
        result = data.StructLayout({"acc": acc, **dict.fromkeys(datapath.flags, unsigned(1))})
        super().__init__({"i": In(stream.Signature(beat)), "o": Out(stream.Signature(result))})

    def elaborate(self, platform: Any) -> Module:
        m, path = Module(), self.datapath
        m.submodules.cell = cell = Accumulator(path)
        beat, result = self.i.payload, self.o.payload

        # The accumulator is the output register, so a waiting result holds the whole pipeline.
        moving = Signal()
        m.d.comb += [moving.eq(~self.o.valid | self.o.ready), self.i.ready.eq(moving)]
        m.d.comb += [getattr(cell, name).eq(beat[name]) for name in path.fields]
        taken = wire(m, moving & self.i.valid, "taken")
        for name, value in path.track(m, beat, taken).items():
            m.d.comb += getattr(cell, name).eq(value)
        m.d.comb += [Value.cast(result[n]).eq(getattr(cell, n)) for n in ("acc", *path.flags)]

        valid, last = self.i.valid, beat.last
        for stage in range(path.params.pipeline):
            m.d.comb += cell.en[stage].eq(moving & valid)
            later_valid = Signal(name=f"valid{stage}")
            later_last = Signal(name=f"last{stage}", reset_less=True)
            with m.If(moving):
                m.d.sync += [later_valid.eq(valid), later_last.eq(last)]
            valid, last = later_valid, later_last

        first = Signal(init=1)
        m.d.comb += [cell.en[-1].eq(moving & valid), cell.clr.eq(first)]
        with m.If(moving):
            m.d.sync += self.o.valid.eq(valid & last)
            with m.If(valid):
                m.d.sync += first.eq(last)
        return m


def component(datapath: Datapath) -> wiring.Component:
    """Return the component that the core of the parameters asks for."""
    kinds = {"stream": Streamed, "accumulate": Accumulator, "dot": BeatSum}
    chosen: wiring.Component = kinds[datapath.params.core](datapath)
    return chosen
