# SPDX-License-Identifier: Apache-2.0
"""Against the float32 arithmetic of numpy, exact fractions and ml_dtypes."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from sim.golden.dequant import NAN, add, round_fp32, run, vectors

BASE = {"acc_bits": 24, "lam": 0, "scale": "e8m0", "act_scale": None, "zero_point": False}
BASE |= {"sum": "fp32-seq", "blocks": 1, "max_groups": 64}

DTYPES = {
    "e8m0": ml_dtypes.float8_e8m0fnu,
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "int8": np.int8,
    "ue4m3": ml_dtypes.float8_e4m3fn,
}


def real(scale: str, code: int) -> float:
    """The value of a scale code, by a library or (ue5m3) from its fields."""
    if scale == "ue5m3":
        e, m = divmod(code, 8)
        return float("nan") if code == 255 else (8 * (e > 0) + m) * 2.0 ** (max(e, 1) - 18)
    kind = np.dtype(DTYPES[scale])
    return float(np.array([code], dtype=f"u{kind.itemsize}").view(kind)[0])


def code_of(value: np.float32) -> int:
    return NAN if np.isnan(value) else int(np.float32(value).view(np.uint32))


def float32(code: int) -> np.float32:
    return np.uint32(code).view(np.float32)


def nearest(value: Fraction) -> np.float32:
    """The float32 nearest to a fraction, found among three neighbours by exact comparison."""
    with np.errstate(over="ignore", under="ignore"):
        try:
            first = np.float32(float(value))
        except OverflowError:
            return np.float32(np.copysign(np.inf, value.numerator))
    if abs(value) >= Fraction(2) ** 128 - Fraction(2) ** 103:
        return np.float32(np.copysign(np.inf, value.numerator))
    if np.isinf(first):
        first = np.float32(np.copysign(np.finfo(np.float32).max, value.numerator))
    around = {np.nextafter(first, np.float32(s * np.inf), dtype=np.float32) for s in (1, -1)}
    finite = [f for f in {first, *around} if np.isfinite(f)]
    return min(finite, key=lambda f: (abs(Fraction(float(f)) - value), int(f.view(np.uint32)) & 1))


def test_rounding_against_fractions():
    rng = np.random.default_rng(1)
    for _ in range(3000):
        wide = int(rng.integers(1, 60))
        integer = int(rng.integers(-1 << 62, 1 << 62)) >> 62 - wide
        lam = int(rng.integers(-220, 130))
        due = nearest(Fraction(integer) * Fraction(2) ** lam)
        assert round_fp32(integer, lam) & 0x7FFFFFFF == code_of(due) & 0x7FFFFFFF
        assert integer >= 0 or round_fp32(integer, lam) >> 31


@pytest.mark.parametrize(
    ("integer", "lam", "due"),
    [
        (0, 0, 0),
        (1, -150, 0),  # half of the smallest subnormal: to even
        (3, -151, 1),
        (3, -150, 2),
        (-1, -150, 0x80000000),
        ((1 << 24) - 1, -150, 0x00800000),  # the largest tie of the subnormals
        ((1 << 24) + 1, 0, 0x4B800000),
        ((1 << 24) + 3, 0, 0x4B800002),
        ((1 << 25) - 1, 103, 0x7F800000),
        ((1 << 25) - 2, 103, 0x7F7FFFFF),
        ((1 << 26) - 3, 102, 0x7F7FFFFF),
        (-1, 128, 0xFF800000),
    ],
)
def test_rounding_at_its_corners(integer, lam, due):
    assert round_fp32(integer, lam) == due


def test_addition_against_numpy():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 1 << 32, (4000, 2))
    codes[1000:2000, 1] = codes[1000:2000, 0] + rng.integers(-(3 << 23), 3 << 23, 1000) & 0xFFFFFFFF
    codes[2000:2500, 1] = codes[2000:2500, 0] ^ (1 << 31)
    special = [0, 1 << 31, 1, (1 << 31) + 1, 0x7F800000, 0xFF800000, 0x7F7FFFFF, NAN, 0x3F800000]
    pairs = [*codes.tolist(), *((a, b) for a in special for b in special)]
    with np.errstate(all="ignore"):
        for a, b in pairs:
            assert add(a, b) == code_of(float32(a) + float32(b)), (hex(a), hex(b))


def oracle(parameters, beats):
    """Blocks by exact fractions, sums by numpy's float32."""
    results, acc, exact, nan = [], np.float32(0), Fraction(0), False
    names = [("s", parameters["scale"])] + [("t", parameters["act_scale"])] * (
        parameters["act_scale"] is not None
    )
    with np.errstate(all="ignore"):
        for row, last in enumerate(beats["last"]):
            parts = []
            for block, p in enumerate(beats["p"][row]):
                value = int(p)
                if parameters["zero_point"]:
                    value -= int(beats["z"][row][block]) * int(beats["sa"][row][block])
                scales = [real(f, int(beats[n][row][block])) for n, f in names]
                if all(map(np.isfinite, scales)):
                    value = Fraction(value) * Fraction(2) ** parameters["lam"]
                    for scale in scales:
                        value *= Fraction(scale)
                    exact += value
                    parts.append(nearest(value))
                else:
                    nan = True
                    parts.append(np.float32(np.sign(value) * np.prod(np.sign(scales)) * np.inf))
            if parameters["sum"] == "fp32-tree":
                while len(parts) > 1:
                    parts = [parts[k] + parts[k + 1] for k in range(0, len(parts), 2)]
            for part in parts:
                acc = np.float32(acc + part)
            if last:
                results.append((exact, nan) if parameters["sum"] == "exact" else code_of(acc))
                acc, exact, nan = np.float32(0), Fraction(0), False
    return results


CASES = [
    *({"scale": s} for s in (*DTYPES, "ue5m3")),
    {"scale": "e8m0", "act_scale": "e8m0", "acc_bits": 36, "lam": -18, "blocks": 2},
    {"scale": "ue4m3", "act_scale": "ue4m3", "lam": -2, "blocks": 4, "sum": "fp32-tree"},
    {"scale": "fp16", "act_scale": "bf16", "zero_point": True, "blocks": 2, "sum": "fp32-tree"},
    {"scale": "e8m0", "acc_bits": 70, "lam": -32},
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c.values())))
def test_fp32(case):
    parameters = BASE | case
    beats = vectors(parameters, np.random.default_rng(5), 300)
    y = run(parameters, beats)["y"].tolist()
    assert y == oracle(parameters, beats)
    kinds = {code & 0x7F800000 == 0x7F800000 for code in y}
    assert False in kinds and (True in kinds or case["scale"] == "int8")


EXACT = [
    {"scale": "int8"},
    {"scale": "int8", "act_scale": "int8", "zero_point": True, "lam": -3},
    {"scale": "ue4m3", "act_scale": "ue4m3", "blocks": 2},
    {"scale": "ue5m3"},
    {"scale": "fp16"},
]
LAM = {"int8": 0, "ue4m3": -9, "ue5m3": -17, "fp16": -24}


@pytest.mark.parametrize("case", EXACT, ids=lambda c: "-".join(map(str, c.values())))
def test_exact(case):
    parameters = BASE | {"sum": "exact"} | case
    beats = vectors(parameters, np.random.default_rng(6), 200)
    found = run(parameters, beats)
    lam = parameters["lam"] + sum(LAM[case[k]] for k in ("scale", "act_scale") if k in case)
    due = oracle(parameters, beats)
    assert [Fraction(int(y)) * Fraction(2) ** lam for y in found["y"]] == [d[0] for d in due]
    if case["scale"] == "int8":
        assert "nan" not in found
    else:
        assert found["nan"].tolist() == [d[1] for d in due]
        assert found["nan"].any() and not found["nan"].all()


@pytest.mark.parametrize(
    ("scale", "p", "due"),
    [
        (0x7C00, 0, NAN),
        (0x7C00, 5, 0x7F800000),
        (0x7C00, -5, 0xFF800000),
        (0xFC00, -5, 0x7F800000),
        (0x7E01, 5, NAN),
        (0x8000, 5, 0),
        (0x8001, 1, 0xB3800000),
    ],
)
def test_specials_of_one_block(scale, p, due):
    beats = {"p": [[p]], "s": [[scale]], "last": [True]}
    assert run(BASE | {"scale": "fp16"}, beats)["y"].tolist() == [due]


def test_infinity_times_a_zero_scale_and_opposite_infinities():
    parameters = BASE | {"scale": "fp16", "act_scale": "fp16"}
    beats = {"p": [[1]], "s": [[0x7C00]], "t": [[0]], "last": [True]}
    assert run(parameters, beats)["y"].tolist() == [NAN]
    assert run(parameters, beats | {"t": [[0xBC00]]})["y"].tolist() == [0xFF800000]
    beats = {"p": [[1], [-1], [1]], "s": [[0x7C00]] * 3, "last": [False, True, True]}
    assert run(BASE | {"scale": "fp16"}, beats)["y"].tolist() == [NAN, 0x7F800000]


def test_order_of_additions_shows():
    # 2**24 + 1 + 1: one after the other both ones are lost, as a pair they stay.
    beats = {"p": [[1 << 22, 0, 1, 1]], "s": [[129, 127, 127, 127]], "last": [True]}
    tree = run(BASE | {"blocks": 4, "sum": "fp32-tree"}, beats)["y"][0]
    one_by_one = run(BASE | {"blocks": 4}, beats)["y"][0]
    assert (tree, one_by_one) == (0x4B800001, 0x4B800000)


def test_codes_of_negative_integers_and_the_unused_bit():
    beats = {"p": [[(1 << 24) - 3]], "s": [[0xB8]], "last": [True]}
    assert run(BASE | {"scale": "ue4m3"}, beats)["y"].tolist() == [0xC0400000]
