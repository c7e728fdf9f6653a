# SPDX-License-Identifier: Apache-2.0
"""The unit ``lut-table``: tables of sums of activations, made apart from the engine that uses them.

LUT Tensor Core (ISCA 2025) makes them in the operator that comes before the product.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.cell import Cell
from hw.mpgemm.aligned import aligned
from hw.mpgemm.params import MpGemmParams
from hw.mpgemm.tables import TableBuilder, TableShape
from hw.quant.staged import Staged

__all__ = ["LutTableCell", "LutTableParams", "build"]

#: Parameters that have the same name in the engine.
_SAME = ("act", "group", "tables", "table_kind", "target")


@dataclass(frozen=True)
class LutTableParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    act: str = field(default="int8", metadata={"always": True})  #: Activation format.
    group: int = 4  #: Activations that share a table.
    tables: int = 1  #: Tables of a beat.
    table_kind: str = "half"  #: Entries that a table holds.
    pipeline: int = 0  #: Register stages before the one of the result.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        _ = self.engine
        if self.pipeline not in (0, 1) or isinstance(self.pipeline, bool):
            raise ValueError(f"pipeline must be an integer from 0 to 1, not {self.pipeline!r}")

    @cached_property
    def engine(self) -> MpGemmParams:
        """An engine that takes the tables on a port."""
        same = {name: getattr(self, name) for name in _SAME}
        return MpGemmParams(engine="lut", table_source="port", **same)

    @property
    def shape(self) -> TableShape:
        """The tables."""
        half, chains = self.table_kind == "half", self.target != "gates"
        return TableShape(self.group, self.engine.activation, half, chains)


class LutTableCell(Cell):
    """Tables of groups of activations, as they lie on the engine's port.

    Parameters
    ----------
    params : LutTableParams

    Members
    -------
    en : ``In(pipeline)``
        Lets a beat into the registers behind the alignment. Present where there are some.
    act : ``In(tables * group codes)``
        Activation 0 of table 0 low.
    table : ``Out(tables * port_bits)``
        Entry 0 of table 0 low, see :class:`~hw.mpgemm.tables.TableShape`.

    Timing
    ------
    ``pipeline`` cycles.
    """

    def __init__(self, params: LutTableParams):
        self.params = params
        shape = params.shape
        self.label = f"tables{params.tables}_{shape.label}_p{params.pipeline}"
        members = {
            "act": In(params.tables * params.group * shape.act.code_bits),
            "table": Out(params.tables * shape.port_bits),
        }
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, params, shape = Module(), self.params, self.params.shape
        acts, _ = aligned(m, shape.act, self.act)
        if params.pipeline:
            held = Signal(len(acts), reset_less=True, name="held")
            with m.If(self.en[0]):
                m.d.sync += held.eq(acts)
            acts = held
        words = []
        for number in range(params.tables):
            m.submodules[f"builder{number}"] = builder = TableBuilder(shape)
            m.d.comb += builder.act.eq(acts.word_select(number, len(builder.act)))
            words.append(shape.to_port(builder.table))
        m.d.comb += self.table.eq(Cat(*words))
        return m


def build(params: LutTableParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    cell, shape, tables = LutTableCell(params), params.shape, params.tables
    beat, result = {"act": len(cell.act)}, {"table": len(cell.table)}
    component: Any = Staged(cell, beat, result, params.pipeline)
    component.number_formats = {
        "i_act": {"format": shape.act.fmt.name, "lanes": tables * params.group},
        "o_table": {
            "format": f"int{shape.port_entry_bits}",
            "lanes": tables * shape.port_entries,
            "lam": shape.act.lam,
        },
    }
    component.contract = {
        "entries": shape.port_entries,
        "entry_bits": shape.port_entry_bits,
        "lam": shape.act.lam,
    }
    unit: wiring.Component = component
    return unit
