# SPDX-License-Identifier: Apache-2.0
"""What the softmax units have in common: their frame, and the frame of those with three passes."""

from typing import Any

from amaranth.hdl import Cat, Module, Shape, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.first_pass import FirstPass, MaximumPass
from hw.attention.row_store import RowStore
from hw.attention.rows import (
    RowSum,
    along,
    answer_layout,
    beat_layout,
    delayed,
    flow,
    give,
    sum_of,
)
from hw.attention.softmax_params import SoftmaxParams

__all__ = ["Softmax", "ThreePass"]


class Softmax(wiring.Component):
    """Rows of logits to rows of results.

    Parameters
    ----------
    params : :class:`SoftmaxParams`

    Members
    -------
    i : ``In(stream.Signature(beat_layout(params)))``
    o : ``Out(stream.Signature(answer_layout(params)))``

    Timing
    ------
    One beat per cycle each way, rows without a gap, but where :attr:`row_cycles` says that a row
    takes more than its beats. Of a row of n beats that is alone the last result is taken in cycle
    ``passes * n + overhead``, counted from its first beat, which is cycle 1.
    """

    passes: int
    row_cycles = 1  #: Cycles of a row of few beats.
    overhead: int

    def __init__(self, params: SoftmaxParams):
        self.params = params
        answers = stream.Signature(answer_layout(params))
        super().__init__({"i": In(stream.Signature(beat_layout(params))), "o": Out(answers)})

    def second_of_two(self, m: Module, rows: FirstPass, steps: int) -> tuple[Any, Value, Value]:
        """Wire rows to a last pass of ``steps`` stages and a register; return it.

        That is: its stages, which stop while a result waits, ``moving`` and its last ``valid``.
        """
        m.submodules.rows = rows
        wiring.connect(m, wiring.flipped(self.i), rows.i)
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        m.d.comb += rows.moves.eq(moving)
        later, valid = along(m, moving, rows.o_valid, steps)
        return later, moving, valid


class ThreePass(Softmax):
    """A :class:`Softmax` whose second pass makes a word of each logit and the sum of the words.

    Subclasses say what that is, and what becomes of it in the last pass.
    """

    passes = 3
    word_bits: int  #: Bits of a word.
    steps: int  #: Cycles from the logit to its word.
    wait: int  #: Cycles from the sum to what is made of it.
    last_steps = 1  #: Stages of the last pass before the register of its result.

    def __init__(self, params: SoftmaxParams):
        super().__init__(params)
        first, second = MaximumPass.FOUND + 3, self.steps + 2 + self.wait + 3
        self.overhead = first + second + self.last_steps + 1 - self.passes + 1

    def known(self) -> dict[str, Shape]:
        """Return what the last pass is told of a row."""
        raise NotImplementedError

    def word(self, m: Module, rows: MaximumPass, lane: int) -> Value:
        """Return the word of a lane, behind all stages but the last."""
        raise NotImplementedError

    def added(self, m: Module, word: Value) -> Value:
        """Return what a word adds to the sum of its row."""
        return word

    def close(self, m: Module, store: RowStore, sums: RowSum, depth: int) -> None:
        """Give to ``store`` what is known of a row from its sum."""
        raise NotImplementedError

    def result(self, m: Module, word: Value, record: Any, moving: Value, lane: int) -> Value:
        """Return the result of a word, behind :attr:`last_steps` stages."""
        raise NotImplementedError

    def elaborate(self, platform: Any) -> Module:
        m, params, steps = Module(), self.params, self.steps
        m.submodules.rows = rows = MaximumPass(params)
        wiring.connect(m, wiring.flipped(self.i), rows.i)
        record = data.StructLayout({**self.known(), "err": unsigned(1)})
        slack = steps + 2 + self.wait + 5
        width = params.width * (self.word_bits + 1)
        m.submodules.store = store = RowStore(width, params.max_beats, slack, record, checked=False)

        # The second pass never stops: where it begins, there is room for what it gives.
        begins = wire(m, rows.o_valid & store.room, "begins")
        later = flow(m, steps)
        rest = [wire(m, value, "beside") for value in (rows.o_last, rows.o_err, rows.o_keep)]
        last, err, keep = (later(value, 0, steps - 1) for value in rest)
        words, added = [], []
        for lane in range(params.width):
            word = later(wire(m, self.word(m, rows, lane), "word"), steps - 1)
            word = wire(m, word & keep[lane].replicate(self.word_bits), "kept_word")
            words.append(word)
            added.append(wire(m, self.added(m, word), "adds"))
        valid = delayed(m, begins, steps)
        m.d.comb += [
            rows.moves.eq(store.room),
            store.reserve.eq(begins),
            store.put.eq(valid),
            store.data.eq(Cat(*words, keep)),
            store.last.eq(last),
        ]
        total = sum_of(m, added, params.target == "fpga")
        sums = RowSum(m, valid, last, err, {"l": (total, params.sum_bits)})
        self.close(m, store, sums, params.max_beats + slack)
        self._last_pass(m, store)
        return m

    def _last_pass(self, m: Module, store: RowStore) -> None:
        params, bits = self.params, self.word_bits
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        later, valid = along(m, moving, store.o_valid, self.last_steps)
        words = [store.o_data.word_select(lane, bits) for lane in range(params.width)]
        results = [
            self.result(m, word, store.o_record, moving, lane) for lane, word in enumerate(words)
        ]
        m.d.comb += store.moves.eq(moving)
        keep = wire(m, store.o_data[params.width * bits :], "keep")
        end = self.last_steps - 1
        fields = {
            "p": Cat(*results),
            "keep": later(keep, 0, end),
            "last": later(store.o_last, 0, end),
            "err": later(store.o_record.err, 0, end),
        }
        give(m, self.o, moving, valid, fields)
