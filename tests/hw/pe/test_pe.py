# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/pe.py`` and ``cells.py`` in Amaranth's own simulator; the emitted Verilog has
its benches in ``tests/verilog``."""

import random

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from gen.emit import emit
from gen.unit import discover
from hw.pe.cells import Accumulate
from hw.pe.pe import PE, PEParams
from hw.spec.formats import CATALOGUE, parse
from sim.golden import formats
from sim.golden.pe import pe as golden


def stream(params, beats, ready, valid=lambda: True):
    """Return (results, cycle of each result, cycle of each accepted last beat)."""
    dut = PE(params)
    results, answered, asked = [], [], []
    expected = int(beats["last"].sum())

    async def bench(ctx):
        sent, cycle, offering = 0, 0, False
        while len(results) < expected:
            assert cycle < 20 * len(beats["last"]) + 50, "deadlock"
            if sent < len(beats["last"]):
                offering = offering or valid()
                ctx.set(dut.i.payload.last, int(beats["last"][sent]))
                for lane in range(params.lanes):
                    ctx.set(dut.i.payload.a[lane], int(beats["a"][sent][lane]))
                    ctx.set(dut.i.payload.w[lane], int(beats["w"][sent][lane]))
            else:
                offering = False
            ctx.set(dut.i.valid, int(offering))
            ctx.set(dut.o.ready, int(ready()))
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                results.append(ctx.get(dut.o.payload.acc))
                answered.append(cycle)
            if offering and ctx.get(dut.i.ready):
                if beats["last"][sent]:
                    asked.append(cycle)
                sent, offering = sent + 1, False
            await ctx.tick()
            cycle += 1

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return results, answered, asked


@pytest.mark.parametrize("target", ["gates", "xcup"])
@pytest.mark.parametrize("pipeline", range(4))
@pytest.mark.parametrize(
    "pair", [("int4", "int8", 1), ("e2m1", "e4m3", 3), ("posit4_1", "int8", 2)]
)
def test_latency_throughput_and_stalls(pipeline, pair, target):
    weight, act, lanes = pair
    params = PEParams(
        format=weight, act=act, lanes=lanes, pipeline=pipeline, max_k=24, target=target
    )
    beats = golden.vectors(params.resolved, np.random.default_rng(1), 48)
    want = golden.run(params.resolved, beats)["acc"].tolist()

    results, answered, asked = stream(params, beats, ready=lambda: True)
    assert results == want
    assert [b - a for a, b in zip(asked, answered, strict=True)] == [pipeline + 1] * len(want)
    assert asked[-1] == len(beats["last"]) - 1, "less than one beat per cycle"

    rng = random.Random(pipeline)
    results, _, _ = stream(
        params, beats, ready=lambda: rng.random() < 0.4, valid=lambda: rng.random() < 0.5
    )
    assert results == want


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("weight", "act", "lanes", "k"),
    [
        ("int4", "int8", 1, 16),
        ("int8", "int8", 4, 16),
        ("e2m1", "e2m1", 3, 15),
        ("e4m3", "e4m3", 2, 4),
        ("posit8_0", "int8", 1, 7),
        ("nf4", "int8", 4, 12),
        ("ternary", "int8", 8, 128),
        ("shift4", "uint8", 1, 5),
    ],
)
def test_largest_sum_fits(weight, act, lanes, k, sign):
    """Max_k products of the extreme operands come out exactly and need the width of the sheet."""
    params = PEParams(format=weight, act=act, lanes=lanes, max_k=k)
    operands = [parse(weight), parse(act)]
    found = []
    for fmt in operands:
        codes = formats.legal_codes(fmt)
        integers, nan = formats.decode(fmt, codes)
        rows = zip(integers.tolist(), codes.tolist(), nan, strict=True)
        found.append([(integer, code) for integer, code, bad in rows if not bad])
    products = [(w * a, wc, ac) for w, wc in found[0] for a, ac in found[1]]
    product, wcode, acode = max(products, key=lambda p: sign * p[0])
    beats = {
        "a": np.full((k // lanes, lanes), acode),
        "w": np.full((k // lanes, lanes), wcode),
        "last": np.arange(k // lanes) == k // lanes - 1,
    }
    (result,), _, _ = stream(params, beats, ready=lambda: True)
    assert result == k * product
    if abs(product) == operands[0].max_int * operands[1].max_int and sign > 0:
        assert result.bit_length() + 1 == params.acc_width, "a narrower accumulator would do"


def test_accumulate_holds_without_enable_and_resets():
    cell = Accumulate(PEParams(format="int4", core="accumulate"))
    seen = []

    async def bench(ctx):
        for en, clr, a, w in ((1, 1, 3, 2), (0, 1, 9, 7), (1, 0, 5, 1), (1, 1, 4, 4)):
            ctx.set(cell.en, en)
            ctx.set(cell.clr, clr)
            ctx.set(cell.a, a)
            ctx.set(cell.w, w)
            await ctx.tick()
            seen.append(ctx.get(cell.acc))

    sim = Simulator(cell)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert seen == [6, 6, 11, 16]


@pytest.mark.parametrize("target", ["gates", "xcup"])
@pytest.mark.parametrize("weight", ["int4", "sm2", "e2m1"])
def test_accumulate_under_any_controls(weight, target):
    """Enable, clear and reset in any combination, of several lanes."""
    rng = random.Random(weight)
    cell = Accumulate(PEParams(format=weight, core="accumulate", lanes=2, target=target))
    table, _ = formats.decode(parse(weight), np.arange(1 << parse(weight).bits))
    m, domain = Module(), ClockDomain("sync")
    m.domains.sync, m.submodules.cell = domain, cell

    async def bench(ctx):
        expected = 0
        for _ in range(400):
            en, clr, rst = (int(rng.random() < p) for p in (0.7, 0.2, 0.05))
            w = [rng.randrange(len(table)) for _ in range(2)]
            a = [rng.choice((-128, 127, rng.randrange(-128, 128))) for _ in range(2)]
            ctx.set(cell.a, (a[0] & 255) | (a[1] & 255) << 8)
            ctx.set(cell.w, w[0] | w[1] << parse(weight).bits)
            ctx.set(cell.en, en)
            ctx.set(cell.clr, clr)
            ctx.set(domain.rst, rst)
            await ctx.tick()
            if rst:
                expected = 0
            elif en:
                beat = sum(int(table[c]) * x for c, x in zip(w, a, strict=True))
                expected = beat + (0 if clr else expected)
            assert ctx.get(cell.acc) == expected

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("weight", [n for n in CATALOGUE if parse(n).bits <= 8])
@pytest.mark.parametrize("act", ["int8", "fp16", "bf16", "posit16_1"])
def test_every_weight_without_a_multiplier(weight, act):
    """Never a `*` in the emitted Verilog but those of attributes and comments."""
    params = PEParams(format=weight, act=act, arch="shift-add", core="dot")
    text, manifest = emit(discover()["pe"], params)
    code = "\n".join(line.split("//")[0] for line in text.splitlines())
    assert "*" not in code.replace("(*", "").replace("*)", "").replace("@*", "")
    unit = -24 if act == "bf16" else parse(act).lam
    assert manifest["contract"]["lam"] == parse(weight).lam + unit


def test_multiply_has_one():
    text, _ = emit(discover()["pe"], PEParams(format="int8", arch="multiply", core="dot"))
    assert " * " in text


def test_streaming_unit_is_the_cell_plus_its_handshake():
    """No register beyond the cell's but: result valid, first beat."""
    text, _ = emit(discover()["pe"], PEParams(format="int4", arch="shift-add"))
    top = text[text.index("module pe(") : text.index("endmodule")]
    registers = [line for line in top.splitlines() if "always @(posedge clk)" in line]
    assert len(registers) == 2


def test_the_manifest_says_what_the_numbers_mean():
    _, manifest = emit(discover()["pe"], PEParams(format="e2m1", act="e4m3", lanes=2))
    assert manifest["contract"] == {"lam": -10, "acc_bits": 31, "max_k": 256}
    ports = {port["name"]: port for port in manifest["ports"]}
    assert (ports["i_w"]["format"], ports["i_w"]["lanes"]) == ("e2m1", 2)
    assert (ports["o_acc"]["format"], ports["o_acc"]["lam"]) == ("int31", -10)
