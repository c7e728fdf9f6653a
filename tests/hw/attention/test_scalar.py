# SPDX-License-Identifier: Apache-2.0
"""Scalar functions: values of the definition, all of a table, pipelines, faults, refusals."""

import math

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from gen import yosys
from gen.emit import emit
from gen.unit import discover
from hw.attention import exp2n, recip, rsqrt, table
from hw.attention.divide import Divide
from hw.attention.exp2n import Exp2N, Exp2NParams
from hw.attention.isqrt import Isqrt
from hw.attention.log2 import Log2, Log2Params
from hw.attention.recip import Recip, RecipParams
from hw.attention.rsqrt import Rsqrt, RsqrtParams
from hw.attention.scalar_params import ScalarParams
from hw.attention.sigmoid import Sigmoid, SigmoidParams
from hw.attention.table import FUNCTIONS, Table, TableParams
from sim.bench.check import check, golden_of, passes_for
from sim.bench.netlist import Netlist

UNIT = discover()["scalar"]

#: Function -> largest errors for 5 to 8 index bits, in units of 2**-16.
ERRORS = {
    "exp2n": (4.44, 1.65, 1.15, 0.98),
    "exp2": (7.91, 2.56, 1.34, 1.05),
    "recip": (15.7, 4.52, 1.67, 1.10),
    "rsqrt": (6.1, 2.00, 1.21, 1.02),
    "rsqrt2": (4.4, 1.51, 1.18, 0.99),
    "log2": (11.9, 3.48, 1.57, 1.01),
    "sigmoid": (49, 12.9, 3.8, 1.5),
    "sin": (20, 5.8, 2.1, 1.2),
}

EXP2N = {
    16: {0: 65536, 1: 65525, 63: 64841, 64: 64830, 2048: 46341, 4095: 32774, 4096: 32768,
         10000: 12066, 50000: 14, 65536: 1, 69631: 1, 69632: 1, 69633: 0},
    8: {0: 255, 1: 255, 2048: 181, 4096: 128, 32768: 1, 36863: 1, 36864: 1, 40000: 0},
}  # fmt: skip

RECIP = {1: (0, 1073741824), 3: (1, 715827883), 255: (7, 538976288), 65535: (15, 536879104),
         1000003: (19, 562948264)}  # fmt: skip

#: v -> place of the leading one, of which half comes out, and y.
RSQRT = {2: (1, 759250125), 3: (1, 619925131), 20: (4, 960383884), 5000: (12, 971840160),
         10**12: (39, 562949955)}  # fmt: skip


def netlist(cell, folder):
    text = yosys.to_verilog(rtlil.convert(cell, name="dut", emit_src=False))
    (folder / "dut.v").write_text(text)
    return Netlist.read([folder / "dut.v"], "dut", folder)


def run(net, **inputs):
    found = net.evaluate({name: np.asarray(v, dtype=np.int64) for name, v in inputs.items()})
    return {k: b.astype(np.int64) @ (1 << np.arange(b.shape[1])) for k, b in found.items()}


def test_tables_are_those_of_the_definition():
    exp2n = TableParams("exp2n").values
    assert [exp2n[k] for k in (0, 1, 2, 31, 32, 63)] == [65536, 64830, 64132, 46846, 46341, 33125]
    assert sum(exp2n[:-1]) == 3041964
    sums = {name: sum(TableParams(name).values[:-1]) for name in ("recip", "rsqrt", "rsqrt2")}
    assert sums == {"recip": 2923720, "rsqrt": 3484300, "rsqrt2": 2463774}


@pytest.mark.parametrize("function", [*ERRORS][:1] + [pytest.param(f, marks=pytest.mark.deep)
                                                      for f in [*ERRORS][1:]])  # fmt: skip
def test_error_bound(function):
    assert set(ERRORS) == set(FUNCTIONS)
    for bits, due in zip(range(5, 9), ERRORS[function], strict=True):
        assert TableParams(function, bits, 16 - bits).error == pytest.approx(due, rel=0.02)


@pytest.mark.parametrize("target", ["gates", pytest.param("fpga", marks=pytest.mark.deep)])
@pytest.mark.parametrize("function", ["sigmoid", "rsqrt2"])
def test_every_argument_of_a_table(function, target, tmp_path):
    params = TableParams(function, closed=True, target=target)
    u = np.arange((1 << 16) + 1)
    y = run(netlist(Table(params), tmp_path), u=u)["y"]
    assert (y == [params.at(int(k)) for k in u]).all()
    assert y[0] == params.values[0] and y[-1] == params.values[-1]
    steps = np.diff(y)
    assert (steps >= 0).all() or (steps <= 0).all()


@pytest.mark.parametrize("out_bits", EXP2N)
def test_exp2n(out_bits, tmp_path):
    net = netlist(Exp2N(Exp2NParams(20, out_bits, clamp=out_bits == 8)), tmp_path)
    due = EXP2N[out_bits]
    assert run(net, d=list(due))["e"].tolist() == list(due.values())
    d = np.arange(1 << 17)
    e = run(net, d=d)["e"]
    assert (np.diff(e) <= 0).all()
    assert np.abs(e - np.exp2(out_bits - d / 4096)).max() <= (1 if out_bits == 8 else 2.2)


def test_recip(tmp_path):
    net = netlist(Recip(RecipParams(40)), tmp_path)
    found = run(net, l=list(RECIP))
    assert [*zip(found["k"].tolist(), found["y"].tolist(), strict=True)] == list(RECIP.values())
    l_ = np.concatenate([np.arange(1, 4096), 1 << np.arange(40), (1 << np.arange(1, 41)) - 1])
    found = run(net, l=l_)
    exact = found["y"] * np.exp2(-30.0 - found["k"]) * l_ - 1
    assert np.abs(exact[l_ < 1 << 24]).max() < 8.2e-9


def test_rsqrt(tmp_path):
    net = netlist(Rsqrt(RsqrtParams(40)), tmp_path)
    found = run(net, v=list(RSQRT))
    due = [(k >> 1, y) for k, y in RSQRT.values()]
    assert [*zip(found["h"].tolist(), found["y"].tolist(), strict=True)] == due
    v = np.arange(1, 8192)
    found = run(net, v=v)
    assert np.abs(found["y"] * np.exp2(-30.0 - found["h"]) * np.sqrt(v) - 1).max() < 3.1e-9


@pytest.mark.parametrize("index_bits", [6, *(pytest.param(k, marks=pytest.mark.deep)
                                             for k in (4, 5, 7, 8))])  # fmt: skip
def test_few_bits_tell_what_newton_leaves(index_bits):
    """The widths of recip and rsqrt hold for every mantissa: at fixed u what is left is linear."""
    u = np.arange(1 << 16)
    low = (1 << 23) + (u << 7)

    def guesses(function):
        params = TableParams(function, index_bits, 16 - index_bits)
        ends, places = np.array(params.values), params.rest_bits
        at, rest = u >> places, u & (1 << places) - 1
        return ends[at] + ((np.diff(ends)[at] * rest + (1 << places - 1)) >> places)

    left = [((1 << 39) - m * guesses("recip")) >> 9 for m in (low, low + 127)]
    limit = 1 << recip._LEFT[index_bits] - 1
    assert -limit <= np.min(left) and np.max(left) < limit
    limit = 1 << rsqrt._LEFT[index_bits] - 1
    for parity, function in enumerate(("rsqrt", "rsqrt2")):
        square = guesses(function) ** 2 >> 2
        for m in (low, low + 127):
            # The product has 56 bits.
            left = (1 << 30) - ((m << parity) * square >> 23)
            assert -limit <= left.min() and left.max() < limit


STAGED = {
    "exp2n": (lambda p: Exp2N(Exp2NParams(20, 12, pipeline=p)), 3, "d", ("e",), 18),
    "sigmoid": (lambda p: Sigmoid(SigmoidParams(pipeline=p)), 1, "x", ("y",), 15),
    "log2": (lambda p: Log2(Log2Params(20, pipeline=p)), 2, "l", ("y",), 20),
    "recip": (lambda p: Recip(RecipParams(33, pipeline=p)), 4, "l", ("k", "y"), 32),
    "rsqrt": (lambda p: Rsqrt(RsqrtParams(40, pipeline=p)), 5, "v", ("h", "y"), 40),
}


#: The first two are run in every regression.
SOME = [*STAGED][:2] + [pytest.param(name, marks=pytest.mark.deep) for name in [*STAGED][2:]]


@pytest.mark.parametrize("name", SOME)
def test_stages_only_delay(name):
    make, most, argument, results, bits = STAGED[name]
    values = [1, *(pow(3, 5 * k, 1 << bits) >> k % bits or 1 for k in range(24))]
    found = []
    for pipeline in (0, 1, most):
        cell, got = make(pipeline), []
        assert cell.latency == pipeline

        async def bench(ctx, cell=cell, got=got, pipeline=pipeline):
            for number in range(len(values) + pipeline):
                ctx.set(getattr(cell, argument), values[min(number, len(values) - 1)])
                if not pipeline:
                    await ctx.delay(1e-9)
                else:
                    ctx.set(cell.en, -1)
                if number >= pipeline:
                    got.append([ctx.get(getattr(cell, name)) for name in results])
                if pipeline:
                    await ctx.tick()

        simulator = Simulator(cell)
        if pipeline:
            simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        found.append(got)
    assert found[0] == found[1] == found[2]


def serial(component, values):
    got, cycles = [], 0

    async def bench(ctx):
        nonlocal cycles
        sent = 0
        ctx.set(component.o.ready, 1)
        while len(got) < len(values):
            ctx.set(component.i.valid, sent < len(values))
            ctx.set(component.i.payload, values[min(sent, len(values) - 1)])
            if ctx.get(component.o.valid):
                got.append(ctx.get(component.o.payload))
            sent += sent < len(values) and ctx.get(component.i.ready)
            cycles += 1
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return got, cycles


def test_isqrt():
    values = [*range(17), 143, 144, 65535, 65534, 255**2, 255**2 - 1]
    unit = Isqrt(16)
    got, cycles = serial(unit, values)
    assert got == [math.isqrt(v) for v in values]
    assert cycles == len(values) * unit.latency + 1
    top = (1 << 64) - 1
    assert serial(Isqrt(64), [top, 10**18])[0] == [math.isqrt(top), 10**9]


def test_divide():
    values = [1, 2, 3, 255, 256, 1595, 65280, 65281, (1 << 19) - 1]
    unit = Divide(65280, 19)
    got, cycles = serial(unit, values)
    assert got == [65280 // v for v in values]
    assert cycles == len(values) * unit.latency + 1
    assert serial(Divide(1 << 32, 24, 18), [32767, 40000])[0] == [(1 << 32) // v for v in
                                                                   (32767, 40000)]  # fmt: skip


UNITS = [
    {"lanes": 2, "out_bits": 12},
    {"function": "recip"},
    {"function": "rsqrt", "target": "fpga"},
    {"function": "log2"},
    {"function": "sigmoid", "index_bits": 8},
    {"function": "recip", "newton": False, "index_bits": 4, "lanes": 3},
    {"function": "recip", "index_bits": 5, "target": "fpga"},
    {"function": "rsqrt", "index_bits": 4},
    {"out_bits": 9, "index_bits": 7},
]


@pytest.mark.parametrize("parameters", [*UNITS[:5], *(pytest.param(p, marks=pytest.mark.deep)
                                                       for p in UNITS[5:])], ids=str)  # fmt: skip
def test_verilog(parameters, tmp_path):
    text, manifest = emit(UNIT, UNIT.params(**parameters))
    (tmp_path / "scalar.v").write_text(text)
    golden = golden_of(manifest)
    beats = golden.vectors(manifest["parameters"], np.random.default_rng(3), 150)
    passes = [p for p in passes_for("all") if p.source in ("none", "bursty")]
    report = check(tmp_path / "scalar.v", manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, report.mismatch or report.fault
    assert report.passes[0].cycles == 150 + manifest["latency"]
    assert manifest["contract"]["error_bound"] < 60


def one_entry_off(function, index_bits, fraction):
    values = table._values(function, index_bits, fraction)
    return tuple(v + (k == 33) for k, v in enumerate(values))


FAULTS = {
    "table": ("exp2n", lambda patch: patch(table.TableParams, "values", property(
        lambda self: one_entry_off(self.function, self.index_bits, self.fraction)))),
    "rounding": ("exp2n", lambda patch: patch(exp2n, "incremented", lambda m, word, by: word)),
    "octaves": ("exp2n", lambda patch: patch(exp2n, "FARTHEST", 16)),
    "newton": ("recip", lambda patch: patch(recip, "_LEFT", {6: 16})),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught(name, tmp_path, monkeypatch):
    function, inject = FAULTS[name]
    inject(monkeypatch.setattr)
    text, manifest = emit(UNIT, UNIT.params(function=function))
    (tmp_path / "scalar.v").write_text(text)
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(3), 600)
    report = check(tmp_path / "scalar.v", manifest, beats, tmp_path / "build")
    assert report.mismatch is not None and report.mismatch.port == "o_y"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"function": "sine"}, "function must be one of exp2n, recip, .*, not 'sine'"),
        ({"in_bits": 12}, "in_bits must be an integer from 13 to 32, not 12"),
        ({"function": "recip", "in_bits": 64}, "in_bits must be an integer from 2 to 48, not 64"),
        ({"function": "log2", "newton": True}, "newton must not be given with function log2"),
        ({"function": "recip", "out_bits": 8}, "out_bits must not be given with function recip"),
        ({"index_bits": 9}, "index_bits must be an integer from 4 to 8, not 9"),
        ({"lanes": 0}, "lanes must be an integer from 1 to 64, not 0"),
        ({"target": "asic"}, "target must be one of gates, fpga, not 'asic'"),
    ],
)
def test_refusals(parameters, text):
    with pytest.raises(ValueError, match=text):
        ScalarParams(**parameters)


def quiet(component):
    """Return a class of which Amaranth does not complain that it was not used."""
    return type("Quiet", (component,), {"_MustUse__silence": True})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TableParams("tan"), "function must be one of"),
        (lambda: TableParams(rest_bits=17), "rest_bits must be an integer from 1 to 16, not 17"),
        (lambda: TableParams(pipeline=2), "pipeline must be an integer from 0 to 1, not 2"),
        (lambda: Exp2NParams(in_bits=8), "in_bits must be an integer from 12 to 64, not 8"),
        (lambda: quiet(Isqrt)(15), "width must be an even number from 4 to 128, not 15"),
        (lambda: quiet(Divide)(0, 4), "numerator must be a positive integer, not 0"),
    ],
)
def test_refusals_of_components(make, text):
    with pytest.raises(ValueError, match=text):
        make()
