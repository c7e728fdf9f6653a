# SPDX-License-Identifier: Apache-2.0
"""The golden model of ``fused`` against sums of products in plain numpy, and exact fractions."""

from fractions import Fraction

import numpy as np
import pytest

from sim.golden.pe import fused
from sim.golden.pe.fused import add_fp16_product, field_bits, run, vectors

MODES = {"weights": 8, "both": 8, "separate": 8, "float": 16, "both16": 16}


def parameters(name, **more):
    """Parameters of one case; ``both16`` is mode ``both`` with 16 bits."""
    mode, fmt = name.removesuffix("16"), f"int{MODES[name]}"
    return {"mode": mode, "format": fmt, "act": fmt, "lanes": 1, "max_k": 64} | more


def join(codes, bits):
    """One word of an array of signed integers."""
    return sum((int(code) & (1 << bits) - 1) << bits * k for k, code in enumerate(codes))


def result(p, a, w, width, **marks):
    marks = marks or {"last": [True] * len(a)}
    return run(p, {"a": np.array(a, object), "w": np.array(w, object), "width": width, **marks})


@pytest.mark.parametrize("width, count", [(0, 1), (1, 2), (2, 4), (3, 4), (7, 4)])
def test_mode_weights(width, count):
    """``count`` weights of 8 / count bits times the first activations of the word."""
    rng = np.random.default_rng(width)
    size = 8 // count
    a = rng.integers(-128, 128, (40, 4))
    w = rng.integers(-(1 << size - 1), 1 << size - 1, (40, count))
    a[:2], w[:2] = -128, -(1 << size - 1)
    words = [join(row, 8) for row in a], [join(row, size) for row in w]
    got = result(parameters("weights"), *words, [width] * 40)["acc"]
    assert got.tolist() == (a[:, :count] * w).sum(axis=1).tolist()
    assert got[0] == count << 7 + size - 1


@pytest.mark.parametrize("name, bits", [("both", 8), ("both16", 16), ("float", 16)])
@pytest.mark.parametrize("width", [0, 1, 2, 3, 5, 7])
def test_mode_both(name, bits, width):
    each = max(2, bits >> width)
    count = (bits // each) ** 2
    rng = np.random.default_rng(width)
    a, w = rng.integers(-(1 << each - 1), 1 << each - 1, (2, 40, count))
    a[0] = w[0] = -(1 << each - 1)
    junk = bits * bits // 2 - count * each  # unused bits above, of which the model takes no notice
    high = [int(v) << count * each for v in rng.integers(0, 1 << min(junk, 20), 40)]
    words = [[join(row, each) | h for row, h in zip(x, high, strict=True)] for x in (a, w)]
    got = result(parameters(name), *words, [width] * 40)
    assert got["acc"].tolist() == (a * w).sum(axis=1).tolist()
    assert got["acc"][0] == count << 2 * each - 2
    assert "y" not in got or not got["y"].any()


def test_mode_separate():
    """As ``both``, but every product has a field of its own: 16, 4 or 1 fields wide."""
    p = parameters("separate", max_k=5)
    field = field_bits(5)
    rng = np.random.default_rng(1)
    for width, each in ((0, 8), (1, 4), (2, 2), (6, 2)):
        count = (8 // each) ** 2
        a, w = rng.integers(-(1 << each - 1), 1 << each - 1, (2, 5, count))
        a[:, 0] = -(1 << each - 1)
        w[:, 0] = a[:, 0]  # the largest sum that there can be
        words = ([join(row, each) for row in x] for x in (a, w))
        got = result(p, *words, [width] * 5, last=[0, 0, 0, 0, 1])["acc"]
        sums = (a * w).sum(axis=0)
        wide = 16 // count * field
        assert all(-(1 << wide - 1) <= s < 1 << wide - 1 for s in sums)
        assert got[0] & (1 << 16 * field) - 1 == join(sums, wide)
        assert -(1 << 16 * field - 1) <= got[0] < 1 << 16 * field - 1


@pytest.mark.parametrize("max_k, bits", [(1, 4), (2, 5), (3, 5), (256, 12)])
def test_fields_of_mode_separate(max_k, bits):
    assert field_bits(max_k) == bits


def test_sums_run_over_lanes_and_beats():
    p = parameters("both", lanes=3)
    rng = np.random.default_rng(2)
    a, w = rng.integers(-8, 8, (2, 9, 3, 4))
    words = [[[join(row, 4) for row in beat] for beat in x] for x in (a, w)]
    last = np.array([0, 1, 0, 0, 1, 1, 0, 0, 0])
    each = (a * w).sum(axis=(1, 2))
    got = result(p, *words, [1] * 9, last=last)["acc"]
    assert got.tolist() == [each[:2].sum(), each[2:5].sum(), each[5]]
    got = result(p | {"core": "accumulate"}, *words, [1] * 9, clr=np.append(0, last[:-1]))["acc"]
    assert got.tolist() == [*each[:2].cumsum(), *each[2:5].cumsum(), each[5], *each[6:].cumsum()]
    got = result(p | {"core": "dot"}, *words, [1] * 9, none=[])["p"]
    assert got.tolist() == each.tolist()


@pytest.mark.parametrize("core", ["stream", "accumulate"])
def test_the_width_of_the_first_beat_counts(core):
    p = parameters("both", core=core)
    marks = {"last": [0, 0, 1, 0, 1]} if core == "stream" else {"clr": [1, 0, 0, 1, 0]}
    got, want = (
        result(p, [0x8081] * 5, [0x7F82] * 5, widths, **marks)["acc"].tolist()
        for widths in ([1, 0, 2, 0, 1], [1, 1, 1, 0, 0])
    )
    assert got == want


def test_float_sums_are_rounded_like_float32():
    """float64 holds most of these sums exactly; its cast to float32 then rounds only once."""
    rng = np.random.default_rng(3)
    compared = rounded = 0
    for _ in range(40):
        codes = (rng.integers(4, 28, (2, 64)) << 10 | rng.integers(0, 1 << 10, (2, 64))).astype(
            np.uint16
        ) ^ rng.integers(0, 2, (2, 64)).astype(np.uint16) << 15
        a, w = codes.view(np.float16).astype(np.float64)
        total = 0.0
        for x, y in zip(a, w, strict=True):
            exact = Fraction(x) * Fraction(y) + Fraction(total)
            got = add_fp16_product(total, x, y)
            if Fraction(float(exact)) == exact:
                assert got == np.float32(float(exact))
                compared, rounded = compared + 1, rounded + (Fraction(got) != exact)
            else:  # one of the two nearest
                assert abs(Fraction(got) - exact) <= abs(exact) / (1 << 24)
            total = got
    assert compared > 2000 and rounded > 500


@pytest.mark.parametrize(
    "total, a, w, rounded",
    [
        (2.0**24, 1.0, 1.0, 2.0**24),  # a tie to the even one below
        (2.0**24 + 2, 1.0, 1.0, 2.0**24 + 4),  # a tie to the even one above
        (2.0**24, 1.0, 1.0009765625, 2.0**24 + 2),
        (2.0**25 - 2, 1.0, 1.0, 2.0**25),  # a tie that carries into the exponent
        (-(2.0**24) - 2, 1.0, -1.0, -(2.0**24) - 4),
        (2.0**24, 2.0**-24, 2.0**-24, 2.0**24),
    ],
)
def test_float_ties(total, a, w, rounded):
    assert add_fp16_product(total, a, w) == rounded == np.float32(rounded)


def floats(a, w, last, **more):
    words = {"a": np.array(a), "w": np.array(w), "width": [4] * len(a), "last": last}
    got = run(parameters("float", **more), words)
    assert not got["acc"].any()
    return [f"{code:08x}" for code in got["y"]]


def test_float_specials():
    one, inf, nan, zero = 0x3C00, 0x7C00, 0x7E01, 0x8000
    assert floats([one, one], [zero, one], [1, 1]) == ["00000000", "3f800000"]
    assert floats([inf], [zero], [1]) == ["7fc00000"]
    assert floats([inf, inf | 0x8000], [one, one], [0, 1]) == ["7fc00000"]
    assert floats([inf | 0x8000, one], [one, one], [0, 1]) == ["ff800000"]
    assert floats([nan, one, one], [one, one, one], [0, 1, 1]) == ["7fc00000", "3f800000"]
    assert floats([one, one], [one, one | 0x8000], [0, 1]) == ["00000000"]
    assert floats([1], [1], [1]) == [f"{127 - 48 << 23:08x}"]


def test_high_bits_are_no_floats():
    assert floats([0x3C00 | 0xABCD << 16], [0x4000 | 1 << 127], [1]) == ["40000000"]


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("core", ["stream", "accumulate", "dot"])
def test_vectors(name, core):
    p = parameters(name, max_k=6, core=core, lanes=2 if name in ("both", "weights") else 1)
    beats = vectors(p, np.random.default_rng(4), 900)
    assert all(len(v) == 900 for v in beats.values())
    assert set(beats["width"].tolist()) >= {0, 1, 2, 3}
    marks = {"stream": {"last"}, "accumulate": {"clr"}, "dot": set()}[core]
    assert set(beats) == {"a", "w", "width"} | marks
    got = run(p, beats)
    output = got["p" if core == "dot" else "acc"]
    assert len(output) == (beats["last"].sum() if core == "stream" else 900)
    if name != "separate":
        words = p["lanes"] if core == "dot" else 6
        assert max(output) == words << 2 * MODES[name] - 2
        assert min(output) < 0
    if name == "float":
        assert {0, 0x7FC00000, 0x7F800000, 0xFF800000} <= set(got["y"].tolist())


@pytest.mark.parametrize("name", MODES)
def test_corners_come_first_and_few_vectors_are_few(name):
    for count in (1, 7, 20):
        beats = vectors(parameters(name), np.random.default_rng(5), count)
        assert all(len(v) == count for v in beats.values()) and beats["last"][-1]


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("weights", {"w": [256]}, "w must hold words of 8 bits, not 256"),
        ("both", {"a": [-1]}, "a must hold words of 32 bits, not -1"),
        ("both", {"a": [[1, 2]]}, r"a must have shape \(beats, 1\), not \(1, 2\)"),
        ("both", {"a": [0] * 65, "w": [0] * 65}, "has 65 beats, more than max_k, 64"),
        ("separate", {"lanes": 2}, "lanes must be 1 in mode separate, not 2"),
        ("float", {"lanes": 2}, "lanes must be 1 in mode float, not 2"),
    ],
)
def test_wrong_stimulus(name, change, message):
    p = parameters(name, lanes=change.pop("lanes", 1))
    count = len(change.get("a", [0]))
    beats = {"a": [0], "w": [0], "width": [0] * count, "last": [0] * (count - 1) + [1]} | change
    with pytest.raises(ValueError, match=message):
        fused.run(p, beats)
