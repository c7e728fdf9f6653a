# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/decode.py``: every code of every format, on its own.

In a product a sign error of both operands would cancel.
"""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.pe.decode import Window, decode, label_of
from hw.spec.formats import CATALOGUE, parse
from sim.golden import formats as golden
from sim.golden.pe.operands import Operand

NARROW = [name for name in CATALOGUE if parse(name).bits <= 8]
MORE = ["posit5_0", "posit6_2", "posit7_3", "posit3_3", "e7m0", "e6m1", "e1m4", "e0m4", "ue2m2"]
MORE += ["codebook:0,1,2.5,-4", "codebook:3,1", "pot6", "shift6", "razer-6.5", "e2m3_ieee"]


def decoded(fmt, codes, window=None):
    """Return (integers in units of 2**lam, nan flags) of the hardware decoder."""
    m, code = Module(), Signal(fmt.bits)
    operand = decode(m, "decoder", fmt, code, window)
    parts = [operand.significand, operand.shift, operand.negative, operand.nan]
    wires = [None if part is None else Signal(part.shape()) for part in parts]
    for part, wire in zip(parts, wires, strict=True):
        if wire is not None:
            m.d.comb += wire.eq(part)
    integers, nans = [], []

    async def bench(ctx):
        for c in codes:
            ctx.set(code, int(c))
            significand, shift, negative, nan = (0 if w is None else ctx.get(w) for w in wires)
            whole = significand << shift
            assert whole % (1 << operand.fraction) == 0, "bits fall below the unit"
            integers.append((-1) ** negative * (whole >> operand.fraction))
            nans.append(bool(nan))

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    return integers, nans


@pytest.mark.parametrize("name", [*NARROW, *MORE])
def test_every_code(name):
    fmt = parse(name)
    codes = golden.legal_codes(fmt)
    integers, nans = golden.decode(fmt, codes)
    assert decoded(fmt, codes) == (integers.tolist(), nans.tolist())


WIDE = ["fp16", "posit16_1", "int16", "posit12_2"]


@pytest.mark.parametrize("name", WIDE)
def test_codes_of_wide_formats(name):
    """Both ends, every power of two of the code, and a stride that is coprime to all of them."""
    fmt = parse(name)
    codes = np.unique([*range(64), *((1 << np.arange(fmt.bits)) - 1), *range(0, 1 << fmt.bits, 29)])
    codes = np.union1d(codes, (1 << fmt.bits) - 1 - codes)
    integers, nans = golden.decode(fmt, codes)
    assert decoded(fmt, codes) == (integers.tolist(), nans.tolist())


@pytest.mark.deep
@pytest.mark.parametrize("name", WIDE)
def test_every_code_of_wide_formats(name):
    fmt = parse(name)
    codes = golden.legal_codes(fmt)
    integers, nans = golden.decode(fmt, codes)
    assert decoded(fmt, codes) == (integers.tolist(), nans.tolist())


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("bf16", -24, 16), ("bf16", -3, 2), ("fp16", -10, 8), ("e5m2", -4, 6), ("e4m3", -20, 30)],
)
def test_window(name, low, high):
    fmt = parse(name)
    step = 1 if fmt.bits <= 8 else 23
    codes = np.union1d(np.arange(0, 1 << fmt.bits, step), [(1 << fmt.bits) - 1])
    integers, nans = Operand(fmt, (low, high)).decode(codes)
    assert decoded(fmt, codes, Window(low, high)) == (list(map(int, integers)), nans.tolist())


@pytest.mark.parametrize(
    ("name", "code", "value"), [("ternary", 2, -2), ("ternary_i2s", 3, 2), ("ue4m3", 0x80, 0)]
)
def test_documented_meaning_of_illegal_codes(name, code, value):
    fmt = parse(name)
    assert code in fmt.illegal
    assert decoded(fmt, [code])[0] == [value]


def test_labels_are_identifiers_and_differ():
    labels = [label_of(parse(name)) for name in [*CATALOGUE, *MORE]]
    assert len(set(labels)) == len(labels)
    assert all(label.isidentifier() for label in labels)
    long = [f"codebook:{','.join(str(k + d) for k in range(256))}" for d in (0, 1)]
    assert label_of(parse(long[0])) != label_of(parse(long[1]))
