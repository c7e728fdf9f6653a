# SPDX-License-Identifier: Apache-2.0
"""Parameters of the processing element: what a user chooses, and what follows from it."""

import dataclasses
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hw.pe import recorded
from hw.pe.arch import NAMES, Arch, architecture
from hw.pe.decode import Window
from hw.spec.formats import FloatFormat, Format, parse, resolve

__all__ = ["ARCHS", "CORES", "TARGETS", "PEParams"]

ARCHS = (*NAMES, "auto")
CORES = ("stream", "accumulate", "dot")
TARGETS = ("gates", "xcup", "ecp5", "ice40")

# Parameters that only some architectures take, with the value that means none.
_OPTIONS: dict[str, Any] = {
    "columns": 1,
    "mode": None,
    "sparsity": None,
    "zero_columns": None,
    "group": None,
    "scale": None,
    "act_scale": None,
    "zero_point": False,
    "sum": None,
}

# The exact sum of bf16 products needs more than 270 bits; a window keeps it useful.
_DEFAULT_WINDOW = {"bf16": "-24:16"}


@dataclass(frozen=True)
class PEParams:
    """What a user chooses. Every derived width is a property, never a second parameter.

    Raises ``ValueError`` with the wrong value and what would be right.
    """

    format: str | None = None  #: Weight format, or a family such as ``int`` with ``bits``.
    bits: int | None = None  #: Width of the weight; alone it means that width's default format.
    act: str = field(default="int8", metadata={"always": True})  #: Activation format.
    arch: str = "auto"  #: One of :data:`ARCHS`.
    lanes: int = 1  #: Products per beat.
    max_k: int = 256  #: Products of the longest dot product.
    acc_bits: int | None = None  #: Accumulator width, where wider than needed.
    pipeline: int = 0  #: Register stages before the accumulator, 0 to 3.
    core: str = "stream"  #: One of :data:`CORES`.
    target: str = "gates"  #: One of :data:`TARGETS`; decides structure, never function.
    window: str | None = None  #: ``LOW:HIGH``, fixed-point window of a float activation.
    columns: int = 1  #: Dot products that share the activations of a beat.
    mode: str | None = None  #: Way of computing, for architectures that have several.
    sparsity: str | None = None  #: ``N:M``, weights kept of each M, for ``--arch nm``.
    zero_columns: int | None = None  #: Bit columns pruned from each weight, for ``--arch bbs``.
    group: int | None = None  #: Products that share a scale.
    scale: str | None = None  #: Format of the weights' scales.
    act_scale: str | None = None  #: Format of the activations' scales.
    zero_point: bool = False  #: Whether each group's weights have a zero point.
    sum: str | None = None  #: How scaled groups are added.

    def __post_init__(self) -> None:
        for name, least, most in (("lanes", 1, 1024), ("max_k", 1, 1 << 24), ("pipeline", 0, 3)):
            _within(name, getattr(self, name), least, most)
        for name, allowed in (("arch", ARCHS), ("core", CORES), ("target", TARGETS)):
            if getattr(self, name) not in allowed:
                text = ", ".join(allowed)
                raise ValueError(f"{name} must be one of {text}, not {getattr(self, name)!r}")
        for name in ("format", "act", "window"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "act"):
                raise ValueError(f"{name} must be a text, not {value!r}")
        if self.bits is not None:
            _within("bits", self.bits, 1, 16)
        if self.format is not None and self.format.startswith("codebook:"):
            object.__setattr__(self, "format", parse(self.format).name)
        if self.act.startswith("codebook:"):
            object.__setattr__(self, "act", parse(self.act).name)
        if self.weight_format.name == "bf16" and not self.architecture.wide_floats:
            raise ValueError("format must not be 'bf16'; it may be the activation: --act bf16")
        for name, fmt in (("format", self.weight_format), ("act", self.act_format)):
            if fmt.name == "fp32":
                raise ValueError(f"{name} must not be 'fp32', whose exact products are too wide")
        if self.max_k < self.lanes and self.core != "dot":
            raise ValueError(f"max_k must be at least lanes, {self.lanes}, not {self.max_k}")
        if self.core == "dot" and self.pipeline:
            raise ValueError(f"pipeline must be 0 where core is dot, not {self.pipeline}")
        if self.core == "dot" and self.acc_bits is not None:
            raise ValueError(f"acc_bits must not be given where core is dot, not {self.acc_bits}")
        if self.group is not None:
            _within("group", self.group, 1, self.max_k)
        if self.acc_bits is not None:
            _within("acc_bits", self.acc_bits, self.exact_bits, 4096)
        _within("columns", self.columns, 1, 1024)
        _ = self.act_window
        self._check_arch()

    def _check_arch(self) -> None:
        """Hold the parameters to what the architecture takes."""
        arch = self.architecture
        for name, default in _OPTIONS.items():
            if getattr(self, name) != default and name not in arch.options:
                takers = [n for n in NAMES if name in architecture(n).options]
                raise ValueError(
                    f"{name} must not be given with arch {arch.name}, but is "
                    f"{getattr(self, name)!r}; these take it: {', '.join(takers) or 'none'}"
                )
        if self.core not in arch.cores:
            raise ValueError(
                f"core must be {' or '.join(arch.cores)} with arch {arch.name}, not {self.core!r}"
            )
        arch.check(self)

    @cached_property
    def architecture(self) -> Arch:
        """The chosen architecture."""
        return architecture(self.chosen_arch[0])

    @cached_property
    def weight_format(self) -> Format:
        """Format of the weights."""
        return resolve(self.format, self.bits, "int4")

    @cached_property
    def act_format(self) -> Format:
        """Format of the activations."""
        return resolve(self.act, None, "int8")

    @cached_property
    def act_window(self) -> Window | None:
        """Fixed-point window of the activations, if they have one."""
        default = None if self.architecture.wide_floats else _DEFAULT_WINDOW.get(self.act)
        text, fmt = self.window or default, self.act_format
        if text is None:
            return None
        if not isinstance(fmt, FloatFormat) or fmt.special is not None:
            raise ValueError(f"window must not be given with act {fmt.name!r}: it is no float")
        if not fmt.exp_bits:
            raise ValueError(f"window must not be given with act {fmt.name!r}: it has no exponent")
        match = re.fullmatch(r"(-?\d{1,3}):(-?\d{1,3})", text, re.ASCII)
        if not match or not 1 <= int(match[2]) - int(match[1]) <= 256:
            raise ValueError(
                f"window must be LOW:HIGH with LOW below HIGH by at most 256, such as -24:16, "
                f"not {text[:20]!r}"
            )
        if int(match[2]) <= 1 - fmt.bias:
            raise ValueError(
                f"window must have HIGH above {1 - fmt.bias}, the least exponent of {fmt.name}, "
                f"not {text!r}"
            )
        return Window(int(match[1]), int(match[2]))

    @property
    def act_lam(self) -> int:
        """Exponent of the activation's unit."""
        return self.act_window.low if self.act_window else self.act_format.lam

    @property
    def lam(self) -> int:
        """Exponent of the result's unit."""
        return self.weight_format.lam + self.act_lam

    @cached_property
    def max_product(self) -> int:
        """Largest magnitude of one product, in units of ``2**lam``."""
        if self.architecture.max_product:
            return self.architecture.max_product(self)
        fmt = self.act_format
        if self.act_window and isinstance(fmt, FloatFormat):
            return self.weight_format.max_int * self.act_window.max_int(fmt)
        return self.weight_format.max_int * fmt.max_int

    @property
    def exact_bits(self) -> int:
        """Bits with which no sum of ``max_k`` products, or of a group, overflows."""
        return _sum_bits(self.max_product, self.group or self.max_k)

    @property
    def acc_width(self) -> int:
        """Bits of the accumulator."""
        return self.acc_bits or self.exact_bits

    @property
    def dot_width(self) -> int:
        """Bits of the sum of one beat's products."""
        return _sum_bits(self.max_product, self.lanes)

    @property
    def has_nan(self) -> bool:
        """Whether an operand can be non-finite."""
        window = self.act_window is not None
        return self.weight_format.nonfinite or self.act_format.nonfinite or window

    @property
    def carry_chains(self) -> bool:
        """Whether sums are built for the carry chains of an FPGA."""
        return self.target != "gates"

    @cached_property
    def chosen_arch(self) -> tuple[str, str]:
        """The architecture, and why."""
        if self.arch != "auto":
            return self.arch, "as asked"
        weight, act = self.weight_format.name, self.act_format.name
        return recorded.smallest(weight, act, self.target, self._refusal)

    def _refusal(self, arch: str) -> str | None:
        """Return why an architecture does not take these parameters, None if it does."""
        try:
            dataclasses.replace(self, arch=arch)
        except ValueError as error:
            return str(error)
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the output should know of choices that were made."""
        notes = []
        name = self.weight_format.name
        if self.format is None:
            given = "no --format" if self.bits is None else f"--bits {self.bits} alone"
            notes.append(f"{given}: the weights are {name}")
        if self.arch == "auto":
            arch, reason = self.chosen_arch
            notes.append(f"--arch auto: {arch} for {self.target}, {reason}")
        if self.act_window:
            low, high = self.act_window.low, self.act_window.high
            notes.append(
                f"{self.act} activations are truncated toward zero to multiples of 2**{low}; "
                f"a magnitude of 2**{high} or more sets nan (--window={low}:{high})"
            )
        return tuple(notes)

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default and choice made explicit."""
        chosen = dataclasses.asdict(self)
        chosen.update(
            format=self.weight_format.name,
            bits=self.weight_format.bits,
            arch=self.chosen_arch[0],
            acc_bits=self.dot_width if self.core == "dot" else self.acc_width,
            max_k=self.lanes if self.core == "dot" else self.max_k,
        )
        if self.group is not None and self.scale is not None and self.sum is None:
            chosen["sum"] = "exact" if self.scale == "int8" else "fp32-seq"
        if self.act_window:
            chosen["window"] = f"{self.act_window.low}:{self.act_window.high}"
        return chosen


def _sum_bits(max_product: int, count: int) -> int:
    return 1 + (max_product * count).bit_length()


def _within(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be an integer from {least} to {most}, not {value!r}")
