# SPDX-License-Identifier: Apache-2.0
"""Packed weights as a file: a header that says for what they are packed, then the beats.

All numbers are little-endian.

======  =====  ==========================================================
offset  bytes  meaning
======  =====  ==========================================================
0       8      ``BITLOOMW``
8       2      version, 1
10      2      bit planes of the weights, 0: as many as the engine has
12      4      K, products of a dot product
16      4      N, columns of W
20      4      bytes of a beat
24      8      number of beats
32      4      bytes of the parameters
36      32     SHA-256 of the parameters
68             the parameters that decide the layout, JSON
...            the beats, those of a job of one row, in order
last 4         CRC-32 of everything before
======  =====  ==========================================================

A job of more rows takes the same beats again for each tile of its rows, see :meth:`Image.packet`.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from hw.spec.gemm import ERRORS
from sim.golden.mpgemm.codebook import code_bits
from sim.golden.mpgemm.jobs import Job
from sim.golden.mpgemm.lut_ternary import KEY_BITS
from sim.golden.mpgemm.sparse import Sparsity
from sim.golden.mpgemm.unit import Unit
from sim.golden.mpgemm.words import stream_bytes

__all__ = ["MAGIC", "VERSION", "Image", "layout", "pack", "unpack"]

MAGIC = b"BITLOOMW"
VERSION = 1

_HEADER = struct.Struct("<8sHHIIIQI32s")

#: Parameters of each engine of ``mpgemm`` that decide what its beats of weights hold.
_DECIDING = {
    "lut": ("columns", "group", "tables", "bits", "planes", "table_kind", "zero_point"),
    "lut-ternary": ("columns", "group", "tables"),
    "ternary-add": ("columns", "lanes"),
    "bit-plane": ("columns", "lanes", "bits", "planes", "scheme", "zero_point"),
    "codebook": ("columns", "lanes", "book", "bits"),
    "pq": ("columns", "subvector", "centroids", "entry_bits"),
}

#: And of an array, by what stays.
_DECIDING_ARRAY = {
    "in place": ("format", "columns", "lanes"),
    "ws": ("format", "rows", "columns", "lanes"),
    "is": ("format", "rows", "lanes", "depth"),
}


@dataclass(frozen=True)
class Image:
    """Weights (K, N) as the beats of a job of one row."""

    unit: Unit
    k: int
    n: int
    bits: int
    words: tuple[int, ...]

    def matrix(self) -> NDArray[Any]:
        """Return the weights as :func:`pack` took them."""
        return self.unit.unpack_weights(self.words, self.k, self.n, self.bits)

    def packet(self, m: int) -> list[int]:
        """Return the beats of weights of a job of ``m`` rows."""
        p, words = self.unit.parameters, list(self.words)
        if self.unit.flow != "is":
            return words * -(-m // int(p["depth" if self.unit.flow == "ws" else "rows"]))
        depth, steps = int(p["depth"]), -(-self.k // (int(p["rows"]) * int(p["lanes"])))
        size, times = depth * steps, -(-m // int(p["columns"]))
        blocks = [words[at : at + size] for at in range(0, len(words), size)]
        return [word for block in blocks for word in block * times]


def layout(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that decide what the beats of weights hold.

    Arrays whose sums stay in place share a layout, whatever their dataflow, with ``shift-add``;
    the rows of a tile matter only where one operand stays.
    """
    unit = Unit.of(manifest)
    if unit.name in _DECIDING:
        names, found = _DECIDING[unit.name], {"engine": unit.name}
    else:
        names, found = _DECIDING_ARRAY[unit.flow], {"engine": "array", "operands": unit.flow}
    if unit.parameters.get("sparsity"):
        names += ("sparsity",)
    values = {name: unit.parameters.get(name) for name in names}
    if "format" in values:
        values["format"] = parse(str(values["format"])).name
    return {**found, **values}


def pack(manifest: Mapping[str, Any], w: ArrayLike, bits: int = 0) -> bytes:
    """Return the image of weights for a unit.

    Parameters
    ----------
    manifest
        With ``unit`` and ``parameters``.
    w
        Weights as :mod:`sim.golden.mpgemm.unit` has them.
    bits
        Bit planes of the job, 0 for as many as the engine has.

    Raises ``ValueError`` for weights that the engine does not hold.
    """
    unit = Unit.of(manifest)
    array = np.asarray(w)
    if array.ndim != (3 if unit.name == "pq" else 2) or 0 in array.shape:
        raise ValueError(f"weights must be a matrix of K rows and N columns, not {array.shape}")
    k, n = array.shape[0], array.shape[-1]
    if unit.name == "pq":
        length = int(unit.parameters["subvector"])
        # The last subspace may be one that max_k cuts short.
        k = min(k * length, max(unit.engine.max_k, (k - 1) * length + 1))
    _check_job(unit, k, n, bits)
    words = unit.weights(array, 1, bits)
    size, text = stream_bytes(_beat_bits(unit)), _text(layout(manifest))
    digest = hashlib.sha256(text).digest()
    header = _HEADER.pack(MAGIC, VERSION, bits, k, n, size, len(words), len(text), digest)
    body = header + text + b"".join(word.to_bytes(size, "little") for word in words)
    return body + zlib.crc32(body).to_bytes(4, "little")


def unpack(manifest: Mapping[str, Any], data: bytes) -> Image:
    """Return the image that ``data`` holds for a unit.

    Raises ``ValueError`` where it is none, is damaged, or was packed for other parameters.
    """
    unit = Unit.of(manifest)
    if data[:8] != MAGIC[: len(data)] or not data:
        raise ValueError(f"a weight image begins with {MAGIC!r}, not {data[:8]!r}")
    least = _HEADER.size + 4
    if len(data) < least:
        raise ValueError(f"a weight image has {least} bytes or more, not {len(data)}")
    _, version, bits, k, n, size, count, length, digest = _HEADER.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"the weight image is of version {version}, not {VERSION}")
    whole = least + length + size * count
    if len(data) != whole:
        raise ValueError(f"the weight image must have {whole} bytes, not {len(data)}")
    told, found = int.from_bytes(data[-4:], "little"), zlib.crc32(data[:-4])
    if told != found:
        raise ValueError(f"the weight image is damaged: its CRC is {found:08x}, not {told:08x}")
    text = data[_HEADER.size : _HEADER.size + length]
    _check_layout(text, digest, layout(manifest))
    _check_job(unit, k, n, bits)
    due = unit.engine.schedule(Job(1, n, k, bits)).beats["wgt"]
    if (count, size) != (due, stream_bytes(_beat_bits(unit))):
        bytes_due = due * stream_bytes(_beat_bits(unit))
        raise ValueError(f"weights {k} x {n} have {bytes_due} bytes, not {size * count}")
    start = _HEADER.size + length
    words = [int.from_bytes(data[at : at + size], "little") for at in range(start, whole - 4, size)]
    return Image(unit, k, n, bits, tuple(words))


def _check_layout(text: bytes, digest: bytes, due: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` naming both values unless the parameters are those that are ``due``."""
    wanted = hashlib.sha256(_text(due)).digest()
    if digest == wanted and text == _text(due):
        return
    if digest != hashlib.sha256(text).digest():
        raise ValueError(f"the hash of the image's parameters is {digest.hex()[:16]}, not theirs")
    given = json.loads(text)
    for name in [*due, *given]:
        if given.get(name) != due.get(name):
            raise ValueError(
                f"the weights are packed for {name} {given.get(name)}, not {due.get(name)}"
            )


def _check_job(unit: Unit, k: int, n: int, bits: int) -> None:
    """Raise ``ValueError`` for weights of which no job can be made."""
    engine = unit.engine
    if not 0 < n < 1 << 16:
        raise ValueError(f"N must be 1 to {(1 << 16) - 1}, not {n}")
    if not 0 < k <= engine.max_k:
        raise ValueError(f"K must be 1 to {engine.max_k}, which is max_k, not {k}")
    code = engine.refusal(Job(1, n, k, bits))
    if code:
        raise ValueError(f"{unit.name} refuses jobs of {bits} bit planes: {ERRORS[code]}")


def _beat_bits(unit: Unit) -> int:
    """Return the bits of a beat of weights."""
    p = {name: value for name, value in unit.parameters.items() if isinstance(value, int)}
    if unit.name in ("array", "shift-add"):
        width = parse(str(unit.parameters["format"])).bits
        if unit.parameters.get("sparsity"):
            width += Sparsity.of(unit.parameters).index_bits
        return p["rows" if unit.flow == "is" else "columns"] * p["lanes"] * width
    own = {
        "lut": lambda: p["planes"] * p["tables"] * p["group"],
        "lut-ternary": lambda: p["tables"] * KEY_BITS[p["group"]],
        "ternary-add": lambda: p["lanes"] * 2,
        "bit-plane": lambda: (p.get("planes") or p["bits"]) * p["lanes"],
        "codebook": lambda: p["lanes"] * code_bits(unit.parameters),
        "pq": lambda: p["centroids"] * p["entry_bits"],
    }
    return p["columns"] * own[unit.name]()


def _text(parameters: Mapping[str, Any]) -> bytes:
    return json.dumps(parameters, sort_keys=True, separators=(",", ":")).encode()
