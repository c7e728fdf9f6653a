# SPDX-License-Identifier: Apache-2.0
"""Parameters of the arrays of processing elements."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Const, Value

from hw.mpgemm.dataflow import NAMES, Dataflow, dataflow
from hw.mpgemm.shape import Shape
from hw.pe.params import ARCHS, TARGETS, PEParams
from hw.pe.values import values_of

__all__ = ["ArrayParams"]

_PORTS = {"en", "clr", "a", "w"}
_SUMS = ({"acc"}, {"acc", "nan"}, {"acc_sum", "acc_carry"})


@dataclass(frozen=True)
class ArrayParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    dataflow: str = field(default="broadcast", metadata={"always": True})
    format: str | None = None  #: Weight format, or a family such as ``int`` with ``bits``.
    bits: int | None = None  #: Width of the weight.
    act: str = field(default="int8", metadata={"always": True})  #: Activation format.
    arch: str = "auto"  #: Architecture of the cells.
    rows: int = 4
    columns: int = 4
    lanes: int = 1  #: Products per cell and cycle.
    max_k: int = 4096  #: Products of the longest sum.
    acc_bits: int | None = None  #: Width of the sums, where wider than needed.
    pipeline: int = 0  #: Register stages of a cell before its accumulator.
    target: str = "gates"
    window: str | None = None  #: ``LOW:HIGH``, fixed-point window of a float activation.

    def __post_init__(self) -> None:
        if self.dataflow not in NAMES:
            text = ", ".join(NAMES)
            raise ValueError(f"dataflow must be one of {text}, not {self.dataflow!r}")
        for name, most in (("rows", 256), ("columns", 256), ("lanes", 256), ("max_k", 65535)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise ValueError(f"{name} must be an integer from 1 to {most}, not {value!r}")
        for name, allowed in (("arch", ARCHS), ("target", TARGETS)):
            if getattr(self, name) not in allowed:
                text = ", ".join(allowed)
                raise ValueError(f"{name} must be one of {text}, not {getattr(self, name)!r}")
        _ = self.cell
        if self.zero is None:
            raise ValueError(
                f"act must be a format with a zero, to fill up the last step of a sum, "
                f"not {self.cell.act_format.name!r}"
            )
        ports = set(self.new_cell().signature.members)
        if not _PORTS <= ports or ports - _PORTS not in _SUMS:
            raise ValueError(
                f"arch must be one whose accumulating cell takes plain codes, such as shift-add, "
                f"not {self.cell.chosen_arch[0]!r}"
            )
        self.flow.check(self)

    @cached_property
    def flow(self) -> Dataflow:
        """The chosen dataflow."""
        return dataflow(self.dataflow)

    @cached_property
    def cell(self) -> PEParams:
        """Parameters of the cells."""
        return PEParams(
            format=self.format,
            bits=self.bits,
            act=self.act,
            arch=self.arch,
            lanes=self.lanes,
            max_k=max(self.max_k, self.lanes),
            acc_bits=self.acc_bits,
            pipeline=self.pipeline,
            core="accumulate",
            target=self.target,
            window=self.window,
        )

    @cached_property
    def zero(self) -> int | None:
        """Least code of an activation whose value is zero; None if there is none."""
        values = values_of(self.cell.act_format)
        return values.index(0) if 0 in values else None

    @cached_property
    def shape(self) -> Shape:
        """Sizes that the frame must know."""
        assert self.zero is not None
        return Shape(
            rows=self.rows,
            columns=self.columns,
            depth=self.lanes,
            lane_bits=self.cell.act_format.bits,
            zero=self.zero,
            wgt_bits=self.columns * self.lanes * self.cell.weight_format.bits,
            acc_bits=self.cell.acc_width,
            max_k=self.max_k,
            nan=self.cell.has_nan,
        )

    def new_cell(self) -> Any:
        """Return a new cell of the array."""
        cell: Any = self.cell.architecture.build(self.cell)
        cell._MustUse__used = True
        return cell

    @cached_property
    def cell_latency(self) -> int:
        """Cycles from a step to its sum."""
        latency: int = self.new_cell().latency
        return latency

    @cached_property
    def _parts(self) -> tuple[str, ...]:
        members = self.new_cell().signature.members
        return tuple(name for name in ("acc", "acc_sum", "acc_carry", "nan") if name in members)

    def sum_of(self, cell: Any) -> Value:
        """Return the bits in which ``cell`` holds its sum."""
        return Cat(*(getattr(cell, name) for name in self._parts))

    @cached_property
    def sum_bits(self) -> int:
        """Bits of :meth:`sum_of`."""
        return len(self.sum_of(self.new_cell()))

    def split(self, word: Value) -> tuple[Value, Value]:
        """Return the sum that the bits of :meth:`sum_of` stand for, and whether it is a NaN."""
        width = self.cell.acc_width
        if "acc_sum" in self._parts:
            return (word[:width] + word[width:])[:width], Const(0, 1)
        return word[:width], word[width] if "nan" in self._parts else Const(0, 1)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the output should know of choices that were made."""
        return self.cell.notes

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default and choice made explicit."""
        cell = self.cell.resolved
        chosen = dataclasses.asdict(self)
        chosen.update({name: cell[name] for name in ("format", "bits", "arch", "acc_bits")})
        if self.cell.act_window:
            chosen["window"] = cell["window"]
        return chosen
