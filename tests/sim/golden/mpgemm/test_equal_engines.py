# SPDX-License-Identifier: Apache-2.0
"""The same integers through every engine that can hold them (A.11): C is the same.

What is drawn is the shape, the matrices and the sizes of each engine.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.encode import encode
from sim.golden.mpgemm.unit import Unit, weight_format

DATAFLOWS = ("broadcast", "tree", "cube", "os", "ws", "is")
MAX_K = 80


def drawn(rng, **choices):
    return {name: rng.choice(values).item() for name, values in choices.items()}


def base(rng, act, acc_bits):
    sizes = drawn(rng, rows=[1, 2, 3], columns=[1, 2, 4, 5])
    return sizes | {"act": act, "max_k": MAX_K, "acc_bits": acc_bits, "zero_point": None}


def units(rng, bits, act):
    """One of each engine that holds two's complement weights of so many bits."""
    p = base(rng, act, 26)
    for flow in DATAFLOWS:
        sizes = base(rng, act, 26) | drawn(rng, lanes=[1, 2, 5], depth=[1, 3, 64])
        still = flow in ("ws", "is")
        sizes |= {"dataflow": flow, "format": f"int{bits}", "depth": sizes["depth"] * still or None}
        yield "array", sizes | {"group": None, "scale": None, "sum": None}
    yield "mpgemm", base(rng, act, 26) | {
        "engine": "shift-add", "format": f"int{bits}", "lanes": 3, "sum": None, "scale": None
    }  # fmt: skip
    for kind in ("half", "full"):
        for zero in (None, 1 << bits - 1):
            yield "mpgemm", base(rng, act, 26) | drawn(rng, group=range(2, 7), tables=[1, 2]) | {
                "engine": "lut", "bits": bits, "planes": rng.integers(1, bits + 1).item(),
                "table_kind": kind, "table_source": rng.choice(["builder", "port"]).item(),
                "zero_point": zero,
            }  # fmt: skip
    for scheme in ("twos", "offset"):
        yield "mpgemm", base(rng, act, 26) | drawn(rng, lanes=[1, 8, 13]) | {
            "engine": "bit-plane", "bits": bits, "planes": rng.integers(1, bits + 1).item(),
            "scheme": scheme,
        }  # fmt: skip
    if bits <= 4:
        book = "codebook:" + ",".join(str(v) for v in range(-(1 << bits - 1), 1 << bits - 1))
        yield "mpgemm", p | {"engine": "codebook", "book": book, "lanes": 5}


def ternary_units(rng, act):
    yield from units(rng, 2, act)
    for group in (2, 3, 4, 5):
        yield "mpgemm", base(rng, act, 20) | {"engine": "lut-ternary", "group": group, "tables": 2}
    yield "mpgemm", base(rng, act, 20) | {"engine": "ternary-add", "lanes": 7}
    yield "array", base(rng, act, 20) | {
        "dataflow": "tree", "format": "ternary_i2s", "lanes": 4, "group": None, "scale": None
    }  # fmt: skip


def assert_equal_products(rng, choices, a, w, act):
    codes = encode(parse(act), a)
    for name, parameters in choices:
        unit = Unit.of({"unit": name, "parameters": parameters})
        fmt = weight_format(unit)
        c, nan = unit.product(codes, w if fmt is None else encode(parse(fmt), w))
        assert_array_equal(c.astype(np.int64), a @ w, err_msg=f"{name} {parameters}")
        assert not nan.any()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_integers(bits, seed):
    rng = np.random.default_rng([bits, seed])
    m, n, k = rng.integers(1, 8), rng.integers(1, 12), rng.integers(1, MAX_K + 1)
    act = rng.choice(["int4", "int8", "uint8"]).item()
    low, high = {"int4": (-8, 8), "int8": (-128, 128), "uint8": (0, 256)}[act]
    a = rng.integers(low, high, (m, k))
    w = rng.integers(-(1 << bits - 1), 1 << bits - 1, (k, n))
    if seed < 2:
        a, w = np.full_like(a, (low, high - 1)[seed]), np.full_like(w, w.min())
    assert_equal_products(rng, list(units(rng, bits, act)), a, w, act)


@pytest.mark.parametrize("seed", range(6))
def test_ternary(seed):
    rng = np.random.default_rng(seed)
    m, n, k = rng.integers(1, 8), rng.integers(1, 12), rng.integers(1, MAX_K + 1)
    a, w = rng.integers(-128, 128, (m, k)), rng.integers(-1, 2, (k, n))
    assert_equal_products(rng, list(ternary_units(rng, "int8")), a, w, "int8")
