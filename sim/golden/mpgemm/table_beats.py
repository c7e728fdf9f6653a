# SPDX-License-Identifier: Apache-2.0
"""Beats that hold tables in place of activations, for engine ``lut`` with an external builder.

Table l of row r lies at ``(r * tables + l) * entries * width``, entry 0 lowest. Of half tables
there are ``2**(group - 1)`` entries, ``T[p] = a[group - 1] + sum(a[i] if p[i] else -a[i])``, of
full ones ``2**group``, ``T[p] = sum(a[i] for each bit i of p)``; the width is that of A.0.3, or
``table_bits``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.mpgemm.frame import Padding
from sim.golden.mpgemm.products import Fields
from sim.golden.mpgemm.words import pack_codes
from sim.golden.pe.operands import Operand, activations

__all__ = [
    "entry_width",
    "pack_entries",
    "pack_tables",
    "signed_tables",
    "table_fields",
    "table_of",
    "table_values",
]

Integers = NDArray[np.int64]


def entry_width(act: str | Operand, group: int, half: bool) -> int:
    """Return the bits of an entry (two's complement) by A.0.3, its negation included if half."""
    operand = Operand(parse(act)) if isinstance(act, str) else act
    values, _ = operand.decode(operand.codes)
    low, high = int(min(values)), int(max(values))
    if half:
        low, high = -max(-low, high), max(-low, high)
    low, high = min(low, 0) * group, max(high, 0) * group
    return 1 + max((-low - 1).bit_length() if low else 0, high.bit_length())


def table_fields(parameters: Mapping[str, Any]) -> Fields:
    """Return the entries of a beat for each row."""
    group, half = int(parameters["group"]), parameters["table_kind"] == "half"
    entries = int(parameters["tables"]) << group - half
    exact = entry_width(activations(parameters), group, half)
    return Fields(entries, int(parameters.get("table_bits") or exact))


def signed_tables(parameters: Mapping[str, Any], fields: Integers) -> Integers:
    """Return the tables (rows, steps, tables, entries) of fields (rows, steps, fields)."""
    width, tables = table_fields(parameters).bits, int(parameters["tables"])
    raw = fields.reshape(*fields.shape[:2], tables, -1)
    return raw - (raw >> width - 1 << width)


def table_of(a: ArrayLike, half: bool) -> Integers:
    """Return the tables (..., entries) of activations (..., group)."""
    array = np.asarray(a, dtype=np.int64)
    group = array.shape[-1]
    patterns = np.arange(1 << group - half)[:, None] >> np.arange(group) & 1
    if half:
        patterns = 2 * patterns - 1
        patterns[:, -1] = 1
    return array @ patterns.T


def table_values(parameters: Mapping[str, Any]) -> Callable[[Integers, int], NDArray[Any]]:
    """Return the ``values`` of a :class:`~sim.golden.mpgemm.products.Coding` of tables."""
    group, half = int(parameters["group"]), parameters["table_kind"] == "half"

    def values(fields: Integers, k: int) -> Integers:
        tables = signed_tables(parameters, fields).reshape(len(fields), -1, 1 << group - half)
        if half:
            # The last entry adds all; that without bit i has twice activation i less.
            full = tables[..., -1]
            lower = [full - tables[..., ~(1 << i)] >> 1 for i in range(group - 1)]
            a = np.stack([*lower, full - sum(lower)], axis=-1)
        else:
            a = np.stack([tables[..., 1 << i] for i in range(group)], axis=-1)
        flat = a.reshape(len(fields), -1)
        if not np.array_equal(table_of(a, half), tables) or flat[:, k:].any():
            raise ValueError("a beat of tables is none of activations that are 0 beyond K")
        return flat[:, :k]

    return values


def pack_tables(
    parameters: Mapping[str, Any], a: ArrayLike, n: int, padding: Padding = None
) -> list[int]:
    """Return the beats of tables of a job: ``a`` (M, K) codes, for ``n`` columns of output.

    Tables of rows beyond M are 0 or drawn from ``padding``. Raises ``ValueError`` for activations
    that are not finite.
    """
    group = int(parameters["group"])
    matrix = np.asarray(a, dtype=np.int64)
    m, k = matrix.shape
    ints, marks = activations(parameters).decode(matrix)
    if marks.any():
        raise ValueError("a table holds no sums of activations that are not finite")
    beyond = -k % (group * int(parameters["tables"]))
    groups = np.pad(ints, ((0, 0), (0, beyond))).reshape(m, -1, group)
    return pack_entries(
        parameters, table_of(groups, parameters["table_kind"] == "half"), n, padding
    )


def pack_entries(
    parameters: Mapping[str, Any], tables: ArrayLike, n: int, padding: Padding = None
) -> list[int]:
    """Return the beats of tables of a job: all tables (M, groups, entries) of whole steps.

    Tables of rows beyond M are 0 or drawn from ``padding``.
    """
    rows, fields = int(parameters["rows"]), table_fields(parameters)
    every = np.asarray(tables, dtype=np.int64)
    m, steps = len(every), every.shape[1] // int(parameters["tables"])
    tiles, across = -(-m // rows), -(-n // int(parameters["columns"]))
    whole = np.pad(every, ((0, tiles * rows - m), (0, 0), (0, 0)))
    entries = whole.reshape(tiles, rows, 1, steps, -1) & (1 << fields.bits) - 1
    shape = tiles, rows, across, steps, fields.count
    spread = np.broadcast_to(entries, shape).copy()
    if padding is not None:
        beyond = spread.reshape(tiles * rows, -1)[m:]
        beyond[...] = padding.integers(0, 1 << fields.bits, beyond.shape)
    beats = spread.transpose(0, 2, 3, 1, 4).reshape(-1, rows * fields.count)
    return pack_codes(beats, fields.bits, padding)
