# SPDX-License-Identifier: Apache-2.0
"""Processing element for weights with pruned bit columns: one column of bits a cycle."""

from typing import Any

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.bbs_columns import BitColumns, GroupSums
from hw.pe.params import PEParams
from hw.pe.serial import hold_result, take_steps

__all__ = ["BBS"]


class BBS(wiring.Component):
    """Dot products of a stream of beats, a column of weight bits a cycle.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`
        ``zero_columns`` N of the 8 bit columns are pruned.

    Members
    -------
    i : ``In(stream.Signature({a: lanes int8, w: lanes of 8-N bits, r: 2, c: signed(7), last: 1}))``
        One beat of operands, at the input until its last column is taken. A weight is the stored
        ``w``, signed, times ``2**(N-r)``, plus ``c``; ``r`` beyond N counts as N.
    o : ``Out(stream.Signature({acc: signed}))``
        The dot product, exact for at most ``max_k`` products.

    Timing
    ------
    ``8 - N`` cycles a beat. ``o`` is valid a cycle after the beat with ``last`` is accepted.
    ``i.ready`` follows ``o.ready`` combinationally while a result waits.
    """

    latency = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: PEParams):
        self.params = params
        self.cell = cell = BitColumns(params)
        self.beats_per_cycle = 1 / cell.columns
        beat = {
            "a": data.ArrayLayout(unsigned(8), params.lanes),
            "w": data.ArrayLayout(unsigned(cell.columns), params.lanes),
            "r": unsigned(2),
            "c": signed(7),
            "last": unsigned(1),
        }
        result = data.StructLayout({"acc": signed(cell.width)})
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(result)),
            }
        )
        self.number_formats = {
            "i_a": {"format": "int8", "lanes": params.lanes},
            "i_w": {"format": f"int{cell.columns}", "lanes": params.lanes},
            "o_acc": {"format": f"int{cell.width}", "lam": 0},
        }
        self.contract = {
            "lam": 0,
            "acc_bits": cell.width,
            "max_k": params.max_k,
            "cycles_per_beat": cell.columns,
        }

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cell = cell = self.cell
        beat = self.i.payload
        moving = Signal()
        _, closes = take_steps(m, self.i, cell, cell.columns, moving)
        hold_result(m, self.o, moving, closes)
        m.submodules.sums = sums = GroupSums(self.params.lanes, self.params.carry_chains)
        m.d.comb += [sums.a.eq(beat.a), cell.sums.eq(sums.sums)]
        m.d.comb += [getattr(cell, name).eq(beat[name]) for name in ("a", "w", "r", "c")]
        m.d.comb += self.o.payload.acc.eq(cell.acc)
        return m
