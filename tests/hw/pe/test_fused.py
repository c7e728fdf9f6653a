# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/fused*.py``: the arithmetic as netlists, the units under traffic."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gen.emit import emit
from gen.units.pe import UNIT
from hw.pe.fused_bricks import Bricks
from hw.pe.fused_fields import add_fields, separate_products
from hw.pe.fused_float import Half, next_sum
from hw.pe.params import PEParams
from sim.bench.check import Pass, check, golden_of, passes_for
from sim.bench.netlist import Netlist
from sim.golden.fp import fma
from sim.golden.pe import fused as golden
from tests.hw.pe.netlists import evaluate, netlist, words

ALL4 = np.arange(1 << 8)
ALL8 = np.arange(1 << 16)


def dot(folder, **chosen):
    text, manifest = emit(UNIT, PEParams(arch="fused", core="dot", **chosen), "dut")
    (folder / "dut.v").write_text(text, encoding="utf-8")
    net = Netlist.read([folder / "dut.v"], "dut", folder)

    def equal(a, w, width):
        """Compare the netlist with the golden model, whatever the width's unused bits hold."""
        widths = np.full(len(a), width)
        got = words(net.evaluate({"a": a, "w": w, "width": widths})["p"])
        due = golden.run(manifest["parameters"], {"a": a, "w": w, "width": widths})["p"]
        bits = next(p["width"] for p in manifest["ports"] if p["name"] == "p")
        assert_array_equal(got, np.array([int(v) % (1 << bits) for v in due], dtype=object))

    return equal


def random_words(bits, count, seed=1):
    octets = np.random.default_rng(seed).bytes(bits // 8 * count)
    rows = [
        int.from_bytes(octets[k : k + bits // 8], "little")
        for k in range(0, len(octets), bits // 8)
    ]
    return np.array(rows, dtype=np.int64 if bits < 63 else object)


def signed(codes, bits):
    """The low bits of each code as two's complement."""
    half = 1 << bits - 1
    return (codes & 2 * half - 1 ^ half) - half


def test_weights_exhaustively(tmp_path):
    """Every 8-bit pair; every pair in each place of narrow weights, the others random."""
    equal = dot(tmp_path, format="int8", max_k=31)
    other = random_words(32, len(ALL8)) >> 8 << 8
    equal(ALL8 & 255 | other, ALL8 >> 8, 0)
    rng = np.random.default_rng(2)
    for width, bits in ((1, 4), (2, 2), (7, 2)):
        for place in range(8 // bits):
            size = 1 << 8 + bits
            pairs = np.arange(size)
            mask = 255 << 8 * place
            a = random_words(32, size, place) & ~mask | (pairs & 255) << 8 * place
            w = rng.integers(0, 256, size)
            w = w & ~((1 << bits) - 1 << bits * place) | pairs >> 8 << bits * place
            equal(a, w, width)


@pytest.mark.parametrize("target", ["gates", "xcup"])
def test_both_exhaustively(tmp_path, target):
    equal = dot(tmp_path, format="int8", mode="both", target=target)
    other = random_words(32, len(ALL8)) >> 8 << 8
    equal(ALL8 & 255 | other, ALL8 >> 8 | other, 0)
    for width, bits in ((1, 4), (2, 2), (3, 2), (7, 2)):
        for place in range((8 // bits) ** 2):
            size = 1 << 2 * bits
            pairs = np.tile(np.arange(size), 16)
            mask = (1 << bits) - 1 << bits * place
            a, w = (random_words(32, len(pairs), place + k) & ~mask for k in range(2))
            low, high = pairs & (1 << bits) - 1, pairs >> bits
            equal(a | low << bits * place, w | high << bits * place, width)


def test_both_of_16_bits(tmp_path):
    equal = dot(tmp_path, format="int16", act="int16", mode="both")
    rng = np.random.default_rng(3)
    for width in (0, 1, 2, 3, 4, 7):
        a, w = (random_words(128, 1000, width + k) for k in range(2))
        # Extremes in every place, next to random codes.
        bits = max(2, 16 >> width)
        for word in (a, w):
            for row in range(500):
                code = int(rng.choice([1 << bits - 1, (1 << bits - 1) - 1, 0, (1 << bits) - 1]))
                place = bits * int(rng.integers(0, 256 // bits**2 or 1))
                word[row] = int(word[row]) & ~((1 << bits) - 1 << place) | code << place
            word[0] = sum(1 << bits - 1 << bits * k for k in range(128 // bits))
        equal(a, w, width)


def test_separate_products_of_a_beat(tmp_path):
    equal = dot(tmp_path, format="int8", mode="separate")
    for width in (0, 1, 2, 5):
        equal(random_words(32, 2000, 2 * width), random_words(32, 2000, 2 * width + 1), width)


def test_separate_products_and_sums(tmp_path):
    """All 2- and 4-bit pairs in all places, all 8-bit pairs, onto sums up to the extremes."""
    field = 7  # of 15 products of 2 bits

    def part(m, s):
        bricks = Bricks(m, s["a"], s["w"], s["width"], 8)
        products = separate_products(m, bricks, field)
        return {"acc": add_fields(m, s["sums"], products, bricks)}

    inputs = {"a": 32, "w": 32, "width": 3, "sums": 16 * field}
    net = netlist(tmp_path, inputs, part)
    for width, bits in ((0, 8), (1, 4), (2, 2), (6, 2)):
        count = (8 // bits) ** 2
        size = 16 * field // count
        rows = 1 << 2 * bits if bits == 8 else 4096
        a, w = (random_words(32, rows, width + k) for k in range(2))
        if bits == 8:
            a, w = a >> 8 << 8 | ALL8 & 255, w >> 8 << 8 | ALL8 >> 8
        sums = random_words(16 * field, rows, 9)
        got = evaluate(net, {"a": a, "w": w, "width": np.full(rows, width), "sums": sums})["acc"]
        due = np.zeros(rows, dtype=object)
        for k in range(count):
            x, y = (
                (v >> bits * k & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1) for v in (a, w)
            )
            before = sums >> size * k & (1 << size) - 1
            due = due | ((before + (x * y).astype(object)) % (1 << size)) << size * k
        assert_array_equal(got, due)


@pytest.mark.parametrize("length", [85, 105])
def test_float_step_equals_the_fused_multiply_add(tmp_path, length):
    """Sums so far are multiples of the smallest product; fp16 codes are any."""

    def part(m, s):
        a, w = Half(m, s["a"]), Half(m, s["w"])
        product = a.significand * w.significand
        return {"y": next_sum(m, a, w, product, s["before"], length)}

    net = netlist(tmp_path, {"a": 16, "w": 16, "before": 32}, part)
    rng = np.random.default_rng(length)
    count = 12_000
    x = fma.vectors({"format": "fp16", "result": "fp32"}, rng, count)
    before = rng.integers(79, 79 + length - 3, count) << 23 | rng.integers(0, 1 << 23, count)
    low = np.maximum(0, 79 + 23 - (before >> 23))
    before = (before >> low << low) | rng.integers(0, 2, count) << 31
    # Near minus the product, so that much cancels; zero; and what is not finite.
    minus = fma.run({"format": "fp16", "result": "fp32"}, {**x, "c": np.zeros(count, int)})["y"]
    fits = (minus & 0x7F800000) < 0x7F800000
    before = np.where((rng.random(count) < 0.3) & fits & (minus << 1 != 0), minus ^ 1 << 31, before)
    specials = np.array([0, 0x7F800000, 0xFF800000, 0x7FC00000])
    before = np.where(rng.random(count) < 0.05, rng.choice(specials, count), before)
    before[minus & 0x7FFFFFFF == 0] &= 0x7FFFFFFF
    got = evaluate(net, {"a": x["a"], "w": x["b"], "before": before})["y"]
    due = fma.run({"format": "fp16", "result": "fp32"}, {**x, "c": before})["y"]
    assert_array_equal(got, np.where((due == 1 << 31) & (before == 0), 0, due))


CASES = {
    "weights": {"format": "int8", "max_k": 31},
    "weights-3-lanes": {"format": "int8", "lanes": 3, "max_k": 40, "target": "xcup"},
    "both8": {"format": "int8", "mode": "both", "max_k": 16},
    "separate": {"format": "int8", "mode": "separate", "max_k": 15},
    "float": {"format": "int16", "act": "int16", "mode": "float", "max_k": 16},
}


def run(case, folder, beats=160, passes=None):
    text, manifest = emit(UNIT, PEParams(arch="fused", **case))
    source = folder / "pe.v"
    source.write_text(text, encoding="utf-8")
    stimulus = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(1), beats)
    return check(source, manifest, stimulus, folder / "build", passes=passes or passes_for("all"))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.deep) if n == "float" else n for n in CASES]
)
def test_stream(name, tmp_path):
    # The large units under two stall patterns, the small ones under all.
    few = [Pass("none", "none"), Pass("bursty", "random")]
    large = name in ("float", "separate")
    report = run(CASES[name], tmp_path, 90 if large else 160, few if large else None)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 5
    assert report.passes[0].cycles == report.vectors + 1


@pytest.mark.parametrize("name", ["weights", "both8", "separate"])
def test_accumulate(name, tmp_path):
    passes = [Pass("none", "none")]
    report = run({**CASES[name], "core": "accumulate"}, tmp_path, passes=passes)
    assert report.passed, (report.fault, report.mismatch)


def test_width_of_the_first_beat_holds(tmp_path):
    """Three beats whose fields ``width`` differ are all cut as the first one's says."""
    text, manifest = emit(UNIT, PEParams(arch="fused", format="int8", max_k=31))
    (tmp_path / "pe.v").write_text(text, encoding="utf-8")
    beats = {"a": np.array([0x01020304] * 6), "w": np.array([0x1B] * 6)}
    beats["width"] = np.array([2, 0, 1, 0, 2, 2])
    beats["last"] = np.array([False, False, True] * 2)
    quarters = 3 * (1 * 0 + 2 * 1 + 3 * -2 + 4 * -1)
    due = {"acc": np.array([quarters, 3 * 0x1B * 4], dtype=object)}
    report = check(tmp_path / "pe.v", manifest, beats, tmp_path / "build", expected=due)
    assert report.passed, (report.fault, report.mismatch)


@pytest.mark.parametrize("mode", ["weights", "both"])
def test_longest_extreme_sums_fit(mode, tmp_path):
    """31 beats of the most negative codes in every width; 32 would need a bit more than 20."""
    case = {"format": "int8", "mode": mode, "max_k": 31, "acc_bits": 20}
    text, manifest = emit(UNIT, PEParams(arch="fused", **case))
    (tmp_path / "pe.v").write_text(text, encoding="utf-8")
    low = {8: 0x80808080, 4: 0x88888888, 2: 0xAAAAAAAA}
    widths = np.repeat([0, 1, 2], 31)
    codes = np.array([low[8 >> k] for k in widths])
    beats = {"a": codes, "w": codes, "width": widths, "last": np.arange(93) % 31 == 30}
    due = [128 * 128, 4 * 8 * 8, 16 * 2 * 2]
    if mode == "weights":
        beats |= {"a": np.full(93, low[8]), "w": codes & 255}
        due = [128 * 128, 2 * 128 * 8, 4 * 128 * 2]
    expected = {"acc": 31 * np.array(due)}
    report = check(tmp_path / "pe.v", manifest, beats, tmp_path / "build", expected=expected)
    assert report.passed, (report.fault, report.mismatch)
    assert golden_of(manifest).run(manifest["parameters"], beats)["acc"].tolist() == [
        31 * v for v in due
    ]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"mode": "fast"}, "mode must be one of weights, both, separate, float .* not 'fast'"),
        ({"format": "int4"}, "format must be int8 with arch fused, mode weights, not 'int4'"),
        ({"act": "int4"}, "act must be int8 with arch fused, mode weights, not 'int4'"),
        ({"mode": "both", "act": "int16"}, "act must be that of the weights, int8, .* not 'int16'"),
        ({"mode": "float"}, "format must be int16 with arch fused, mode float, not 'int8'"),
        ({"pipeline": 1}, "pipeline must be 0 with arch fused, not 1"),
        ({"mode": "separate", "lanes": 2}, "lanes must be 1 with arch fused, mode separate, not 2"),
        (
            {"mode": "float", "format": "int16", "act": "int16", "core": "dot"},
            "core must be stream or accumulate with arch fused, mode float, not 'dot'",
        ),
        ({"mode": "separate", "acc_bits": 40}, "acc_bits must not be given .*, not 40"),
        ({"lanes": 2, "acc_bits": 24}, "acc_bits must be at least 25 for 256 beats of 2 lanes"),
        ({"columns": 2}, "columns must not be given with arch fused"),
    ],
)
def test_refusals(chosen, message):
    with pytest.raises(ValueError, match=message):
        PEParams(**{"arch": "fused", "format": "int8", **chosen})


def test_manifest_says_how_wide_sums_are():
    for mode, bits in (("weights", 24), ("separate", 16 * 12)):
        _, manifest = emit(UNIT, PEParams(arch="fused", format="int8", mode=mode))
        port = next(p for p in manifest["ports"] if p["name"] == "o_acc")
        assert port["width"] == manifest["contract"]["acc_bits"] == bits
