# SPDX-License-Identifier: Apache-2.0
"""Systolic array whose jobs choose what stays: sums, or weights, in the same cells."""

import math
from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.broadcast import step_signature
from hw.mpgemm.stationary import totals_of
from hw.mpgemm.switched_sequencer import SwitchedSequencer
from hw.mpgemm.systolic import skewed
from hw.mpgemm.writer import row_signature
from hw.pe.cells import Dot, MultiplyAdd

__all__ = ["Switched", "SwitchedRow"]

_FLAGS = 3  # valid, mark, last


class SwitchedRow(Cell):
    """One row of cells: a multiplier, an adder and a sum each, and two registers for weights.

    Where sums stay, weights walk down through the first of these registers, and each cell adds its
    products to its sum. Where weights stay, they are in either register, and each cell gives the
    sum of the one above and its products to the one below.

    Parameters
    ----------
    params : :class:`~hw.mpgemm.array_params.ArrayParams`

    Members
    -------
    moving : ``In(1)``
        Everything stands still without it.
    flow : ``In(1)``
        The weights stay. Constant while there is anything in the array.
    bottom : ``In(1)``
        The last row, whose sums always show where weights stay.
    flags : ``In(3)``
        Of what enters: valid; mark, a new sum begins or, where weights stay, these are in the
        second register; last.
    fed : ``In``
        ``lanes`` activations.
    bus : ``In``
        Weights that can be loaded, each column's a move later than those of the one before.
    loads : ``In(2)``
        Load them into the first, into the second register.
    wgt : ``In``
        Weights from the row above.
    sums : ``In``
        Sums from the row above, column 0's first.
    flags_down, wgt_down, sums_down : ``Out``
        For the row below.
    shown : ``Out``
        A column's sum where it is one that leaves, else zero.
    shows : ``Out(1)``
        The last column shows a sum that has stayed.

    Timing
    ------
    Column ``c`` has added its products ``c + 1`` moves after activations entered. They meet weights
    that entered one move before them.
    """

    def __init__(self, params: ArrayParams):
        self.params = params
        dot = params.new_dot()
        self._plain = isinstance(dot, Dot)
        inner = MultiplyAdd(params.cell) if self._plain else dot
        inner._MustUse__used = True
        fed, kept = (params.lanes * f.bits for f in (params.fed_format, params.kept_format))
        self._bits = params.cell.acc_width + params.shape.nan
        sums, weights = params.columns * self._bits, params.columns * kept
        self.label = f"switched{params.columns}_s{self._bits}_{inner.label}"
        super().__init__(
            {
                **{name: In(1) for name in ("moving", "flow", "bottom")},
                "flags": In(_FLAGS),
                "fed": In(fed),
                "bus": In(weights),
                "loads": In(2),
                "wgt": In(weights),
                "sums": In(sums),
                "flags_down": Out(_FLAGS),
                "wgt_down": Out(weights),
                "sums_down": Out(sums),
                "shown": Out(sums),
                "shows": Out(1),
            }
        )

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        kept_bits = params.lanes * params.kept_format.bits
        flags: list[Value] = [self.flags]
        for stage in range(1, params.columns + 1):
            held = Signal(_FLAGS, name=f"flags{stage}")
            with m.If(self.moving):
                m.d.sync += held.eq(flags[-1])
            flags.append(held)
        m.d.comb += self.flags_down.eq(flags[1])
        always = wire(m, self.flow & self.bottom, "always")
        fed: Value = self.fed
        loads: Value = self.loads
        for c in range(params.columns):
            first, second = (
                Signal(kept_bits, reset_less=True, name=f"kept{c}_{n}") for n in range(2)
            )
            bus, above = (word.word_select(c, kept_bits) for word in (self.bus, self.wgt))
            with m.If(self.moving & (~self.flow | loads[0])):
                m.d.sync += first.eq(Mux(self.flow, bus, above))
            with m.If(self.moving & loads[1]):
                m.d.sync += second.eq(bus)
            m.d.comb += self.wgt_down.word_select(c, kept_bits).eq(first)
            chosen = wire(m, Mux(self.flow & flags[c][1], second, first), f"chosen{c}")
            total = self._sum(m, c, flags[c], fed, chosen)
            m.d.comb += self.sums_down.word_select(c, self._bits).eq(total)
            done = wire(m, flags[c + 1][0] & flags[c + 1][2], f"done{c}")
            shown = total & (done | always).replicate(self._bits)
            m.d.comb += self.shown.word_select(c, self._bits).eq(shown)
            if c == params.columns - 1:
                m.d.comb += self.shows.eq(done)
                break
            later = Signal(len(fed), reset_less=True, name=f"fed{c}")
            later_loads = Signal(2, name=f"loads{c}")
            with m.If(self.moving):
                m.d.sync += [later.eq(fed), later_loads.eq(loads)]
            fed, loads = later, later_loads
        return m

    def _sum(self, m: Module, c: int, flags: Value, fed: Value, weights: Value) -> Signal:
        """Return the sum of cell ``c`` and, above it, whether it is a NaN."""
        params, bits = self.params, self.params.cell.acc_width
        total = Signal(self._bits, reset_less=True, name=f"sum{c}")
        taken = wire(m, self.moving & flags[0], f"taken{c}")
        above = self.sums.word_select(c, self._bits)
        # Gates add zero instead of holding a sum: that is cheaper than an enable for each bit.
        gated = self._plain and not params.cell.carry_chains
        keeps: Value = ~self.flow & ~flags[1]
        comes: Value = self.flow
        if gated:
            keeps, comes = keeps | ~taken, comes & taken
        keeps, comes = wire(m, keeps, f"keeps{c}"), wire(m, comes, f"comes{c}")
        before = total & keeps.replicate(self._bits) | above & comes.replicate(self._bits)
        before = wire(m, before, f"before{c}")
        inner: Any = MultiplyAdd(params.cell) if self._plain else params.new_dot()
        m.submodules[f"cell{c}"] = inner
        m.d.comb += [inner.a.eq(fed), inner.w.eq(weights)]
        if self._plain:
            m.d.comb += [inner.x.eq(before[:bits]), inner.en.eq(taken)]
            after = inner.y
        else:
            after = (before[:bits].as_signed() + inner.p)[:bits]
        with m.If(taken | gated):
            m.d.sync += total[:bits].eq(after)
        if params.shape.nan:
            with m.If(taken):
                m.d.sync += total[bits].eq(before[bits] | inner.nan)
        return total


class Switched(wiring.Component):
    """``rows`` x ``columns`` cells for both dataflows.

    Activations pass one register more than in the arrays of one dataflow, so that they meet the
    weights in their cells' own registers. Both kinds of sums leave over the same registers and
    through the adders that add up the tiles of K where weights stay.

    Parameters
    ----------
    params : :class:`~hw.mpgemm.array_params.ArrayParams`
    sequencer : :class:`~hw.mpgemm.switched_sequencer.SwitchedSequencer`

    Members
    -------
    flow : ``In(1)``
        As of the sequencer.
    i : ``In(step_signature(params.shape))``
        As of :class:`~hw.mpgemm.systolic.SystolicOS`.
    load, feed
        As of :class:`~hw.mpgemm.stationary.Stationary`.
    o : ``Out(row_signature(params.shape))``
    begins : ``Out(1)``
        As of :class:`~hw.mpgemm.stationary.Stationary`.

    Timing
    ------
    One cycle more than :class:`~hw.mpgemm.systolic.SystolicOS` and
    :class:`~hw.mpgemm.stationary.Stationary`.
    """

    #: Cycles that a job takes beyond those of ``os``, and of ``ws``.
    flow_extra = (1, 1)

    def __init__(self, params: ArrayParams, sequencer: SwitchedSequencer):
        self.params = params
        rows, columns = params.rows, params.columns
        self.latency = rows + columns + 1
        self.tiles_inside = max(self.latency + 1, 2 + math.ceil((columns + 2 + rows) / rows))
        members = sequencer.signature.members
        super().__init__(
            {
                "flow": In(1),
                "i": In(step_signature(params.shape)),
                "load": In(members["load"].signature),
                "feed": In(members["feed"].signature),
                "o": Out(row_signature(params.shape)),
                "begins": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        shape, feed = params.shape, self.feed.payload
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        skew = partial(skewed, m, moving, skew=params.skew)
        m.d.comb += [self.load.ready.eq(moving), self.feed.ready.eq(moving)]
        taken = self._steps(m, moving)

        step = self.i.payload
        enters = Cat(
            Mux(self.flow, self.feed.valid, taken),
            Mux(self.flow, feed.bank, step.first),
            step.last & ~self.flow,
        )
        flags = Signal(_FLAGS, name="flags_in")
        acts = Signal(shape.act_bits, reset_less=True, name="acts_in")
        with m.If(moving):
            m.d.sync += [flags.eq(enters), acts.eq(Mux(self.flow, feed.data, step.act))]
        fed = wire(m, skew(acts, params.rows, falling=False, name="act_skew"), "fed")
        load = self.load.payload
        bus = wire(m, Mux(self.flow, load.data, step.wgt), "weights")
        bus = wire(m, skew(bus, params.columns, falling=False, name="wgt_skew"), "bus")

        wgt: Value = bus
        sums: Value = Cat()
        down: Value = flags
        shown, shows = [], []
        for r in range(params.rows):
            m.submodules[f"row{r}"] = row = SwitchedRow(params)
            here = wire(m, self.load.valid & (load.row == r), f"here{r}")
            m.d.comb += [
                row.moving.eq(moving),
                row.flow.eq(self.flow),
                row.bottom.eq(int(r == params.rows - 1)),
                row.flags.eq(down),
                row.fed.eq(fed.word_select(r, len(row.fed))),
                row.bus.eq(bus),
                row.loads.eq(Cat(here & ~load.bank, here & load.bank)),
                row.wgt.eq(wgt),
                row.sums.eq(sums),
            ]
            wgt, sums, down = row.wgt_down, row.sums_down, row.flags_down
            shown.append(row.shown)
            shows.append(row.shows)
        leaves: Value = Const(0, len(shown[0]))
        for word in shown:
            leaves = leaves | word
        level = skew(wire(m, leaves, "leaves"), params.columns, falling=True, name="sum_skew")
        self._out(m, moving, wire(m, level, "level"), wire(m, Cat(*shows).any(), "ends"))
        return m

    def _steps(self, m: Module, moving: Value) -> Value:
        """Return whether a step is there that may enter: tiles end ``rows`` moves apart."""
        last = self.i.payload.last
        pause = Signal(range(self.params.rows))
        can = wire(m, ~last | ~pause.any(), "can")
        m.d.comb += self.i.ready.eq(moving & can)
        taken = wire(m, self.i.valid & can, "taken")
        with m.If(moving):
            with m.If(taken & last):
                m.d.sync += pause.eq(self.params.rows - 1)
            with m.Elif(pause.any()):
                m.d.sync += pause.eq(pause - 1)
        return taken

    def _out(self, m: Module, moving: Value, level: Value, ends: Value) -> None:
        """Let rows of sums leave, those of weights that stay with the tiles of K before."""
        params, shape, feed = self.params, self.params.shape, self.feed.payload
        flags: Value = Cat(self.feed.valid, feed.start, feed.first, feed.last)
        for stage in range(params.rows + params.columns):
            held = Signal(4, name=f"feed_flags{stage}")
            with m.If(moving):
                m.d.sync += held.eq(flags)
            flags = held
        valid, start, first, last = flags
        m.d.comb += self.begins.eq(moving & valid & start & last)
        alone = Cat(valid, start, first | ~self.flow, last)
        totals = totals_of(m, params, moving, level, wire(m, alone, "flags_out"))
        out = Signal(len(totals), reset_less=True)
        with m.If(moving):
            m.d.sync += [out.eq(totals), self.o.valid.eq(valid & last | ends)]
        each = [out.word_select(c, len(out) // params.columns) for c in range(params.columns)]
        accs = Cat(word[: shape.acc_bits] for word in each)
        m.d.comb += Value.cast(self.o.payload.acc).eq(accs)
        if shape.nan:
            m.d.comb += self.o.payload.nan.eq(Cat(word[shape.acc_bits] for word in each))
