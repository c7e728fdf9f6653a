# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``block-quantize``: blocks of numbers to codes and shared scales.

MX, BFP and NVFP4 blocks mean what :mod:`sim.golden.blocks` says. Its float64 quotients decide as
exact ones would: a source has at most 24 significant bits, the product of both scales 28, a
threshold of an element or of a scale 5, so a quotient that is not on a threshold is farther from it
than float64 errs. Only the squared errors of ``4over6`` are computed anew here, exactly.

The other blocks take integers and decide by integers alone:

* ``bitmod3``, ``bitmod4``, ``razer_w``: for each special value the block is brought to the grid
  that has it, ``scale = amax / M`` with the grid's largest magnitude ``M``; an element on the
  middle of two neighbours takes the lower; the least squared error wins, the first when equal.
  The order is that of :data:`SPECIALS`. ``s`` is ``amax``: the scale is not rounded.
* ``razer_a``: E2M1 on ``scale = amax / 6``; then for 5 and for -5, an element becomes that special
  value unless E2M1 is strictly closer. The lesser squared error wins, 5 when equal. ``s`` is
  ``amax``.
* ``olive4``, ``olive8``: pairs of elements (2i, 2i + 1) on the grid of the integers themselves. A
  magnitude beyond 7 (127) is an outlier. The outlier of a pair becomes an abfloat and the other
  element the victim mark; of two outliers the larger magnitude stays, the even element when equal.
  An abfloat is the nearest to the number, the smaller in magnitude when two are.

In a block of zeros all codes, ``sel`` and ``s`` are 0 (``olive``: has no ``s``; NVFP4: its scale
is never 0).
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.blocks import BlockFormat, encode_blocks, parse_block
from sim.golden.encode import encode, nan_code
from sim.golden.formats import decode, decode_float, legal_codes
from sim.golden.quantize import float_values, integer_bits, integer_values

__all__ = ["SPECIALS", "default_size", "run", "vectors"]

Codes = NDArray[Any]
Results = dict[str, Codes]

#: Formats of the special values, in the order of ``sel``.
SPECIALS = {
    "bitmod3": ("fp3_er+", "fp3_er-", "fp3_ea+", "fp3_ea-"),
    "bitmod4": ("fp4_er+", "fp4_er-", "fp4_ea+", "fp4_ea-"),
    "razer_w": ("razer+5", "razer-5", "razer+8", "razer-8"),
}

_RAZER_A = ("razer+5", "razer-5")

#: Code of the victim mark, largest normal magnitude.
_OLIVE = {"olive4": (8, 7), "olive8": (128, 127)}


def default_size(block: str) -> int:
    """Return the elements of a block where the user does not say."""
    if block.startswith("olive"):
        return 2
    if block.startswith("bitmod"):
        return 128
    return 16 if block.startswith("razer") else parse_block(block).size


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> Results:
    """Return ``q``, element codes of shape (n, size), and what the block shares, of shape (n,).

    ``x`` holds source codes of shape (n, size), ``g`` (n,) the fp32 codes of tensor scales, which
    must be positive and finite. Results are ``s`` (the scale's code, ``amax`` for ``bitmod`` and
    ``razer``, absent for ``olive``) and ``sel`` (``bitmod``, ``razer``).
    """
    block, source = str(parameters["block"]), str(parameters["source"])
    x = np.asarray(beats["x"])
    bits = integer_bits(source)
    if bits is None:
        tensor = None
        if parameters.get("tensor_scale"):
            tensor = float_values("fp32", np.asarray(beats["g"]))
        return _scaled(parameters, float_values(source, x), tensor)
    rows = [[int(v) for v in row] for row in integer_values(bits, x)]
    if block in SPECIALS:
        found = [_selected(SPECIALS[block], row) for row in rows]
    elif block == "razer_a":
        rounding = str(parameters.get("rounding") or "rne")
        found = [_razer_activations(row, rounding) for row in rows]
    else:
        codes = [_olive(block, row) for row in rows]
        return {"q": np.array(codes, dtype=np.int64).reshape(x.shape)}
    q, s, sel = zip(*found, strict=True) if found else ((), (), ())
    return {
        "q": np.array(q, dtype=np.int64).reshape(x.shape),
        "s": np.array(s, dtype=object),
        "sel": np.array(sel, dtype=np.int64),
    }


def _scaled(
    parameters: Mapping[str, Any], x: NDArray[np.float64], tensor: NDArray[np.float64] | None
) -> Results:
    """MX, BFP and NVFP4."""
    fmt = parse_block(f"{parameters['block']}:{x.shape[1]}")
    rounding = str(parameters.get("rounding") or "rne")
    rule = parameters.get("scale_rule")
    if fmt.scale.name == "ue4m3":
        rule = "4over6" if rule == "4over6" else "amax"
    q, s = np.zeros(x.shape, dtype=np.int64), np.zeros(len(x), dtype=np.int64)
    for i, row in enumerate(x):
        g = 1.0 if tensor is None else float(tensor[i])
        if rule == "4over6":
            q[i], s[i] = _four_over_six(fmt, row, rounding, g)
        else:
            blocks = encode_blocks(fmt, row, rounding, rule, g)
            q[i], s[i] = blocks.codes, blocks.scales[0]
    return {"q": q, "s": s}


def _four_over_six(
    fmt: BlockFormat, x: NDArray[np.float64], rounding: str, g: float
) -> tuple[NDArray[np.int64], int]:
    """Of the scales amax / 6 and amax / 4 the one with the lesser squared error."""
    if not np.isfinite(x).all():
        return np.zeros(x.shape, dtype=np.int64), nan_code(fmt.scale)
    tried = []
    for largest in (6.0, 4.0):
        amax = float(np.abs(x).max())
        code = max(1, int(encode(fmt.scale, amax / (largest * g))))
        unit = float(decode_float(fmt.scale, code)) * g
        codes = encode(fmt.element, x / unit if amax else np.zeros(x.shape), rounding)
        values = decode_float(fmt.element, codes)
        pairs = zip(values.tolist(), x.tolist(), strict=True)
        error = sum((Fraction(v) * Fraction(unit) - Fraction(t)) ** 2 for v, t in pairs)
        tried.append((error, codes, code))
    best = tried[1] if tried[1][0] < tried[0][0] else tried[0]
    return best[1], best[2]


@cache
def _grid(name: str) -> tuple[list[int], list[int], int]:
    """Ascending values of a format in units of 1/2, their lowest codes, the largest magnitude."""
    fmt = parse(name)
    ints, _ = decode(fmt, legal_codes(fmt))
    values, first = np.unique(ints << fmt.lam + 1, return_index=True)
    return values.tolist(), first.tolist(), int(np.abs(values).max())


def _selected(formats: Sequence[str], x: list[int]) -> tuple[list[int], int, int]:
    """Codes, amax and index of the format with the least squared error."""
    amax = max(map(abs, x))
    if amax == 0:
        return [0] * len(x), 0, 0
    best: tuple[Fraction, list[int], int] | None = None
    for index, name in enumerate(formats):
        values, codes, top = _grid(name)
        doubled = [low + high for low, high in pairwise(values)]
        # A number above a middle, x * M > amax * (low + high) / 2, belongs to the upper value.
        places = [sum(2 * v * top > amax * middle for middle in doubled) for v in x]
        error = sum((v * top - amax * values[k]) ** 2 for v, k in zip(x, places, strict=True))
        real = Fraction(error, top * top)
        if best is None or real < best[0]:
            best = real, [codes[k] for k in places], index
    assert best is not None
    return best[1], amax, best[2]


def _razer_activations(x: list[int], rounding: str) -> tuple[list[int], int, int]:
    amax = max(map(abs, x))
    if amax == 0:
        return [0] * len(x), 0, 0
    fmt = parse("e2m1")
    # A quotient of integers below 2**64 that is not on a threshold may still look like one.
    kept = [_nearest_e2m1(Fraction(6 * v, amax), rounding) for v in x]
    tried = []
    for special in (5, -5):
        codes, error = [], Fraction(0)
        for v, code in zip(x, kept, strict=True):
            t, plain = Fraction(6 * v, amax), Fraction(float(decode_float(fmt, code)))
            own = abs(t - plain) < abs(t - special)
            codes.append(code if own else 8)
            error += (t - plain) ** 2 if own else (t - special) ** 2
        tried.append((error, codes))
    sel = int(tried[1][0] < tried[0][0])
    return tried[sel][1], amax, sel


def _nearest_e2m1(t: Fraction, rounding: str) -> int:
    """Code of ``t``, which is +0 where that is 0: the code of -0 is the special value."""
    # Thresholds are multiples of 1/4: what lies between two of them has one answer.
    quarters = 4 * t
    inside = quarters.numerator // quarters.denominator
    probe = inside / 4 if quarters.denominator == 1 else inside / 4 + 0.125
    code = int(encode(fmt := parse("e2m1"), probe, rounding))
    return code if decode_float(fmt, code) else 0


def _abfloats(block: str) -> list[tuple[int, int]]:
    """(magnitude, code) of every outlier, ascending."""
    if block == "olive4":
        fields = [(e, m, 1) for e in range(4) for m in range(2)]
        bias, most = 2, 96
    else:
        fields = [(e, m, 3) for e in range(16) for m in range(8)]
        bias, most = 4, 1 << 15
    rows = [((1 << y) + m << e + bias, e << y | m) for e, m, y in fields if e or m]
    return sorted(row for row in rows if row[0] <= most)


def _olive(block: str, x: list[int]) -> list[int]:
    mark, normal = _OLIVE[block]
    codes = []
    for pair in zip(x[::2], x[1::2], strict=True):
        outliers = [abs(v) > normal for v in pair]
        if not any(outliers):
            codes += [v & 2 * mark - 1 for v in pair]
            continue
        keep = int(abs(pair[1]) > abs(pair[0])) if all(outliers) else int(outliers[1])
        number = pair[keep]
        distances = [(abs(abs(number) - v), v, code) for v, code in _abfloats(block)]
        outlier = min(distances)[2] | (mark if number < 0 else 0)
        codes += [outlier if k == keep else mark for k in (0, 1)]
    return codes


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``x``, source codes of shape (beats, size), and ``g`` for tensor scales.

    First the corners: zeros (of both signs), one element in a block of zeros, extremes, the largest
    magnitude just below, at and above powers of two and the largest element, blocks with a NaN and
    with an infinity, numbers of one bit; then random blocks, whose elements lie a few octaves
    apart, among them subnormal ones and ties.
    """
    size = int(parameters.get("size") or default_size(str(parameters["block"])))
    source = str(parameters["source"])
    bits = integer_bits(source)
    rows: list[Any]
    if bits is None:
        rows = _float_blocks(parameters, rng, beats, size)
    else:
        rows = _integer_blocks(str(parameters["block"]), bits, rng, beats, size)
    result: dict[str, NDArray[Any]] = {"x": np.array(rows[:beats]).reshape(beats, size)}
    if parameters.get("tensor_scale"):
        g = np.exp2(rng.uniform(-20, 20, beats)).astype(np.float32)
        # Far from such a number the block's scale is the least or the largest: half are near.
        reals = np.abs(float_values(source, result["x"]))
        amax = np.where(np.isfinite(reals), reals, 0).max(axis=1)
        near = np.clip(amax * np.exp2(rng.uniform(-10, 5, beats)), 2.0**-126, 3e38)
        g = np.where(rng.random(beats) < 0.5, near, g).astype(np.float32)
        g[: len(_TENSOR_CORNERS)] = _TENSOR_CORNERS[:beats]
        result["g"] = g.view(np.uint32).astype(np.int64)
    return result


_TENSOR_CORNERS = np.array([1, 2**-149, 2**-126, 3e38, 1 / 3], dtype=np.float32)


def _float_blocks(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int, size: int
) -> list[NDArray[np.int64]]:
    width, exp_bits = {"fp16": (16, 5), "bf16": (16, 8), "fp32": (32, 8)}[parameters["source"]]
    man_bits = width - 1 - exp_bits
    sign, infinity = 1 << width - 1, (1 << exp_bits) - 1 << man_bits
    one = (1 << exp_bits - 1) - 1 << man_bits
    zeros = np.zeros(size, dtype=np.int64)
    rows = [zeros, zeros | sign, np.full(size, infinity - 1), np.full(size, 1)]
    rows += [np.full(size, infinity - 1 | sign), np.full(size, 1 << man_bits)]
    for special in (infinity, infinity | sign, infinity + 1, infinity | 1 << man_bits - 1):
        rows.append(np.where(np.arange(size) == size - 1, special, one))
    edges = [one, one | 3 << man_bits - 2, one | 1 << man_bits - 1, infinity - (1 << man_bits)]
    root = int(np.ldexp(np.sqrt(2.0) - 1, man_bits))  # of two: where ``rne`` changes its mind
    for edge in (*edges, one | root):
        for step in (-1, 0, 1):
            top = edge + step
            if top < infinity:
                rows.append(np.where(np.arange(size) == len(rows) % size, top | sign, zeros))
                below = top - rng.integers(0, 4 << man_bits, size)
                rows.append(np.where(np.arange(size) == len(rows) % size, top, below))
    step = max(1, 32 * (man_bits + 1) // beats)
    for place in range(0, man_bits + 1, step):  # one bit, alone and among smaller numbers
        lane = np.arange(size) == place % size
        rows.append(np.where(lane, 1 << place, zeros))
        rows.append(np.where(lane, 1 << place, rng.integers(0, 1 << place, size)) | sign)
    while len(rows) < beats:
        top = int(rng.integers(0, infinity))
        if len(rows) % 4 == 0:  # subnormal numbers and the first normal ones, of any magnitude
            top = int(rng.integers(0, 2 << int(rng.integers(0, man_bits + 1))))
        spread = int(rng.integers(1, 6)) << man_bits
        codes = np.maximum(top - rng.integers(0, spread, size), 0)
        if len(rows) % 4 == 0:
            codes = rng.integers(0, top + 1, size) >> rng.integers(0, 4, size)
        if len(rows) % 4 == 1:  # ties, and roundings up to the next binade
            last = int(rng.integers(max(0, man_bits - 4), man_bits))
            codes = codes >> last << last | rng.integers(0, 2, size) * ((1 << last) - 1)
        rows.append(codes | rng.integers(0, 2, size) << width - 1)
    return rows


def _integer_blocks(
    block: str, bits: int, rng: np.random.Generator, beats: int, size: int
) -> list[list[int]]:
    top, mask = 1 << bits - 1, (1 << bits) - 1
    near = [0, 1, 6, 7, 8, 9, 10, 12, 14, 20, 28, 40, 80, 96, 112, 127, 128, 129, 136, 144, 152]
    near += [160, top - 1, top - 2, top - top // 16, top]
    near = [v for v in near if v <= top]
    signed = [sign * v for v in near for sign in (1, -1) if sign * v < top]
    rows = [[v] * size for v in (0, top - 1, -top, 1, -1)]
    rows += [[v if k == size - 1 else 0 for k in range(size)] for v in (1, -1, -top, top - 1)]
    # Exact ties of every grid: with amax = 240 * 2**k its middles are integers.
    if block in SPECIALS or block == "razer_a":
        unit = 1
        while 480 * unit < top:
            unit *= 2
        ties = [t * unit for t in range(-240, 241, 5) if abs(t) * unit < top]
        for _ in range(24):
            row = [int(v) for v in rng.choice(ties, size)]
            row[int(rng.integers(size))] = 240 * unit if 240 * unit < top else top - 1
            rows.append(row)
    for _ in range(max(4, 4 * len(signed) // size)):
        rows.append([int(v) for v in rng.choice(signed, size)])
    while len(rows) < beats:
        widths = rng.integers(1, bits, size) if len(rows) % 2 else np.full(size, rng.integers(bits))
        rows.append([int(rng.integers(-(1 << int(w)), 1 << int(w))) for w in widths])
    return [[v & mask for v in row] for row in rows]
