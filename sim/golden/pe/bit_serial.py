# SPDX-License-Identifier: Apache-2.0
"""Golden model of the architecture ``bit-serial``: weights as a few signed powers of two.

Every weight is a sum of terms ``(-1)**negative * man * 2**(exp + bsig)``; the unit spends one cycle
on one term of all lanes (BitMoD, HPCA 2025; sheet B.2).

* ``int8``, ``int6``, ``int5``: radix-4 Booth digits, lowest first; ``bsig`` is the digit's weight.
* ``e2m1``, ``e2m0``: the magnitude in halves is I3 I2 I1 I0 F0. Term 1 is the leading one of I3 to
  I0; term 2 the leading one of I2 I1 I0 F0 without the bit of term 1, ``bsig`` -1. The code of -0
  means a special value. What has more than two ones keeps its leading terms and is marked ``bad``.

Mode ``exact`` adds integers in units of ``2**lam``, with the weights in halves for both float
formats. Mode ``hardware`` is the published data path with fp16 activations, value for value: see
:func:`_hardware`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import FloatFormat, Format, IntFormat, parse
from sim.golden.formats import check_codes, decode
from sim.golden.pe import stimulus
from sim.golden.pe.framing import starts_of, totals
from sim.golden.pe.operands import operands

__all__ = ["DEFAULT_SPECIALS", "Terms", "cycles", "run", "terms", "vectors"]

Ints = NDArray[np.int64]

#: Special values in halves, selector 0 to 3: +ER, -ER, +EA, -EA (sheet A.11).
DEFAULT_SPECIALS = {"e2m0": (6, -6, 12, -12), "e2m1": (10, -10, 16, -16)}

_INTEGERS = ("int8", "int6", "int5")
_GUARD = 3  # extra bits of an aligned significand: guard, round, sticky
_UNIT = -25 - _GUARD  # exponent of the accumulator's unit: no lane has a bit below it
_SIGNIFICANT = 24


@dataclass(frozen=True)
class Terms:
    """Terms of weights, in the order of the cycles: arrays of shape (..., cycles).

    ``bsig`` has shape (cycles,): all lanes of a cycle share it. ``bad``, of shape (...,), marks
    weights that are not the sum of their terms.
    """

    negative: NDArray[np.bool_]
    exp: Ints
    man: NDArray[np.bool_]
    bsig: Ints
    bad: NDArray[np.bool_]

    def halves(self) -> Ints:
        """Return twice the values of the sums of the terms, shape (...,)."""
        magnitudes = self.man.astype(np.int64) << self.exp + self.bsig + 1
        return np.where(self.negative, -magnitudes, magnitudes).sum(axis=-1)


def cycles(parameters: Mapping[str, Any]) -> int:
    """Return the cycles that one beat takes."""
    fmt = _weight(parameters)
    return 2 if isinstance(fmt, FloatFormat) else (fmt.bits + 1) // 2


def terms(fmt: Format, codes: ArrayLike, special: ArrayLike = 0) -> Terms:
    """Return the terms of weight codes.

    ``special`` (halves, -31 to 31) is what the code of -0 means, an array that broadcasts against
    ``codes``; integers have no use for it. Raises ``ValueError`` on a code that ``fmt`` lacks.
    """
    codes = check_codes(fmt, codes)
    return _booth(fmt, codes) if isinstance(fmt, IntFormat) else _leading(fmt, codes, special)


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return what the unit answers to ``beats``, one result per ``last``.

    ``beats`` holds codes ``a`` and ``w`` of shape (n, lanes), ``last`` (n,); with float weights
    ``sel`` (n,) and optionally ``sv``, the codes of the special values (sign above five bits of
    magnitude in halves), shape (4,) or (n, 4) with equal rows; with ``scale`` int8 ``s`` (n,), read
    with ``last``.

    Mode ``exact`` (None): ``acc``, Python integers: the dot product, times ``s`` if there is a
    scale. Mode ``hardware``: ``y``, codes of fp32; ``s`` then multiplies the rounded sum, and the
    product is rounded once more. In both ``nan`` (a non-finite activation, which counts as 0) and
    ``bad`` (see :class:`Terms`). Raises ``ValueError`` on illegal codes, on more than ``max_k``
    products in a dot product, and on register files that change.
    """
    fmt, lanes = _weight(parameters), int(parameters["lanes"])
    a, w = np.asarray(beats["a"]), np.asarray(beats["w"])
    for name, array in (("a", a), ("w", w)):
        if array.shape != (len(a), lanes):
            raise ValueError(f"{name} must have shape (beats, {lanes}), not {array.shape}")
    special = (
        _specials(fmt, beats)[np.asarray(beats["sel"])] if _is_float(fmt) else np.zeros(len(a))
    )
    weights = terms(fmt, w, special.astype(np.int64)[:, None])
    act = operands(parameters)[1]
    integers, nan = act.decode(a)
    longest = int(totals(parameters, beats, np.full(len(a), lanes)).max(initial=0))
    if longest > int(parameters["max_k"]):
        raise ValueError(f"a dot product has {longest} products, more than max_k")

    result: dict[str, NDArray[Any]] = {}
    scales = np.ones(len(a), dtype=object)
    if parameters.get("scale"):
        scales = decode(parse("int8"), np.asarray(beats["s"]) & 255)[0].astype(object)
    scales = scales[np.asarray(beats["last"], dtype=bool)]
    if parameters.get("mode") == "hardware":
        sums = _hardware(parameters, beats, a, weights)
        scaled = [_nearest(int(v)) for v in sums * scales]
        reals = np.array(scaled, dtype=np.float64) * 2.0**_UNIT
        result["y"] = reals.astype(np.float32).view(np.uint32).astype(object)
    else:
        values = weights.halves() >> (0 if _is_float(fmt) else 1)
        products = (integers.astype(object) * values).sum(axis=-1)
        result["acc"] = totals(parameters, beats, products) * scales
    result["nan"] = totals(parameters, beats, np.asarray(nan.any(axis=-1)))
    result["bad"] = totals(parameters, beats, np.asarray(weights.bad.any(axis=-1)))
    return result


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``beats`` beats for :func:`run`: those of the unit ``pe``, and special values.

    The register file holds the published values of selectors 0 and 1, the largest sum of two terms
    (12) as 2, and -3.5, which is not such a sum, as 3. The first dot product is as long as it may
    be, of largest activations and weights.
    """
    fmt, lanes = _weight(parameters), int(parameters["lanes"])
    stimuli = stimulus.vectors(parameters, rng, beats)
    first = max(1, min(int(parameters["max_k"]) // lanes, beats // 4))
    largest, _ = operands(parameters)[1].decode(np.unique(stimuli["a"]))
    stimuli["a"][:first] = np.unique(stimuli["a"])[np.argmax(largest)]
    stimuli["last"][: first - 1], stimuli["last"][first - 1] = False, True
    stimuli["w"][:first] = 1 << fmt.bits - 1
    if _is_float(fmt):
        zeros = rng.random((beats, lanes)) < np.where(np.arange(beats) % 2, 0, 0.5)[:, None]
        stimuli["w"] = np.where(zeros, 1 << fmt.bits - 1, stimuli["w"])
        stimuli["sel"] = np.append(np.full(first, 2), rng.integers(0, 4, beats - first))
        published = [_code(v) for v in DEFAULT_SPECIALS[fmt.name][:2]]
        stimuli["sv"] = np.tile([*published, _code(24), _code(-7)], (beats, 1))
    if parameters.get("scale"):
        corners = np.resize([128, 127, 0, 255, 1], min(beats, 16))
        stimuli["s"] = np.append(corners, rng.integers(0, 256, beats - len(corners)))
        stimuli["s"][first - 1] = 128
    return stimuli


def _weight(parameters: Mapping[str, Any]) -> Format:
    fmt = parse(parameters["format"])
    if fmt.name not in (*_INTEGERS, *DEFAULT_SPECIALS):
        names = ", ".join((*_INTEGERS, *DEFAULT_SPECIALS))
        raise ValueError(f"format must be one of {names} with arch bit-serial, not {fmt.name!r}")
    return fmt


def _is_float(fmt: Format) -> bool:
    return isinstance(fmt, FloatFormat)


def _code(halves: int) -> int:
    return abs(halves) | (halves < 0) << 5


def _specials(fmt: Format, beats: Mapping[str, ArrayLike]) -> Ints:
    """Return the register file in halves, shape (4,)."""
    if "sv" not in beats:
        return np.array(DEFAULT_SPECIALS[fmt.name])
    codes = np.asarray(beats["sv"])
    rows = codes.reshape(-1, 4)
    if len(rows) and (rows != rows[0]).any():
        raise ValueError("sv must not change")
    codes = rows[0] if len(rows) else np.zeros(4, dtype=np.int64)
    return np.where(codes >> 5 & 1, -(codes & 31), codes & 31)


def _booth(fmt: Format, codes: Ints) -> Terms:
    count = (fmt.bits + 1) // 2
    values, _ = decode(fmt, codes)
    # The bit below the lowest is 0; above the highest the sign repeats.
    bits = values[..., None] * 2 >> np.arange(2 * count + 1) & 1
    digits = -2 * bits[..., 2::2] + bits[..., 1::2] + bits[..., 0:-1:2]
    return Terms(
        negative=digits < 0,
        exp=(abs(digits) == 2).astype(np.int64),
        man=digits != 0,
        bsig=2 * np.arange(count),
        bad=np.zeros(codes.shape, dtype=bool),
    )


def _leading(fmt: Format, codes: Ints, special: ArrayLike) -> Terms:
    values, _ = decode(fmt, codes)
    halves = np.where(codes == 1 << fmt.bits - 1, special, values << fmt.lam + 1)
    rest = np.abs(halves)
    exps, mans = [], []
    for window in (0b11110, 0b01111):  # I3 I2 I1 I0, then I2 I1 I0 F0
        seen = rest & window
        place = np.frexp(seen.astype(np.float64))[1] - 1
        taken = np.where(seen > 0, 1 << np.maximum(place, 0), 0)
        mans.append(seen > 0)
        exps.append(np.where(seen > 0, place - (window == 0b11110), 0))
        rest = rest - taken
    man = np.stack(mans, axis=-1)
    return Terms(
        negative=np.repeat((halves < 0)[..., None], 2, axis=-1) & man,
        exp=np.stack(exps, axis=-1).astype(np.int64),
        man=man,
        bsig=np.array([0, -1]),
        bad=rest != 0,
    )


def _hardware(
    parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike], a: Ints, weights: Terms
) -> NDArray[Any]:
    """Return the sums of the published data path in units of ``2**_UNIT``, Python integers.

    In each cycle the lanes' significands, with three more bits below, are shifted right to the
    largest exponent among those that are not zero; what falls off is or-ed into the lowest bit.
    Their sum is added to the accumulator, and the result rounded to 24 significant bits, ties to
    even. The least bit is that of a subnormal with ``bsig`` -1, 2**-28, so nothing underflows.
    """
    if parameters["act"] != "fp16":
        raise ValueError(f"mode hardware needs act fp16, not {parameters['act']!r}")
    exponent, fraction = a >> 10 & 31, a & 1023
    significand = np.where(exponent == 31, 0, fraction + np.where(exponent > 0, 1024, 0))
    takes = weights.man & (significand > 0)[..., None]
    place = np.maximum(exponent, 1)[..., None] + weights.exp
    top = np.where(takes, place, 0).max(axis=1, keepdims=True)
    shift = np.where(takes, top - place, 0)
    whole = significand[..., None] << _GUARD
    aligned = whole >> shift
    aligned |= (aligned << shift) != whole
    aligned = np.where(takes, aligned, 0)
    negative = weights.negative ^ (a >> 15 & 1).astype(bool)[..., None]
    sums = np.where(negative, -aligned, aligned).sum(axis=1)  # (beats, cycles)
    places = top[:, 0, :] + weights.bsig - 25 - _GUARD - _UNIT

    starts, last = starts_of(parameters, beats), np.asarray(beats["last"], dtype=bool)
    results, acc = [], 0
    for row in range(len(a)):
        if starts[row]:
            acc = 0
        for total, place_of in zip(sums[row].tolist(), places[row].tolist(), strict=True):
            if total:
                acc = _nearest(acc + (total << place_of))
        if last[row]:
            results.append(acc)
    return np.array(results, dtype=object)


def _nearest(value: int) -> int:
    """Round to 24 significant bits, ties to even."""
    drop = abs(value).bit_length() - _SIGNIFICANT
    if drop <= 0:
        return value
    magnitude, half = abs(value), 1 << drop - 1
    kept, rest = magnitude >> drop, magnitude & (1 << drop) - 1
    kept += rest > half or (rest == half and kept & 1)
    return kept << drop if value > 0 else -(kept << drop)
