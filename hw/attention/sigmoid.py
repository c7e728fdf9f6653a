# SPDX-License-Identifier: Apache-2.0
"""The logistic function by a table of its positive half."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, signed
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.stages import Stages, check_pipeline
from hw.attention.table import TARGETS, Table, TableParams
from hw.cell import Cell
from hw.quant.params import among, within

__all__ = ["Sigmoid", "SigmoidParams"]


@dataclass(frozen=True)
class SigmoidParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    index_bits: int = 6  #: The table has ``2**index_bits`` segments.
    pipeline: int = 0  #: Register stages, 0 or 1.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        within("index_bits", self.index_bits, 4, 8)
        among("target", self.target, TARGETS)
        check_pipeline(self.pipeline, 1)

    @property
    def table(self) -> TableParams:
        """The table of the positive half."""
        return TableParams(
            "sigmoid", self.index_bits, 16 - self.index_bits, pipeline=self.pipeline,
            target=self.target,
        )  # fmt: skip


class Sigmoid(Cell):
    """``1 / (1 + exp(-x))`` of a number between -8 and 8; that of ``-x`` is 1 less that of ``x``.

    Parameters
    ----------
    params : :class:`SigmoidParams`

    Members
    -------
    x : ``In(signed(16))``
        12 fraction bits. For -8 the result is that of the argument 2**-13 above it.
    en : ``In(pipeline)``
        Bit k lets a beat into stage k. Absent without stages.
    y : ``Out(17)``
        16 fraction bits.

    Timing
    ------
    ``pipeline`` cycles, one result per cycle. The stage ends behind the table.
    """

    def __init__(self, params: SigmoidParams):
        self.params = params
        self.latency = params.pipeline
        self.label = f"sigmoid_b{params.index_bits}_p{params.pipeline}_{params.target}"
        members = {"x": In(signed(16))}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__({**members, "y": Out(17)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        enable = self.en if params.pipeline else None
        later = Stages(m, enable, params.pipeline, 1)
        m.submodules.table = table = Table(params.table)
        if enable is not None:
            m.d.comb += table.en.eq(enable)
        size = wire(m, Mux(self.x[-1], -self.x, self.x)[:16], "size")
        negative = later(wire(m, self.x[-1], "negative"), 0)
        m.d.comb += [
            table.u.eq(Cat(size[15], size[:15] | size[15].replicate(15))),  # held below 8
            self.y.eq(Mux(negative, (1 << 16) - table.y, table.y)),
        ]
        return m
