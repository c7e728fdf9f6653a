# SPDX-License-Identifier: Apache-2.0
"""Parameters of the arrays of processing elements."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Const, Value

from hw.mpgemm.dataflow import NAMES, Dataflow, dataflow
from hw.mpgemm.epilogue import Epilogue, epilogue_of
from hw.mpgemm.groups import Groups, refuse_without_group
from hw.mpgemm.scaling import RowSums
from hw.mpgemm.shape import Shape
from hw.mpgemm.sparse import SparseCell, SparseWeights, sparse_weights
from hw.pe.arch import architecture
from hw.pe.nm import ratio
from hw.pe.params import ARCHS, TARGETS, PEParams
from hw.pe.values import values_of
from hw.spec.formats import Format

__all__ = ["LOADS", "SKEWS", "SPARSE", "SYSTOLIC", "ArrayParams"]

#: Dataflows whose cells can pick the activations of sparse weights.
SPARSE = ("broadcast", "cube", "tree")

#: Dataflows whose operands walk from cell to cell.
SYSTOLIC = ("is", "os", "os-ws", "ws")

#: What delays these at the edges: registers, or memories read at delayed addresses.
SKEWS = ("regs", "addr")

#: How many beats bring a tile of what stays.
LOADS = ("row", "tile")

_PORTS = {"en", "clr", "a", "w"}
_SUMS = ({"acc"}, {"acc", "nan"}, {"acc_sum", "acc_carry"}, {"p"}, {"p", "nan"})


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
    depth: int | None = None  #: Rows of results whose sums ``is``, ``os-ws`` and ``ws`` keep.
    load: str | None = None  #: Whether ``ws`` loads its tiles row by row or at once.
    group: int | None = None  #: Products that share a scale.
    scale: str | None = None  #: Format of the scales of a column's groups.
    act_scale: str | None = None  #: Format of the scales of a row's groups.
    zero_point: bool = False  #: Whether the weights of each group have a zero point.
    sum: str | None = None  #: How groups are added: not (``int``), ``exact`` or ``fp32-seq``.
    sparsity: str | None = None  #: ``N:M``, weights kept of each M, for ``--arch nm``.
    skew: str = "regs"  #: What delays the operands of ``os``, ``ws`` and ``is`` at the edges.
    requant: str | None = None  #: Scheme by which sums become small integers.
    requant_out: str | None = None  #: Format of these.
    bias: bool = False  #: Whether 32 bits are added to each sum first.
    out_zero_point: bool = False  #: Whether a zero point is added last.
    mult_bits: int | None = None  #: Bits of the multipliers.

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
        if self.arch == "nm" or self.sparsity is not None:
            self._check_sparsity()
        elif self.arch != "auto" and "accumulate" not in architecture(self.arch).cores:
            raise ValueError(self._wrong_cell(self.arch))
        _ = self.cell
        if self.zero is None:
            raise ValueError(
                f"act must be a format with a zero, to fill up the last step of a sum, "
                f"not {self.cell.act_format.name!r}"
            )
        self._check_cell()
        self._check_group()
        _ = self.epilogue
        if self.load is not None and (self.dataflow != "ws" or self.load not in LOADS):
            raise ValueError(
                f"load must be {' or '.join(LOADS)} with dataflow ws and not be given with others, "
                f"not {self.load!r} with {self.dataflow}"
            )
        if self.depth is not None and not self.flow.batched:
            raise ValueError(
                f"depth must not be given with dataflow {self.dataflow}, but is {self.depth}; "
                "is, os-ws and ws take it"
            )
        if self.depth is not None and not 1 <= self.depth <= 65535:
            raise ValueError(f"depth must be an integer from 1 to 65535, not {self.depth!r}")
        if self.skew not in SKEWS:
            raise ValueError(f"skew must be one of {', '.join(SKEWS)}, not {self.skew!r}")
        if self.skew != "regs" and self.dataflow not in SYSTOLIC:
            raise ValueError(
                f"skew must not be given with dataflow {self.dataflow}, but is {self.skew}; "
                f"{', '.join(SYSTOLIC)} take it"
            )
        self.flow.check(self)

    def _check_cell(self) -> None:
        """Hold the architecture to what the dataflow needs of a cell."""
        arch, core = self.cell.chosen_arch[0], self.flow.core
        wanted = _PORTS if core == "accumulate" else _PORTS - {"en", "clr"}
        fits = core in self.cell.architecture.cores
        if fits:
            ports = set((self.new_dot() if core == "dot" else self.new_cell()).signature.members)
            fits = wanted <= ports and ports - wanted in _SUMS
        if not fits:
            raise ValueError(self._wrong_cell(arch))
        if core == "dot" and self.pipeline:
            raise ValueError(
                f"pipeline must be 0 with dataflow {self.dataflow}, not {self.pipeline}"
            )

    def _check_sparsity(self) -> None:
        """Hold what comes with N:M weights to what there is."""
        if self.arch != "nm":
            raise ValueError(
                f"sparsity must not be given with arch {self.arch}, but is {self.sparsity!r}; "
                "nm takes it"
            )
        n, _ = ratio(self.sparsity)
        if self.dataflow not in SPARSE:
            raise ValueError(
                f"dataflow must be one of {', '.join(SPARSE)} with arch nm, not {self.dataflow!r}"
            )
        if self.lanes % n:
            raise ValueError(
                f"lanes must be a multiple of {n} with sparsity {self.sparsity}, not {self.lanes}"
            )
        if 0 not in values_of(self.cell.weight_format):
            raise ValueError(
                "format must be one with a zero with arch nm, to fill up blocks, "
                f"not {self.cell.weight_format.name!r}"
            )
        if self.zero_point:
            raise ValueError("zero_point must not be given with arch nm")

    def _check_group(self) -> None:
        """Hold the scales of groups to what there is."""
        if self.group is None:
            refuse_without_group(self, "group", ("scale", "act_scale", "zero_point", "sum"))
            return
        if self.flow.batched:
            raise ValueError(
                f"group must not be given with dataflow {self.dataflow}, but is {self.group}; "
                "broadcast, cube, os and tree take it"
            )
        depth = self.products
        if not isinstance(self.group, int) or self.group < 1 or self.group % depth:
            what = "lanes" if self.sparse is None else "the activations of a step"
            raise ValueError(f"group must be a multiple of {what}, {depth}, not {self.group}")
        _ = self.groups
        if self.zero_point and self.cell.weight_format.lam:
            raise ValueError(
                "format must be one of integers where zero_point is given, "
                f"not {self.cell.weight_format.name!r}"
            )

    def _wrong_cell(self, arch: str) -> str:
        return (
            f"arch must be one whose {self.flow.core} core takes plain codes with dataflow "
            f"{self.dataflow}, such as shift-add, not {arch!r}"
        )

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
            arch="auto" if self.arch == "nm" else self.arch,
            lanes=self.lanes,
            max_k=max(min(self.max_k, self.group or self.max_k), self.lanes),
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
        if self.flow.stationary:
            return self.row_shape
        assert self.zero is not None
        weight, act = self.cell.weight_format.bits, self.cell.act_format.bits
        sparse, others = self.sparse, self._finite
        if sparse is not None:
            others = {"sparse": sparse}
            if sparse.passes > 1:
                others |= {"planes": sparse.m, "planes_per_beat": sparse.n}
        shape = Shape(
            rows=self.rows,
            columns=self.columns,
            depth=self.products,
            lane_bits=act,
            zero=self.zero,
            wgt_bits=self.columns * self.lanes * (sparse.word if sparse else weight),
            acc_bits=self.cell.acc_width,
            max_k=self.max_k,
            nan=self.cell.has_nan,
            switched=self.flow.switched,
            **others,
        )
        return self.epilogue.framed(shape)

    @cached_property
    def row_shape(self) -> Shape:
        """Sizes that the frame must know where an operand stays: a tile is a row of results."""
        assert self.zero is not None
        weight, act = self.cell.weight_format.bits, self.cell.act_format.bits
        stays = self.columns * self.lanes * (act if self.swapped else weight)
        stays *= self.rows if self.loads_tiles else 1
        streams = self.rows * self.lanes * (weight if self.swapped else act)
        shape = Shape(
            rows=1,
            columns=self.columns,
            depth=self.rows * self.lanes,
            lane_bits=act,
            zero=self.zero,
            wgt_bits=streams if self.swapped else stays,
            acc_bits=self.cell.acc_width,
            max_k=self.max_k,
            nan=self.cell.has_nan,
            act_lanes=(stays if self.swapped else streams) // act,
            batched=not self.swapped,
            swapped=self.swapped,
            **self._finite,
        )
        return self.epilogue.framed(shape)

    @property
    def _finite(self) -> dict[str, Any]:
        """What the frame puts in the place of weights beyond K, where that matters."""
        weight = self.cell.weight_format
        if not weight.nonfinite:
            return {}
        fill = next(code for code, value in enumerate(values_of(weight)) if value is not None)
        return {"wgt_lane_bits": weight.bits, "wgt_zero": fill}

    @cached_property
    def sparse(self) -> SparseWeights | None:
        """How weights are stored, None if all of them are."""
        if self.arch != "nm":
            return None
        zero = values_of(self.cell.weight_format).index(0)
        # The flag of a number that is no integer says of bad blocks only: NaNs are in the number.
        numbers = self.groups is not None and self.groups.mode == "fp32-seq"
        able = self.cell.act_format.nonfinite or self.cell.act_window is not None
        guard = self.zero if numbers and able else None
        return sparse_weights(self.cell, self.sparsity, zero, guard)

    @property
    def products(self) -> int:
        """Activations of a row and step: more than lanes where weights pick some of them."""
        return self.sparse.depth if self.sparse else self.lanes

    @cached_property
    def groups(self) -> Groups | None:
        """Groups of products and their scales, None without groups."""
        if self.group is None:
            return None
        return Groups(
            size=self.group,
            scale=self.scale,
            act_scale=self.act_scale,
            zero_point=self.zero_point,
            sum=self.sum,
            acc_bits=self.cell.acc_width,
            lam=self.cell.lam,
            max_k=self.max_k,
            carry_chains=self.cell.carry_chains,
        )

    @property
    def row_sums(self) -> RowSums | None:
        """What adds up activations, where zero points need that."""
        return RowSums(self.cell, self.rows) if self.zero_point else None

    @cached_property
    def epilogue(self) -> Epilogue:
        """What becomes of the sums."""
        cell = self.cell
        return epilogue_of(self, cell.lam, cell.acc_width, self.groups, cell.carry_chains)

    @property
    def swapped(self) -> bool:
        """Whether the activations stay and the weights stream."""
        return self.dataflow == "is"

    @property
    def fed_format(self) -> Format:
        """Format of the operand that streams past the one that stays."""
        return self.cell.weight_format if self.swapped else self.cell.act_format

    @property
    def kept_format(self) -> Format:
        """Format of the operand that stays."""
        return self.cell.act_format if self.swapped else self.cell.weight_format

    @property
    def loads_tiles(self) -> bool:
        """Whether a beat of what stays is a whole tile."""
        return self.load == "tile"

    @property
    def batch(self) -> int:
        """Rows of results whose sums an array with a stationary operand keeps."""
        return self.depth or 64

    @cached_property
    def partial_bits(self) -> int:
        """Bits of the sum of a column of cells, and of its flag where it can be a NaN."""
        most = self.cell.max_product * self.rows * self.lanes
        return 1 + most.bit_length() + self.cell.has_nan

    def new_dot(self) -> Any:
        """Return a new combinational cell."""
        params = dataclasses.replace(
            self.cell, core="dot", acc_bits=None, pipeline=0, arch=self.cell.chosen_arch[0]
        )
        cell: Any = params.architecture.build(params)
        cell._MustUse__used = True
        return cell

    def new_cell(self) -> Any:
        """Return a new cell of the array."""
        cell: Any = self.cell.architecture.build(self.cell)
        if self.sparse is not None:
            cell._MustUse__used = True
            cell = SparseCell(self.cell, self.sparse)
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
        notes = self.cell.notes
        if self.sparse:
            notes = tuple(n.replace("--arch auto:", "--arch nm: products by") for n in notes)
        return notes

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default and choice made explicit."""
        cell = self.cell.resolved
        chosen = dataclasses.asdict(self)
        chosen.update({name: cell[name] for name in ("format", "bits", "arch", "acc_bits")})
        if self.sparse:
            chosen["arch"] = self.arch
        if self.flow.batched:
            chosen["depth"] = self.batch
        if self.flow.stationary:
            chosen["load"] = self.load or "row"
        chosen.update(self.epilogue.resolved)
        if self.cell.act_window:
            chosen["window"] = cell["window"]
        return chosen
