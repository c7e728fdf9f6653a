# SPDX-License-Identifier: Apache-2.0
"""The first pass of a softmax: rows wait in memory until what their end decides is known."""

from typing import Any

from amaranth.hdl import Cat, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.divide import Divide
from hw.attention.row_store import RowStore
from hw.attention.rows import beat_layout, kept, maximum_of, queue_records
from hw.attention.softmax_params import SoftmaxParams

__all__ = ["FirstPass", "Group", "MaximumPass"]

Group = tuple[Value, dict[str, Value]]


class FirstPass(wiring.Component):
    """Take rows, and give each of them when something is known of the whole.

    Subclasses say in :meth:`fields` what that is, and find it in :meth:`describe`.

    Parameters
    ----------
    params : :class:`SoftmaxParams`

    Members
    -------
    i : ``In(stream.Signature(beat_layout(params)))``
    moves : ``In(1)``
        What is given is taken, or nothing is.
    o_valid, o_x, o_keep, o_last, o_err : ``Out``
        Beats of the row. One too long is one beat of which nothing is kept, with ``o_err``.
    o_<field> : ``Out``
        What is known of its row.

    Timing
    ------
    One beat per cycle each way. The first beat of a row is given :attr:`latency` cycles after its
    last one is accepted.
    """

    FOUND = 0  #: Cycles from the last beat of a row to all that is known.

    def __init__(self, params: SoftmaxParams):
        self.params = params
        self._quotient = wait = self.quotient()
        # Two cycles of the queue of records, one of the memory.
        self.latency = self.FOUND + 3 + (wait[1].latency if wait else 0)
        fields = self.fields()
        beat = params.width * params.in_bits
        record = data.StructLayout({**fields, "err": unsigned(1)})
        self._depth = params.max_beats + self.latency + 2
        self.store = RowStore(
            beat + params.width, params.max_beats, self.latency + 2, record, checked=True
        )
        members: dict[str, Any] = {"i": In(stream.Signature(beat_layout(params))), "moves": In(1)}
        members |= {"o_valid": Out(1), "o_x": Out(beat), "o_keep": Out(params.width)}
        members |= {"o_last": Out(1), "o_err": Out(1)}
        super().__init__({**members, **{f"o_{name}": Out(shape) for name, shape in fields.items()}})

    def fields(self) -> dict[str, Shape]:
        """Return what is known of a row, name to shape."""
        raise NotImplementedError

    def describe(self, m: Module, takes: Value, first: Value, err: Value) -> list[Group]:
        """Return bits and, where each is 1, what is known of a row, ``err`` included.

        ``takes`` says that the beat of ``i`` is taken, ``first`` that it begins a row, ``err`` that
        it ends one that is too long.
        """
        raise NotImplementedError

    def quotient(self) -> tuple[str, Divide] | None:
        """Return a field and the divider on its way to who reads the row, if there is one."""
        return None

    def elaborate(self, platform: Any) -> Module:
        m, beat, store = Module(), self.i.payload, self.store
        m.submodules.store = store
        takes = wire(m, self.i.valid & store.room, "takes")
        first = Signal(init=1)
        with m.If(takes):
            m.d.sync += first.eq(beat.last)
        m.d.comb += [
            self.i.ready.eq(store.room),
            store.put.eq(takes),
            store.data.eq(Cat(beat.x, beat.keep)),
            store.last.eq(beat.last),
            store.moves.eq(self.moves),
        ]
        groups = self.describe(m, takes, first, store.err)
        queue_records(m, store, self._depth, groups, self._quotient)

        given, about = store.o_data, store.o_record
        size = len(self.o_x)
        m.d.comb += [
            self.o_valid.eq(store.o_valid),
            self.o_x.eq(given[:size]),
            self.o_keep.eq(given[size:] & (~about.err).replicate(self.params.width)),
            self.o_last.eq(store.o_last),
            self.o_err.eq(about.err),
            *(getattr(self, f"o_{name}").eq(about[name]) for name in self.fields()),
        ]
        return m

    # -- for subclasses --------------------------------------------------------------------------

    def scales(self, m: Module, takes: Value, first: Value, steps: int) -> dict[str, Value]:
        """Return the scale of the row whose beat was taken ``steps`` cycles ago, 1 or more."""
        found: dict[str, Value] = {}
        for name in ("m", "sh") if self.params.scaled else ():
            value: Value = self.i.payload[name]
            enable = wire(m, takes & first, "opens")
            for _ in range(steps):
                held = Signal.like(value, name=f"row_{name}", reset_less=True)
                with m.If(enable):
                    m.d.sync += held.eq(value)
                later = Signal(name="opened")
                m.d.sync += later.eq(enable)
                value, enable = held, later
            found[name] = value
        return found


class MaximumPass(FirstPass):
    """A :class:`FirstPass` that finds the maximum of a row, ``top``; its scale goes beside it."""

    FOUND = 2

    def fields(self) -> dict[str, Shape]:
        found: dict[str, Shape] = {"top": signed(self.params.in_bits)}
        if self.params.scaled:
            found |= {"m": unsigned(15), "sh": unsigned(6)}
        return found

    def describe(self, m: Module, takes: Value, first: Value, err: Value) -> list[Group]:
        beat, bits = self.i.payload, self.params.in_bits
        valid, ends, failed, opens = (
            Signal(name=f"{n}1") for n in ("valid", "ends", "err", "opens")
        )
        some, best = Signal(signed(bits)), Signal(signed(bits))
        found = maximum_of(m, kept(m, self.params, beat.x, beat.keep))
        m.d.sync += [valid.eq(takes), ends.eq(takes & beat.last), failed.eq(err), opens.eq(first)]
        m.d.sync += some.eq(found)
        with m.If(valid & (opens | (some > best))):
            m.d.sync += best.eq(some)
        ready, wrong = Signal(), Signal()
        m.d.sync += [ready.eq(ends), wrong.eq(failed)]
        return [(ready, {"top": best, **self.scales(m, takes, first, 2), "err": wrong})]
