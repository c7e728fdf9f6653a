# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/coprocessor/pe_registers.py``: every access against the golden model."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.coprocessor.pe_registers import BRIDGE_ERRORS, PERegisters, registers_of
from hw.pe.params import PEParams
from hw.spec.pe_registers import ERROR_FLAGS
from sim.golden.coprocessor import pe_axi

CASES = {
    "int4": {"format": "int4"},
    "pipelined": {"format": "int4", "act": "int4", "lanes": 9, "pipeline": 3},
    "nan": {"format": "e4m3", "act": "e5m2", "lanes": 3},
    "window": {"format": "e2m1", "act": "bf16", "lanes": 5},
    "wide": {"format": "ternary", "act": "posit16_1", "lanes": 2, "acc_bits": 100},
    "short": {"format": "binary", "act": "uint2", "lanes": 33, "max_k": 40},
}


def run(dut, body):
    async def bench(ctx):
        async def access(address, data=None, strobe=15, after=15):
            bus = dut.bus
            ctx.set(bus.request, 1)
            ctx.set(bus.address, address)
            ctx.set(bus.write, data is not None)
            ctx.set(bus.data, data or 0)
            ctx.set(bus.strobe, strobe)
            await ctx.tick()
            ctx.set(bus.request, 0)
            assert ctx.get(bus.ack)
            answer = ctx.get(bus.value), bool(ctx.get(bus.error))
            await ctx.tick().repeat(after)
            return answer

        await body(ctx, access)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_any_accesses(case):
    params = PEParams(**case)
    stimulus = pe_axi.vectors(params.resolved, np.random.default_rng(1), 800)
    want = pe_axi.run(params.resolved, stimulus)
    rows = np.stack([stimulus[n] for n in ("write", "address", "data", "strobe")], axis=1).tolist()
    got = []

    async def body(ctx, access):
        for write, address, data, strobe in rows:
            got.append(await access(address, data if write else None, strobe))

    run(PERegisters(params, 12), body)
    assert [value for value, _ in got] == want["value"].tolist()
    assert [error for _, error in got] == want["error"].tolist()


def test_the_stimulus_reaches_what_matters():
    """Results, refused pushes and empty pops all occur in the accesses of the test above."""
    params = PEParams(**CASES["nan"])
    stimulus = pe_axi.vectors(params.resolved, np.random.default_rng(1), 800)
    answers, names = pe_axi.run(params.resolved, stimulus), registers_of(params)
    reads = stimulus["write"] == 0
    for name, seen in (("ACC0", 3), ("RESULT", 2), ("COUNT", 5), ("ERROR", 2)):
        at = reads & (stimulus["address"] == names[name].offset)
        assert len(set(answers["value"][at].tolist())) > seen, name
    pushes = stimulus["address"] == names["PUSH"].offset
    assert answers["error"][pushes & ~reads].any()


def test_a_reset_at_any_moment_leaves_nothing_behind():
    params = PEParams(format="int4", act="int4", lanes=1, pipeline=3)
    names = registers_of(params)

    async def body(ctx, access):
        async def beat(last, **after):
            await access(names["A0"].offset, 7)
            await access(names["W0"].offset, 3)
            await access(names["PUSH"].offset, last, **after)

        for wait in range(12):
            for history in ((0,), (1,), (0, 1), (1, 0), (1, 1)):
                for last in history:
                    await beat(last, after=wait + 1)
                await access(names["CTRL"].offset, 2)
                assert await access(names["STATUS"].offset) in ((1, False), (9, False))
                assert await access(names["COUNT"].offset) == (0, False)
                assert await access(names["RESULT"].offset) == (0, False)
            await beat(1)
            assert await access(names["ACC0"].offset) == (21, False)
            await access(names["POP"].offset, 0)

    run(PERegisters(params, 12), body)


@pytest.mark.parametrize("flag", BRIDGE_ERRORS)
def test_errors_of_the_bridge_are_kept(flag):
    dut = PERegisters(PEParams(format="int4"), 12)
    errors = dut.registers["ERROR"]

    async def body(ctx, access):
        ctx.set(dut.errors, 1 << BRIDGE_ERRORS.index(flag))
        await ctx.tick()
        ctx.set(dut.errors, 0)
        assert await access(errors.offset) == (1 << list(ERROR_FLAGS).index(flag), False)
        assert ctx.get(dut.error)
        await access(errors.offset, errors.make(**{flag: 1}))
        assert await access(errors.offset) == (0, False)
        assert not ctx.get(dut.error)

    run(dut, body)


def test_a_wide_address_does_not_alias():
    dut = PERegisters(PEParams(format="int4"), 34)

    async def body(ctx, access):
        assert await access(0) == (dut.registers["ID"].reset, False)
        for bit in range(12, 34):
            assert await access(1 << bit) == (0, True)

    run(dut, body)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"core": "dot"}, "core must be stream behind registers, not 'dot'"),
        ({"acc_bits": 2000}, "acc_bits must be at most 928 behind registers, not 2000"),
    ],
)
def test_bad_parameters(case, message):
    with pytest.raises(ValueError, match=message):
        registers_of(PEParams(format="int4", **case))
