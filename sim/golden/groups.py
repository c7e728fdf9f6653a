# SPDX-License-Identifier: Apache-2.0
"""Quantisation of real arrays in groups along the last axis (sheet A.1, A.2, A.11, A.12).

A group shares a scale (and a zero point, or a special value). All functions take float64 arrays of
shape (..., K), ``group`` values to a group (``None``: the whole axis), and return scales of shape
(..., K / group). They raise ``ValueError`` when K is not a multiple of the group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import Format, parse
from sim.golden.encode import encode
from sim.golden.formats import decode_float, legal_codes

__all__ = [
    "BITMOD_SPECIALS",
    "Asymmetric",
    "Selected",
    "Symmetric",
    "quantize_asymmetric",
    "quantize_bitmod",
    "quantize_groups",
    "quantize_razer_acts",
    "quantize_razer_weights",
    "quantize_scales",
]

Reals = NDArray[np.float64]
Codes = NDArray[np.int64]

#: Formats of a BitMoD group, in the order of the 2-bit selector; by width of the element.
BITMOD_SPECIALS = {
    bits: tuple(f"fp{bits}_{kind}{sign}" for kind in ("er", "ea") for sign in "+-")
    for bits in (3, 4)
}


@dataclass(frozen=True)
class Symmetric:
    """Codes (..., K) of ``fmt`` and float64 scales (..., K / group)."""

    fmt: Format
    codes: Codes
    scales: Reals

    def values(self) -> Reals:
        """Return what the codes stand for, shape (..., K)."""
        return _spread(decode_float(self.fmt, self.codes), self.scales)


@dataclass(frozen=True)
class Asymmetric:
    """Unsigned codes ``q`` (..., K), scales and integer zero points ``z``: ``scale * (q - z)``."""

    bits: int
    codes: Codes
    scales: Reals
    zeros: Codes

    def values(self) -> Reals:
        """Return what the codes stand for, shape (..., K)."""
        groups = self.zeros.shape[-1]
        q = self.codes.reshape(*self.codes.shape[:-1], groups, -1) - self.zeros[..., None]
        return (q * self.scales[..., None]).reshape(self.codes.shape)


@dataclass(frozen=True)
class Selected:
    """Codes (..., K) whose group ``g`` is in format ``formats[selectors[..., g]]``."""

    formats: tuple[Format, ...]
    codes: Codes
    scales: Reals
    selectors: Codes

    def values(self) -> Reals:
        """Return what the codes stand for, shape (..., K)."""
        groups = self.selectors.shape[-1]
        codes = self.codes.reshape(*self.codes.shape[:-1], groups, -1)
        book = np.array([decode_float(f, np.arange(1 << f.bits)) for f in self.formats])
        reals = book[self.selectors[..., None], codes] * self.scales[..., None]
        return reals.reshape(self.codes.shape)


def quantize_groups(
    fmt: Format,
    values: ArrayLike,
    group: int | None = None,
    rounding: str = "rne",
    rule: str = "absmax",
    scale_type: str = "float32",
) -> Symmetric:
    """Quantise with one scale per group and no zero point.

    ``rule`` gives the scale: ``absmax`` brings the largest magnitude to the largest value that has
    a negative counterpart (7 of int4; values beyond it are clamped to it), ``full`` to the largest
    magnitude of the format (8 of int4), ``absmean`` (BitNet b1.58) is the mean magnitude plus 1e-5.
    Scales are rounded to ``scale_type`` (float16, float32 or float64); a group of zeros has 1.
    """
    grouped = _grouped(values, group)
    magnitude = np.abs(grouped)
    finite = _finite(fmt)
    limits = float(finite.min()), float(finite.max())
    if rule == "absmean":
        scales = magnitude.mean(axis=-1) + 1e-5
    elif rule == "full":
        scales = magnitude.max(axis=-1) / float(np.abs(finite).max())
    elif rule == "absmax":
        top = min(limits[1], -limits[0]) if fmt.signed else limits[1]
        limits = (-top if fmt.signed else limits[0]), top
        scales = magnitude.max(axis=-1) / top
    else:
        raise ValueError(f"scale rule must be absmax, full or absmean, not {rule!r}")
    scales = _stored(scales, scale_type)
    codes = encode(fmt, np.clip(grouped / scales[..., None], *limits), rounding)
    return Symmetric(fmt, codes.reshape(np.shape(values)), scales)


def quantize_asymmetric(
    bits: int, values: ArrayLike, group: int | None = None, scale_type: str = "float64"
) -> Asymmetric:
    """Quantise to unsigned integers with a scale and a zero point per group.

    ``s = (max - min) / (2**bits - 1)``, ``z = clamp(rne(-min / s))``,
    ``q = clamp(rne(x / s) + z)``; a constant group has ``s = 1``.
    """
    grouped = _grouped(values, group)
    top = (1 << bits) - 1
    low, high = grouped.min(axis=-1), grouped.max(axis=-1)
    scales = _stored((high - low) / top, scale_type)
    zeros = np.clip(np.rint(-low / scales), 0, top)
    codes = np.clip(np.rint(grouped / scales[..., None]) + zeros[..., None], 0, top)
    shape = np.shape(values)
    return Asymmetric(bits, codes.astype(np.int64).reshape(shape), scales, zeros.astype(np.int64))


def quantize_scales(scales: ArrayLike, bits: int = 8) -> tuple[Codes, Reals]:
    """Quantise positive group scales (..., G) once more, as VS-Quant does.

    Returns integers (..., G), ``rne(scale / s)`` with ``s = max / (2**(bits-1) - 1)``, and the
    scales ``s`` of the rows (...): ``integer * s`` takes the place of each scale.
    """
    given = np.asarray(scales, dtype=np.float64)
    coarse = given.max(axis=-1) / ((1 << bits - 1) - 1)
    coarse = np.where(coarse == 0, 1.0, coarse)
    return np.rint(given / coarse[..., None]).astype(np.int64), coarse


def quantize_bitmod(
    bits: int, values: ArrayLike, group: int | None = 128, scale_type: str = "float16"
) -> Selected:
    """Quantise to BitMoD FP3 or FP4 (``bits``): each group takes the best of four special values.

    For each special value the scale brings the largest magnitude to the largest of the format,
    clamped to [1e-5, 1e4]; ties between elements go down; the first special value of the least
    squared error wins. Selectors index :data:`BITMOD_SPECIALS`.
    """
    if bits not in BITMOD_SPECIALS:
        raise ValueError(f"BitMoD has elements of 3 or 4 bits, not {bits}")
    grouped = _grouped(values, group)
    amax = np.abs(grouped).max(axis=-1)
    formats = tuple(parse(name) for name in BITMOD_SPECIALS[bits])
    tops = [float(np.abs(_finite(f)).max()) for f in formats]
    scales = [_stored(np.clip(amax / top, 1e-5, 1e4), scale_type) for top in tops]
    return _select(formats, grouped, scales, np.shape(values))


def quantize_razer_weights(
    values: ArrayLike,
    specials: Sequence[str] = ("razer+5", "razer-5", "razer+8", "razer-8"),
    scale: str = "ue3m3",
    group: int = 16,
    tensor_scale: float | None = None,
) -> tuple[Selected, Codes, float]:
    """Quantise weights to RaZeR: E2M1 with one of four special values per block.

    The block scale is of format ``scale`` (``ue3m3``; ``ue4m3`` reproduces the published
    emulation), within [2**-5, 28]; the tensor scale is the largest magnitude over 6 * 28 unless
    given. Returns the elements (with the products of both scales), the scale bytes
    (selector in bits 7:6, E3M3 in 5:0; for another ``scale`` its plain code) and the tensor scale.
    """
    grouped = _grouped(values, group)
    amax = np.abs(grouped).max(axis=-1)
    tensor = float(amax.max(initial=0.0)) / (6 * 28) if tensor_scale is None else tensor_scale
    tensor = tensor or 1.0
    formats = tuple(parse(name) for name in specials)
    chosen = parse(scale)
    codes = [
        encode(chosen, np.clip(amax / (np.abs(_finite(f)).max() * tensor), 2.0**-5, 28))
        for f in formats
    ]
    result = _select(
        formats, grouped, [decode_float(chosen, c) * tensor for c in codes], np.shape(values)
    )
    stored = np.take_along_axis(np.stack(codes), result.selectors[None], axis=0)[0]
    if scale == "ue3m3":
        stored = stored | result.selectors << 6
    return result, stored, tensor


def quantize_razer_acts(
    values: ArrayLike, group: int = 16, rounding: str = "rne", tensor_scale: float = 1.0
) -> tuple[Selected, Codes]:
    """Quantise activations to RaZeR: E2M1 with +5 or -5 per block, scales as NVFP4.

    An element becomes the special value unless plain E2M1 is strictly closer; the sign with the
    smaller squared error wins, + when equal. Returns the elements and the scale bytes (bit 7: the
    sign of the special value, bits 6:0: UE4M3).
    """
    grouped = _grouped(values, group)
    amax = np.abs(grouped).max(axis=-1)
    codes = np.maximum(encode(parse("ue4m3"), amax / (6 * tensor_scale)), 1)
    scales = decode_float(parse("ue4m3"), codes) * tensor_scale
    scaled = grouped / scales[..., None]
    plain = parse("e2m1")
    # Without the sign of zero: the code of -0 is the special value.
    kept = encode(plain, scaled, rounding)
    kept = np.where(kept == 8, 0, kept)
    tried, errors = [], []
    for special in (5.0, -5.0):
        closer = np.abs(scaled - decode_float(plain, kept)) < np.abs(scaled - special)
        tried.append(np.where(closer, kept, 8))
        reals = np.where(closer, decode_float(plain, kept), special)
        errors.append(((reals - scaled) ** 2).sum(axis=-1))
    selectors = (errors[1] < errors[0]).astype(np.int64)
    elements = np.where(selectors[..., None], tried[1], tried[0]).reshape(np.shape(values))
    formats = parse("razer+5"), parse("razer-5")
    return Selected(formats, elements, scales, selectors), codes | selectors << 7


def _select(
    formats: tuple[Format, ...], grouped: Reals, scales: list[Reals], shape: tuple[int, ...]
) -> Selected:
    """The first format of the least squared error for every group; ties of elements go down."""
    codes = [
        encode(f, grouped / s[..., None], "ties-down") for f, s in zip(formats, scales, strict=True)
    ]
    errors = [
        ((decode_float(f, c) * s[..., None] - grouped) ** 2).sum(axis=-1)
        for f, c, s in zip(formats, codes, scales, strict=True)
    ]
    best = np.argmin(np.stack(errors), axis=0)
    chosen = np.take_along_axis(np.stack(codes), best[None, ..., None], axis=0)[0]
    scale = np.take_along_axis(np.stack(scales), best[None], axis=0)[0]
    return Selected(formats, chosen.reshape(shape), scale, best)


def _grouped(values: ArrayLike, group: int | None) -> Reals:
    x = np.asarray(values, dtype=np.float64)
    size = x.shape[-1] if group is None and x.ndim else group
    if x.ndim == 0 or not size or size < 1 or x.shape[-1] % size:
        raise ValueError(
            f"the last axis of shape {x.shape} must be a multiple of the group, {size}"
        )
    if not np.isfinite(x).all():
        raise ValueError("values to quantise must be finite")
    return x.reshape(*x.shape[:-1], -1, size)


def _finite(fmt: Format) -> Reals:
    values = decode_float(fmt, legal_codes(fmt))
    return values[np.isfinite(values)]


def _stored(scales: Reals, scale_type: str) -> Reals:
    """Scales as a memory of that type holds them; where that is 0, they are 1."""
    if scale_type not in ("float16", "float32", "float64"):
        raise ValueError(f"scale_type must be float16, float32 or float64, not {scale_type!r}")
    with np.errstate(over="ignore"):
        rounded = scales.astype(scale_type)
    largest = np.finfo(scale_type).max
    rounded = np.minimum(rounded, largest).astype(np.float64)
    return np.where(rounded == 0, 1.0, rounded)


def _spread(reals: Reals, scales: Reals) -> Reals:
    """``reals`` (..., K) times the scales (..., K / group) of their groups."""
    grouped = reals.reshape(*reals.shape[:-1], scales.shape[-1], -1)
    return (grouped * scales[..., None]).reshape(reals.shape)
