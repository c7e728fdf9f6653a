# SPDX-License-Identifier: Apache-2.0
"""N of every M weights: each stored weight picks its activation by an index."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.utils import exact_log2

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.pe import recorded
from hw.pe.datapath import Datapath, codes
from hw.pe.decode import Operand, decode, label_of
from hw.pe.params import PEParams
from hw.pe.product import add_product

__all__ = ["SparseDatapath", "picked", "ratio"]


def ratio(sparsity: str | None) -> tuple[int, int]:
    """Return (N, M). Raises ``ValueError`` with what would be right."""
    match = re.fullmatch(r"([1-9]\d?):(2|4|8|16)", sparsity or "", re.ASCII)
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(
            "sparsity must be N:M with arch nm, M 2, 4, 8 or 16 and N below M, such as 2:4, "
            f"not {sparsity!r}"
        )
    return int(match[1]), int(match[2])


def picked(m: Module, values: Sequence[Value | None], index: Value) -> Value | None:
    """Return ``values[index]``; what None stands for is never asked for and costs nothing."""
    if len(values) == 1:
        return values[0]
    half = len(values) // 2
    low, high = (picked(m, part, index) for part in (values[:half], values[half:]))
    if low is None or high is None:
        return high if low is None else low
    return wire(m, Mux(index[exact_log2(half)], high, low), "picked")


class SparseDatapath(Datapath):
    """An activation multiplexer before each product, driven by the weight's index.

    As indices ascend, the j-th weight of a block can only meet activations j to M - N + j, in the
    passes of the dense mode too: its multiplexer has no more inputs than those.
    """

    def __init__(self, params: PEParams):
        self.n, self.m = n, m = ratio(params.sparsity)
        weight, act = params.weight_format, params.act_format
        self.blocks = params.lanes // n
        self.index_bits = exact_log2(m)
        fields = {
            "a": codes(act.bits, self.blocks * m),
            "w": codes(weight.bits, params.lanes),
            "idx": codes(self.index_bits, params.lanes),
            "dense": 1,
        }
        window = params.act_window
        suffix = f"_w{window.low}_{window.high}".replace("-", "m") if window else ""
        name = f"nm{n}_{m}_{label_of(weight)}_{label_of(act)}{suffix}"
        #: Passes of the dense mode; 0 where it does not exist.
        self.passes = 0 if m % n else m // n
        tracked = {"step": exact_log2(self.passes)} if self.passes else {}
        super().__init__(params, name, fields, ("nan",) * params.has_nan + ("bad",), tracked)

    def track(self, m: Module, beat: Any, taken: Value) -> dict[str, Value]:
        if not self.passes:
            return {}
        step = Signal(exact_log2(self.passes))
        with m.If(taken):
            m.d.sync += step.eq((step + 1) & (beat.dense & ~beat.last).replicate(len(step)))
        # A dense beat behind a sparse one is the first: the counter was held at 0.
        return {"step": step}

    def add(
        self, m: Module, inputs: Mapping[str, Value], heaps: Sequence[BitHeap]
    ) -> dict[str, Value]:
        params = self.params
        weight, act = params.weight_format, params.act_format
        arch, _ = recorded.smallest(weight.name, act.name, params.target)
        nan: list[Value] = []
        bad: list[Value] = []
        for block in range(self.blocks):
            acts = inputs["a"].word_select(block, self.m * act.bits)
            indices = [
                wire(m, inputs["idx"].word_select(block * self.n + j, self.index_bits), "idx")
                for j in range(self.n)
            ]
            good = wire(m, self._good(indices, inputs["dense"]), "good")
            bad.append(~good)
            for j, index in enumerate(indices):
                lane = block * self.n + j
                code = picked(m, self._reachable(acts, j), self._chosen(m, index, j, inputs))
                assert code is not None
                a = decode(m, f"decode_a{lane}", act, code, params.act_window)
                w_code = inputs["w"].word_select(lane, weight.bits)
                w = _gated(m, decode(m, f"decode_w{lane}", weight, w_code, None), good)
                add_product(m, heaps[0], w, a, arch, params.max_product)
                nan += [flag & good for flag in (a.nan, w.nan) if flag is not None]
        flags = {"bad": Cat(bad).any()}
        return flags | ({"nan": Cat(nan).any()} if params.has_nan else {})

    def _good(self, indices: list[Signal], dense: Value) -> Value:
        ascending = [one < other for one, other in pairwise(indices)]
        sparse = Cat(ascending, 1).all()
        return sparse | dense if self.passes else sparse & ~dense

    def _reachable(self, acts: Value, j: int) -> list[Value | None]:
        bits = self.params.act_format.bits
        reach = range(j, self.m - self.n + j + 1)
        return [acts.word_select(k, bits) if k in reach else None for k in range(self.m)]

    def _chosen(self, m: Module, index: Signal, j: int, inputs: Mapping[str, Value]) -> Value:
        if not self.passes:
            return index
        dense = Cat(Const(j, exact_log2(self.n)), inputs["step"])
        return wire(m, Mux(inputs["dense"], dense, index), "chosen")


def _gated(m: Module, operand: Operand, enable: Value) -> Operand:
    """Return the operand, or 0 without ``enable``."""
    kept: Value = Cat(operand.significand) & enable.replicate(len(operand.significand))
    if operand.significand.shape().signed:
        kept = kept.as_signed()
    return replace(operand, significand=wire(m, kept, "gated"))
