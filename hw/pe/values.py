# SPDX-License-Identifier: Apache-2.0
"""The integer that a code stands for, for tables that are made when hardware is generated."""

from hw.pe.decode import posit_fields, table_of
from hw.spec.formats import FloatFormat, Format, IntFormat, PositFormat, PowerFormat

__all__ = ["is_symmetric", "value_of", "values_of"]


def value_of(fmt: Format, code: int) -> int | None:
    """Return the value of ``code`` in units of ``2**fmt.lam``; None where it is not finite.

    Illegal codes get what the decoders of :mod:`hw.pe.decode` read them as.
    """
    table = table_of(fmt)
    if isinstance(fmt, PositFormat) and code == 1 << fmt.bits - 1:
        return None
    if table is not None:
        return table[code]
    if isinstance(fmt, FloatFormat):
        return _float(fmt, code)
    if isinstance(fmt, PositFormat):
        negative, significand, shift = posit_fields(fmt, code)
        magnitude = significand << shift >> max(fmt.bits - 3 - fmt.es, 0)
        return -magnitude if negative else magnitude
    if isinstance(fmt, PowerFormat):
        return _power(fmt, code)
    assert isinstance(fmt, IntFormat)
    top = 1 << fmt.bits - 1
    if fmt.encoding == "sign-magnitude":
        return -(code - top) if code >= top else code
    if fmt.encoding == "bipolar":
        return 2 * code - (2 * top - 1)
    return code - 2 * top * (fmt.encoding == "twos" and code >= top)


def values_of(fmt: Format) -> list[int | None]:
    """Return the values of all codes."""
    return [value_of(fmt, code) for code in range(1 << fmt.bits)]


def is_symmetric(fmt: Format) -> bool:
    """Return whether the top bit of a code does nothing but negate the value."""
    values = [v or 0 for v in values_of(fmt)]
    half = len(values) // 2
    return values[half:] == [-v for v in values[:half]]


def _float(fmt: FloatFormat, code: int) -> int | None:
    man = code & (1 << fmt.man_bits) - 1
    exp = code >> fmt.man_bits & (1 << fmt.exp_bits) - 1
    magnitude = code & (1 << fmt.man_bits + fmt.exp_bits) - 1
    negative = fmt.has_sign and code >> fmt.bits - 1
    if fmt.nonfinite_rule == "fnuz" and negative and not magnitude:
        return None
    if fmt.nonfinite_rule in ("fn", "ieee") and magnitude > fmt.max_code:
        return None
    value = man if exp == 0 else man + (1 << fmt.man_bits) << exp - 1
    return -value if negative else value


def _power(fmt: PowerFormat, code: int) -> int | None:
    field = code & (1 << fmt.bits - fmt.has_sign) - 1
    if fmt.has_nan and field == (1 << fmt.bits - fmt.has_sign) - 1:
        return None
    value = 0 if fmt.has_zero and field == 0 else 1 << field - fmt.has_zero
    return -value if fmt.has_sign and code >> fmt.bits - 1 else value
