# SPDX-License-Identifier: Apache-2.0
"""From the real numbers of a layer to codes and scales, a scale per group along the last axis.

How the scale of a group follows from its values, by format, unless a rule is given:

=========================================  ========================================================
``ternary``, ``ternary_i2s``, ``binary``   ``absmean``: the mean magnitude (BitNet b1.58, XNOR-Net)
``fp16``, ``bf16``                         ``unit``: 1, the values are only converted
posits                                     ``rms``: the root mean square, as posits are finest at 1
unequal extremes (special values, code     ``absmax`` or ``full``, whichever has the smaller squared
books)                                     error in the group
all others                                 ``absmax``: the largest magnitude becomes the largest
                                           value that has a negative counterpart
=========================================  ========================================================

``absmax``, ``full`` and ``absmean`` are those of :mod:`sim.golden.groups`. Scales are float32.
Formats without negative values are refused: they need a zero point, which the unit has not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import FloatFormat, Format, IntFormat, PositFormat, TableFormat
from sim.golden.encode import encode
from sim.golden.formats import decode_float, legal_codes
from sim.golden.groups import quantize_groups

__all__ = ["RULES", "Quantized", "check_format", "default_rules", "quantize", "sizes"]

Reals = NDArray[np.float64]
Codes = NDArray[np.int64]

RULES = ("absmax", "full", "absmean", "rms", "unit")


@dataclass(frozen=True)
class Quantized:
    """Codes (rows, K) and scales (rows, groups); the last group may be shorter."""

    fmt: Format
    group: int
    codes: Codes
    scales: Reals

    def values(self) -> Reals:
        """Return what the codes stand for, shape (rows, K)."""
        spread = np.repeat(self.scales, sizes(self.codes.shape[-1], self.group), axis=-1)
        return decode_float(self.fmt, self.codes) * spread


def sizes(width: int, group: int) -> list[int]:
    """Return the sizes of the groups of ``width`` values: all ``group`` but perhaps the last."""
    whole, tail = divmod(width, group)
    return [group] * whole + [tail] * bool(tail)


def check_format(fmt: Format, role: str) -> None:
    """Raise ``ValueError`` unless ``fmt`` has values of both signs."""
    low, high = _extremes(fmt)
    if low >= 0 or high <= 0:
        sign = "negative" if low >= 0 else "positive"
        raise ValueError(
            f"{role} {fmt.name!r} has no {sign} values and would need a zero point; use a format "
            "with both signs, such as int4"
        )


def default_rules(fmt: Format) -> tuple[str, ...]:
    """Return the rules to try for ``fmt``, as the table of this module says."""
    if isinstance(fmt, PositFormat):
        return ("rms",)
    if isinstance(fmt, FloatFormat) and fmt.bits == 16:
        return ("unit",)
    low, high = _extremes(fmt)
    if isinstance(fmt, IntFormat):
        return ("absmean",) if fmt.max_int == 1 else ("absmax",)
    special = isinstance(fmt, TableFormat | FloatFormat)
    return ("absmax", "full") if special and low != -high else ("absmax",)


def quantize(fmt: Format, values: Reals, group: int, rules: Sequence[str] = ()) -> Quantized:
    """Quantise ``values`` of shape (rows, K); of several ``rules`` the best in each group.

    No rules mean :func:`default_rules`. A K that is no multiple of ``group`` ends in a smaller
    group. Raises ``ValueError`` for values that are not finite.
    """
    whole = values.shape[-1] // group * group
    tried = rules or default_rules(fmt)
    parts = [
        _best(fmt, part, size, tried)
        for part, size in ((values[:, :whole], group), (values[:, whole:], values.shape[1] - whole))
        if part.shape[1]
    ]
    codes, scales = (np.concatenate(column, axis=1) for column in zip(*parts, strict=True))
    return Quantized(fmt, group, codes, scales)


def _best(fmt: Format, values: Reals, group: int, rules: Sequence[str]) -> tuple[Codes, Reals]:
    """Codes (rows, K) and scales (rows, groups); the first rule of the least squared error."""
    grouped = values.reshape(len(values), -1, group)
    tried = [_by_rule(fmt, values, group, rule) for rule in rules]
    codes = np.stack([c.reshape(grouped.shape) for c, _ in tried])
    scales = np.stack([s for _, s in tried])
    errors = ((decode_float(fmt, codes) * scales[..., None] - grouped) ** 2).sum(axis=-1)
    best = errors.argmin(axis=0)[None]
    chosen = np.take_along_axis(codes, best[..., None], axis=0)[0]
    return chosen.reshape(values.shape), np.take_along_axis(scales, best, axis=0)[0]


def _by_rule(fmt: Format, values: Reals, group: int, rule: str) -> tuple[Codes, Reals]:
    if rule not in ("rms", "unit"):
        found = quantize_groups(fmt, values, group, rule=rule)
        return found.codes, found.scales
    if not np.isfinite(values).all():
        raise ValueError("values to quantise must be finite")
    grouped = values.reshape(len(values), -1, group)
    scales = np.ones(grouped.shape[:2])
    if rule == "rms":
        scales = np.sqrt((grouped**2).mean(axis=-1)).astype(np.float32).astype(np.float64)
        scales[scales == 0] = 1
    return encode(fmt, grouped / scales[..., None]).reshape(values.shape), scales


def _extremes(fmt: Format) -> tuple[float, float]:
    values = decode_float(fmt, legal_codes(fmt))
    finite = values[np.isfinite(values)]
    return float(finite.min()), float(finite.max())
