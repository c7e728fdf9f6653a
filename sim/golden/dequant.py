# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``dequant``: integer sums of blocks, scaled and added up.

A block's value is ``(p - z*sa) * 2**lam * scale * act_scale``, exact. ``sum`` says what is added:

* ``exact``: the values themselves, integers in units of ``2**lam`` of the result;
* ``fp32-seq``: each value rounded to fp32 once, then added in ascending order, every addition
  rounded to fp32, from +0;
* ``fp32-tree``: the blocks of one beat added pairwise (0+1, 2+3, then those sums), each addition
  rounded, and the result added to the sum of the beats before.

All roundings are to nearest even with gradual underflow; overflow gives infinity. A NaN scale, an
infinite scale of a zero (block or other scale) and opposite infinities give NaN; ``exact`` counts
the block of a non-finite scale as 0 and sets ``nan``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import FloatFormat, Format, parse
from sim.golden.formats import decode, decode_float, legal_codes

__all__ = ["NAN", "Sum", "add", "round_fp32", "run", "total", "vectors"]

Integers = NDArray[Any]

NAN = 0x7FC00000
_INF = 0x7F800000
_SIGN = 1 << 31
_LAM = -149  #: Exponent of the smallest fp32.
_BLOCKS_MOST = 8  #: Beats of the stimulus end most dot products after so many.


def round_fp32(integer: int, lam: int) -> int:
    """Return the fp32 code nearest to ``integer * 2**lam``, ties to even; 0 is +0."""
    if not integer:
        return 0
    sign, size = (_SIGN, -integer) if integer < 0 else (0, integer)
    exponent = max(size.bit_length() + lam - 1, -126)  # of the leading bit, or of subnormals
    drop = exponent - 23 - lam
    if drop > 0:
        kept, rest = size >> drop, size & (1 << drop) - 1
        half = 1 << drop - 1
        kept += rest > half or (rest == half and kept & 1)
    else:
        kept = size << -drop
    # The leading 1 of a normal number adds 1 to the exponent field, a carry one more.
    return sign | min(_INF, (exponent + 126 << 23) + kept)


def add(a: int, b: int) -> int:
    """Return the fp32 sum of two fp32 codes. NaN has the code :data:`NAN`."""
    infinite = {code for code in (a, b) if code & ~_SIGN >= _INF}
    if any(code & ~_SIGN > _INF for code in infinite) or len(infinite) > 1:
        return NAN
    if infinite:
        return infinite.pop()
    total = _units(a) + _units(b)
    return a & b & _SIGN if total == 0 else round_fp32(total, _LAM)


def _units(code: int) -> int:
    """Return a finite fp32 in units of its smallest step."""
    exponent, mantissa = code >> 23 & 0xFF, code & (1 << 23) - 1
    size = mantissa + (1 << 23) << exponent - 1 if exponent else mantissa
    return -size if code & _SIGN else size


@dataclass(frozen=True)
class _Scales:
    """The scale formats of a parameter set."""

    formats: tuple[Format, ...]

    @property
    def lam(self) -> int:
        return sum(fmt.lam for fmt in self.formats)

    @property
    def nonfinite(self) -> bool:
        return any(fmt.nonfinite for fmt in self.formats)

    def factor(self, codes: Sequence[int]) -> tuple[int, float]:
        """Return the product of the scales, and NaN or an infinity where there is one, else 0."""
        product, special = 1, 0.0
        for fmt, code in zip(self.formats, codes, strict=True):
            ints, nonfinite = decode(fmt, [code & (1 << fmt.bits) - 1 & ~_pad(fmt)])
            if nonfinite[0]:
                value = float(decode_float(fmt, [code & ~_pad(fmt)])[0])
                special = value if not special else special * value
                continue
            product *= int(ints[0])
        if special and not product:
            special = float("nan")
        return product, special if product >= 0 else -special


@dataclass(frozen=True)
class Sum:
    """What the blocks of one dot product add up to."""

    y: int  #: fp32 code, or the integer of mode ``exact``.
    nan: bool  #: Some scale was not finite.


def total(
    parameters: Mapping[str, Any], blocks: Sequence[Sequence[tuple[int, Sequence[int]]]]
) -> Sum:
    """Return the sum of the beats ``blocks``: for each block its integer and its scale codes."""
    scales = _scales(parameters)
    lam, mode = int(parameters["lam"]) + scales.lam, parameters["sum"]
    exact, code, nan = 0, 0, False
    for beat in blocks:
        parts = []
        for integer, codes in beat:
            product, special = scales.factor(codes)
            nan |= special != 0
            exact += 0 if special else integer * product
            parts.append(_block(integer, product, special, lam))
        if mode == "fp32-tree":
            while len(parts) > 1:
                parts = [add(*parts[k : k + 2]) for k in range(0, len(parts), 2)]
        for part in parts:
            code = add(code, part)
    return Sum(exact if mode == "exact" else code, nan)


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return what the unit answers to ``beats``, in order.

    ``beats`` holds ``p`` (n, blocks) and ``s`` (n, blocks), ``t`` with ``act_scale``, ``z`` and
    ``sa`` with ``zero_point``, all (n, blocks), and ``last`` (n,). Integers may be given as such or
    as codes of ``acc_bits`` (``z``: 8) bits; scales are codes.

    Returns ``y``, one result per ``last``: fp32 codes, or integers in mode ``exact``; there also
    ``nan`` if a scale format has non-finite codes.
    """
    bits = int(parameters["acc_bits"])
    columns = {name: _rows(beats[name]) for name in ("p", "s", "t", "z", "sa") if name in beats}
    found: list[Sum] = []
    pending = []
    for row, last in enumerate(np.asarray(beats["last"]).astype(bool)):
        beat = []
        for block, code in enumerate(columns["p"][row]):
            integer = _signed(code, bits)
            if parameters["zero_point"]:
                zero = _signed(columns["z"][row][block], 8)
                integer -= zero * _signed(columns["sa"][row][block], bits)
            names = ("s", "t") if parameters["act_scale"] else ("s",)
            beat.append((integer, [int(columns[name][row][block]) for name in names]))
        pending.append(beat)
        if last:
            found.append(total(parameters, pending))
            pending = []
    result: dict[str, Integers] = {"y": np.array([s.y for s in found], dtype=object)}
    if parameters["sum"] == "exact" and _scales(parameters).nonfinite:
        result["nan"] = np.array([s.nan for s in found], dtype=bool)
    return result


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return beats: extremes of the integers with every kind of scale, then random ones.

    Half of the dot products keep their scales close together, so that additions round; a pair of
    beats now and then cancels, and sometimes all but what a smaller block between them has added.
    """
    bits, blocks = int(parameters["acc_bits"]), int(parameters["blocks"])
    formats = _scales(parameters).formats
    longest = max(1, min(int(parameters["max_groups"]) // blocks, _BLOCKS_MOST))
    limit = 1 << bits - 1
    extremes = [-limit, limit - 1, 0, 1, -1, limit // 2 + 1]
    shape = (beats, blocks)
    data = {"p": np.zeros(shape, dtype=object)}
    data |= {name: np.zeros(shape, dtype=object) for name, _ in zip("st", formats, strict=False)}
    last = rng.random(beats) < 1 / 3
    run_length, close = 0, None
    for row in range(beats):
        run_length += 1
        last[row] |= run_length >= longest or row == beats - 1
        for block in range(blocks):
            wide = int(rng.integers(1, bits + 1))
            value = int(rng.integers(1 << 62)) % (1 << wide) - (1 << wide - 1)
            early = row * blocks + block < 8 * len(extremes)
            data["p"][row, block] = extremes[(row + block) % len(extremes)] if early else value
            for name, fmt in zip("st", formats, strict=False):
                data[name][row, block] = _scale_code(fmt, rng, close, early)
        if run_length == 2 and rng.random() < 0.1:
            data["p"][row] = [min(-v, limit - 1) for v in data["p"][row - 1]]
            for name in data.keys() - {"p"}:
                data[name][row] = data[name][row - 1]
        if last[row]:
            run_length, close = 0, float(rng.random()) if rng.integers(2) else None
    if longest > 2:
        _near_cancellations(data, last, formats, rng, limit)
    if parameters["zero_point"]:
        data["z"] = rng.integers(-128, 128, shape).astype(object)
        data["sa"] = np.array(
            [[int(rng.integers(1 << 62)) % (2 * limit) - limit for _ in range(blocks)]
             for _ in range(beats)], dtype=object
        )  # fmt: skip
        data["z"][: beats // 8] = rng.choice([-128, 0, 127], (beats // 8, blocks))
    return {**data, "last": last}


def _block(integer: int, product: int, special: float, lam: int) -> int:
    """Return the fp32 code of one scaled block."""
    if not special:
        return round_fp32(integer * product, lam)
    if np.isnan(special) or not integer:
        return NAN
    return _INF | (_SIGN if (special < 0) != (integer < 0) else 0)


def _scales(parameters: Mapping[str, Any]) -> _Scales:
    names = [parameters["scale"], parameters["act_scale"]]
    return _Scales(tuple(parse(name) for name in names if name))


def _pad(fmt: Format) -> int:
    """Return the unused upper bits of a code, which hardware ignores."""
    pad = fmt.pad if isinstance(fmt, FloatFormat) else 0
    return (1 << fmt.bits) - (1 << fmt.bits - pad)


def _near_cancellations(
    data: Mapping[str, Integers],
    last: NDArray[np.bool_],
    formats: Sequence[Format],
    rng: np.random.Generator,
    limit: int,
) -> None:
    """Put v, d and -v, where d is worth up to 2**28 times less, in place of some dot products."""
    starts = np.flatnonzero(np.append(True, last[:-1]))
    for row in starts[starts > len(last) // 8].tolist():
        # Later triples may have taken beats of this dot product.
        if rng.random() < 0.4 or row + 3 > len(last) or not (row == 0 or last[row - 1]):
            continue
        rows = slice(row, row + 3)
        last[rows] = [False, False, True]
        for block in range(data["p"].shape[1]):
            value, small = (int(v) for v in rng.integers(1, min(limit, 1 << 62), 2))
            signs = rng.choice((-1, 1), 2)
            data["p"][rows, block] = [value * signs[0], small * signs[1], -value * signs[0]]
            for name, fmt in zip("st", formats, strict=False):
                codes = legal_codes(fmt)
                gap = int(rng.integers(0, min(28, len(codes) // 4) + 1))
                high = len(codes) - 2 if rng.random() < 0.8 else gap + 8
                top = int(rng.integers(gap, max(gap + 1, high)))
                data[name][rows, block] = [int(codes[k]) for k in (top, top - gap, top)]


def _scale_code(fmt: Format, rng: np.random.Generator, close: float | None, early: bool) -> int:
    """Return a code; ``close`` says around which part of the codes, None from all of them."""
    codes = legal_codes(fmt)
    if early and rng.random() < 0.3:
        special = codes[decode(fmt, codes)[1]]
        odd = np.concatenate([special[:4], special[-1:], codes[:2], codes[-2:]])
        return int(rng.choice(odd))
    if close is not None:
        span = max(1, len(codes) // 9)
        return int(codes[int(close * (len(codes) - span)) + int(rng.integers(span))])
    return int(rng.choice(codes))


def _rows(values: Any) -> Integers:
    array = np.asarray(values, dtype=object)
    return array.reshape(len(array), -1)


def _signed(value: Any, bits: int) -> int:
    code = int(value) & (1 << bits) - 1
    return code - (code >> bits - 1 << bits)
