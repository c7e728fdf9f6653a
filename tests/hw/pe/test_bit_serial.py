# SPDX-License-Identifier: Apache-2.0
"""Bit-serial processing elements: every term, every cycle count, and the emitted Verilog."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from gen.emit import emit
from gen.unit import discover
from hw.pe.bit_serial import SPECIAL_VALUES
from hw.pe.bit_serial_terms import FORMATS, STEPS, special, term_of
from hw.pe.params import PEParams
from hw.spec.formats import FloatFormat, parse
from sim.bench.check import Pass, Report, check, golden_of
from sim.golden.formats import decode, decode_float

#: Sheet B.2: cycles for a beat of four products.
CYCLES = {"int8": 4, "int6": 3, "int5": 3, "e2m1": 2, "e2m0": 2}

CASES: dict[str, dict[str, Any]] = {
    "int8-fp16": {"format": "int8", "act": "fp16"},
    "int6-int8": {"format": "int6", "act": "int8", "lanes": 8, "target": "xcup"},
    "int5-bf16": {"format": "int5", "act": "bf16"},
    "e2m1-fp16": {"format": "e2m1", "act": "fp16", "target": "xcup"},
    "e2m0-int8": {"format": "e2m0", "act": "int8", "lanes": 12},
    "int8-rounded": {"format": "int8", "act": "fp16", "mode": "hardware"},
    "int5-rounded": {"format": "int5", "act": "fp16", "mode": "hardware", "target": "ecp5"},
    "e2m1-rounded": {"format": "e2m1", "act": "fp16", "mode": "hardware"},
    "e2m1-scaled": {"format": "e2m1", "act": "int8", "scale": "int8"},
    "rounded-scaled": {"format": "e2m1", "act": "fp16", "mode": "hardware", "scale": "int8"},
    "int8-scaled": {"format": "int8", "act": "fp16", "scale": "int8"},
}


def run(case: dict[str, Any], folder: Path, beats: Any, passes: list[Pass]) -> Report:
    """Simulate with ``beats`` beats of the golden stimulus, changed by a function of them."""
    unit = discover()["pe"]
    params = unit.params(**{"arch": "bit-serial", "lanes": 4, **case})
    text, manifest = emit(unit, params)
    source = folder / "pe.v"
    source.write_text(text, encoding="utf-8")
    if isinstance(beats, int):
        golden = golden_of(manifest)
        beats = golden.vectors(manifest["parameters"], np.random.default_rng(1), beats)
    return check(source, manifest, beats, folder / "build", passes=passes)


@pytest.mark.parametrize("name", CASES)
def test_verilog_and_cycles(name: str, tmp_path: Path) -> None:
    passes = [Pass("none", "none"), Pass("random", "random"), Pass("none", "slow")]
    report = run(CASES[name], tmp_path, 200, passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 3
    steps = CYCLES[CASES[name]["format"]]
    if "scale" not in CASES[name]:
        assert report.passes[0].cycles == 200 * steps + 1


@pytest.mark.parametrize(("name", "length"), [("e2m1", 4), ("e2m1", 64), ("int8", 2), ("int6", 3)])
def test_the_scale_hides_behind_the_next_dot_product(
    name: str, length: int, tmp_path: Path
) -> None:
    """Dot products of 8 cycles or more lose none to the scale."""
    beats = stimulus(name, 4 * length, length)
    report = run({"format": name, "scale": "int8"}, tmp_path, beats, [Pass("none", "none")])
    assert report.passed, (report.fault, report.mismatch)
    assert report.passes[0].cycles == 4 * length * CYCLES[name] + 8


@pytest.mark.parametrize("name", ["e2m1", "int8"])
def test_promises(name: str) -> None:
    for scale, latency, period in ((None, 1, CYCLES[name]), ("int8", 8, 8)):
        params = PEParams(arch="bit-serial", format=name, lanes=4, scale=scale)
        unit = discover()["pe"]
        manifest = emit(unit, params)[1]
        assert manifest["latency"] == latency
        assert manifest["beats_per_cycle"] == 1 / period
        assert manifest["contract"]["cycles_per_beat"] == CYCLES[name]


@pytest.mark.parametrize("name", ["e2m1", "int8"])
def test_short_scaled_dot_products_take_eight_cycles(name: str, tmp_path: Path) -> None:
    report = run(
        {"format": name, "scale": "int8"}, tmp_path, stimulus(name, 30, 1), [Pass("none", "none")]
    )
    assert report.passed, (report.fault, report.mismatch)
    assert report.passes[0].cycles == CYCLES[name] + 8 * 30


def stimulus(name: str, beats: int, length: int) -> dict[str, Any]:
    """Random dot products of ``length`` beats each."""
    rng = np.random.default_rng(1)
    fmt = parse(name)
    return {
        "a": rng.integers(0, 256, (beats, 4)),
        "w": rng.integers(0, 1 << fmt.bits, (beats, 4)),
        "s": rng.integers(0, 256, beats),
        "last": np.arange(beats) % length == length - 1,
        **({"sel": rng.integers(0, 4, beats)} if isinstance(fmt, FloatFormat) else {}),
        **({"sv": np.tile(SPECIAL_VALUES[name], (beats, 1))} if name in SPECIAL_VALUES else {}),
    }


@pytest.mark.parametrize("name", FORMATS)
def test_terms_of_every_code_and_special_value(name: str) -> None:
    """The terms of all codes add up to their values, those of -0 to any special value."""
    fmt, steps = parse(name), STEPS[name]
    code, step = Signal(fmt.bits), Signal(2)
    registers, sel = Signal(24), Signal(2)
    m = Module()
    floats = isinstance(fmt, FloatFormat)
    chosen = special(m, registers, sel, step[0]) if floats else None
    term = term_of(m, fmt, code, step[0] if floats else step, chosen)
    m.d.comb += Signal(4).eq(term.present)
    halves = decode_float(fmt, np.arange(1 << fmt.bits)) * 2
    minus_zero = 1 << fmt.bits - 1
    assert steps == CYCLES[name]

    async def value(ctx: Any) -> int:
        total = 0
        for k in range(steps):
            ctx.set(step, k)
            weight = 1 << ctx.get(term.exp)
            weight *= (2 if k == 0 else 1) if floats else 2 * 4**k
            total += (-1) ** ctx.get(term.negative) * ctx.get(term.present) * weight
        return total

    async def bench(ctx: Any) -> None:
        for number in range(1 << fmt.bits):
            if not (floats and number == minus_zero):
                ctx.set(code, number)
                assert await value(ctx) == halves[number], number
        for sv in range(64 if floats else 0):
            magnitude = sv % 32
            leading = sum(sorted(1 << k for k in range(5) if magnitude >> k & 1)[-2:])
            for place in range(4):
                ctx.set(code, minus_zero)
                ctx.set(registers, sv << 6 * place | (~sv & 63) << 6 * (place ^ 1))
                ctx.set(sel, place)
                assert await value(ctx) == (-leading if sv > 31 else leading)
                ctx.set(step, place % 2)
                assert ctx.get(chosen.bad) == (magnitude.bit_count() > 2)

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()


def test_every_weight_meets_every_activation(tmp_path: Path) -> None:
    """All 4096 pairs of e2m1 and int8, the special values among them, one lane at a time."""
    w, a = np.divmod(np.arange(16 * 256), 256)
    w, a = w.reshape(-1, 4), a.reshape(-1, 4)
    n = len(a)
    beats = {"a": a, "w": w, "sel": np.arange(n) % 4, "last": np.ones(n, dtype=bool)}
    beats["sv"] = np.tile(SPECIAL_VALUES["e2m1"], (n, 1))
    report = run({"format": "e2m1"}, tmp_path, beats, [Pass("none", "none")])
    assert report.passed, (report.fault, report.mismatch)
    assert report.results == n


def test_rounded_sums_stay_near_the_exact_ones(tmp_path: Path) -> None:
    """Three bits below the largest lane and 24 of accumulator: an error bound, not twins."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(32 * 8, 4)).astype(np.float16)
    beats = {
        "a": a.view(np.uint16).astype(np.int64),
        "w": rng.integers(0, 256, a.shape),
        "last": np.arange(len(a)) % 32 == 31,
    }
    case = {"format": "int8", "act": "fp16", "mode": "hardware"}
    report = run(case, tmp_path, beats, [Pass("none", "none")])
    assert report.passed, (report.fault, report.mismatch)
    found = report.outputs["o_y"].astype(np.uint32).view(np.float32).astype(np.float64)
    products = a.astype(np.float64) * decode(parse("int8"), beats["w"])[0]
    exact = products.reshape(8, -1).sum(axis=1)
    magnitude = np.abs(products).reshape(8, -1).sum(axis=1)
    assert (np.abs(found - exact) < magnitude * 2.0**-12).all()


def test_scaled_ties_go_to_even_and_zero_is_zero(tmp_path: Path) -> None:
    """Sums of 24 bits that end in ...11 or ...01, times scales that leave half a unit, or all."""
    scales = [3, -3, 0, 1, -128, 127, 5, -5]
    sums = [(1024, 2.0**-13), (1024, 3 * 2.0**-13), (1024, 5 * 2.0**-13), (0, 0)]
    rows = [(big, small, scale) for big, small in sums for scale in scales]
    a = np.zeros((2 * len(rows), 4), dtype=np.float16)
    a[0::2, 0], a[1::2, 0] = [row[0] for row in rows], [row[1] for row in rows]
    beats = {
        "a": a.view(np.uint16).astype(np.int64),
        "w": np.ones(a.shape, dtype=np.int64),
        "s": np.repeat([row[2] for row in rows], 2) % 256,
        "last": np.arange(len(a)) % 2 == 1,
    }
    case = {"format": "int8", "act": "fp16", "mode": "hardware", "scale": "int8"}
    report = run(case, tmp_path, beats, [Pass("none", "none")])
    assert report.passed, (report.fault, report.mismatch)
    exact = np.array([(big + small) * scale for big, small, scale in rows])
    expected = exact.astype(np.float32) + np.float32(0)  # of 0 times a negative: +0
    assert report.outputs["o_y"].tolist() == expected.view(np.uint32).tolist()


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"format": "int4"}, "format must be int8, int6, int5, e2m1, e2m0 with arch bit-serial"),
        ({"act": "e4m3"}, "act must be fp16, bf16, int8 with arch bit-serial, not 'e4m3'"),
        ({"lanes": 6}, "lanes must be a multiple of 4 with arch bit-serial, not 6"),
        ({"mode": "fast"}, "mode must be exact, hardware with arch bit-serial, not 'fast'"),
        ({"scale": "fp16"}, "scale must be int8 with arch bit-serial, not 'fp16'"),
        ({"pipeline": 1}, "pipeline must be 0 with arch bit-serial, not 1"),
        ({"core": "dot"}, "core must be stream with arch bit-serial, not 'dot'"),
        ({"columns": 2}, "columns must not be given with arch bit-serial"),
        ({"mode": "hardware"}, "act must be fp16 with mode hardware, not 'int8'"),
        ({"mode": "hardware", "act": "fp16", "lanes": 8}, "lanes must be 4 with mode hardware"),
        (
            {"mode": "hardware", "act": "fp16", "window": "-24:16"},
            "window must be None with mode hardware, not '-24:16'",
        ),
        (
            {"mode": "hardware", "act": "fp16", "acc_bits": 90},
            "acc_bits must be None with mode hardware, not 90",
        ),
    ],
)
def test_refusals(case: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        PEParams(**{"arch": "bit-serial", "format": "int8", "act": "int8", "lanes": 4, **case})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
