# SPDX-License-Identifier: Apache-2.0
"""The sums of a tile to small integers, each column with a multiplier and a shift of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.mpgemm.shape import Shape
from hw.mpgemm.writer import row_signature
from hw.quant.params import among
from hw.quant.requant import Requantize
from hw.quant.requant_params import RequantParams

__all__ = ["OPTIONS", "REQUANTS", "Finish", "FinishStage", "finish_of"]

#: Options of an engine that can requantise its sums, and their defaults.
OPTIONS: Mapping[str, object] = MappingProxyType(
    {
        "requant": None,
        "requant_out": None,
        "bias": False,
        "out_zero_point": False,
        "mult_bits": None,
    }
)

#: Schemes of requantisation.
REQUANTS = ("rhu", "rha", "rne", "floor", "gemmlowp", "tflite", "rbe")

_BIAS_BITS = 32


@dataclass(frozen=True)
class Finish:
    """How sums become small integers. Raises ``ValueError`` with what would be right."""

    scheme: str  #: One of :data:`REQUANTS`.
    out: str
    bias: bool  #: Whether 32 bits are added first.
    zero_point: bool  #: Whether a zero point is added last.
    mult_bits: int | None
    sum_bits: int
    carry_chains: bool

    def __post_init__(self) -> None:
        among("requant", self.scheme, REQUANTS)
        for scheme, why in (("rbe", "adds its lambda"), ("gemmlowp", "takes 32 bits at most")):
            if self.bias and self.scheme == scheme:
                raise ValueError(
                    f"bias must not be given with requant {scheme}, which {why}, but is True"
                )
        most = 32 if self.scheme == "gemmlowp" else 64
        if self.in_bits > most:
            more = " with their bias" if self.bias else ""
            raise ValueError(
                f"max_k must be so small with requant {self.scheme} that sums{more} have at most "
                f"{most} bits, not {self.in_bits}"
            )
        try:
            _ = self.cell
        except ValueError as error:
            text = str(error)
            raise ValueError(f"requant_{text}" if text.startswith("out ") else text) from None

    @property
    def in_bits(self) -> int:
        """Bits of what is multiplied."""
        return 1 + max(self.sum_bits, _BIAS_BITS) if self.bias else max(4, self.sum_bits)

    @cached_property
    def cell(self) -> RequantParams:
        """Parameters of the cell of a column."""
        return RequantParams(
            scheme=self.scheme,
            in_bits=self.in_bits,
            mult_bits=self.mult_bits,
            out=self.out,
            zero_point=self.zero_point,
            pipeline=1,
            target="fpga" if self.carry_chains else "gates",
        )

    @cached_property
    def fields(self) -> dict[str, int]:
        """Bits of what a column takes for each tile, lowest first."""
        bits = {"m": self.cell.multiplier_shape.width, "s": self.cell.shift_shape.width}
        if self.bias:
            bits["bias"] = _BIAS_BITS
        for name in ("add", "z"):
            if name in self.cell.inputs:
                bits[name] = self.cell.inputs[name].width
        return bits

    @property
    def bits(self) -> int:
        """Bits of all of these."""
        return sum(self.fields.values())


def finish_of(params: Any, sum_bits: int, mode: str | None, carry_chains: bool) -> Finish | None:
    """Return what the options of an engine ask for, whose groups are added as ``mode`` says."""
    if params.requant is None:
        for name in OPTIONS:
            value = getattr(params, name)
            if value not in (None, False):
                raise ValueError(f"{name} must not be given without requant, but is {value!r}")
        return None
    if mode not in (None, "exact"):
        raise ValueError(
            f"requant must not be given with sum {mode}, but is {params.requant!r}; exact takes it"
        )
    return Finish(
        scheme=params.requant,
        out=params.requant_out or "int8",
        bias=params.bias,
        zero_point=params.out_zero_point,
        mult_bits=params.mult_bits,
        sum_bits=sum_bits,
        carry_chains=carry_chains,
    )


class FinishStage(wiring.Component):
    """Take the rows of tiles, and what each tile's columns are multiplied with.

    Where rows come in batches, these may end early, so that the next one's first row ends them.

    Parameters
    ----------
    shape, result : :class:`~hw.mpgemm.shape.Shape`
        Of what comes and of what leaves.
    params : Finish

    Members
    -------
    row : ``In(row_signature(shape))``
    tile : ``In(stream.Signature(shape.numbered * params.bits))``
        For each ``rows`` rows, or batch of rows: column 0's fields lowest. Where a row is of one
        column, its fields.
    begins : ``In(1)``
        The next row, offered from the next cycle on, is the first of a batch. Present where the
        shape is batched or switched.
    flow : ``In(1)``
        Rows come in batches. Present where the shape is switched.
    o : ``Out(row_signature(result))``

    Timing
    ------
    One row per cycle; it is valid the cycle after it was accepted. Products are registered.
    """

    latency = 1

    def __init__(self, shape: Shape, result: Shape, params: Finish):
        self.shape, self.result, self.params = shape, result, params
        members = {
            "row": In(row_signature(shape)),
            "tile": In(stream.Signature(unsigned(shape.numbered * params.bits))),
            "o": Out(row_signature(result)),
        }
        if shape.batched or shape.switched:
            members["begins"] = In(1)
        if shape.switched:
            members["flow"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        both = wire(m, self.row.valid & self.tile.valid, "both")
        taken = wire(m, moving & both, "taken")
        number = Signal(range(shape.rows))
        ends = wire(m, number == shape.rows - 1, "ends")
        m.d.comb += [
            self.row.ready.eq(moving & self.tile.valid),
            self.tile.ready.eq(self._ends(m, moving & self.row.valid & ends)),
        ]
        with m.If(taken):
            m.d.sync += number.eq(Mux(ends, 0, number + 1))
        with m.If(moving):
            m.d.sync += self.o.valid.eq(both)
        results: list[Value] = []
        for c in range(shape.columns):
            word = self.tile.payload.word_select(c % shape.numbered, self.params.bits)
            results.append(self._column(m, c, taken, self.row.payload.acc[c].as_signed(), word))
        m.d.comb += Value.cast(self.o.payload.acc).eq(Cat(*results))
        if shape.nan:
            nan = Signal(shape.columns, reset_less=True)
            with m.If(taken):
                m.d.sync += nan.eq(self.row.payload.nan)
            m.d.comb += self.o.payload.nan.eq(nan)
        return m

    def _ends(self, m: Module, tile_ends: Value) -> Value:
        """Return whether what came for a tile or a batch is not needed any more."""
        shape = self.shape
        if not shape.batched and not shape.switched:
            return tile_ends
        used = Signal()  # what is there belongs to a batch that has begun
        batch_ends = wire(m, used & self.begins, "batch_ends")
        with m.If(self.begins):
            m.d.sync += used.eq(1)
        if not shape.switched:
            return batch_ends
        # Nothing is on its way when the dataflow changes.
        with m.If(~self.flow):
            m.d.sync += used.eq(0)
        return Mux(self.flow, batch_ends, tile_ends | used)

    def _column(self, m: Module, number: int, taken: Value, acc: Value, word: Value) -> Value:
        """Return what a column's sum becomes."""
        m.submodules[f"column{number}"] = cell = Requantize(self.params.cell)
        fields: dict[str, Value] = {}
        for name, bits in self.params.fields.items():
            fields[name], word = word[:bits], word[bits:]
        if self.params.bias:
            acc = wire(m, acc + fields.pop("bias").as_signed(), "biased")
        m.d.comb += [cell.en.eq(taken), cell.x.eq(acc)]
        m.d.comb += [getattr(cell, name).eq(value) for name, value in fields.items()]
        return cell.y
