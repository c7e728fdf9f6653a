# SPDX-License-Identifier: Apache-2.0
"""What the unit ``norm`` finds out about a row as it comes: its sums, and their root."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.attention.norm_params import NormParams
from hw.attention.products import add_product, add_square
from hw.attention.rows import delayed, flow
from hw.attention.rsqrt import Rsqrt, RsqrtParams

__all__ = ["FOUND", "RowSums", "squared_row"]

_SUMS = 3  #: Cycles from the last beat of a row to its sums.
_ROOT = 5  #: Stages of the root.
FOUND = _SUMS + 1 + _ROOT + 1  #: Cycles from the last beat of a row to all that is known.


class RowSums:
    """Number, sum and sum of squares of the kept elements of rows.

    ``ready`` says that ``n``, ``sum``, ``squares``, ``err`` and the fields of ``beside`` are those
    of a row; that is three cycles after its last beat is taken.
    """

    def __init__(
        self, m: Module, params: NormParams, beat: Any, takes: Value, first: Value, err: Value
    ):
        chains, bits = params.target == "fpga", params.x_bits
        one, two = flow(m, 1), flow(m, 1)
        sum_, squares = (BitHeap(m, w, chains) for w in (params.x_bits + 7, 2 * params.x_bits + 6))
        for lane in range(params.lanes):
            keep = beat.keep[lane].replicate(bits)
            x = wire(m, (beat.x.word_select(lane, bits) & keep).as_signed(), "x")
            x = one(x, 0)
            sum_.add(x)
            size = wire(m, Mux(x[-1], -x, x)[:bits], "size")
            add_square(m, squares, size)
        beats = {
            "n": (sum(two(one(bit, 0), 0) for bit in beat.keep), params.count_bits, False),
            "sum": (two(wire(m, sum_.total(), "beat_sum"), 0), bits + params.count_bits, True),
            "squares": (
                two(wire(m, squares.total().as_unsigned(), "beat_squares"), 0),
                params.square_bits, False,
            ),
        }  # fmt: skip
        valid, opens = delayed(m, takes, 2), two(one(first, 0), 0)
        totals: dict[str, Value] = {}
        for name, (value, width, is_signed) in beats.items():
            total = Signal(width, name=f"total_{name}", reset_less=True)
            old: Value = total.as_signed() if is_signed else total
            with m.If(valid):
                m.d.sync += total.eq(Mux(opens, 0, old) + value)
            totals[name] = old
        self.n, self.sum, self.squares = totals["n"], totals["sum"], totals["squares"]
        self.ready = delayed(m, wire(m, takes & beat.last, "ends"), _SUMS)
        self.err = flow(m, _SUMS)(wire(m, err, "err"), 0, _SUMS - 1)
        self.beside = {}
        for name in ("eps", *(("m1", "m2", "ss") if params.shortcut else ())):
            held = Signal.like(beat[name], name=f"row_{name}", reset_less=True)
            with m.If(takes & first):
                m.d.sync += held.eq(beat[name])
            self.beside[name] = flow(m, _SUMS - 1)(held, 0, _SUMS - 2)


def squared_row(m: Module, params: NormParams, sums: RowSums) -> dict[str, Value]:
    """Return what is known of a row from its sums, and ``ready``."""
    chains = params.target == "fpga"
    heap = BitHeap(m, params.variance_bits + 1, chains)
    if params.kind == "ln":
        add_product(m, heap, sums.squares, sums.n)
        add_product(m, heap, sums.sum, wire(m, -sums.sum, "minus"))
    else:
        heap.add(sums.squares)
    heap.add(sums.beside["eps"])
    variance = wire(m, heap.total()[: params.variance_bits], "variance")
    variance = flow(m, 1)(variance, 0)
    m.submodules.rsqrt = root = Rsqrt(
        RsqrtParams(params.variance_bits, pipeline=_ROOT, target=params.target)
    )
    m.d.comb += [root.v.eq(variance), root.en.eq(-1)]
    later, rest = flow(m, 1), flow(m, FOUND - _SUMS)
    some = flow(m, _ROOT + 1)(wire(m, variance.any(), "some"), 0, _ROOT)
    found = {"y": later(root.y, 0), "h": later(root.h, 0), "some": some}
    beside = {"n": sums.n, "err": sums.err}
    if params.kind == "ln":
        beside["sum"] = sums.sum
    beside |= {name: value for name, value in sums.beside.items() if name != "eps"}
    for name, value in beside.items():
        found[name] = rest(value, 0, FOUND - _SUMS - 1)
    return {**found, "ready": delayed(m, sums.ready, FOUND - _SUMS)}
