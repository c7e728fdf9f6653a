# SPDX-License-Identifier: Apache-2.0
"""Exact dot-product processing element for any pair of number formats."""

from typing import Any

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.cells import Accumulate, Dot
from hw.pe.group import OPTIONS, GroupPE, check_group
from hw.pe.params import PEParams

__all__ = ["OPTIONS", "PE", "PEParams", "any_pair", "build", "plain"]


class PE(wiring.Component):
    """Dot products of a stream of beats: an :class:`~hw.pe.cells.Accumulate` and its handshake.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    i : ``In(stream.Signature({a: lanes codes, w: lanes codes, last: 1}))``
        One beat of operands. ``last`` closes the dot product.
    o : ``Out(stream.Signature({acc: signed(acc_width)[, nan: 1]}))``
        The dot product in units of ``2**lam``, exact for at most ``max_k`` products, modulo
        ``2**acc_width`` beyond. ``nan``: a code was NaN, NaR or infinite; those count as zero.

    Timing
    ------
    One beat per cycle. ``o`` is valid :attr:`latency` cycles after the beat with ``last`` is
    accepted. ``i.ready`` follows ``o.ready`` combinationally while a result waits.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: PEParams):
        self.params = params
        self.latency = params.pipeline + 1
        weight, act = params.weight_format, params.act_format
        beat = data.StructLayout(
            {
                "a": data.ArrayLayout(unsigned(act.bits), params.lanes),
                "w": data.ArrayLayout(unsigned(weight.bits), params.lanes),
                "last": 1,
            }
        )
        result = {"acc": signed(params.acc_width)} | (
            {"nan": unsigned(1)} if params.has_nan else {}
        )
        super().__init__(
            {
                "i": In(stream.Signature(beat)),
                "o": Out(stream.Signature(data.StructLayout(result))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cell = cell = Accumulate(self.params)
        beat, result = self.i.payload, self.o.payload

        # The accumulator is the output register, so a waiting result holds the whole pipeline.
        moving = Signal()
        m.d.comb += [
            moving.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(moving),
            cell.a.eq(beat.a),
            cell.w.eq(beat.w),
            result.acc.eq(cell.acc),
        ]
        if self.params.has_nan:
            m.d.comb += result.nan.eq(cell.nan)

        valid, last = self.i.valid, beat.last
        for stage in range(self.params.pipeline):
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


def any_pair(params: PEParams) -> None:
    """Take every pair of formats, with or without scales of groups, whose fields are checked."""
    check_group(params)


def plain(params: PEParams) -> wiring.Component:
    """Return the component of an architecture that forms whole products, one beat a cycle."""
    if params.group is not None:
        return GroupPE(params)
    kinds: dict[str, Any] = {"stream": PE, "accumulate": Accumulate, "dot": Dot}
    component: wiring.Component = kinds[params.core](params)
    return component


def build(params: PEParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says.

    An architecture whose component already says something keeps its word.
    """
    arch = params.architecture
    component: Any = arch.build(params)
    weight, act = params.weight_format, params.act_format
    prefix = "i_" if params.core == "stream" else ""
    output = {"stream": "o_acc", "accumulate": "acc", "dot": "p"}[params.core]
    width = params.dot_width if params.core == "dot" else params.acc_width
    facts = {
        "number_formats": {
            f"{prefix}a": {"format": act.name, "lanes": params.lanes},
            f"{prefix}w": {"format": weight.name, "lanes": params.lanes * params.columns},
            output: {"format": f"int{width}", "lam": params.lam}
            | ({"lanes": params.columns} if params.columns > 1 else {}),
        },
        "contract": {"lam": params.lam, "acc_bits": width, "max_k": params.max_k},
        "notes": params.notes,
        "golden": arch.golden,
    }
    for name, value in facts.items():
        if value is not None and not hasattr(component, name):
            setattr(component, name, value)
    return component
