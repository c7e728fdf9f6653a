# SPDX-License-Identifier: Apache-2.0
"""Activations as integers: every code of every kind of format, windows, bounds."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal, Value

from hw.mpgemm.aligned import Activation, aligned
from hw.mpgemm.params import MpGemmParams
from hw.pe.decode import Window
from hw.spec.formats import parse
from sim.golden.pe.operands import Operand
from tests.hw.pe.netlists import evaluate, netlist

SMALL = (
    "int8", "uint3", "sm6", "bipolar3", "ternary_i2s", "e2m1", "e2m1_sp", "e4m3", "e5m2",
    "e4m3_fnuz", "e0m4", "ue4m3", "posit4_1", "posit8_1", "pot4", "nf4", "sf4_q15",
    "codebook:-100," + ",".join(map(str, range(63))),
)  # fmt: skip
WIDE = (("fp16", None), ("bf16", (-8, 0)), ("bf16", (-2, 2)))


def check(acts: list[Activation], folder: Path) -> None:
    """Compare the integers and the marks of all codes, each beside another code."""
    bits = max(act.code_bits for act in acts)
    codes = np.arange(1 << bits)

    def part(m: Module, signals: dict[str, Signal]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for number, act in enumerate(acts):
            m.submodules[f"part{number}"] = inner = Module()
            code = signals["code"][: act.code_bits]
            words, nan = aligned(inner, act, Cat(code, ~code))
            found |= {f"words{number}": words, f"nan{number}": nan}
        return found

    found = evaluate(netlist(folder, {"code": bits}, part), {"code": codes})
    for number, act in enumerate(acts):
        every = codes[: 1 << act.code_bits]
        view = act.window and (act.window.low, act.window.high)
        operand = Operand(act.fmt, view)
        legal = np.isin(every, act.fmt.illegal, invert=True)
        both = legal & legal[::-1]
        ints, marks = operand.decode(np.where(both, every, 0))
        ints, marks = np.where(both, ints, 0).astype(object), np.where(both, marks, 0)
        base = 1 << act.bits
        due = ints % base + ints[::-1] % base * base
        assert (np.where(both, found[f"words{number}"][: len(every)], 0) == due).all(), act.name
        seen = np.where(both, found[f"nan{number}"][: len(every)], 0)
        assert (seen == (marks | marks[::-1])).all(), act.name
        assert act.lam == operand.lam
        assert act.most == operand.max_int
        assert act.nan == operand.nonfinite


def test_every_code(tmp_path: Path) -> None:
    check([Activation(parse(name)) for name in SMALL], tmp_path)


def test_wide_formats(tmp_path: Path) -> None:
    check([Activation(parse(f), Window(*view) if view else None) for f, view in WIDE], tmp_path)


@pytest.mark.parametrize(
    ("name", "low", "high", "bits"),
    [("int8", -128, 127, 8), ("uint1", 0, 1, 1), ("e2m1", -12, 12, 5), ("fp16", -(2047 << 29),
     2047 << 29, 41), ("ue4m3", 0, 229376, 18), ("codebook:-9,0,1,2", -9, 2, 5)],
)  # fmt: skip
def test_bounds(name: str, low: int, high: int, bits: int) -> None:
    act = Activation(parse(name))
    assert (act.low, act.high, act.bits) == (low, high, bits)


def test_widths_of_the_engine() -> None:
    """fp16 by tables of four: 43 bits an entry, and one more for the negation on a port."""
    params = MpGemmParams(act="fp16", rows=1, columns=1, bits=2, max_k=4)
    assert params.shape.nan
    assert params.acc_width == 1 + (2 * 4 * (2047 << 29)).bit_length()
    assert params.resolved["window"] is None
    assert MpGemmParams(act="bf16").resolved["window"] == "-24:16"


_ZERO = "act must be a format with a zero, to fill up the last step of a sum, not "
_FINITE = (
    "act must be a format of finite codes with table_source port, such as int8 or e2m1, "
    "without a window, not "
)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"act": "bipolar2"}, f"{_ZERO}'bipolar2'"),
        ({"act": "e8m0"}, f"{_ZERO}'e8m0'"),
        ({"engine": "lut-ternary", "act": "binary"}, f"{_ZERO}'binary'"),
        ({"act": "fp32"}, "act must not be 'fp32', whose exact products are too wide"),
        ({"window": "-8:8"}, "window must not be given with act 'int8': it is no float"),
        (
            {"act": "fp16", "window": "8:-8"},
            "window must be LOW:HIGH with LOW below HIGH by at most 256, such as -24:16, "
            "not '8:-8'",
        ),
        ({"act": "e4m3", "table_source": "port"}, f"{_FINITE}'e4m3'"),
        ({"act": "e2m1", "window": "-4:4", "table_source": "port"}, f"{_FINITE}'e2m1'"),
        (
            {"engine": "bit-plane", "window": "-8:8"},
            "window must not be given with engine bit-plane, but is '-8:8'; these take it: "
            "codebook, lut, lut-ternary, shift-add, ternary-add",
        ),
        (
            {"engine": "codebook", "book": "rows", "window": "-8:8"},
            "window must not be given with book rows, but is '-8:8'",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as error:
        MpGemmParams(**given)  # type: ignore[arg-type]
    assert str(error.value) == message
