# SPDX-License-Identifier: Apache-2.0
"""N of every M weights in an array: a column judges indices once, its cells pick activations."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.nm import picked, ratio
from hw.pe.params import PEParams

__all__ = ["SparseCell", "SparseColumn", "SparseWeights", "sparse_weights"]


@dataclass(frozen=True)
class SparseWeights:
    """How the weights of a column and step are stored: ``blocks`` times ``n`` of every ``m``."""

    n: int
    m: int
    blocks: int
    bits: int  #: Bits of one weight; its index stands above it.
    zero: int  #: Code of the weight zero.
    nonfinite: bool  #: Whether a weight can be not finite.
    #: Activation that a bad block meets, where those that it names could make a number of the sum
    #: a NaN; else None: the sum is marked anyway.
    guard: int | None = None

    @property
    def lanes(self) -> int:
        """Weights of a column and step."""
        return self.blocks * self.n

    @property
    def depth(self) -> int:
        """Activations that they can meet."""
        return self.blocks * self.m

    @property
    def index_bits(self) -> int:
        """Bits of an index."""
        return exact_log2(self.m)

    @property
    def word(self) -> int:
        """Bits of a weight with its index."""
        return self.bits + self.index_bits

    @property
    def pick(self) -> int:
        """Bits of a weight with its index, as cells get it."""
        return self.word + (self.guard is not None)

    @property
    def passes(self) -> int:
        """Beats of a step of dense weights; 1 where no job can have some.

        The descriptor has no room for 16, and ``n`` must divide ``m``.
        """
        return 1 if self.m % self.n or self.m == 16 else self.m // self.n


def sparse_weights(
    params: PEParams, sparsity: str | None, zero: int, guard: int | None
) -> SparseWeights:
    """Return how the weights of cells with these parameters are stored."""
    n, m = ratio(sparsity)
    weight = params.weight_format
    guard = guard if n > 1 else None  # a block of one index ascends
    return SparseWeights(n, m, params.lanes // n, weight.bits, zero, weight.nonfinite, guard)


class SparseColumn(Cell):
    """Judge a column's weights of a step, so that its cells need not.

    Parameters
    ----------
    weights : :class:`SparseWeights`

    Members
    -------
    w : ``In(lanes * word)``
        Weights and their indices, lane 0's weight low.
    left : ``In(blocks * (index_bits + 1))``
        For each block, how many of its ``m`` activations are not beyond K.
    dense, turn : ``In``
        The beat is number ``turn`` of dense weights, whose indices do not count. Present where
        there are ``passes``.
    picks : ``Out(lanes * pick)``
        The same, with the indices of dense weights; zeros where a block's indices do not ascend
        or, if they can be not finite, beyond K. With a guard, above each whether they ascend.
    bad : ``Out(1)``
        There is a block, not all beyond K, whose indices do not ascend.

    Timing
    ------
    Combinational.
    """

    def __init__(self, weights: SparseWeights):
        self.weights = weights
        w, finite = weights, "" if weights.nonfinite else "f"
        finite += "" if weights.guard is None else "g"
        self.label = f"sparse{w.n}_{w.m}_x{w.blocks}_b{w.bits}{finite}_z{w.zero}"
        members: dict[str, Any] = {
            "w": In(w.lanes * w.word),
            "left": In(w.blocks * (w.index_bits + 1)),
            "picks": Out(w.lanes * w.pick),
            "bad": Out(1),
        }
        if w.passes > 1:
            members |= {"dense": In(1), "turn": In(exact_log2(w.passes))}
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, w = Module(), self.weights
        bad = []
        for block in range(w.blocks):
            left = self.left.word_select(block, w.index_bits + 1)
            words = [
                wire(m, self.w.word_select(block * w.n + j, w.word), "word") for j in range(w.n)
            ]
            indices = [wire(m, word[w.bits :], "index") for word in words]
            good: Value = Cat([one < other for one, other in pairwise(indices)], 1).all()
            if w.passes > 1:
                good |= self.dense
            good = wire(m, good, "good")
            bad.append(~good & left.any())
            for j, (word, index) in enumerate(zip(words, indices, strict=True)):
                chosen: Value = index
                if w.passes > 1:
                    dense = Cat(Const(j, exact_log2(w.n)), self.turn)
                    chosen = wire(m, Mux(self.dense, dense, index), "chosen")
                counts = good & (chosen < left) if w.nonfinite else good
                counts = wire(m, counts, "counts")
                pick = Cat(_kept(word[: w.bits], counts, w.zero), chosen, good)[: w.pick]
                m.d.comb += self.picks.word_select(block * w.n + j, w.pick).eq(pick)
        m.d.comb += self.bad.eq(Cat(*bad).any())
        return m


def _kept(code: Value, keep: Value, zero: int) -> Value:
    return Mux(keep, code, zero)[: len(code)] if zero else code & keep.replicate(len(code))


class SparseCell(Cell):
    """An accumulating cell behind multiplexers that pick the activation of each weight.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`
        Of the cell behind them.
    weights : :class:`SparseWeights`

    Members
    -------
    a : ``In(depth codes)``
        Activations of all blocks, block 0's first.
    w : ``In(lanes * pick)``
        ``picks`` of :class:`SparseColumn`.
    en, clr, acc, ...
        Those of the cell behind.

    Timing
    ------
    That of the cell behind.
    """

    def __init__(self, params: PEParams, weights: SparseWeights):
        self.params, self.weights = params, weights
        inner = self._inner()
        self.latency: int = inner.latency
        guard = "" if weights.guard is None else f"_g{weights.guard}"
        self.label = f"sparse{weights.n}_{weights.m}{guard}_{inner.label}"
        members = dict(inner.signature.members)
        members["a"] = In(weights.depth * params.act_format.bits)
        members["w"] = In(weights.lanes * weights.pick)
        super().__init__(members)

    def _inner(self) -> Any:
        cell: Any = self.params.architecture.build(self.params)
        cell._MustUse__used = True
        return cell

    def body(self, platform: Any) -> Module:
        m, w = Module(), self.weights
        bits = self.params.act_format.bits
        m.submodules.cell = cell = self._inner()
        for name, member in cell.signature.members.items():
            if name not in ("a", "w"):
                ours, theirs = getattr(self, name), getattr(cell, name)
                m.d.comb += theirs.eq(ours) if member.flow == In else ours.eq(theirs)
        codes, values = [], []
        for lane in range(w.lanes):
            block, j = divmod(lane, w.n)
            word = wire(m, self.w.word_select(lane, w.pick), f"word{lane}")
            index = Signal(w.index_bits, name=f"index{lane}")
            m.d.comb += index.eq(word[w.bits :])
            # Indices ascend: weight j never meets an activation below j or above m - n + j.
            acts = [
                self.a.word_select(block * w.m + k, bits) if j <= k <= w.m - w.n + j else None
                for k in range(w.m)
            ]
            code = picked(m, acts, index)
            assert code is not None
            codes.append(code if w.guard is None else _kept(code, word[-1], w.guard))
            values.append(word[: w.bits])
        m.d.comb += [cell.a.eq(Cat(*codes)), cell.w.eq(Cat(*values))]
        return m
