# SPDX-License-Identifier: Apache-2.0
"""Output-stationary systolic array: operands walk from cell to cell, sums stay."""

import math
from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.broadcast import step_signature
from hw.mpgemm.writer import row_signature

__all__ = ["SystolicOS", "SystolicRow", "addressed", "skewed"]

_FLAGS = 3  # valid, first, last


def skewed(
    m: Module,
    moving: Value,
    word: Value,
    parts: int,
    *,
    falling: bool,
    name: str,
    init: bool = False,
    skew: str = "regs",
) -> Value:
    """Return ``word`` with its part ``i`` delayed by ``i`` moves, or by ``parts - 1 - i``.

    ``falling`` asks for the latter, which undoes the former. With ``skew`` regs there is a register
    for each move, cleared by a reset if ``init``; with addr a memory for each part, see
    :func:`addressed`.
    """
    if skew == "addr":
        return addressed(m, moving, word, parts, falling=falling, name=name)
    width = len(word) // parts
    pieces: list[Value] = [word.word_select(i, width) for i in range(parts)]
    if falling:
        pieces.reverse()
    for stage in range(1, parts):
        held = Signal(width * (parts - stage), reset_less=not init, name=f"{name}{stage}")
        with m.If(moving):
            m.d.sync += held.eq(Cat(*pieces[stage:]))
        pieces[stage:] = [held.word_select(i, width) for i in range(parts - stage)]
    if falling:
        pieces.reverse()
    return Cat(*pieces)


def addressed(
    m: Module, moving: Value, word: Value, parts: int, *, falling: bool, name: str
) -> Value:
    """Return what :func:`skewed` does, out of a memory for each part.

    One counter says where all of them are written; the address at which part ``i`` is read is that
    of ``i`` moves before. Nothing is cleared by a reset: what stood in the memories leaves them
    ahead of all that comes after it, as waves do not overtake each other.
    """
    width = len(word) // parts
    pieces: list[Value] = [word.word_select(i, width) for i in range(parts)]
    if falling:
        pieces.reverse()
    place = Signal(range(max(2, parts - 1)), name=f"{name}_place")
    with m.If(moving):
        m.d.sync += place.eq(place + 1)
    before = place
    for delay in range(1, parts):
        read_place = Signal(len(place), name=f"{name}_read{delay}")
        with m.If(moving):
            m.d.sync += read_place.eq(before)
        before = read_place
        # The low bits of the addresses are a counter too, long enough for this delay.
        bits = (delay - 1).bit_length()
        if not bits:
            held = Signal(width, reset_less=True, name=f"{name}{delay}")
            with m.If(moving):
                m.d.sync += held.eq(pieces[delay])
            pieces[delay] = held
            continue
        memory = Memory(shape=width, depth=1 << bits, init=[])
        m.submodules[f"{name}{delay}"] = memory
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(place),
            write.data.eq(pieces[delay]),
            write.en.eq(moving),
            read.addr.eq(read_place),
        ]
        pieces[delay] = read.data
    if falling:
        pieces.reverse()
    return Cat(*pieces)


class SystolicRow(Cell):
    """One row of cells: activations walk along it, weights leave it downwards.

    Parameters
    ----------
    params : :class:`~hw.mpgemm.array_params.ArrayParams`

    Members
    -------
    moving : ``In(1)``
        Everything stands still without it.
    flags : ``In(3)``
        Of the step that enters: valid, first, last.
    act : ``In``
        ``lanes`` codes.
    wgt : ``In``
        Codes of every column, each column's delayed by one move more than the one before.
    wgt_down : ``Out``
        The same one move later, for the row below.
    flags_down : ``Out(3)``
    sums : ``Out``
        A column's sum in the move after its last step, else zero.
    shows : ``Out(1)``
        The last column shows a sum.

    Timing
    ------
    Column ``c`` shows its sum ``c + cell_latency`` moves after the last step entered.
    """

    def __init__(self, params: ArrayParams):
        self.params = params
        shape = params.shape
        self.label = f"systolic{params.columns}_{params.new_cell().label}"
        super().__init__(
            {
                "moving": In(1),
                "flags": In(_FLAGS),
                "act": In(shape.act_bits // shape.rows),
                "wgt": In(shape.wgt_bits),
                "wgt_down": Out(shape.wgt_bits),
                "flags_down": Out(_FLAGS),
                "sums": Out(params.sum_bits * params.columns),
                "shows": Out(1),
            }
        )

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        latency = params.cell_latency
        down = Signal(len(self.wgt), reset_less=True)
        with m.If(self.moving):
            m.d.sync += down.eq(self.wgt)
        m.d.comb += self.wgt_down.eq(down)
        flags: list[Value] = [self.flags]
        for stage in range(1, params.columns + latency):
            held = Signal(_FLAGS, name=f"flags{stage}")
            with m.If(self.moving):
                m.d.sync += held.eq(flags[-1])
            flags.append(held)
        act: Value = self.act
        for c in range(params.columns):
            m.submodules[f"cell{c}"] = cell = params.new_cell()
            m.d.comb += cell.en.eq(Cat(flags[c + k][0] & self.moving for k in range(latency)))
            m.d.comb += [cell.clr.eq(flags[c + latency - 1][1]), cell.a.eq(act)]
            m.d.comb += cell.w.eq(self.wgt.word_select(c, len(cell.w)))
            done = wire(m, flags[c + latency][0] & flags[c + latency][2], f"done{c}")
            shown = params.sum_of(cell) & done.replicate(params.sum_bits)
            m.d.comb += self.sums.word_select(c, params.sum_bits).eq(shown)
            if c == params.columns - 1:
                m.d.comb += self.shows.eq(done)
                break
            held = Signal(len(self.act), reset_less=True, name=f"act{c}")
            with m.If(self.moving):
                m.d.sync += held.eq(act)
            act = held
        if params.columns + latency > 1:
            m.d.comb += self.flags_down.eq(flags[1])
        return m


class SystolicOS(wiring.Component):
    """``rows`` x ``columns`` cells; activations walk right, weights down, both skewed at the edge.

    Row ``r`` of a column has its sum one move after row ``r - 1``: the sums leave one by one over a
    gate for each cell, without a copy of them, and the last rows of a tile leave while the next
    tile is computed.

    Parameters
    ----------
    params : :class:`~hw.mpgemm.array_params.ArrayParams`

    Members
    -------
    i : ``In(step_signature(params.shape))``
    o : ``Out(row_signature(params.shape))``

    Timing
    ------
    One step per cycle; tiles end at least ``rows`` cycles apart. Row 0 is valid :attr:`latency`
    cycles after the tile's last step is accepted. While a row waits, all stands still.
    """

    def __init__(self, params: ArrayParams):
        self.params = params
        self.latency = params.columns + params.cell_latency
        self.tiles_inside = 2 + math.ceil((self.latency + params.rows) / params.rows)
        super().__init__(
            {"i": In(step_signature(params.shape)), "o": Out(row_signature(params.shape))}
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        step, shape = self.i.payload, params.shape
        moving = Signal()
        pause = Signal(range(params.rows))  # moves until a tile may end
        can = wire(m, ~step.last | ~pause.any(), "can")
        m.d.comb += [moving.eq(~self.o.valid | self.o.ready), self.i.ready.eq(moving & can)]
        taken = wire(m, self.i.valid & can, "taken")
        with m.If(moving):
            with m.If(taken & step.last):
                m.d.sync += pause.eq(params.rows - 1)
            with m.Elif(pause.any()):
                m.d.sync += pause.eq(pause - 1)

        skew = partial(skewed, m, moving, skew=params.skew)
        acts = skew(step.act, params.rows, falling=False, name="act_skew")
        acts = wire(m, acts, "acts")
        wgts = skew(step.wgt, params.columns, falling=False, name="wgt_skew")
        wgt: Value = wire(m, wgts, "wgts")
        flags: Value = Cat(taken, step.first, step.last)
        sums, shows = [], []
        for r in range(params.rows):
            m.submodules[f"row{r}"] = row = SystolicRow(params)
            m.d.comb += [row.moving.eq(moving), row.flags.eq(flags), row.wgt.eq(wgt)]
            m.d.comb += row.act.eq(acts.word_select(r, shape.act_bits // shape.rows))
            wgt, flags = row.wgt_down, row.flags_down
            sums.append(row.sums)
            shows.append(row.shows)
        width = params.sum_bits * params.columns
        any_row: Value = Const(0, width)
        for word in sums:
            any_row = any_row | word
        out = Signal(width, reset_less=True)
        with m.If(moving):
            m.d.sync += [out.eq(any_row), self.o.valid.eq(Cat(*shows).any())]
        split = [params.split(out.word_select(c, params.sum_bits)) for c in range(params.columns)]
        whole = Cat(Cat(acc, nan) if shape.nan else acc for acc, nan in split)
        whole = wire(m, whole, "resolved")
        level = skew(whole, params.columns, falling=True, name="out_skew")
        each = [level.word_select(c, len(whole) // params.columns) for c in range(params.columns)]
        accs = Cat(word[: shape.acc_bits] for word in each)
        m.d.comb += Value.cast(self.o.payload.acc).eq(accs)
        if shape.nan:
            m.d.comb += self.o.payload.nan.eq(Cat(word[shape.acc_bits] for word in each))
        return m
