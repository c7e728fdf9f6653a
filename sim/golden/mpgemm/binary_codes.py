# SPDX-License-Identifier: Apache-2.0
"""Weights as sums of scaled bit planes: quantisers of HLQ (ELUTQ, A.4) and BCQ (ShiftAddLLM, A.5).

Both start from a simple guess and take turns at two steps: the best scales for the planes (least
squares), then for every weight the nearest of all sums (the lowest code of equally near ones). Of
all rounds the one of the least squared error is kept, for each group on its own, so no round can
make a result worse. Nothing is drawn at random.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BinaryCodes",
    "PowerSums",
    "quantize_bcq",
    "quantize_hlq",
    "round_apot",
    "storage_bits",
]

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Scales (blocks, b), their codes (blocks, size).
_Candidate = tuple[Reals, Integers]


@dataclass(frozen=True)
class PowerSums:
    """Additive powers of two, ``sum(signs * 2.0**exponents)`` over the first axis.

    A sign is -1 or 1, or 0 for a term that is not needed.
    """

    signs: Integers
    exponents: Integers

    def values(self) -> Reals:
        """Return the sums."""
        total: Reals = np.ldexp(self.signs.astype(np.float64), self.exponents).sum(axis=0)
        return total


@dataclass(frozen=True)
class BinaryCodes:
    """Weights ``zero + sum(scales[t] * planes[t])`` of groups along K.

    Parameters
    ----------
    planes
        Bits (b, K, N); with ``sigma`` they count as -1 and 1.
    scales
        Of groups and planes (groups, b, N), float64.
    zeros
        Of groups (groups, N).
    group
        Weights along K to a group; the last group may be shorter.
    sigma
        Whether a bit of 0 counts as -1.
    powers
        What ``scales`` are sums of, each part (terms, groups, b, N), if they are.
    """

    planes: Integers
    scales: Reals
    zeros: Reals
    group: int
    sigma: bool = False
    powers: PowerSums | None = None

    def values(self) -> Reals:
        """Return the weights (K, N)."""
        at = np.arange(self.planes.shape[1]) // self.group
        bits = 2 * self.planes - 1 if self.sigma else self.planes
        return self.zeros[at] + (self.scales[at].swapaxes(0, 1) * bits).sum(axis=0)


def storage_bits(bits: int, group: int, scales: int | None = None, scale_bits: int = 16) -> float:
    """Return the bits that a weight takes, with ``scales`` numbers for a group, ``bits + 1``."""
    return bits + scale_bits * (bits + 1 if scales is None else scales) / group


def round_apot(values: ArrayLike, terms: int) -> PowerSums:
    """Return the nearest power of two, then that of what is left, ``terms`` times.

    The nearest is that in the logarithmic domain.
    """
    rest = np.array(values, dtype=np.float64)
    signs, exponents = [], []
    for _ in range(terms):
        mantissa, exponent = np.frexp(np.abs(rest))
        # Half of the way from 1/2 to 1, by ratio; no double is that exactly.
        exponent = np.where(mantissa == 0, 0, exponent - (mantissa < np.sqrt(0.5)))
        sign = np.sign(rest)
        signs.append(sign.astype(np.int64))
        exponents.append(exponent.astype(np.int64))
        rest -= np.ldexp(sign, exponents[-1])
    return PowerSums(np.array(signs), np.array(exponents))


def quantize_hlq(
    w: ArrayLike, bits: int, group: int, rounds: int = 10, scale_type: str = "float16"
) -> BinaryCodes:
    """Quantise weights (K, N) to ``z + sum(s[t] * beta[t])``, beta 0 or 1.

    It begins with the uniform grid from the least to the largest weight of a group. Scales and z
    are rounded to ``scale_type``. Raises ``ValueError`` for sizes below 1 and what is not finite.
    """
    weights = _matrix(w, bits, group)

    def rounded(scales: Reals) -> Reals:
        return _stored(scales, scale_type)

    def fit(x: Reals) -> _Candidate:
        low, span = x.min(axis=1), np.ptp(x, axis=1)
        start = span[:, None] * 2.0 ** np.arange(bits) / ((1 << bits) - 1)
        patterns = _patterns(bits)

        return _improve(x, np.column_stack([start, low]), patterns, rounds, rounded)

    scales, planes = _by_group(weights, bits, group, 1, fit)
    scales = rounded(scales)
    return BinaryCodes(planes, scales[:, :-1], scales[:, -1], group)


def quantize_bcq(
    w: ArrayLike,
    bits: int,
    group: int,
    terms: int | None = 3,
    rounds: int = 15,
    outputs: int = 1,
    scale_type: str = "float16",
) -> BinaryCodes:
    """Quantise weights (K, N) to ``sum(alpha[i] * sigma[i])``, sigma -1 or 1.

    It begins greedily: the signs of what is left, times its mean magnitude.

    Parameters
    ----------
    w
        Weights.
    bits
        Signs of a weight.
    group, outputs
        Weights along K, and along N, that share their alpha: all N for shifted activations ("Acc"),
        an eighth of N and a group of 8 for shifted lookups ("Lat").
    terms
        Powers of two that an alpha is the sum of, ``None`` for any number of ``scale_type``.
    rounds
        How often alpha and signs are improved.

    Raises ``ValueError`` for sizes below 1, what is not finite, and where ``outputs`` does not
    divide N.
    """
    weights = _matrix(w, bits, group)
    if outputs < 1 or weights.shape[1] % outputs:
        raise ValueError(f"outputs must divide the {weights.shape[1]} columns, not be {outputs}")
    if terms is not None and not 1 <= terms <= 3:
        raise ValueError(f"terms must be 1 to 3, or None, not {terms}")

    def rounded(scales: Reals) -> Reals:
        if terms is None:
            return _stored(scales, scale_type)
        return round_apot(scales, terms).values()

    def fit(x: Reals) -> _Candidate:
        rest, start = x.copy(), np.zeros((len(x), bits))
        for plane in range(bits):
            start[:, plane] = np.abs(rest).mean(axis=1)
            rest -= np.where(rest < 0, -1, 1) * start[:, plane, None]
        patterns = 2 * _patterns(bits)[:, :-1] - 1
        return _improve(x, start, patterns, rounds, rounded, ordered=True)

    scales, planes = _by_group(weights, bits, group, outputs, fit)
    powers = None if terms is None else round_apot(scales, terms)
    scales = _stored(scales, scale_type) if powers is None else powers.values()
    zeros = np.zeros((len(scales), weights.shape[1]))
    return BinaryCodes(planes, scales, zeros, group, sigma=True, powers=powers)


def _matrix(w: ArrayLike, bits: int, group: int) -> Reals:
    weights = np.asarray(w, dtype=np.float64)
    if weights.ndim != 2 or 0 in weights.shape:
        raise ValueError(f"weights must be a matrix of K rows and N columns, not {weights.shape}")
    if not np.isfinite(weights).all():
        raise ValueError("weights to quantise must be finite")
    if not 1 <= bits <= 8 or group < 1:
        raise ValueError(f"bits must be 1 to 8 and group positive, not {bits} and {group}")
    return weights


def _patterns(bits: int) -> Reals:
    """The planes of every code, and a column of ones."""
    codes = np.arange(1 << bits)[:, None] >> np.arange(bits) & 1
    return np.column_stack([codes, np.ones(1 << bits)]).astype(np.float64)


def _by_group(
    w: Reals, bits: int, group: int, outputs: int, fit: Callable[[Reals], _Candidate]
) -> tuple[Reals, Integers]:
    """Scales (groups, numbers, N) and planes (b, K, N) of blocks of ``group`` x ``outputs``."""
    k, n = w.shape
    codes, every = np.zeros((k, n), dtype=np.int64), []
    whole = k // group * group
    for part, size in ((slice(0, whole), group), (slice(whole, k), k - whole)):
        if not size or part.start == part.stop:
            continue
        shape = -1, size, n // outputs, outputs
        blocks = w[part].reshape(shape).swapaxes(1, 2)
        scales, found = fit(blocks.reshape(-1, size * outputs))
        codes[part] = found.reshape(blocks.shape).swapaxes(1, 2).reshape(-1, n)
        wide = scales.reshape(*blocks.shape[:2], -1).swapaxes(1, 2)
        every.append(np.repeat(wide, outputs, axis=2))
    return np.concatenate(every), codes >> np.arange(bits)[:, None, None] & 1


def _improve(
    x: Reals,
    start: Reals,
    patterns: Reals,
    rounds: int,
    rounded: Callable[[Reals], Reals],
    ordered: bool = False,
) -> _Candidate:
    """Take turns at scales and codes for blocks (blocks, size); return the best of each block.

    The scales are as they were before they were ``rounded``, the codes are for rounded ones.

    ``patterns`` (codes, numbers) are what the scales of a code are multiplied by. With ``ordered``
    scales are positive and descending before they are rounded.
    """
    best = start
    kept, least = _nearest(x, rounded(best) @ patterns.T)
    codes = kept
    for _ in range(rounds):
        scales = (np.linalg.pinv(patterns[codes]) @ x[:, :, None])[:, :, 0]
        if ordered:
            scales = -np.sort(-np.abs(scales), axis=1)
        codes, error = _nearest(x, rounded(scales) @ patterns.T)
        better = error < least
        best = np.where(better[:, None], scales, best)
        kept = np.where(better[:, None], codes, kept)
        least = np.where(better, error, least)
    return best, kept


def _nearest(x: Reals, sums: Reals) -> tuple[Integers, Reals]:
    """The codes of the nearest of the sums (blocks, codes) for (blocks, size), squared errors."""
    best = np.zeros(x.shape, dtype=np.int64)
    least = np.abs(x - sums[:, :1])
    for code in range(1, sums.shape[1]):
        far = np.abs(x - sums[:, code, None])
        best = np.where(far < least, code, best)
        least = np.minimum(far, least)
    return best, (least**2).sum(axis=1)


def _stored(scales: Reals, scale_type: str) -> Reals:
    """Scales as a memory of that type holds them, without overflow."""
    most = float(np.finfo(scale_type).max)
    return np.clip(scales, -most, most).astype(scale_type).astype(np.float64)
