# SPDX-License-Identifier: Apache-2.0
"""Golden model of the architecture ``fused``: operand widths chosen at run time.

Every operand is a word per lane that holds one or more signed integers, the first in the low bits.
The field ``width`` of the first beat of a dot product says how its words are cut:

* mode ``weights``: ``w`` is one integer of 8 bits, two of 4 or four of 2 (``width`` 0, 1, 2 or
  more), ``a`` always four of 8 bits, of which the first ones are used.
* mode ``both``: with N the bits of the formats and ``b = max(2, N >> width)``, ``a`` and ``w`` hold
  ``(N / b)**2`` integers of b bits each.
* mode ``separate``: as ``both`` with N = 8; the products are summed in 1, 4 or 16 sums of their
  own, which share the accumulator's 16 fields.
* mode ``float``: as ``both`` with N = 16; ``width`` 4 multiplies the low 16 bits as fp16 and adds
  to an fp32 accumulator that starts at +0, rounded to nearest even every beat.

Source: Bit Fusion (2018); precision-scalable RISC-V processors, for the float mode.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.formats import decode_float
from sim.golden.pe.framing import starts_of, totals
from sim.golden.pe.fused_stimulus import FLOAT_WIDTH, modes_bits, port_bits, vectors

__all__ = ["add_fp16_product", "field_bits", "integers", "run", "vectors"]

_UNIT = 1 << 48  #: Products of fp16, and so their sums, are multiples of 2**-48.
_QUIET_NAN = 0x7FC00000

Array = NDArray[Any]


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Return what the unit answers to ``beats``, in order.

    ``beats`` holds ``a`` and ``w``, words (Python integers where they are wide) of shape
    (n, lanes) or, for one lane, (n,), and ``width`` of shape (n,); beside them ``last`` or ``clr``
    as :func:`sim.golden.pe.pe.run`.

    Returns ``acc`` (``p`` for core ``dot``), Python integers of shape (m,). In mode ``separate``
    it is the whole port as a signed integer: 16 fields of :func:`field_bits` bits, the sum of
    product 0 lowest. In mode ``float`` also ``y``, fp32 codes; of the two results the one that
    the width does not choose is 0. Raises ``ValueError`` on a wrong shape, on a word that is too
    wide, on several lanes where the mode has one, and on a sum of more than ``max_k`` beats.
    """
    mode, bits = modes_bits(parameters)
    lanes, wide = int(parameters["lanes"]), port_bits(parameters)
    if lanes > 1 and mode in ("separate", "float"):
        raise ValueError(f"lanes must be 1 in mode {mode}, not {lanes}")
    a, w = (_words(n, beats[n], lanes, b) for n, b in zip(("a", "w"), wide, strict=True))
    widths = _of_the_first(parameters, beats, np.asarray(beats["width"]))
    sums = 16 if mode == "separate" else 1
    values = np.zeros((len(a), sums), dtype=object)
    for row, width in enumerate(widths.tolist()):
        if mode == "float" and width == FLOAT_WIDTH:
            continue
        for word_a, word_w in zip(a[row], w[row], strict=True):
            for k, product in enumerate(_products(mode, bits, width, word_a, word_w)):
                values[row, k % sums] += product
    accs = totals(parameters, beats, values)
    _check_length(parameters, beats, len(a))
    ends = _ends(parameters, beats, len(a))
    if mode == "separate":
        field = field_bits(_beats_of(parameters))
        acc = [
            _packed(fields, width, field) for fields, width in zip(accs, widths[ends], strict=True)
        ]
    else:
        acc = list(accs[:, 0])
    result = {"p" if parameters.get("core") == "dot" else "acc": np.array([*acc, 0], object)[:-1]}
    if mode == "float":
        result["y"] = _float_sums(parameters, beats, a[:, 0], w[:, 0], widths)[ends]
    return result


def integers(word: int, bits: int, count: int) -> list[int]:
    """Return the lowest ``count`` signed integers of ``bits`` bits each in ``word``."""
    half = 1 << bits - 1
    return [((word >> bits * k & 2 * half - 1) ^ half) - half for k in range(count)]


def field_bits(max_k: int) -> int:
    """Return the bits F of the 16 fields of mode ``separate`` for ``max_k`` beats.

    16 F bits hold the sum of products of 8 bits, 4 F bits those of 4, F bits those of 2.
    """
    needs = [(1 + (max_k << 2 * b - 2).bit_length(), b * b // 4) for b in (2, 4, 8)]
    return max(-(-width // fields) for width, fields in needs)


def add_fp16_product(total: float, a: float, w: float) -> float:
    """Return ``total + a * w`` rounded once to fp32, where ``total`` is a sum of such products.

    Arguments are exact float64 values. Such sums can neither overflow nor underflow.
    """
    if not np.isfinite([total, a, w]).all():
        with np.errstate(invalid="ignore"):
            return float(np.float64(a) * np.float64(w) + np.float64(total))
    units = int(total * _UNIT) + int(a * (1 << 24)) * int(w * (1 << 24))
    drop = max(0, abs(units).bit_length() - 24)
    kept, rest = divmod(abs(units), 1 << drop)
    kept += 2 * rest + (kept & 1) > 1 << drop
    return float((kept if units >= 0 else -kept) << drop) / _UNIT


def _words(name: str, words: ArrayLike, lanes: int, bits: int) -> Array:
    array = np.asarray(words)
    array = (array[:, None] if array.ndim == 1 else array).astype(object)
    if array.ndim != 2 or array.shape[1] != lanes:
        raise ValueError(f"{name} must have shape (beats, {lanes}), not {array.shape}")
    for word in array.flat:
        if not 0 <= word < 1 << bits:
            raise ValueError(f"{name} must hold words of {bits} bits, not {word}")
    return array


def _products(mode: str, bits: int, width: int, a: int, w: int) -> list[int]:
    """Every product of one pair of words."""
    if mode == "weights":
        count = 1 << min(width, 2)
        pairs = zip(integers(a, 8, count), integers(w, 8 // count, count), strict=True)
    else:
        each = max(2, bits >> width)
        count = (bits // each) ** 2
        pairs = zip(integers(a, each, count), integers(w, each, count), strict=True)
    return [x * y for x, y in pairs]


def _of_the_first(
    parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike], values: Array
) -> Array:
    """For every beat, what ``values`` says in the first beat of its dot product."""
    if parameters.get("core") == "dot":
        return values
    starts = starts_of(parameters, beats)
    return values[np.maximum.accumulate(np.where(starts, np.arange(len(values)), 0))]


def _ends(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike], count: int) -> Array:
    """Beats after which there is a result."""
    if (parameters.get("core") or "stream") == "stream":
        return np.flatnonzero(np.asarray(beats["last"], dtype=bool))
    return np.arange(count)


def _beats_of(parameters: Mapping[str, Any]) -> int:
    """Longest dot product in beats."""
    return 1 if parameters.get("core") == "dot" else int(parameters["max_k"])


def _check_length(
    parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike], count: int
) -> None:
    if parameters.get("core") == "dot" or not count:
        return
    starts = np.append(np.flatnonzero(starts_of(parameters, beats)), count)
    longest, most = int(np.diff(starts).max()), _beats_of(parameters)
    if longest > most:
        raise ValueError(f"a dot product has {longest} beats, more than max_k, {most}")


def _packed(fields: Array, width: int, bits: int) -> int:
    """The sums of mode ``separate`` in one signed word of 16 fields."""
    used = 4 ** min(int(width), 2)
    each = 16 * bits // used
    word = sum((int(fields[k]) & (1 << each) - 1) << each * k for k in range(used))
    return integers(word, 16 * bits, 1)[0]


def _float_sums(
    parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike], a: Array, w: Array, widths: Array
) -> Array:
    """Codes of the fp32 accumulator after every beat, 0 where integers are multiplied."""
    half = parse("fp16")
    real_a, real_w = (decode_float(half, (x & 0xFFFF).astype(np.int64)) for x in (a, w))
    fresh = np.ones(len(a), dtype=bool)
    if parameters.get("core") != "dot":
        fresh = starts_of(parameters, beats)
    codes, total = np.zeros(len(a), dtype=np.int64), 0.0
    for row in range(len(a)):
        if widths[row] == FLOAT_WIDTH:
            total = add_fp16_product(0.0 if fresh[row] else total, real_a[row], real_w[row])
            codes[row] = _QUIET_NAN if np.isnan(total) else np.float32(total).view(np.uint32)
    return codes
