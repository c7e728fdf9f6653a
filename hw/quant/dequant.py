# SPDX-License-Identifier: Apache-2.0
"""Sums of groups, each times its scale, added exactly or in binary32."""

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.quant.dequant_cell import Dequantize, sum_stages
from hw.quant.dequant_params import DequantParams

__all__ = ["Dequant", "build"]


class Dequant(wiring.Component):
    """Dot products from the integer sums of their groups.

    Parameters
    ----------
    params : :class:`DequantParams`

    Members
    -------
    i : ``In(stream.Signature({p, s[, t][, z, sa], last}))``
        ``blocks`` sums of groups, the codes of their scales, zero points (int8) and sums of
        activations. ``last`` closes the dot product.
    o : ``Out(stream.Signature({y[, nan]}))``
        Binary32, or where the sum is exact an integer in units of ``2**y_lam``; then ``nan`` says
        that a scale was not finite, whose group counts as zero.

    Timing
    ------
    One beat per cycle; ``o`` is valid :attr:`latency` cycles after the beat with ``last`` is
    accepted. The binary32 sum is a loop of one adder (with ``blocks`` under ``fp32-seq``: of that
    many in a row), which bounds the clock. ``i.ready`` follows ``o.ready`` combinationally.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: DequantParams):
        self.params = params
        self.cell = Dequantize(params)
        self.latency = self.cell.stages
        fields: dict[str, Any] = {}
        for name, bits in params.group_shapes.items():
            fields[name] = unsigned(bits * params.blocks)
        result: dict[str, Any] = {"y": params.y_shape} | ({"nan": 1} if params.nan_port else {})
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(fields | {"last": 1}))),
                "o": Out(stream.Signature(data.StructLayout(result))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cell = cell = self.cell
        moving = Signal()
        m.d.comb += [moving.eq(~self.o.valid | self.o.ready), self.i.ready.eq(moving)]
        m.d.comb += [getattr(cell, f).eq(self.i.payload[f]) for f in self.params.group_shapes]
        sum_stages(m, cell, moving, self.i.valid, self.i.payload.last, self.o)
        return m


def build(params: DequantParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = Dequant(params)
    exact = params.mode == "exact"
    result = f"int{params.exact_bits}" if exact else "fp32"
    lanes = {"lanes": params.blocks}
    component.number_formats = {
        "i_p": {"format": f"int{params.acc_bits}", "lam": params.lam, **lanes},
        "i_s": {"format": params.scale, **lanes},
        "o_y": {"format": result} | ({"lam": params.y_lam} if exact else {}),
    }
    component.contract = {"sum": params.mode, "lam": params.lam}
    if exact:
        component.contract |= {"y_lam": params.y_lam, "y_bits": params.exact_bits}
    return component
