# SPDX-License-Identifier: Apache-2.0
"""Block formats against gfloat, exact rational scales and the corner cases of the sheet (E.4)."""

import math
from fractions import Fraction

import numpy as np
import pytest
from gfloat import compute_scale_amax, quantize_block
from gfloat import formats as gfloat_formats
from numpy.testing import assert_array_equal

from sim.golden.blocks import BLOCK_FORMATS, decode_blocks, encode_blocks, parse_block
from sim.golden.formats import decode_float

GFLOAT = {
    "mxfp8_e4m3": gfloat_formats.format_info_mxfp8_e4m3,
    "mxfp8_e5m2": gfloat_formats.format_info_mxfp8_e5m2,
    "mxfp6_e2m3": gfloat_formats.format_info_mxfp6_e2m3,
    "mxfp6_e3m2": gfloat_formats.format_info_mxfp6_e3m2,
    "mxfp4": gfloat_formats.format_info_mxfp4_e2m1,
    "mxint8": gfloat_formats.format_info_mxint8,
}
SHARED = [*(n for n in BLOCK_FORMATS if n.startswith("mx")), "bfp3", "bfp7"]
FLOAT_SCALED = ["nvfp4", "amdfp4", "amdfp4:32"]


def blocks_of(size, count=64, seed=0):
    """Blocks whose magnitudes spread over a few octaves around very different centres."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, size)) * np.exp2(rng.uniform(-3, 3, (count, size)))
    return x * np.exp2(rng.integers(-30, 30, (count, 1)))


def outlier(size):
    x = np.full(size, 0.01)
    x[size // 2] = -1000
    return x


@pytest.mark.parametrize("name", GFLOAT)
def test_mx_equals_gfloat(name):
    fmt, info = parse_block(name), GFLOAT[name]
    x = np.concatenate([blocks_of(32), [outlier(32)], np.full((1, 32), 7.99), np.full((1, 32), -3)])
    got = decode_blocks(encode_blocks(fmt, x))
    expected = np.array([quantize_block(info, row, compute_scale_amax) for row in x])
    if name == "mxint8":  # symmetric here, as in microxcaling
        scale = np.array([compute_scale_amax(info.etype.emax, row) for row in x])[:, None]
        expected = np.maximum(expected, -127 / 64 * scale)
    assert_array_equal(got, expected)


def shared_exponent(fmt, amax, rule):
    """Exponent of the scale by rational arithmetic."""
    amax, largest = Fraction(amax), Fraction(fmt.largest)
    emax = math.floor(math.log2(fmt.largest))
    if rule == "ceil":
        s = -400
        while amax > largest * Fraction(2) ** s:
            s += 1
        return s
    s = -400
    while Fraction(2) ** (s + 1) <= amax:
        s += 1
    if rule == "rne" and (amax / Fraction(2) ** s) ** 2 > 2:
        s += 1
    return s - emax


@pytest.mark.parametrize("rule", ["floor", "ceil", "rne"])
@pytest.mark.parametrize("name", SHARED)
def test_shared_exponent_by_definition(name, rule):
    fmt = parse_block(name)
    x = blocks_of(fmt.size, 24, seed=1)
    edges = [1, 2, fmt.largest, 2 * fmt.largest, math.sqrt(2), 1 / 3]
    edges = [e for edge in edges for e in (edge, np.nextafter(edge, 0), np.nextafter(edge, 9e9))]
    x = np.concatenate([x, [[e] + [0] * (fmt.size - 1) for e in edges]])
    blocks = encode_blocks(fmt, x, rule=rule)
    expected = [shared_exponent(fmt, np.abs(row).max(), rule) + 127 for row in x]
    assert_array_equal(blocks.scales[:, 0], expected)
    if rule == "ceil":
        assert (np.abs(x) <= fmt.largest * decode_float(fmt.scale, blocks.scales)).all()


@pytest.mark.parametrize(
    "name, size, emax, largest, bits",
    [
        ("mxfp8_e4m3", 32, 8, 448, 8.25),
        ("mxfp8_e5m2", 32, 15, 57344, 8.25),
        ("mxfp6_e2m3", 32, 2, 7.5, 6.25),
        ("mxfp6_e3m2", 32, 4, 28, 6.25),
        ("mxfp4", 32, 2, 6, 4.25),
        ("mxint8", 32, 0, 127 / 64, 8.25),
        ("mxint4", 32, 0, 1.75, 4.25),
        ("mxint2", 32, 0, 1, 2.25),
        ("nvfp4", 16, 2, 6, 4.5),
        ("amdfp4", 16, 2, 6, 4.5),
        ("amdfp4:32", 32, 2, 6, 4.25),
        ("bfp3", 16, 0, 1.75, 4.5),
    ],
)
def test_properties_of_the_sheet(name, size, emax, largest, bits):
    fmt = parse_block(name)
    assert (fmt.size, fmt.largest, fmt.bits_per_element) == (size, largest, bits)
    assert math.floor(math.log2(fmt.largest)) == emax


def test_mxfp4_by_hand():
    x = np.zeros(32)
    x[:5] = [7.99, -5, 0.3, 0.24, -0.75]
    blocks = encode_blocks(parse_block("mxfp4"), x)
    assert blocks.scales.tolist() == [127]
    assert blocks.codes[:6].tolist() == [7, 14, 1, 0, 10, 0]
    assert decode_blocks(blocks)[:5].tolist() == [6, -4, 0.5, 0, -1]
    coarser = encode_blocks(parse_block("mxfp4"), x, rule="ceil")
    assert coarser.scales.tolist() == [128]
    assert decode_blocks(coarser)[:5].tolist() == [8, -4, 0, 0, -1]


def test_mxint_by_hand():
    x = np.zeros(32)
    x[:4] = [1.999, -1.999, 0.5, -1 / 128]
    blocks = encode_blocks(parse_block("mxint8"), x)
    assert decode_blocks(blocks)[:4].tolist() == [127 / 64, -127 / 64, 0.5, 0]
    blocks = encode_blocks(parse_block("mxint4"), x)
    assert decode_blocks(blocks)[:4].tolist() == [1.75, -1.75, 0.5, 0]
    blocks = encode_blocks(parse_block("mxint2"), x)
    assert decode_blocks(blocks)[:4].tolist() == [1, -1, 0, 0]


@pytest.mark.parametrize("m", [1, 3, 7, 15])
def test_bfp_follows_the_formula(m):
    fmt = parse_block(f"bfp{m}")
    x = blocks_of(16, seed=2)
    shared = np.floor(np.log2(np.abs(x).max(axis=-1, keepdims=True)))
    mantissa = np.minimum(np.rint(np.abs(x) * np.exp2(m - 1 - shared)), 2**m - 1)
    expected = np.sign(x) * mantissa * np.exp2(shared - m + 1)
    assert_array_equal(decode_blocks(encode_blocks(fmt, x)), expected)


@pytest.mark.parametrize("name", SHARED)
def test_largest_shared_exponent(name):
    fmt = parse_block(name)
    top = 2.0 ** (127 + math.floor(math.log2(fmt.largest)))
    x = np.zeros((3, fmt.size))
    x[:, 0] = top, np.nextafter(2 * top, 0), 2 * top
    assert encode_blocks(fmt, x).scales[:, 0].tolist() == [254, 254, 255]


@pytest.mark.parametrize("name", SHARED)
def test_corners_of_a_shared_exponent(name):
    fmt = parse_block(name)
    n = fmt.size
    x = np.zeros((6, n))
    x[0, 1] = -0.0
    x[1, 0], x[1, 1] = np.nan, 3
    x[2, 0] = -np.inf
    x[3, 0], x[3, 1] = 1e300, -1e300
    x[4, 0], x[4, 1] = 2.0**-140, -(2.0**-127)
    x[5, 0] = 5e-324
    blocks = encode_blocks(fmt, x)
    assert blocks.scales[:, 0].tolist()[:4] == [0, 255, 255, 255]
    assert not blocks.codes[:4].any()
    values = decode_blocks(blocks)
    assert not values[0].any() and np.isnan(values[1:4]).all()
    assert blocks.scales[4:, 0].tolist() == [0, 0]
    exact = np.clip(x[4:, :2] * 2.0**127, -fmt.largest, fmt.largest)
    step = 2.0 ** (fmt.element.lam - fmt.fraction)
    assert (np.abs(values[4:, :2] * 2.0**127 - exact) <= step / 2).all()


# -- minifloat scales -----------------------------------------------------------------------------


def nearest(grid, x):
    """Nearest member of an ascending grid; the tie goes to the even index."""
    i = np.clip(np.searchsorted(grid, x), 1, len(grid) - 1)
    below, above = x - grid[i - 1], grid[i] - x
    up = (above < below) | ((above == below) & (i % 2 == 0))
    return grid[i - 1 + up]


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
SCALES = {
    "nvfp4": np.array(
        [c / 512 if c < 8 else (8 + c % 8) * 2.0 ** (c // 8 - 10) for c in range(127)]
    ),
    "amdfp4": np.array(
        [c / 2**17 if c < 8 else (8 + c % 8) * 2.0 ** (c // 8 - 18) for c in range(255)]
    ),
}


def quantised(x, unit):
    return np.sign(x) * nearest(E2M1, np.minimum(np.abs(x) / unit, 6)) * unit


@pytest.mark.parametrize("tensor_scale", [None, 1.0, 0.125])
@pytest.mark.parametrize("rule", ["amax", "4over6"])
@pytest.mark.parametrize("name", FLOAT_SCALED)
def test_minifloat_scales_follow_the_recipe(name, rule, tensor_scale):
    fmt = parse_block(name)
    x = blocks_of(fmt.size, seed=3) * 2.0**-20
    x[0] = 0
    x[1:30] *= np.abs(x[30:]).max() / np.abs(x[1:30]).max(axis=-1, keepdims=True)
    grid = SCALES[name.partition(":")[0]]
    g = np.float32(np.abs(x).max() / (6 * grid[-1])) if tensor_scale is None else tensor_scale
    g = float(g)
    best = np.full(len(x), np.inf)
    expected = np.zeros_like(x)
    for top in (6,) if rule == "amax" else (6, 4):
        amax = np.abs(x).max(axis=-1)
        b = nearest(grid, np.clip(amax / (top * g), grid[1], grid[-1]))
        y = quantised(x, (b * g)[:, None])
        error = ((y - x) ** 2).sum(axis=-1)
        expected = np.where((error < best)[:, None], y, expected)
        best = np.minimum(error, best)
    blocks = encode_blocks(fmt, x, rule=rule, tensor_scale=tensor_scale)
    assert blocks.tensor_scale == g
    assert_array_equal(decode_blocks(blocks), expected)


@pytest.mark.parametrize("name", FLOAT_SCALED)
def test_corners_of_a_minifloat_scale(name):
    fmt = parse_block(name)
    x = np.zeros((4, fmt.size))
    x[1, 0], x[2, 1], x[3, :2] = np.nan, np.inf, (1e300, -1)
    for rule in fmt.rules:
        blocks = encode_blocks(fmt, x, rule=rule)
        nan = {"nvfp4": 0x7F}.get(name, 0xFF)
        assert blocks.scales[:, 0].tolist() == [1, nan, nan, nan - 1]
        assert not blocks.codes[:3].any()
        values = decode_blocks(blocks)
        assert not values[0].any() and np.isnan(values[1:3]).all()
        assert values[3, 0] == 6 * SCALES[name.partition(":")[0]][-1]
    assert encode_blocks(fmt, np.zeros_like(x), tensor_scale=None).tensor_scale == 1


def test_four_over_six_prefers_six_when_equal():
    x = np.zeros(16)
    x[0] = 12
    blocks = encode_blocks(parse_block("nvfp4"), x, rule="4over6")
    assert decode_float(parse_block("nvfp4").scale, blocks.scales) == 2
    assert blocks.codes[0] == 7


def test_rounding_of_elements_is_a_parameter():
    x = np.zeros(32)
    x[:3] = [4, 2.5, -2.5]
    modes = {"rne": [2, -2], "rha": [3, -3], "rtz": [2, -2], "ties-down": [2, -3]}
    for mode, expected in modes.items():
        blocks = encode_blocks(parse_block("mxfp4"), x, mode)
        assert decode_blocks(blocks)[1:3].tolist() == expected


def test_shapes():
    x = blocks_of(64, 6).reshape(2, 3, 64)
    blocks = encode_blocks(parse_block("mxfp4"), x)
    assert blocks.codes.shape == (2, 3, 64) and blocks.scales.shape == (2, 3, 2)
    flat = decode_blocks(encode_blocks(parse_block("mxfp4"), x.reshape(-1, 32)))
    assert_array_equal(decode_blocks(blocks), flat.reshape(x.shape))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: parse_block("mxfp5"), "unknown block format 'mxfp5'; there are mxfp8_e4m3"),
        (lambda: parse_block("bfp0"), "unknown block format 'bfp0'"),
        (lambda: parse_block("mxfp4:0"), "a block has at least 1 element"),
        (lambda: encode_blocks(parse_block("mxfp4"), np.zeros(33)), r"shape \(33,\) must be a mul"),
        (lambda: encode_blocks(parse_block("mxfp4"), 1.0), r"shape \(\) must be a multiple"),
        (lambda: encode_blocks(parse_block("mxfp4"), np.zeros(32), rule="amax"), "not 'amax'"),
        (lambda: encode_blocks(parse_block("nvfp4"), np.zeros(16), tensor_scale=0), "not 0"),
        (lambda: encode_blocks(parse_block("mxfp4"), np.zeros(32), tensor_scale=None), "no tensor"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
