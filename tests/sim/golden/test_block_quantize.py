# SPDX-License-Identifier: Apache-2.0
"""The model of ``block-quantize`` against gfloat, ml_dtypes and exact fractions."""

from fractions import Fraction
from itertools import product

import ml_dtypes
import numpy as np
import pytest
from gfloat import compute_scale_amax, quantize_block
from gfloat import formats as gfloat_formats
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.block_quantize import SPECIALS, default_size, run, vectors
from sim.golden.blocks import BlockFormat, parse_block
from sim.golden.formats import decode_float

GFLOAT = {
    "mxfp8_e4m3": gfloat_formats.format_info_mxfp8_e4m3,
    "mxfp8_e5m2": gfloat_formats.format_info_mxfp8_e5m2,
    "mxfp6_e2m3": gfloat_formats.format_info_mxfp6_e2m3,
    "mxfp6_e3m2": gfloat_formats.format_info_mxfp6_e3m2,
    "mxfp4": gfloat_formats.format_info_mxfp4_e2m1,
}
#: Values of a grid in units of 1/2, by code; the special value is put on the code of -0.
E2M1 = (0, 1, 2, 3, 4, 6, 8, 12, None, -1, -2, -3, -4, -6, -8, -12)
FP3 = (0, 2, 4, 8, None, -2, -4, -8)
DOUBLED = {
    "bitmod3": (6, -6, 12, -12),
    "bitmod4": (10, -10, 16, -16),
    "razer_w": (10, -10, 16, -16),
}


def beats_of(parameters, count=80, seed=1):
    beats = vectors(parameters, np.random.default_rng(seed), count)
    return beats, run(parameters, beats)


def reals_of(source, codes):
    kind = {"fp32": np.float32, "fp16": np.float16, "bf16": ml_dtypes.bfloat16}[source]
    with np.errstate(invalid="ignore"):
        return codes.astype(f"u{np.dtype(kind).itemsize}").view(kind).astype(np.float64)


def integers_of(codes, bits):
    return [[v - (v >> bits - 1 << bits) for v in map(int, row)] for row in codes]


@pytest.mark.parametrize("source", ["fp16", "fp32"])
@pytest.mark.parametrize("name", GFLOAT)
def test_mx_equals_gfloat(name, source):
    beats, got = beats_of({"block": name, "source": source, "size": 32})
    x, fmt = reals_of(source, beats["x"]), parse_block(name)
    finite = np.isfinite(x).all(axis=1)
    # gfloat has no scale below 2**-127 for what lies there.
    ordinary = finite & (np.abs(np.where(np.isfinite(x), x, 0)).max(axis=1) > 2.0**-110)
    assert ordinary.sum() > 40
    values = decode_float(fmt.element, got["q"]) * np.exp2(got["s"][:, None] - 127.0)
    expected = [quantize_block(GFLOAT[name], row, compute_scale_amax) for row in x[ordinary]]
    assert_array_equal(values[ordinary], np.array(expected))
    assert (got["s"][~finite] == 255).all() and (got["q"][~finite] == 0).all()
    assert got["s"][:2].tolist() == [0, 0] and not got["q"][:2].any()


@pytest.mark.parametrize("rule", [None, "4over6"])
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("source", ["fp16", "fp32"])
def test_nvfp4_by_fractions(source, tensor, rule):
    parameters = {"block": "nvfp4", "source": source, "size": 8, "tensor_scale": tensor}
    beats, got = beats_of({**parameters, "scale_rule": rule})
    x = reals_of(source, beats["x"])
    g = reals_of("fp32", beats["g"]) if tensor else np.ones(len(x))
    ue4m3 = [Fraction(v) for v in decode_float(parse("ue4m3"), np.arange(127))]
    four = 0
    for row, scale, q, s in zip(x, g, got["q"], got["s"], strict=True):
        if not np.isfinite(row).all():
            assert s == 127 and not q.any()
            continue
        t = [Fraction(float(v)) / Fraction(float(scale)) for v in row]
        tried = []
        for largest in (6, 4) if rule else (6,):
            want = min(max(max(map(abs, t)) / largest, ue4m3[1]), ue4m3[126])
            code = min(range(1, 127), key=lambda c: (abs(ue4m3[c] - want), c & 1))
            codes = [element(v / ue4m3[code]) for v in t]
            errors = [(ue4m3[code] * halves(c) - v) ** 2 for c, v in zip(codes, t, strict=True)]
            tried.append((sum(errors), codes, code))
        best = tried[-1] if tried[-1][0] < tried[0][0] else tried[0]
        four += best is not tried[0]
        assert int(s) == best[2]
        assert [halves(c) for c in q.tolist()] == [halves(c) for c in best[1]]
    assert rule is None or four > 5


def halves(code: int) -> Fraction:
    return Fraction(E2M1[code] or 0, 2)


def element(t: Fraction) -> int:
    """E2M1 code by the decision points of the sheet (A.4)."""
    points = [(1, 0), (3, 2), (5, 2), (7, 4), (10, 4), (14, 6), (20, 6)]  # and who takes the tie
    code, quarters = 0, 4 * abs(t)
    for number, (point, even) in enumerate(points):
        code = number + 1 if quarters > point else even if quarters == point else code
    return code | (8 if t < 0 else 0)


def brute(book, top, x):
    """Codes and error of integers on a grid, scaled so that ``amax`` is worth ``top``."""
    amax, codes, error = max(map(abs, x)), [], Fraction(0)
    for v in x:
        t = Fraction(v * top, amax)
        distance = {c: abs(t - value) for c, value in enumerate(book)}
        # Ties go down; of equal values the lowest code.
        best = min(distance, key=lambda c: (distance[c], book[c], c))
        codes.append(best)
        error += ((book[best] - t) * amax / top) ** 2
    return codes, error


@pytest.mark.parametrize("bits, size", [(16, 8), (8, 4)])
@pytest.mark.parametrize("block", SPECIALS)
def test_selected_grids_by_brute_force(block, bits, size):
    beats, got = beats_of({"block": block, "source": f"int{bits}", "size": size}, 120)
    base = FP3 if block == "bitmod3" else E2M1
    for row, q, s, sel in zip(
        integers_of(beats["x"], bits), got["q"], got["s"], got["sel"], strict=True
    ):
        amax = max(map(abs, row))
        assert s == amax
        if amax == 0:
            assert sel == 0 and not q.any()
            continue
        tried = []
        for special in DOUBLED[block]:
            book = [special if v is None else v for v in base]
            tried.append(brute(book, max(map(abs, book)), row))
        errors = [error for _, error in tried]
        assert sel == errors.index(min(errors))
        assert q.tolist() == tried[sel][0]
    assert set(got["sel"].tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("bits, size", [(16, 8), (8, 4)])
def test_razer_activations_by_brute_force(bits, size):
    parameters = {"block": "razer_a", "source": f"int{bits}", "size": size}
    beats, got = beats_of(parameters, 120)
    for row, q, s, sel in zip(
        integers_of(beats["x"], bits), got["q"], got["s"], got["sel"], strict=True
    ):
        amax = max(map(abs, row))
        assert s == amax
        if amax == 0:
            assert sel == 0 and not q.any()
            continue
        tried = []
        for special in (5, -5):
            codes, error = [], Fraction(0)
            for t in (Fraction(6 * v, amax) for v in row):
                plain = element(t)
                keep = abs(t - halves(plain)) < abs(t - special)
                codes.append((plain if halves(plain) else 0) if keep else 8)
                error += (t - (halves(plain) if keep else special)) ** 2
            tried.append((error, codes))
        assert sel == (tried[1][0] < tried[0][0])
        assert q.tolist() == tried[sel][1]
    assert set(got["sel"].tolist()) == {0, 1}


def olive(codes, block):
    """Values of pairs of codes as the decoder of the sheet reads them (A.13)."""
    mark, bits, bias, y = (8, 4, 2, 1) if block == "olive4" else (128, 8, 4, 3)
    values = []
    for pair in zip(codes[::2], codes[1::2], strict=True):
        for own, other in (pair, pair[::-1]):
            magnitude = own & mark - 1
            abfloat = (1 << y) + magnitude % (1 << y) << (magnitude >> y) + bias
            outlier = -abfloat if own & mark else abfloat
            normal = own - (own >> bits - 1 << bits)
            values.append(0 if own == mark else outlier if other == mark else normal)
    return values


@pytest.mark.parametrize("block, normal, least, most", [
    ("olive4", 7, 12, 96), ("olive8", 127, 144, 1 << 15),
])  # fmt: skip
def test_olive_pairs(block, normal, least, most):
    edges = [0, 1, normal, normal + 1, least, least + 1, most - 1, most, 2 * most, 22, 28, 40, 1000]
    edges = [v for v in (*edges, *(-v for v in edges)) if -(1 << 15) <= v < 1 << 15]
    pairs = list(product(edges, repeat=2))
    x = np.array([[v & 0xFFFF for v in pair] for pair in pairs])
    q = run({"block": block, "source": "int16", "size": 2}, {"x": x})["q"]
    y = 1 if block == "olive4" else 3
    floats = [(1 << y) + m << e + (2 if y == 1 else 4) for e in range(16) for m in range(1 << y)]
    floats = sorted(v for v in floats if least <= v <= most)
    assert floats[0] == least
    if block == "olive4":
        table = decode_float(parse("abfloat4_2"), np.arange(1, 8))
        assert floats == table.tolist()
    for pair, codes in zip(pairs, q.tolist(), strict=True):
        got = olive(codes, block)
        large = [abs(v) > normal for v in pair]
        if not any(large):
            assert got == list(pair)
            continue
        keep = max((0, 1), key=lambda k: (abs(pair[k]), -k))
        size = min(floats, key=lambda v: (abs(v - abs(pair[keep])), v))
        assert got[keep] == (size if pair[keep] > 0 else -size)
        assert got[1 - keep] == 0 and codes[1 - keep] == (8 if block == "olive4" else 128)


def test_bfp_clips_its_mantissa():
    """BFP(m), sheet A.6: round(|x| * 2**(m-1-E)), at most 2**m - 1."""
    x = np.array([[1.96875, -1.0, 0.3125, 0.1875]], dtype=np.float32)
    got = run({"block": "bfp3", "source": "fp32", "size": 4}, {"x": x.view(np.uint32)})
    assert got["s"].tolist() == [127]
    assert got["q"].tolist() == [[7, 8 | 4, 1, 1]]  # units of 1/4: 7.875 clipped, 1.25, 0.75


def test_sizes_and_shapes():
    blocks = ("mxfp4", "nvfp4", "bfp4", "razer_w", "bitmod3", "olive8")
    assert [default_size(b) for b in blocks] == [32, 16, 16, 16, 128, 2]
    assert isinstance(parse_block("mxint8:4"), BlockFormat)
    for block, source in (("mxint4", "bf16"), ("olive8", "int16"), ("bitmod4", "int8")):
        parameters = {"block": block, "source": source, "size": 4}
        beats, got = beats_of(parameters, 7)
        assert beats["x"].shape == got["q"].shape == (7, 4)
