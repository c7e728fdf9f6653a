# SPDX-License-Identifier: Apache-2.0
"""Parameters of the matrix engines that are no arrays of processing elements."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hw.mpgemm import finish, groups
from hw.mpgemm.aligned import Activation
from hw.mpgemm.engine import Engine
from hw.mpgemm.engines import NAMES, EngineKind, engine_kind
from hw.mpgemm.epilogue import Epilogue, epilogue_of
from hw.mpgemm.groups import Groups
from hw.mpgemm.scaling import RowSums
from hw.mpgemm.shape import Shape
from hw.pe.params import TARGETS, PEParams
from hw.spec.formats import Format, parse

__all__ = ["OPTIONS", "MpGemmParams", "check_zero", "within"]

#: Parameters that only some engines take, each with a default of its own. None means that default.
OPTIONS = (
    "bits",
    "scheme",
    "zero_point",
    "group",
    "tables",
    "planes",
    "table_kind",
    "table_source",
    "table_bits",
    "aggregate",
    "format",
    "book",
    "products",
    "lanes",
    "group_size",
    "scale",
    "act_scale",
    "zero_points",
    "sum",
    *finish.OPTIONS,
    "subvector",
    "centroids",
    "distance",
    "entry_bits",
    "window",
)


@dataclass(frozen=True)
class MpGemmParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    engine: str = field(default="lut", metadata={"always": True})
    act: str = field(default="int8", metadata={"always": True})  #: Activation format.
    rows: int = 2  #: Rows of A, and of the result, in a tile.
    columns: int = 16  #: Columns of W, and of the result, in a tile.
    max_k: int = 4096  #: Products of the longest sum.
    acc_bits: int | None = None  #: Width of the sums, where wider than needed.
    pipeline: int = 0  #: Register stages before the accumulators.
    target: str = "gates"  #: Decides structure, never function.
    bits: int | None = None  #: Most bits, or bit planes, of a weight.
    scheme: str | None = None  #: What the bit planes of a weight stand for.
    zero_point: int | None = None  #: Code of the weight that is zero.
    group: int | None = None  #: Activations that share a table.
    tables: int | None = None  #: Tables for each row, all looked up in every step.
    planes: int | None = None  #: Bit planes looked up at once.
    table_kind: str | None = None  #: Entries that a table holds.
    table_source: str | None = None  #: Where the tables come from.
    table_bits: int | None = None  #: Bits of the entries of rounded tables.
    aggregate: str | None = None  #: What is made of the lookups of a step.
    format: str | None = None  #: Weight format.
    book: str | None = None  #: Table of the weights' values.
    products: str | None = None  #: Where activations are multiplied with it.
    lanes: int | None = None  #: Products of a step for each sum.
    group_size: int | None = None  #: Products that share a scale.
    scale: str | None = None  #: Format of the scales of a column's groups.
    act_scale: str | None = None  #: Format of the scales of a row's groups.
    zero_points: bool = False  #: Whether the weights of each group have a zero point.
    sum: str | None = None  #: How groups are added.
    requant: str | None = None  #: Scheme by which sums become small integers.
    requant_out: str | None = None  #: Format of these.
    bias: bool = False  #: Whether 32 bits are added to each sum first.
    out_zero_point: bool = False  #: Whether a zero point is added last.
    mult_bits: int | None = None  #: Bits of the multipliers.
    subvector: int | None = None  #: Activations that are coded together.
    centroids: int | None = None  #: Vectors that may stand for them.
    distance: str | None = None  #: Measure of the nearest of these.
    entry_bits: int | None = None  #: Bits of the entries of a table that comes at run time.
    window: str | None = None  #: ``LOW:HIGH``, fixed-point window of a float activation.

    def __post_init__(self) -> None:
        for name, allowed in (("engine", NAMES), ("target", TARGETS)):
            if getattr(self, name) not in allowed:
                text = ", ".join(allowed)
                raise ValueError(f"{name} must be one of {text}, not {getattr(self, name)!r}")
        for name, least, most in (("rows", 1, 256), ("columns", 1, 256), ("max_k", 1, 65535)):
            within(name, getattr(self, name), least, most)
        if not isinstance(self.act, str):
            raise ValueError(f"act must be a text, not {self.act!r}")
        _ = self.act_format
        for name in OPTIONS:
            if getattr(self, name) not in (None, False) and name not in self.kind.options:
                takers = [n for n in NAMES if name in engine_kind(n).options]
                raise ValueError(
                    f"{name} must not be given with engine {self.engine}, but is "
                    f"{getattr(self, name)!r}; these take it: {', '.join(takers)}"
                )
        self.kind.check(self)
        if self.acc_bits is not None:
            within("acc_bits", self.acc_bits, self.exact_bits, 4096)

    @cached_property
    def kind(self) -> EngineKind:
        """The chosen engine."""
        return engine_kind(self.engine)

    @cached_property
    def act_format(self) -> Format:
        """Format of the activations."""
        return parse(self.act)

    @cached_property
    def activation(self) -> Activation:
        """The integers of the activations."""
        cell = PEParams(format="uint1", arch="shift-add", act=self.act, window=self.window)
        return Activation(cell.act_format, cell.act_window)

    def option(self, name: str) -> Any:
        """Return one of :data:`OPTIONS` as given, or the engine's default."""
        value = getattr(self, name)
        return self.kind.options[name] if value is None else value

    @property
    def exact_bits(self) -> int:
        """Bits with which no sum of ``max_k`` products overflows."""
        most = min(self.max_k, self.group_size or self.max_k)
        longest = self.kind.longest(self) if self.kind.longest else most
        return 1 + (self.kind.max_product(self) * longest).bit_length()

    @property
    def acc_width(self) -> int:
        """Bits of the sums."""
        return self.acc_bits or self.exact_bits

    @cached_property
    def shape(self) -> Shape:
        """Sizes that the frame must know."""
        return self.kind.shape(self)

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default and choice made explicit."""
        chosen = dataclasses.asdict(self)
        chosen.update({name: self.option(name) for name in self.kind.options})
        chosen.update(act=self.act_format.name, acc_bits=self.acc_width)
        if "window" in self.kind.options:
            chosen["window"] = self.activation.window_text
        ending = self.epilogue.resolved.items()
        chosen.update({name: value for name, value in ending if name in self.kind.options})
        if self.kind.resolved:
            chosen.update(self.kind.resolved(self))
        return chosen

    def check_epilogue(self, depth: int) -> None:
        """Hold groups to steps of ``depth`` products, and what follows to what there is."""
        size: object = self.group_size
        if size is None:
            names = (name for name in groups.OPTIONS if name != "group_size")
            groups.refuse_without_group(self, "group_size", names)
        elif not isinstance(size, int) or isinstance(size, bool) or size < 1 or size % depth:
            raise ValueError(
                f"group_size must be a multiple of {depth}, the products of a step, not {size!r}"
            )
        _ = self.epilogue

    @cached_property
    def groups(self) -> Groups | None:
        """Groups of products and their scales, None without groups."""
        if self.group_size is None:
            return None
        return Groups(
            size=self.group_size,
            scale=self.scale,
            act_scale=self.act_scale,
            zero_point=self.zero_points,
            sum=self.sum,
            acc_bits=self.acc_width,
            lam=self.activation.lam,
            max_k=self.max_k,
            carry_chains=self.target != "gates",
            names={"zero_point": "zero_points"},
        )

    @cached_property
    def epilogue(self) -> Epilogue:
        """What becomes of the sums."""
        lam, chains = self.activation.lam, self.target != "gates"
        return epilogue_of(self, lam, self.acc_width, self.groups, chains)

    def engine_of(self, core: Any) -> Engine:
        """Return the engine around a core of its own, whose sums stay in place."""
        sums = None
        if self.zero_points:
            depth = self.shape.depth
            longest = max(depth, min(self.max_k, self.group_size or self.max_k))
            acts = PEParams(
                format="uint1",
                act=self.act,
                lanes=depth,
                max_k=longest,
                target=self.target,
                window=self.window,
            )
            sums = RowSums(acts, self.rows)
        return self.epilogue.engine(self.shape, core, sums)


def check_zero(params: MpGemmParams) -> None:
    """Raise ``ValueError`` for an activation format without a zero."""
    if params.activation.zero is None:
        raise ValueError(
            f"act must be a format with a zero, to fill up the last step of a sum, "
            f"not {params.act_format.name!r}"
        )


def within(name: str, value: object, least: int, most: int) -> None:
    """Raise ``ValueError`` unless ``value`` is an integer from ``least`` to ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be an integer from {least} to {most}, not {value!r}")
