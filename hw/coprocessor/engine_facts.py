# SPDX-License-Identifier: Apache-2.0
"""What the co-processor has to know of its engine."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hw.coprocessor.engine_text import EngineParams, engine_params_of
from hw.coprocessor.engine_text import build_engine as build
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.shape import Shape
from hw.spec.coprocessor import C_KINDS, ENGINES, LAYOUTS, EngineNumbers, format_number
from hw.spec.formats import parse

__all__ = ["EngineFacts", "OneEngine", "power"]

#: Option that names the format of the weights.
_FORMATS = {"codebook": "book", "shift-add": "format"}

#: Kinds of the engines of ``mpgemm``, of those of CAP0.
_KINDS = {
    "lut": "bit-table",
    "lut-ternary": "trit-table",
    "shift-add": "shift-add",
    "ternary-add": "shift-add",
    "bit-plane": "bit-plane",
    "codebook": "mac",
}


def power(value: int) -> int:
    """Return the least power of two that is at least ``value``."""
    return 1 << (value - 1).bit_length()


class EngineFacts:
    """Properties of an engine, which ``text`` names."""

    @property
    def text(self) -> str:
        """The engine, as after ``python -m gen``."""
        raise NotImplementedError

    @cached_property
    def engine_params(self) -> EngineParams:
        """Parameters of the engine."""
        return engine_params_of(self.text)

    @cached_property
    def shape(self) -> Shape:
        """Sizes of what the engine takes."""
        return self.engine_params.shape

    @cached_property
    def result(self) -> Shape:
        """Sizes of what leaves the engine."""
        return self.engine_params.epilogue.result(self.shape)

    def build_engine(self) -> Any:
        """Return a new engine."""
        return build(self.engine_params)

    @property
    def rows(self) -> int:
        """Rows of a tile."""
        return self.shape.rows

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return self.shape.columns

    @property
    def depth(self) -> int:
        """Products of a step for each sum."""
        return self.shape.depth

    @property
    def max_k(self) -> int:
        """Most products of a sum."""
        return self.shape.max_k

    @property
    def beats(self) -> int:
        """Most beats of weights of a step."""
        params = self.engine_params
        if isinstance(params, ArrayParams) and params.flow.stationary:
            return 1 if params.loads_tiles else params.rows
        return self.shape.beats

    @property
    def switched(self) -> bool:
        """Whether a product with a vector is computed with weights that stay."""
        return self.shape.switched

    @property
    def group_steps(self) -> int:
        """Steps of a group of products, 0 where a tile is one group."""
        return 1 if self.shape.scale_steps else self.shape.group_steps

    @property
    def act_slot(self) -> int:
        """Bits that a code of A takes in memory."""
        return power(self.shape.lane_bits)

    @property
    def act_item(self) -> int:
        """Bits that the codes of a row take in a step."""
        return self.depth * self.act_slot

    @property
    def w_slot(self) -> int:
        """Bytes that a beat of weights takes in memory."""
        return power(-(-self.shape.wgt_bits // 8))

    @property
    def s_slot(self) -> int:
        """Bytes that a beat of scales takes in memory, 0 without scales."""
        return power(-(-self.shape.scale_bits // 8)) if self.has_scale else 0

    @property
    def numbers(self) -> EngineNumbers:
        """What a register tells of it."""
        kind = "binary32" if self.result_float else "signed" if self.signed else "unsigned"
        return EngineNumbers(
            a_fmt=self.a_format,
            w_fmt=self.w_format,
            layout=self.layout,
            c_kind=C_KINDS[kind],
            depth=self.depth,
            acc_bits=self.shape.acc_bits,
        )

    @property
    def group(self) -> int:
        """Products of a group that shares a scale, 0 without groups."""
        return self.shape.group_steps * self.depth

    @property
    def has_scale(self) -> bool:
        """Whether the engine takes S."""
        return self.shape.scale_bits > 0

    @property
    def act_scale(self) -> bool:
        """Whether S has scales of rows too, so that each tile has its own."""
        return self.engine_params.act_scale is not None

    @property
    def has_bias(self) -> bool:
        """Whether a descriptor may have the flag "bias"."""
        return self.engine_params.bias

    @property
    def has_zero_point(self) -> bool:
        """Whether a descriptor may have the flag "zero point"."""
        params = self.engine_params
        zero = params.zero_point if isinstance(params, ArrayParams) else params.zero_points
        return bool(zero or params.out_zero_point)

    @property
    def plane_counts(self) -> tuple[int, ...]:
        """What a job's ``bits`` may be besides 0."""
        shape = self.shape
        if shape.beats == 1 or shape.sparse:
            return ()
        step = shape.planes_per_beat if shape.planes_whole else 1
        return tuple(range(step, min(15, shape.planes) + 1, step))

    @property
    def signed(self) -> bool:
        """Whether a result is signed, or a binary32 number."""
        return not self.result.unsigned

    @property
    def result_float(self) -> bool:
        """Whether results are binary32 numbers."""
        out: dict[str, Any] = self.engine_params.epilogue.out_format(self.shape)
        return bool(out["format"] == "fp32")

    @property
    def sums(self) -> bool:
        """Whether results are sums as they are, to which others can be added."""
        return not self.result_float and not self.shape.finish_bits

    @property
    def a_format(self) -> int:
        """Number of the format of A."""
        params = self.engine_params
        if isinstance(params, ArrayParams):
            return format_number(params.cell.act_format)
        return format_number(params.act_format)

    @property
    def w_format(self) -> int:
        """Number of the format of W; 0 where that is a number of bit planes."""
        params = self.engine_params
        if isinstance(params, ArrayParams):
            return format_number(params.cell.weight_format)
        if params.engine in ("lut", "bit-plane", "pq"):
            return 0
        if params.engine in ("lut-ternary", "ternary-add"):
            return format_number(parse("ternary"))
        return format_number(parse(params.option(_FORMATS[params.engine])))

    @property
    def layout(self) -> int:
        """Number of the layout of W."""
        params = self.engine_params
        if isinstance(params, ArrayParams):
            return LAYOUTS["nm" if params.sparse else "mac"]
        names = {"lut": "plane-major", "bit-plane": "plane-major", "lut-ternary": "ternary"}
        return LAYOUTS[names.get(params.engine, "as built" if params.engine == "pq" else "mac")]

    @property
    def engines(self) -> int:
        """Kinds of the engine, as bits of CAP0.ENGINES."""
        params = self.engine_params
        if isinstance(params, ArrayParams):
            kinds = ["mac"] + (["nm"] if params.sparse else [])
        else:
            kinds = [_KINDS[params.engine]] if params.engine in _KINDS else []
        return sum(1 << ENGINES[kind] for kind in kinds)

    @property
    def macs_per_step(self) -> int:
        """Products that a step stands for, those beyond the matrices too."""
        return self.rows * self.columns * self.depth

    @property
    def lookups_per_beat(self) -> int:
        """Lookups in tables that a beat of weights stands for, 0 without tables."""
        group = self.table_group
        if not group:
            return 0
        return self.rows * self.columns * (self.depth // group) * self.shape.planes_per_beat

    @property
    def table_group(self) -> int:
        """Activations that share a table, 0 without tables."""
        params = self.engine_params
        if isinstance(params, ArrayParams) or params.engine not in ("lut", "lut-ternary", "pq"):
            return 0
        return int(params.option("subvector" if params.engine == "pq" else "group"))

    @property
    def weight_bits(self) -> int:
        """Most bits of a weight."""
        params = self.engine_params
        if isinstance(params, ArrayParams):
            return params.cell.weight_format.bits
        if params.engine in ("lut", "bit-plane"):
            return int(params.option("bits"))
        if params.engine == "pq":
            return int(params.option("entry_bits"))
        if params.engine in ("lut-ternary", "ternary-add"):
            return 2
        return parse(params.option(_FORMATS[params.engine])).bits


@dataclass(frozen=True)
class OneEngine(EngineFacts):
    """An engine by itself, by the name that ``command`` gives it."""

    command: str

    @property
    def text(self) -> str:
        """The engine, as after ``python -m gen``."""
        return self.command
