# SPDX-License-Identifier: Apache-2.0
"""The unit ``dequant``: its adder and conversion against numpy, streams under stalls, refusals."""

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from numpy.testing import assert_array_equal

from gen import yosys
from gen.emit import emit
from gen.unit import discover
from hw.quant.dequant_params import DequantParams
from hw.quant.fp32 import NAN, Fp32Add, rounded
from sim.bench.check import Pass, check, golden_of
from sim.bench.netlist import Netlist

UNIT = discover()["dequant"]


def netlist(design, ports, folder):
    text = yosys.to_verilog(rtlil.convert(design, ports=ports, emit_src=False))
    (folder / "top.v").write_text(text)
    return Netlist.read([folder / "top.v"], "top", folder)


def words(bits):
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))


def singles(codes):
    return codes.astype(np.uint32).view(np.float32)


def canonical(reals):
    """Codes of float32, with one NaN and one zero."""
    codes = reals.view(np.uint32).astype(np.int64)
    return np.where(np.isnan(reals), NAN, np.where(reals == 0, 0, codes))


def pairs(subnormals):
    rng = np.random.default_rng(1)
    exponents = (0, 1, 2, 22, 23, 24, 25, 26, 120, 127, 128, 253, 254, 255)
    mantissas = (0, 1, 2, 3, 0x400000, 0x7FFFFE, 0x7FFFFF, 0x2AAAAA)
    corners = np.array([e << 23 | f for e in exponents for f in mantissas])
    corners = np.concatenate([corners, corners | 1 << 31])
    a, b = (grid.ravel() for grid in np.meshgrid(corners, corners))
    near = rng.integers(0, 1 << 32, 60_000)
    # Neighbouring exponents, where sums cancel and round.
    other = near + (rng.integers(-28, 29, near.size) << 23) + rng.integers(-3, 4, near.size)
    other = (other ^ rng.integers(0, 2, near.size) << 31) % (1 << 32)
    a, b = np.concatenate([a, near]), np.concatenate([b, other])
    if not subnormals:
        # Integers of 2**-60: no sum of them is subnormal.
        lowest = (a >> 23 & 255) > 67, (b >> 23 & 255) > 67
        a, b = np.where(lowest[0], a, a & 1 << 31), np.where(lowest[1], b, b & 1 << 31)
        fine = (np.abs(singles(a)) < 2.0**-37) & (np.abs(singles(b)) < 2.0**-37)
        a, b = np.where(fine, a & ~0xFF, a), np.where(fine, b & ~0xFF, b)
    return a, b


@pytest.mark.parametrize("subnormals", [True, False])
def test_sums_of_floats_equal_numpy(subnormals, tmp_path):
    adder = Fp32Add(subnormals)
    net = netlist(adder, [adder.a, adder.b, adder.y], tmp_path)
    a, b = pairs(subnormals)
    with np.errstate(all="ignore"):
        due = canonical(singles(a) + singles(b))
    assert_array_equal(words(net.evaluate({"a": a, "b": b})["y"]), due)


@pytest.mark.parametrize(
    "bits, offset", [(31, -20), (31, -149 - 20), (31, 90), (12, -155), (24, 0)]
)
def test_conversion_equals_numpy(bits, offset, tmp_path):
    m = Module()
    magnitude, exponent = Signal(bits, name="magnitude"), Signal(6, name="exponent")
    y = Signal(31, name="y")
    m.d.comb += y.eq(rounded(m, magnitude, exponent, offset, offset, offset + 63))
    net = netlist(m, [magnitude, exponent, y], tmp_path)
    rng = np.random.default_rng(2)
    lengths = rng.integers(0, bits, 40_000, endpoint=True)
    value = rng.integers(0, 1 << 62, lengths.size) & (1 << lengths) - 1
    ties = rng.integers(0, 3, lengths.size)
    value = np.where(ties == 0, (value | 1) << np.maximum(bits - 27, 0) & (1 << bits) - 1, value)
    places = rng.integers(0, 64, lengths.size)
    with np.errstate(all="ignore"):
        # Fewer than 53 bits, and no float64 is subnormal here: rounded once.
        due = np.ldexp(value.astype(np.float64), places + offset).astype(np.float32)
    got = net.evaluate({"magnitude": value, "exponent": places})["y"]
    assert_array_equal(words(got), canonical(due))


STREAMS = [
    {"acc_bits": 31},
    {"scale": "e8m0", "act_scale": "e8m0"},
    {"scale": "ue4m3", "act_scale": "ue4m3", "lam": -2, "acc_bits": 14},
    {"scale": "bf16", "act_scale": "fp16", "lam": -60, "acc_bits": 12},
    {"scale": "int8", "zero_point": True, "acc_bits": 10},
    {"scale": "int8", "sum": "fp32-seq", "target": "fpga"},
    {"sum": "exact", "acc_bits": 9, "zero_point": True},
    {"scale": "ue5m3", "sum": "exact", "act_scale": "int8", "blocks": 2, "acc_bits": 10},
    {"sum": "fp32-tree", "blocks": 4, "scale": "e8m0", "acc_bits": 12},
    {"blocks": 2, "zero_point": True, "scale": "ue5m3", "lam": -10, "acc_bits": 12},
    {"scale": "bf16", "sum": "fp32-tree", "blocks": 2, "act_scale": "bf16", "target": "fpga"},
]
QUICK = (0, 1, 3, 4, 6, 8)


@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.deep) for n in range(len(STREAMS))],
)
def test_streams(number, tmp_path):
    case = STREAMS[number]
    text, manifest = emit(UNIT, DequantParams(**case))
    (tmp_path / "dut.v").write_text(text)
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(3), 220)
    passes = [Pass("none", "none"), Pass("random", "bursty"), Pass("none", "slow")]
    report = check(tmp_path / "dut.v", manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 20
    assert report.passes[0].cycles == 220 + manifest["latency"]


def test_products_with_special_scales_equal_numpy(tmp_path):
    """Zeros, infinities and NaN of both scales, as numpy multiplies them."""
    specials = {
        "fp16": (0, 0x8000, 0x3C00, 0xBC00, 0x7C00, 0xFC00, 0x7C01, 1),
        "bf16": (0, 0x8000, 0x3F80, 0xBF80, 0x7F80, 0xFF80, 0x7FC0, 0x3F00),
    }
    grid = np.meshgrid([0, 1, -1], specials["fp16"], specials["bf16"])
    p, s, t = (axis.ravel() for axis in grid)
    halves = s.astype(np.uint16).view(np.float16).astype(np.float64)
    brains = singles(t << 16).astype(np.float64)
    with np.errstate(all="ignore"):
        due = canonical((p * halves * brains).astype(np.float32)).astype(object)
    text, manifest = emit(UNIT, DequantParams(acc_bits=2, scale="fp16", act_scale="bf16"))
    (tmp_path / "dut.v").write_text(text)
    beats = {"p": p, "s": s, "t": t, "last": np.ones(p.size, dtype=bool)}
    where, expected = tmp_path / "build", {"y": due}
    report = check(tmp_path / "dut.v", manifest, beats, where, expected=expected)
    assert report.passed, (report.fault, report.mismatch)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"scale": "e4m3"}, "scale must be one of e8m0, .*, int8, not 'e4m3'"),
        ({"act_scale": "fp32"}, "act_scale must be one of e8m0, .*, int8, not 'fp32'"),
        ({"sum": "tree"}, "sum must be one of exact, fp32-seq, fp32-tree, not 'tree'"),
        ({"sum": "exact", "scale": "bf16"}, "scale must be ue4m3, .* sum is exact, not 'bf16'"),
        ({"scale": "int8", "act_scale": "e8m0"}, "act_scale must be ue4m3, .*, not 'e8m0'"),
        ({"sum": "fp32-tree", "blocks": 3}, "blocks must be a power of two .* fp32-tree, not 3"),
        ({"acc_bits": 1}, "acc_bits must be an integer from 2 to 1024, not 1"),
        ({"lam": 301}, "lam must be an integer from -300 to 300, not 301"),
        ({"blocks": 0}, "blocks must be an integer from 1 to 64, not 0"),
        ({"max_groups": 0}, "max_groups must be an integer from 1 to 1048576, not 0"),
        ({"target": "asic"}, "target must be one of gates, fpga, not 'asic'"),
    ],
)
def test_refusals(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        DequantParams(**wrong)
    assert "\n" not in str(caught.value)
