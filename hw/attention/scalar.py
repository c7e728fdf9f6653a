# SPDX-License-Identifier: Apache-2.0
"""The unit ``scalar``: functions of one argument, one after the other."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.exp2n import Exp2N, Exp2NParams
from hw.attention.log2 import Log2, Log2Params
from hw.attention.recip import Recip, RecipParams
from hw.attention.rsqrt import Rsqrt, RsqrtParams
from hw.attention.scalar_params import FUNCTIONS, ScalarParams
from hw.attention.sigmoid import Sigmoid, SigmoidParams
from hw.attention.stages import Stages
from hw.attention.table import TableParams
from hw.cell import Cell
from hw.quant.staged import Staged

__all__ = ["Scalar", "build"]

#: Function -> its stages, one for each piece of work; the result has a register of its own.
_STAGES = {"exp2n": 3, "recip": 4, "rsqrt": 5, "log2": 2, "sigmoid": 1}


class Scalar(Cell):
    """One function of each lane. Of 0, ``recip``, ``rsqrt`` and ``log2`` give 0.

    Parameters
    ----------
    params : :class:`ScalarParams`

    Members
    -------
    x : ``In(lanes * in_bits)``
        Arguments, lane 0 in the low bits.
    en : ``In(latency)``
        Bit k lets a beat into stage k.
    y, k : ``Out(...)``
        Results, see :attr:`ScalarParams.fields`.

    Timing
    ------
    :attr:`latency` cycles, one beat per cycle.
    """

    def __init__(self, params: ScalarParams):
        self.params = params
        self.latency = _STAGES[params.function]
        words = [f"{name}{value}" for name, value in params.resolved.items() if value is not None]
        self.label = "scalar_" + "_".join(words)
        members = {"x": In(params.lanes * params.bits), "en": In(self.latency)}
        results = {name: Out(params.lanes * width) for name, width in params.fields.items()}
        super().__init__({**members, **results})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en, self.latency, self.latency)
        found: dict[str, list[Value]] = {name: [] for name in params.fields}
        for lane in range(params.lanes):
            x = self.x.word_select(lane, params.bits)
            cell, argument, outputs = self._cell()
            m.submodules[f"lane{lane}"] = cell
            m.d.comb += [getattr(cell, argument).eq(x), cell.en.eq(self.en)]
            some: Value | None = None
            if params.function in ("recip", "rsqrt", "log2"):
                some = later(wire(m, x.any(), "some"), 0, self.latency - 1)
            for (name, width), output in zip(params.fields.items(), outputs, strict=True):
                result = wire(m, output, name)
                if some is not None:
                    result = wire(m, Mux(some, result, 0), f"{name}_if_some")
                padded = Signal(width, name=f"{name}_lane")
                m.d.comb += padded.eq(result)
                found[name].append(padded)
        for name, words in found.items():
            m.d.comb += getattr(self, name).eq(Cat(*words))
        return m

    @property
    def tables(self) -> tuple[TableParams, ...]:
        """The tables that the function reads, each of 16 bits of argument."""
        names = ("rsqrt", "rsqrt2") if self.params.function == "rsqrt" else (self.params.function,)
        bits = self.params.index_bits
        return tuple(TableParams(name, bits, 16 - bits) for name in names)

    def _cell(self) -> tuple[Any, str, tuple[Value, ...]]:
        """Return a new cell of the function, the name of its argument, and its results."""
        params, chosen = self.params, self.params.resolved
        bits = params.bits
        common: dict[str, Any] = {"pipeline": self.latency, "target": params.target}
        index = params.index_bits
        cell: Any
        if params.function == "exp2n":
            cell = Exp2N(Exp2NParams(bits, chosen["out_bits"], index, **common))
            return cell, "d", (cell.e,)
        if params.function == "recip":
            cell = Recip(RecipParams(bits, index, chosen["newton"], **common))
            return cell, "l", (cell.y, cell.k)
        if params.function == "rsqrt":
            cell = Rsqrt(RsqrtParams(bits, index, chosen["newton"], **common))
            return cell, "v", (cell.y, cell.h)
        if params.function == "log2":
            cell = Log2(Log2Params(bits, index, **common))
            return cell, "l", (cell.y,)
        cell = Sigmoid(SigmoidParams(index, **common))
        return cell, "x", (cell.y,)


def build(params: ScalarParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    cell = Scalar(params)
    lanes, bits = params.lanes, params.bits
    is_signed = params.function == "sigmoid"
    argument: Shape = signed(bits) if is_signed and lanes == 1 else unsigned(lanes * bits)
    results = {name: unsigned(lanes * width) for name, width in params.fields.items()}
    component: Any = Staged(cell, {"x": argument}, results, cell.latency)
    lanes_of = {"lanes": lanes}
    component.number_formats = {
        "i_x": {"format": f"{'int' if is_signed else 'uint'}{bits}", **lanes_of},
        **{f"o_{name}": {"format": f"uint{w}", **lanes_of} for name, w in params.fields.items()},
    }
    component.contract = {
        "formula": FUNCTIONS[params.function],
        "error_bound": max(table.error for table in cell.tables),
    }
    return component
