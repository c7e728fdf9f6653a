# SPDX-License-Identifier: Apache-2.0
"""What there is to choose from: units and number formats, for people and for tools."""

import dataclasses
import json
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gen.cli import real_type
from gen.status import status_of
from gen.unit import Unit, discover
from hw.spec.formats import CATALOGUE, FloatFormat, Format, PositFormat, PowerFormat, parse
from sim.golden.formats import decode, decode_float, legal_codes, table, value_text

__all__ = ["formats_text", "one_format_text", "units_text"]


def describe_unit(unit: Unit) -> dict[str, Any]:
    """Return what a tool may want to know of ``unit``."""
    return {
        "name": unit.name,
        "summary": unit.summary,
        "status": status_of(unit),
        "golden": unit.golden,
        "parameters": [
            {
                "name": field.name,
                "type": real_type(field.type).__name__,
                "default": field.default,
                "choices": unit.choices.get(field.name),
                "help": unit.help[field.name],
            }
            for field in dataclasses.fields(unit.params)
        ],
    }


def units_text(as_json: bool) -> str:
    """Return the list of units, one line each, or as JSON."""
    units = discover().values()
    if as_json:
        return json.dumps([describe_unit(u) for u in units], indent=2) + "\n"
    width = max(len(u.name) for u in units)
    lines = [f"{u.name:{width}}  {status_of(u)}  {u.summary}" for u in units]
    return "\n".join(lines) + "\n"


def describe_format(fmt: Format) -> dict[str, Any]:
    """Return bits, range, smallest step and special values of ``fmt``."""
    codes = telling_codes(fmt)
    ints, nonfinite = decode(fmt, codes)
    reals = decode_float(fmt, codes)
    finite = ints[~nonfinite]
    special = {"NaN": np.isnan(reals), "inf": np.isinf(reals)}
    zeros = ["+0"] * bool(np.any((reals == 0) & ~np.signbit(reals)))
    zeros += ["-0"] * bool(np.any((reals == 0) & np.signbit(reals)))
    unit = Fraction(2) ** fmt.lam
    low, high = (value_text(int(end) * unit) for end in (min(finite), max(finite)))
    return {
        "name": fmt.name,
        "bits": fmt.bits,
        "codes": (1 << fmt.bits) - len(fmt.illegal),
        "lam": fmt.lam,
        "step": value_text(unit),
        "min": low,
        "max": high,
        "zero": " ".join(zeros) or "none",
        "special": [name for name, found in special.items() if found.any()],
        "source": fmt.source,
    }


def telling_codes(fmt: Format) -> NDArray[np.int64]:
    """Return the legal codes, or of a wide float those about the ends of each of its fields."""
    if not isinstance(fmt, FloatFormat) or fmt.bits <= 16:
        return legal_codes(fmt)
    top = (1 << fmt.exp_bits) - 1
    ends = [e << fmt.man_bits for e in (0, 1, top, top + 1)]
    magnitudes = [code for end in ends for code in (end - 1, end, end + 1)][1:-2]
    return np.array([sign << fmt.bits - 1 | code for sign in (0, 1) for code in magnitudes])


def formats_text(as_json: bool) -> str:
    """Return the table of formats."""
    rows = [describe_format(parse(name)) for name in CATALOGUE]
    if as_json:
        return json.dumps(rows, indent=2) + "\n"
    lines = [
        f"{'format':13}{'bits':>4}  {'min':>13} {'max':>13} {'step':>13}  {'zero':6}"
        f"{'special':18} source"
    ]
    for row in rows:
        low, high, step = (_short(row[key]) for key in ("min", "max", "step"))
        special = " ".join(row["special"]) or "-"
        lines.append(
            f"{row['name']:13}{row['bits']:4}  {low:>13} {high:>13} {step:>13}  {row['zero']:6}"
            f"{special:18} {row['source']}"
        )
    lines += [
        "",
        "Also: any ueEmM and eEmM of 3 to 8 bits, the latter with _ieee, _fn or _fnuz where E is 2",
        "or more; uint and sm of up to 16 bits; positN_ES of 3 to 16 bits with ES up to 3; shiftN",
        "and potN of 2 to 6 bits; razer+V and razer-V, V a multiple of 0.5 up to 32;",
        "codebook:V,V,... and codebook:FILE with 2 to 256 values.",
    ]
    return "\n".join(lines) + "\n"


def one_format_text(name: str, as_json: bool) -> str:
    """Return the codes of one format. Raises ``ValueError`` for an unknown one."""
    fmt = parse(name)
    facts = describe_format(fmt)
    codes = table(fmt) if fmt.bits <= 8 else []
    if as_json:
        rows = [{"code": code, "bits": bits, "value": value} for code, bits, value in codes]
        return json.dumps({**facts, "table": rows}, indent=2) + "\n"
    head = [
        f"{fmt.name}: {fmt.bits} bits, {_short(facts['min'])} to {_short(facts['max'])}, "
        f"values are integers times 2^{fmt.lam}",
        f"source: {fmt.source}",
    ]
    if isinstance(fmt, FloatFormat):
        head.append(
            f"fields: {'sign, ' if fmt.has_sign else ''}{fmt.exp_bits} exponent, "
            f"{fmt.man_bits} mantissa bits, bias {fmt.bias}"
        )
    elif isinstance(fmt, PositFormat | PowerFormat):
        head.append(f"smallest positive value: 2^{fmt.lam}")
    if not codes:
        return "\n".join([*head, "(a table of codes is printed for up to 8 bits)"]) + "\n"
    digits = max(3, len(str(len(codes) - 1)))
    cells = [f"{code:{digits}} {bits} {value:>14}" for code, bits, value in codes]
    columns = 1 if len(cells) <= 16 else 4
    height = -(-len(cells) // columns)
    body = ["   ".join(cells[row::height]).rstrip() for row in range(height)]
    return "\n".join([*head, "", *body]) + "\n"


def _short(text: str) -> str:
    """Shorten a long exact value to about 12 characters."""
    if len(text) <= 12:
        return text
    if "^" in text:
        return text
    value = Fraction(text)
    power = abs(value)
    if power and power.numerator & power.numerator - 1 == 0 and power.denominator == 1:
        return f"{'-' if value < 0 else ''}2^{power.numerator.bit_length() - 1}"
    if power.numerator == 1:
        return f"{'-' if value < 0 else ''}2^-{power.denominator.bit_length() - 1}"
    return f"{float(value):.5g}"
