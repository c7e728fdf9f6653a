# SPDX-License-Identifier: Apache-2.0
"""L-Mul against its published errors, its formula in real numbers, and its limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw.spec.formats import parse
from sim.golden.formats import decode, decode_float, legal_codes
from sim.golden.pe.lmul import error_table, offset_bits, product_codes, run, vectors

FORMATS = ["e4m3", "e5m2", "fp16", "bf16", "e4m3_fnuz", "e3m4_ieee", "e2m1", "e3m0"]

#: Sheet B.5: formula mean, mean absolute, largest; adder likewise; Mitchell mean, largest.
TABLE = {
    2: (0.086, 0.111, 0.250, 0.147, 0.147, 0.250, -0.036, 0.111),
    3: (-0.010, 0.069, 0.182, 0.049, 0.052, 0.125, -0.038, 0.111),
    4: (-0.022, 0.069, 0.201, 0.049, 0.051, 0.125, -0.038, 0.111),
    7: (-0.063, 0.075, 0.232, 0.0041, 0.027, 0.073, -0.039, 0.111),
    10: (-0.064, 0.076, 0.234, 0.0041, 0.027, 0.073, -0.039, 0.111),
}


def parameters(name, **others):
    return {"format": name, "act": name, "lanes": 2, "max_k": 256, "core": "stream", **others}


@pytest.mark.parametrize("man_bits", TABLE)
def test_error_table(man_bits):
    found = error_table(man_bits)
    mitchell = (found["mitchell"][0], found["mitchell"][2])
    got = (*found["formula"], *found["adder"], *mitchell)
    assert_allclose(got, TABLE[man_bits], atol=6e-4)


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "fp16", "bf16"])
def test_products_have_the_errors_of_the_table(name):
    """All pairs of mantissas of numbers in [1, 2): the codes do what the table says."""
    fmt = parse(name)
    ones = fmt.bias << fmt.man_bits
    a = ones + np.arange(1 << fmt.man_bits)
    codes = product_codes(fmt, a[:, None], a[None, :])
    real = decode_float(fmt, a)
    error = decode_float(fmt, codes) / np.multiply.outer(real, real) - 1
    mean, mean_abs, largest = error_table(fmt.man_bits)["adder"]
    assert_allclose(error.mean(), mean, atol=1e-12)
    assert_allclose([np.abs(error).mean(), np.abs(error).max()], [mean_abs, largest])


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e4m3_fnuz", "e3m4_ieee", "e2m1"])
def test_every_pair_of_codes(name):
    """Against real numbers: fractions and exponents by ``frexp``, not by adding codes."""
    fmt = parse(name)
    codes = legal_codes(fmt)
    values = decode_float(fmt, codes)
    codes, values = codes[np.isfinite(values)], values[np.isfinite(values)]
    smallest = 2.0 ** (1 - fmt.bias)
    largest = fmt.max_int * 2.0**fmt.lam
    magnitude = np.where(np.abs(values) < smallest, 0, np.abs(values))
    half, exponent = np.frexp(magnitude)
    fraction = np.add.outer(2 * half - 1, 2 * half - 1) + 2.0 ** -offset_bits(fmt.man_bits)
    scale = 2.0 ** np.add.outer(exponent - 1, exponent - 1)
    product = np.where(fraction < 1, 1 + fraction, 2 * fraction) * scale
    product = np.where(fraction >= 2, 4 * (fraction - 1) * scale, product)
    product = np.where(product < smallest, 0, np.minimum(product, largest))
    product = np.where(np.multiply.outer(magnitude, magnitude) > 0, product, 0)
    product *= np.sign(np.multiply.outer(values, values))
    got = decode_float(fmt, product_codes(fmt, codes[:, None], codes[None, :]))
    assert_array_equal(got, product)


def test_non_finite_products_count_as_zero():
    one, inf, nan = 0x3C, 0x7C, 0xFD
    beats = {"a": [[one, one], [inf, one]], "w": [[one, 0], [one, nan]], "last": [1, 1]}
    result = run(parameters("e5m2"), beats)
    # 1 * 1 is 1.25: the correction of a 2-bit mantissa is a quarter.
    assert result["acc"].tolist() == [5 << 14, 0]
    assert result["nan"].tolist() == [False, True]
    assert list(run(parameters("e2m1"), {"a": [[2, 2]], "w": [[2, 2]], "last": [1]})) == ["acc"]


@pytest.mark.parametrize("core", ["stream", "accumulate", "dot"])
@pytest.mark.parametrize("name", FORMATS)
def test_vectors_meet_every_rule(name, core):
    fmt, p = parse(name), parameters(name, core=core)
    v = vectors(p, np.random.default_rng(1), 1000)
    top, one = 1 << fmt.bits - 1, 1 << fmt.man_bits
    a, w = v["a"] % top, v["w"] % top
    finite = ~(decode(fmt, v["a"])[1] | decode(fmt, v["w"])[1])
    usual = finite & (a >= one) & (w >= one)
    correction = 1 << fmt.man_bits - offset_bits(fmt.man_bits)
    sums = (a + w - fmt.bias * one + correction)[usual]
    for limit in (one - 1, one, fmt.max_code, fmt.max_code + 1):
        reachable = one - fmt.bias * one + one + correction <= limit
        assert (sums == limit).any() == reachable, limit
    assert (finite & (a < one) & (a > 0) & (w > fmt.bias * one)).any() or fmt.man_bits == 0
    assert finite.all() != fmt.nonfinite
    found = run(p, v)["p" if core == "dot" else "acc"].tolist()
    if core == "stream":
        full = 125
        assert max(found) == -min(found) == full * 2 * fmt.max_int


def test_refusals():
    for name in ("e1m2", "e2m1_sr", "ue4m3"):
        with pytest.raises(ValueError, match="signed minifloat of 2 exponent bits, not"):
            product_codes(parse(name), 0, 0)
    with pytest.raises(ValueError, match="act must be 'e4m3' as format is, not 'e5m2'"):
        run(parameters("e4m3", act="e5m2"), {})
    with pytest.raises(ValueError, match="signed minifloat of 2 exponent bits, not 'int8'"):
        run(parameters("int8"), {})
