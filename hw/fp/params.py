# SPDX-License-Identifier: Apache-2.0
"""Parameters of the arithmetic units: what a user chooses, and what follows from it."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hw.spec.formats import FloatFormat, Format, PositFormat, parse
from hw.spec.rounding import OVERFLOWS, ROUNDINGS

__all__ = ["CORES", "FMAParams", "MulParams"]

CORES = ("stream", "cell")


@dataclass(frozen=True)
class FMAParams:
    """Parameters of the unit ``fma``.

    Raises ``ValueError`` with the wrong value and what would be right.
    """

    format: str = "fp16"  #: Format of ``a``.
    format_b: str | None = None  #: Format of ``b``; None: that of ``a``.
    addend: str | None = None  #: Format of ``c``; None: that of the result.
    result: str | None = None  #: Format of the result; None: that of ``a``.
    rounding: str = "rne"  #: A key of :data:`hw.spec.rounding.ROUNDINGS`.
    overflow: str | None = None  #: A key of :data:`hw.spec.rounding.OVERFLOWS`, or None.
    pipeline: int = 0  #: Register stages before the result's, 0 to 3.
    core: str = "stream"  #: One of :data:`CORES`.

    def __post_init__(self) -> None:
        for name in ("format", "format_b", "addend", "result"):
            _minifloat(name, getattr(self, name))
        _check(self)

    @cached_property
    def formats(self) -> tuple[FloatFormat, FloatFormat, FloatFormat, FloatFormat]:
        """Formats of ``a``, ``b``, ``c`` and the result."""
        result = self.result or self.format
        names = (self.format, self.format_b or self.format, self.addend or result, result)
        a, b, c, y = (_minifloat("format", name) for name in names)
        assert a and b and c and y
        return a, b, c, y

    @property
    def chosen_overflow(self) -> str:
        """The overflow rule with its default."""
        return self.overflow or ("nonsat" if self.formats[3].nonfinite else "sat")

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        a, b, c, y = (fmt.name for fmt in self.formats)
        chosen = {"format": a, "format_b": b, "addend": c, "result": y}
        return dataclasses.asdict(self) | chosen | {"overflow": self.chosen_overflow}


@dataclass(frozen=True)
class MulParams:
    """Parameters of the unit ``mul``.

    Raises ``ValueError`` with the wrong value and what would be right.
    """

    format: str = "posit8_2"  #: Format of ``a``.
    format_b: str | None = None  #: Format of ``b``; None: that of ``a``.
    result: str | None = None  #: Format of the result; None: that of ``a``.
    rounding: str = "rne"  #: A key of :data:`hw.spec.rounding.ROUNDINGS`; posits have ``rne``.
    overflow: str | None = None  #: A key of :data:`hw.spec.rounding.OVERFLOWS`, or None.
    pipeline: int = 0  #: Register stages before the result's, 0 to 3.
    core: str = "stream"  #: One of :data:`CORES`.

    def __post_init__(self) -> None:
        posits = [fmt.name for fmt in self.formats if isinstance(fmt, PositFormat)]
        if len(posits) in (1, 2):
            others = [fmt.name for fmt in self.formats if fmt.name not in posits]
            raise ValueError(
                f"format, format_b and result must all be posits or none, not {posits[0]!r} "
                f"with {others[0]!r}"
            )
        if posits and (self.rounding, self.overflow) != ("rne", None):
            wrong = "rounding" if self.rounding != "rne" else "overflow"
            raise ValueError(
                f"{wrong} must not be given with posits, which round in one way only, "
                f"not {getattr(self, wrong)!r}"
            )
        if not posits:
            for name in ("format", "format_b", "result"):
                _minifloat(name, getattr(self, name))
        _check(self)

    @cached_property
    def formats(self) -> tuple[Format, Format, Format]:
        """Formats of ``a``, ``b`` and the result."""
        names = (self.format, self.format_b or self.format, self.result or self.format)
        a, b, y = (parse(name) for name in names)
        return a, b, y

    @property
    def of_posits(self) -> bool:
        """Whether the operands are posits."""
        return isinstance(self.formats[0], PositFormat)

    @property
    def chosen_overflow(self) -> str | None:
        """The overflow rule with its default; None for posits, which never overflow."""
        if self.of_posits:
            return None
        return self.overflow or ("nonsat" if self.formats[2].nonfinite else "sat")

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        a, b, y = (fmt.name for fmt in self.formats)
        chosen = {"format": a, "format_b": b, "result": y, "overflow": self.chosen_overflow}
        return dataclasses.asdict(self) | chosen


def _minifloat(name: str, text: str | None) -> FloatFormat | None:
    if text is None:
        return None
    fmt = parse(text)
    if not isinstance(fmt, FloatFormat) or not fmt.has_sign or fmt.special is not None:
        raise ValueError(f"{name} must be a minifloat with a sign, such as e4m3, not {text!r}")
    return fmt


def _check(params: FMAParams | MulParams) -> None:
    """Hold what both units have in common to its choices."""
    choices: tuple[tuple[str, tuple[str | None, ...]], ...] = (
        ("rounding", tuple(ROUNDINGS)),
        ("overflow", (None, *OVERFLOWS)),
        ("core", CORES),
    )
    for name, allowed in choices:
        if getattr(params, name) not in allowed:
            text = ", ".join(word for word in allowed if word)
            raise ValueError(f"{name} must be one of {text}, not {getattr(params, name)!r}")
    stages = params.pipeline
    if not isinstance(stages, int) or isinstance(stages, bool) or not 0 <= stages <= 3:
        raise ValueError(f"pipeline must be an integer from 0 to 3, not {stages!r}")
    if params.core == "cell" and stages:
        raise ValueError(f"pipeline must be 0 where core is cell, not {stages}")
