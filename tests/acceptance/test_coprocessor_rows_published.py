# SPDX-License-Identifier: Apache-2.0
"""What published co-processors do, done by the whole of ours.

A row has commands, those of the table in docs/coprocessor.md, and a test: the emitted Verilog of
the commands, at a smaller size, runs random, corner and edge-tile jobs beside the golden model, all
of memory and all registers compared; then comes what is special about the system.
"""

import os
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from fpga.driver.golden import GoldenTransport
from gen.cli import Parser, add_unit_options, main, params_from, unit_parser
from gen.emit import emit
from gen.unit import discover
from hw.spec.coprocessor import OPS, Descriptor
from hw.spec.formats import parse
from sim.golden.coprocessor.roofline import roofline
from sim.golden.formats import decode_float
from tests.sim import coprocessor_scenes as scenes
from tests.sim.coprocessor_steps import RING, run_queue
from tests.sim.coprocessor_twin import BASE, SIZE, Twin
from tests.verilog.test_cfu import check as instruct
from tests.verilog.test_coprocessor import check as simulated
from tests.verilog.test_coprocessor import emitted

Test = Callable[[Path], None]

ROWS: dict[str, Test] = {}

#: Commands of each row, as the documentation has them.
COMMANDS: dict[str, tuple[str, ...]] = {}

#: Smaller, as tests/hw/coprocessor/test_coprocessor_rates.py has it, so that it is compiled once.
SMALL = (
    '--engine "array --dataflow os --arch multiply --format int8 --rows 4 --columns 4" '
    "--data-width 32 --addr-bits 32 --act-kib 8 --wgt-kib 2"
)
A, W, C = (BASE + SIZE // 4 * place for place in range(3))


def row(name: str, *commands: str) -> Callable[[Test], Test]:
    """Name a row of the table, and its commands."""

    def add(test: Test) -> Test:
        ROWS[name], COMMANDS[name] = test, commands
        return test

    return add


def params(command: str) -> Any:
    """The parameters of a command line; of an option given twice the last counts."""
    words = shlex.split(command)
    parser, unit = Parser(), discover()[words[0]]
    add_unit_options(unit_parser(parser.add_subparsers(dest="unit"), unit), unit)
    return params_from(parser.parse_args(words), unit)


@cache
def built(command: str) -> tuple[str, dict[str, Any]]:
    return emit(discover()["coprocessor"], params(command))


def device(name: str, options: str, **memory: Any) -> Twin:
    """A row's first command with other options, beside its golden model."""
    return Twin(f"{COMMANDS[name][0]} {options}", build=built, **memory)


def run(twin: Twin, **sizes: int) -> dict[str, int]:
    """Run a product of whole rows, all of memory compared; return the counters."""
    twin.write("PERF_CLEAR", 1)
    twin.direct(whole(twin, **sizes))
    twin.rest()
    twin.compare()
    assert not twin.get("STATUS", "ERROR")
    twin.write("IRQ_STATUS", 15)
    found: dict[str, int] = twin.counters()[0]
    return found


def whole(twin: Twin, m: int, n: int, k: int) -> Descriptor:
    """The descriptor of a product whose rows lie without gaps."""
    a_stride, c_stride = k * twin.contract["act_slot"] // 8, n * twin.contract["c_bytes"] // 4
    return Descriptor(m=m, n=n, k=k, a=A, w=W, c=C, a_stride=a_stride, c_stride=c_stride)


@row("vta", "coprocessor --preset ultra96")
def _(folder: Path) -> None:
    """A queue; loads, products and stores at one time; the order of dependent jobs; Ultra96."""
    rng = np.random.default_rng(1)
    with device("vta", SMALL, read_latency=20, write_latency=8) as twin:
        scenes.products(twin, rng, 6)
        scenes.queues(twin, rng)
        # Three phases at one time: no longer than the longest, and the ends.
        sizes = {"m": 32, "n": 32, "k": 32}
        found = run(twin, **sizes)
        due = roofline(whole(twin, **sizes), twin.contract, latency=20)
        assert found["compute"] == due.compute == 8 * 8 * 32
        assert due.cycles <= found["busy"] < 1.15 * due.cycles
        assert found["busy"] < 0.75 * (due.compute + due.read + due.write)
    with device("vta", SMALL, read_latency=30, write_latency=60) as twin:
        chain(twin, rng)
    vivado(folder)


def chain(twin: Twin, rng: np.random.Generator) -> None:
    """What one job stores the next one loads: the order of the queue is the dependency."""
    twin.fill(rng)
    first = twin.get("QTAIL")
    a = Descriptor(m=9, n=6, k=21, a=A, w=W, c=C + 3, a_stride=25, c_stride=7)
    jobs = [
        a,
        Descriptor(op=OPS["copy"], m=9, n=24, k=1, a=C + 3, c=A + 2048, a_stride=28, c_stride=6),
        Descriptor(m=9, n=5, k=24, a=A + 2048, w=W, c=C + 1024, a_stride=24, c_stride=5),
        Descriptor(m=9, n=5, k=20, a=C + 1024, w=W + 64, c=A + 2049, a_stride=20, c_stride=5),
    ]
    twin.queue(jobs, RING, 4, first)
    twin.rest()
    twin.compare()
    assert twin.get("QTAIL") == first + len(jobs) and not twin.get("STATUS", "ERROR")


def vivado(folder: Path) -> None:
    """Its project of an Ultra96: registers at HPM0, memory at HP0, 128 bits, an interrupt."""
    options = shlex.split(f"--board ultra96 --unit coprocessor --preset ultra96 {SMALL}")
    with pytest.MonkeyPatch.context() as patch:
        # Without Vivado the project is written, and that is all.
        found = [f for f in os.environ["PATH"].split(os.pathsep) if not Path(f, "vivado").exists()]
        patch.setenv("PATH", os.pathsep.join(found))
        assert main("fpga", "", ["build", *options, "--out", str(folder / "ultra96")]) == 1
    written = {path.name: path.read_text(encoding="utf-8") for path in
               (folder / "ultra96").iterdir() if path.is_file()}  # fmt: skip
    assert "xczu3eg-sbva484-1-i" in written["ultra96.tcl"]
    system = " ".join(written["system.tcl"].split())
    for words in (
        "connect_bd_intf_net [get_bd_intf_pins ps/M_AXI_HPM0_FPD]",
        "[get_bd_intf_pins ps/S_AXI_HP0_FPD]",
        "CONFIG.PSU__USE__S_AXI_GP2 1 ",
        "CONFIG.PSU__SAXIGP2__DATA_WIDTH 128 ",
        "[get_bd_pins ps/pl_ps_irq0]",
    ):
        assert words in system, words
    assert "set base 0xa0000000" in written["settings.tcl"]
    top = written["top.v"]
    assert "coprocessor" in top and "interrupt" in top


@row(
    "nvdla-small",
    'coprocessor --engine "array --dataflow os --rows 8 --columns 8 --format int8" --data-width 64',
)
def _(folder: Path) -> None:
    """8 x 8 int8, 64 products a cycle; the next descriptor is written while one runs."""
    found = params(COMMANDS["nvdla-small"][0])
    assert found.macs_per_step == 64 and found.bus_bytes == 8
    rng = np.random.default_rng(2)
    with device("nvdla-small", SMALL, seed=2, stalls=20) as twin:
        scenes.shadows(twin, rng, 4)
        # One group of registers is programmed while the other runs; then START is one access.
        twin.fill(rng)
        jobs = [
            Descriptor(m=6 + j, n=9, k=40 - j, a=A + j, w=W, c=C + 999 * j, a_stride=40, c_stride=9)
            for j in range(4)
        ]
        twin.golden.instant = False
        for number, word in enumerate(jobs[0].pack()):
            twin.write(f"DIRECT{number}", word)
        for job in [*jobs[1:], jobs[0]]:
            twin.write("CTRL", START=1)
            for number, word in enumerate(job.pack()):
                twin.write(f"DIRECT{number}", word)
            assert twin.get("STATUS", "BUSY")  # all of it is there before the first is done
            twin.golden.step()
            twin.rest()
            twin.compare()
            twin.write("IRQ_STATUS", 15)
        assert twin.get("STATUS", "COMPLETED") == 4 + len(jobs)


@row(
    "redmule",
    'coprocessor --engine "array --dataflow broadcast --rows 12 --columns 4 --format e4m3 '
    '--act e4m3" --data-width 256',
    'coprocessor --engine "array --dataflow broadcast --rows 12 --columns 4 --format fp16 '
    '--act fp16 --group 16 --scale fp16" --data-width 256',
)
def _(folder: Path) -> None:
    """Sizes are all that software says: tiles, leftovers and replays are the hardware's."""
    for command in COMMANDS["redmule"]:
        assert params(command).macs_per_step == 48
    engine = "array --dataflow broadcast --rows 3 --columns 2 --format e4m3 --act e4m3 --max-k 128"
    rng = np.random.default_rng(3)
    options = f'--engine "{engine}" --data-width 64 --act-kib 2 --wgt-kib 2'
    with device("redmule", options, read_latency=20, write_latency=8) as twin:
        twin.fill(rng)
        for m in (1, 2, 3, 4, 6, 7):
            for n, k in ((1, 1), (2, 5), (3, 16), (5, 17)):
                run(twin, m=m, n=n, k=k)
        exact(twin, rng)
        # Two contexts: DIRECT is written while one job runs, and the queue holds more.
        scenes.shadows(twin, rng, 4)
        run_queue(twin, rng, 3)
        found = run(twin, m=24, n=16, k=96)
        assert found["macs"] == found["compute"] * 6 == 24 * 16 * 96
        assert found["busy"] <= 24 * 16 * 96 / 6 / 0.95


def exact(twin: Twin, rng: np.random.Generator) -> None:
    """Numbers in, numbers out, leftovers in all three sizes."""
    fmt = parse("e4m3")
    finite = np.flatnonzero(np.isfinite(decode_float(fmt, np.arange(256))))
    m, n, k = 5, 3, 13
    a, w = rng.choice(finite, (m, k)), rng.choice(finite, (k, n))
    twin.put(A, a.astype(np.uint8).reshape(-1))
    unit = twin.contract.unit
    words = [word for left in range(0, n, 2) for word in unit.weights(w[:, left : left + 2], 1, 0)]
    slot = twin.contract["w_slot"]
    panel = b"".join(int(word).to_bytes(slot, "little") for word in words)
    twin.put(W, np.frombuffer(panel, dtype=np.uint8))
    run(twin, m=m, n=n, k=k)
    found = twin.device.memory[C - BASE :][: 8 * m * n].view("<i8").reshape(m, n)
    due = decode_float(fmt, a) @ decode_float(fmt, w)
    assert (found * 2.0 ** (2 * fmt.lam) == due).all()


@row("cfu-playground", 'cfu --engine "array --dataflow os --rows 8 --columns 8 --format int8"')
def _(folder: Path) -> None:
    """One engine behind the port of a processor's custom instructions."""
    found = params(COMMANDS["cfu-playground"][0])
    _, manifest = emit(discover()["cfu"], found)
    assert {port["name"] for port in manifest["ports"]} >= {
        *("cmd_valid", "cmd_ready", "cmd_payload_function_id"),
        *("cmd_payload_inputs_0", "cmd_payload_inputs_1"),
        *("rsp_valid", "rsp_ready", "rsp_payload_outputs_0"),
    }
    small = "array --dataflow os --arch multiply --format int8 --rows 2 --columns 3 --max-k 40"
    for eager in (True, False):
        (folder / str(eager)).mkdir()
        assert instruct(folder / str(eager), small, eager=eager).tests == 1


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, tmp_path: Path) -> None:
    ROWS[name](tmp_path)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("name", "sizes", "share"),
    [("nvdla-small", (64, 64, 128), 0.94), ("redmule", (48, 40, 128), 0.95)],
)
def test_full_size(name: str, sizes: tuple[int, int, int], share: float) -> None:
    """The command as it is, on random jobs; aligned sizes keep this share of the array busy."""
    with device(name, "", read_latency=20, write_latency=8) as twin:
        scenes.products(twin, np.random.default_rng(5), 6, (30, 20, 40))
        twin.fill(np.random.default_rng(6))
        m, n, k = sizes
        found = run(twin, m=m, n=n, k=k)
        each = params(COMMANDS[name][0]).macs_per_step
        assert found["macs"] == m * n * k and found["compute"] == m * n * k / each
        assert found["busy"] <= m * n * k / each / share


@pytest.mark.deep
def test_redmule_in_fp16(tmp_path: Path) -> None:
    """Numbers in and out, with scales of 1: sums of 16 are exact, the rest is binary32."""
    engine = "array --dataflow broadcast --rows 3 --columns 2 --format fp16 --act fp16"
    case = {"engine": f"{engine} --group 16 --scale fp16 --max-k 128", "data_width": 64}
    case |= {"act_kib": 1, "wgt_kib": 1}
    assert simulated(tmp_path, case, only="products").tests == 1
    rng, (_, manifest) = np.random.default_rng(4), emitted(**case)
    with Accelerator(GoldenTransport(manifest), manifest) as board:
        for m, n, k in ((1, 1, 1), (6, 4, 96), (5, 3, 37)):
            a, w = (rng.normal(size=size).astype(np.float16) for size in ((m, k), (k, n)))
            c = board.gemm(a, board.load_weights(w, scales=np.ones((-(-k // 16), n))))
            due = a.astype(np.float64) @ w.astype(np.float64)
            np.testing.assert_allclose(c, due, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ROWS)
def test_documentation_has_the_commands(name: str) -> None:
    """Each is one that the generator takes, in the row of the table that names the test."""
    page = (Path(__file__).parents[2] / "docs" / "coprocessor.md").read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if f"[`{name}`]" in line)
    for command in COMMANDS[name]:
        params(command)
        assert f"`{command}`" in line
