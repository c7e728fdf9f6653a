# SPDX-License-Identifier: Apache-2.0
"""Block formats: elements that share a scale along the last axis (sheet A.6).

========================  =====================  =====  =======  ==============
name                      element                block  scale    default rule
========================  =====================  =====  =======  ==============
``mxfp8_e4m3``            e4m3                   32     e8m0     ``floor``
``mxfp8_e5m2``            e5m2                   32     e8m0     ``floor``
``mxfp6_e2m3``            e2m3                   32     e8m0     ``floor``
``mxfp6_e3m2``            e3m2                   32     e8m0     ``floor``
``mxfp4``                 e2m1                   32     e8m0     ``floor``
``mxint8``                int8 / 64              32     e8m0     ``floor``
``mxint4``, ``mxint2``    int4 / 4, int2         32     e8m0     ``floor``
``bfp1`` ... ``bfp15``    sign, m bits / 2**m-1  16     e8m0     ``floor``
``nvfp4``                 e2m1                   16     ue4m3    ``amax``
``amdfp4``                e2m1                   16     ue5m3    ``amax``
========================  =====================  =====  =======  ==============

``name:N`` gives any of them blocks of N elements. Rules of a power-of-two scale ``2**S`` for a
block whose largest magnitude is ``amax`` (``emax`` is the exponent of the largest element
``emag``):

* ``floor`` (OCP): ``S = floor(log2(amax)) - emax``; elements may saturate, by up to a quarter;
* ``ceil``: the least ``S`` with ``amax <= emag * 2**S``; elements never saturate;
* ``rne``: ``S = log2(amax) - emax`` rounded to nearest.

``S`` below -127 becomes -127, above 127 a NaN scale. A block of zeros has scale code 0. All
elements of a block of zeros are +0.

Rules of a minifloat scale, rounded to nearest even within its positive values:

* ``amax``: ``amax / 6``;
* ``4over6``: of ``amax / 6`` and ``amax / 4`` the one with the smaller squared error, the former
  when equal.

A block that holds a NaN or an infinity has the NaN code as its scale and elements 0: all of it
decodes to NaN. Quotients by scales that are no powers of two are correctly rounded float64.
"""

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import Format, PowerFormat, parse
from sim.golden.encode import encode, nan_code
from sim.golden.formats import decode_float, legal_codes

__all__ = [
    "BLOCK_FORMATS",
    "BlockFormat",
    "Blocks",
    "decode_blocks",
    "encode_blocks",
    "parse_block",
]

Reals = NDArray[np.float64]
Codes = NDArray[np.int64]

_ROOT_HALF = np.nextafter(np.sqrt(0.5), 0)  # below the true root: a float64 above it exceeds both


@dataclass(frozen=True)
class BlockFormat:
    """``size`` elements of value ``element * 2**-fraction`` and one scale that multiplies them.

    ``narrow`` leaves the most negative integer unused, so that elements are symmetric.
    """

    name: str
    element: Format
    size: int
    scale: Format
    fraction: int = 0
    narrow: bool = False

    @property
    def largest(self) -> float:
        """Largest element that has a negative counterpart."""
        values = decode_float(self.element, legal_codes(self.element))
        finite = values[np.isfinite(values)]
        return float(min(finite.max(), -finite.min())) * 2.0**-self.fraction

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the scale rules, the default first."""
        if isinstance(self.scale, PowerFormat):
            return "floor", "ceil", "rne"
        return "amax", "4over6"

    @property
    def bits_per_element(self) -> float:
        return self.element.bits + self.scale.bits / self.size


@dataclass(frozen=True)
class Blocks:
    """An encoded array: ``codes`` of shape (..., K), ``scales`` of shape (..., K / size).

    Every element is worth its own value, times that of its scale, times ``tensor_scale``.
    """

    fmt: BlockFormat
    codes: Codes
    scales: Codes
    tensor_scale: float = 1.0


def _mx(name: str, element: str, fraction: int = 0) -> BlockFormat:
    return BlockFormat(name, parse(element), 32, parse("e8m0"), fraction, element.startswith("int"))


BLOCK_FORMATS = {
    fmt.name: fmt
    for fmt in (
        _mx("mxfp8_e4m3", "e4m3"),
        _mx("mxfp8_e5m2", "e5m2"),
        _mx("mxfp6_e2m3", "e2m3"),
        _mx("mxfp6_e3m2", "e3m2"),
        _mx("mxfp4", "e2m1"),
        _mx("mxint8", "int8", 6),
        _mx("mxint4", "int4", 2),
        _mx("mxint2", "int2"),
        BlockFormat("nvfp4", parse("e2m1"), 16, parse("ue4m3")),
        BlockFormat("amdfp4", parse("e2m1"), 16, parse("ue5m3")),
    )
}


def parse_block(name: str) -> BlockFormat:
    """Return the block format called ``name``; raise ``ValueError`` naming what is unknown."""
    match = re.fullmatch(r"(.*?)(?::(\d{1,5}))?", name)
    base, size = (match[1], match[2]) if match else (name, None)
    mantissa = re.fullmatch(r"bfp(\d{1,2})", base)
    if mantissa and 1 <= int(mantissa[1]) <= 15:
        m = int(mantissa[1])
        fmt = BlockFormat(base, parse(f"sm{m + 1}"), 16, parse("e8m0"), m - 1)
    elif base in BLOCK_FORMATS:
        fmt = BLOCK_FORMATS[base]
    else:
        known = ", ".join([*BLOCK_FORMATS, "bfp1 to bfp15"])
        raise ValueError(f"unknown block format {name[:40]!r}; there are {known}")
    if size is None:
        return fmt
    if int(size) < 1:
        raise ValueError(f"block format {name!r}: a block has at least 1 element")
    return replace(fmt, name=name, size=int(size))


def encode_blocks(
    fmt: BlockFormat,
    values: ArrayLike,
    rounding: str = "rne",
    rule: str | None = None,
    tensor_scale: float | None = 1.0,
) -> Blocks:
    """Return ``values``, float64 of shape (..., K), in blocks along the last axis.

    ``rounding`` is that of the elements, which saturate; ``rule`` names the scale rule. A
    ``tensor_scale`` of ``None`` is chosen as for NVFP4, the largest magnitude over the product of
    the largest element and the largest scale, in float32; the default is to have none. Raises
    ``ValueError`` when K is not a multiple of the block, or on an unknown name.
    """
    x = np.asarray(values, dtype=np.float64)
    rule = fmt.rules[0] if rule is None else rule
    if rule not in fmt.rules:
        raise ValueError(f"scale rule of {fmt.name} must be one of {fmt.rules}, not {rule!r}")
    if x.ndim == 0 or x.shape[-1] % fmt.size:
        raise ValueError(
            f"the last axis of shape {x.shape} must be a multiple of the block, {fmt.size}"
        )
    grouped = x.reshape(*x.shape[:-1], -1, fmt.size)
    bad = np.asarray(~np.isfinite(grouped).all(axis=-1))
    grouped = np.where(bad[..., None], 0.0, grouped)
    amax = np.abs(grouped).max(axis=-1)
    if tensor_scale is None and isinstance(fmt.scale, PowerFormat):
        raise ValueError(f"{fmt.name} has no tensor scale of its own; give a number")
    tensor = _tensor_scale(fmt, amax) if tensor_scale is None else float(tensor_scale)
    if not 0 < tensor < np.inf:
        raise ValueError(f"tensor_scale must be positive and finite, not {tensor_scale}")
    if isinstance(fmt.scale, PowerFormat):
        scales = _power_scale(fmt, amax / tensor, rule)
        codes = _elements(fmt, grouped, scales, tensor, rounding)
    else:
        scales = _float_scale(fmt, amax, fmt.largest, tensor)
        codes = _elements(fmt, grouped, scales, tensor, rounding)
        if rule == "4over6":
            others = _float_scale(fmt, amax, 4.0, tensor)
            tried = _elements(fmt, grouped, others, tensor, rounding)
            better = _squared_error(fmt, grouped, tried, others, tensor) < _squared_error(
                fmt, grouped, codes, scales, tensor
            )
            scales = np.where(better, others, scales)
            codes = np.where(better[..., None], tried, codes)
    scales = np.where(bad, nan_code(fmt.scale), scales)
    return Blocks(fmt, codes.reshape(x.shape), scales, tensor)


def decode_blocks(blocks: Blocks) -> Reals:
    """Return the values, float64 of the shape of the codes; NaN in blocks whose scale is NaN.

    Exact but for products below the range of float64.
    """
    fmt = blocks.fmt
    grouped = blocks.codes.reshape(*blocks.codes.shape[:-1], -1, fmt.size)
    return _values(fmt, grouped, blocks.scales, blocks.tensor_scale).reshape(blocks.codes.shape)


def _values(fmt: BlockFormat, codes: Codes, scales: Codes, tensor: float) -> Reals:
    unit = decode_float(fmt.scale, scales)[..., None] * tensor
    return np.ldexp(decode_float(fmt.element, codes), -fmt.fraction) * unit


def _squared_error(fmt: BlockFormat, x: Reals, codes: Codes, scales: Codes, tensor: float) -> Reals:
    with np.errstate(over="ignore"):
        return ((_values(fmt, codes, scales, tensor) - x) ** 2).sum(axis=-1)


def _elements(fmt: BlockFormat, x: Reals, scales: Codes, tensor: float, rounding: str) -> Codes:
    unit = decode_float(fmt.scale, scales)[..., None] * tensor
    lost = np.isnan(unit) | (np.abs(x).max(axis=-1, keepdims=True) == 0)
    quotient = np.ldexp(np.where(lost, 0.0, x) / np.where(lost, 1.0, unit), fmt.fraction)
    if fmt.narrow:
        limit = np.ldexp(fmt.largest, fmt.fraction)
        quotient = np.clip(quotient, -limit, limit)
    return encode(fmt.element, quotient, rounding)


def _power_scale(fmt: BlockFormat, amax: Reals, rule: str) -> Codes:
    """Codes of the shared exponents of blocks with the largest magnitudes ``amax``."""
    mantissa, exponent = np.frexp(amax)  # amax = mantissa * 2**exponent, 0.5 <= mantissa < 1
    top_mantissa, top_exponent = np.frexp(fmt.largest)
    shared = exponent - top_exponent
    if rule == "ceil":
        shared = shared + (mantissa > top_mantissa)
    elif rule == "rne":
        shared = shared + (mantissa > _ROOT_HALF)
    code = np.maximum(shared, -127) + 127
    code = np.where(shared > 127, nan_code(fmt.scale), code)
    return np.where(amax == 0, 0, code).astype(np.int64)


def _float_scale(fmt: BlockFormat, amax: Reals, element: float, tensor: float) -> Codes:
    """Codes of the scales that bring ``amax`` to ``element``; never zero."""
    return np.maximum(encode(fmt.scale, amax / (element * tensor)), 1)


def _tensor_scale(fmt: BlockFormat, amax: Reals) -> float:
    scales = decode_float(fmt.scale, legal_codes(fmt.scale))
    largest = fmt.largest * float(np.nanmax(scales))
    top = float(amax.max(initial=0.0)) / largest
    limits = np.finfo(np.float32)
    if top == 0:
        return 1.0
    return float(np.float32(np.clip(top, limits.smallest_subnormal, limits.max)))
