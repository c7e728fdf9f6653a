# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from sim.golden.attention import scalar

IN_BITS = {"exp2n": 24, "recip": 32, "rsqrt": 64, "log2": 32, "sigmoid": 16}


def parameters(function, **chosen):
    newton = True if function in ("recip", "rsqrt") else None
    base = {"function": function, "index_bits": 6, "in_bits": IN_BITS[function], "lanes": 3}
    base |= {"out_bits": 16 if function == "exp2n" else None, "newton": newton}
    return base | chosen


@pytest.mark.parametrize("function", IN_BITS)
@pytest.mark.parametrize("index_bits", [4, 6, 8])
def test_against_float(function, index_bits):
    p = parameters(function, index_bits=index_bits)
    x = scalar.vectors(p, np.random.default_rng(1), 300)["x"]
    found = scalar.run(p, {"x": x})
    assert all(0 <= int(v) < 1 << p["in_bits"] for v in x.ravel())
    real = x.astype(np.float64)
    some = real > 0
    y = found["y"].astype(np.float64)
    if function == "exp2n":
        assert np.abs(y / 65536 - np.exp2(-real / 4096)).max() < 20 / 65536
    elif function == "sigmoid":
        number = np.where(real >= 1 << 15, real - (1 << 16), real) / 4096
        assert np.abs(y / 65536 - 1 / (1 + np.exp(-number))).max() < 200 / 65536
    elif function == "log2":
        assert np.abs(y / 65536 - np.log2(np.where(some, real, 1))).max() < 50 / 65536
    else:
        power = -1.0 if function == "recip" else -0.5
        due = np.where(some, real, 1) ** power
        got = np.ldexp(y, -30 - found["k"])
        assert np.abs(got / due - 1)[some].max() < 1e-6
    assert not any(column[~some].any() for column in found.values()) or function in (
        "exp2n",
        "sigmoid",
    )


def test_without_newton_and_of_zero():
    p = parameters("recip", newton=False, lanes=1)
    found = scalar.run(p, {"x": [[3], [0]]})
    assert (found["y"].ravel().tolist(), found["k"].ravel().tolist()) == ([43691, 0], [1, 0])


def test_negative_numbers_as_codes_and_as_numbers():
    p = parameters("sigmoid", lanes=1)
    one, other = (scalar.run(p, {"x": [[x]]})["y"] for x in (-4096, 65536 - 4096))
    assert one == other == 65536 - scalar.run(p, {"x": [[4096]]})["y"]
