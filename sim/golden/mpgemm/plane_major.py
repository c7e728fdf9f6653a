# SPDX-License-Identifier: Apache-2.0
"""One packed weight image for two engines: bit planes for lookups, codes for multipliers (A.3).

The image is that of the engine ``lut`` (:mod:`sim.golden.mpgemm.image`), whose keys are nibbles of
bit planes. Decoding looks the planes up as they are. For a prefill on a MAC array the planes become
operands by two levels of tables:

1. ``R_t[e] = sum(((e >> i) & 1) << (bits * i + t))``: what key e of plane t adds to the codes of a
   group, side by side. The bits only change places (:func:`wiring`); those of half tables are
   unfolded, which is an exclusive-or with their sign.
2. ``V_g[u]``: the operand that code u stands for in the quantisation group g.

A reconstruction: the tables of the T-MAN paper are not public.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.encode import encode
from sim.golden.formats import decode
from sim.golden.mpgemm import lut
from sim.golden.mpgemm.image import Image
from sim.golden.mpgemm.unit import Unit
from sim.golden.mpgemm.words import unpack_codes

__all__ = [
    "dequantized",
    "expansion_table",
    "level_one",
    "operand_tables",
    "parallel_codes",
    "view_codes",
    "view_macs",
    "wiring",
]

Integers = NDArray[np.int64]


def expansion_table(plane: int, bits: int, group: int = 4) -> Integers:
    """Return ``R_t`` (2**group,) of plane t for codes of ``bits`` bits."""
    keys = np.arange(1 << group)[:, None]
    place = np.arange(group)
    table: Integers = ((keys >> place & 1) << bits * place + plane).sum(axis=1)
    return table


def level_one(keys: ArrayLike, group: int = 4) -> Integers:
    """Return the codes (..., group) of plain keys (..., planes), plane 0 first."""
    array = np.asarray(keys, dtype=np.int64)
    bits = array.shape[-1]
    packed = np.zeros(array.shape[:-1], dtype=np.int64)
    for plane in range(bits):
        packed |= expansion_table(plane, bits, group)[array[..., plane]]
    codes: Integers = packed[..., None] >> bits * np.arange(group) & (1 << bits) - 1
    return codes


def wiring(parameters: Mapping[str, Any], bits: int = 0) -> Integers:
    """Return where the bits of a step's codes lie in its beats of ``lut``.

    The shape is (columns, products, planes). Beats follow each other without the padding to whole
    bytes.
    """
    group, tables = int(parameters["group"]), int(parameters["tables"])
    planes, columns = int(parameters["planes"]), int(parameters["columns"])
    _, beats = lut.planes_of(parameters, bits)
    c, x, t = np.ogrid[:columns, : group * tables, : beats * planes]
    beat, plane = t // planes, t % planes
    key = (c * planes + plane) * tables + x // group
    place: Integers = (beat * columns * planes * tables + key) * group + x % group
    return place


def parallel_codes(image: Image) -> Integers:
    """Return the codes (K, N) of an image of ``lut``, by level 1 alone.

    Raises ``ValueError`` for an image of another engine.
    """
    if image.unit.name != "lut":
        raise ValueError(f"planes are packed for the engine lut, not for {image.unit.name}")
    p = image.unit.parameters
    group, columns = int(p["group"]), int(p["columns"])
    place = wiring(p, image.bits)
    used = columns * int(p["planes"]) * int(p["tables"]) * group
    beats = lut.planes_of(p, image.bits)[1]
    steps = unpack_codes(image.words, used, 1).reshape(-1, beats * used)
    bits = steps[:, place]
    if p["table_kind"] == "half":
        at = np.arange(place.shape[1])
        sign = at // group * group + group - 1
        bits = np.where(at[:, None] == sign[:, None], bits, bits ^ 1 ^ bits[:, :, sign])
    codes = (bits << np.arange(place.shape[2])).sum(axis=-1)
    tiles = -(-image.n // columns)
    every = codes.reshape(tiles, -1, *codes.shape[1:]).swapaxes(1, 2)
    found: Integers = every.reshape(tiles * columns, -1)[: image.n, : image.k].T
    return found


def operand_tables(image: Image) -> Integers:
    """Return the one table (1, codes) of level 2 that gives the weights of ``lut`` themselves."""
    p = image.unit.parameters
    count = lut.planes_of(p, image.bits)[1] * int(p["planes"])
    codes, zero = np.arange(1 << count), p.get("zero_point")
    if zero is not None:
        values = codes - int(zero)
    elif p["table_kind"] == "half":
        values = codes - (1 << count - 1)
    else:
        values = codes - (codes >> count - 1 << count)
    return values[None]


def dequantized(scales: ArrayLike, zeros: ArrayLike, bits: int) -> Integers:
    """Return the tables (groups, 2**bits) ``s * (u - z)`` of integer scales and zero points."""
    s, z = (np.asarray(given, dtype=np.int64)[:, None] for given in (scales, zeros))
    found: Integers = s * (np.arange(1 << bits) - z)
    return found


def view_codes(image: Image, tables: ArrayLike, group: int, format_name: str) -> Integers:
    """Return codes (K, N) of a format by both levels.

    Parameters
    ----------
    tables
        Integers (groups, codes), in units of the format.
    group
        Products to a group along K.

    Raises ``ValueError`` where there is no table for a product, and for an operand that the format
    does not have.
    """
    codes, values = parallel_codes(image), np.asarray(tables, dtype=np.int64)
    groups = -(-image.k // group)
    if len(values) != groups:
        raise ValueError(f"K of {image.k} has {groups} groups of {group}, not {len(values)} tables")
    if codes.max() >= values.shape[1]:
        raise ValueError(f"code {codes.max()} has no entry in a table of {values.shape[1]}")
    found = values[np.arange(image.k)[:, None] // group, codes]
    fmt = parse(format_name)
    operands = encode(fmt, np.ldexp(found.astype(np.float64), fmt.lam))
    wrong = decode(fmt, operands)[0] != found
    if wrong.any():
        raise ValueError(f"{fmt.name} has no {found[wrong][0]}, which a table holds")
    return operands


def view_macs(
    image: Image, manifest: Mapping[str, Any], tables: ArrayLike | None = None, group: int = 0
) -> Sequence[int]:
    """Return the beats of weights of an array for a job of one row.

    ``tables`` are as :func:`view_codes` has them; without, weights are those of ``lut``.
    """
    unit = Unit.of(manifest)
    given = operand_tables(image) if tables is None else tables
    name = str(unit.parameters["format"])
    return unit.weights(view_codes(image, given, group or image.k, name))
