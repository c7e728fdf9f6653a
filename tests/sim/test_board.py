# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``sim/board.py``: driver, terminal, UART bits in simulation, bridge, unit, and back."""

import contextlib
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from fpga.driver.golden import GoldenTransport
from fpga.driver.pe import PEDriver
from fpga.driver.uart import UartTransport, frame
from fpga.products import manifest_of, over_uart
from gen.cli import main
from hw.coprocessor.params import CoprocessorParams
from hw.pe.params import PEParams
from hw.spec.pe_registers import ERROR_FLAGS
from sim.board import BAUD, simulated
from sim.golden.pe import pe as golden
from sim.runner import SimulationError

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def board(*options):
    """Yield ``(path, process)`` of ``python -m sim board``."""
    command = [sys.executable, "-m", "sim", "board", *options]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process.stdout.readline().strip(), process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_dot_products_through_every_bit():
    """One session: exact results, then a broken frame, then exact results again."""
    params = PEParams(format="e2m1", act="e4m3", lanes=3)
    beats = golden.vectors(params.resolved, np.random.default_rng(4), 24)
    want = golden.run(params.resolved, beats)
    with board("--format", "e2m1", "--act", "e4m3", "--lanes", "3") as (path, process):
        hint = process.stderr.readline()
        assert hint.startswith(f"try: python -m fpga run --port {path} --baud {BAUD} ")
        assert hint.rstrip().endswith("--format=e2m1 --act=e4m3 --lanes=3")
        port = UartTransport(path, BAUD, timeout=30)
        driver = PEDriver(port, params)
        got = driver.run(**beats)
        assert got["acc"].tolist() == want["acc"].tolist()
        assert got["nan"].tolist() == want["nan"].tolist()

        # A frame that stops half-way, then the silence in which the bridge forgets it.
        port._send(frame(1, 0x100, 4, [1]))
        port.recover()
        errors = driver.registers["ERROR"]
        assert port.read(errors.offset, 1) == [1 << list(ERROR_FLAGS).index("TIMEOUT")]
        driver.reset()
        assert driver.dot([[0x38]], [[2]])["acc"].tolist() == [1 << 10]
        port.close()


def test_the_command_of_the_user(capsys):
    with board("--format", "int4", "--lanes", "4") as (path, _):
        argv = ["run", "--port", path, "--baud", str(BAUD), "--timeout", "30"]
        assert main("fpga", "", [*argv, "--format", "int4", "--lanes", "4", "--beats", "9"]) == 0
    assert capsys.readouterr().out.startswith("PASS: ")


def test_matrices_through_every_bit(capsys):
    """Numpy arrays to a co-processor and its memory, and back; then the command's self-test."""
    engine = "array --dataflow tree --rows 1 --columns 2 --lanes 4 --format int4 --max-k 16"
    manifest = manifest_of(CoprocessorParams(preset="tiny", engine=engine))
    rng = np.random.default_rng(5)
    a, w = rng.integers(-128, 128, (2, 9)), rng.integers(-8, 8, (9, 3))
    options = ["--unit", "coprocessor-uart", "--preset", "tiny", "--engine", engine]
    with board(*options, "--ram-kib", "4") as (path, process):
        hint = shlex.split(process.stderr.readline())
        assert hint[:5] == ["try:", "python", "-m", "fpga", "run"]
        place = ["--port", path, "--baud", str(BAUD), "--unit", "coprocessor-uart"]
        assert hint[5:11] == place
        assert hint[11:] == [f"--engine={engine}", "--preset=tiny"]
        with over_uart(path, manifest, BAUD, timeout=60) as device:
            np.testing.assert_array_equal(device.gemm(a, w), a @ w)
        words = [*hint[5:], "--timeout", "60", "--products", "1"]
        assert main("fpga", "", ["run", *words]) == 0
    assert capsys.readouterr().out.startswith("PASS: 1 of 1 matrix products exact\n")


def test_a_simulated_coprocessor_for_the_driver(monkeypatch):
    """Options and the model of the memory arrive; the rest is that of the transport."""
    seen = {}

    def transport(text, manifest, model):
        seen.update(text=text, model=model)
        return GoldenTransport(manifest)

    monkeypatch.setattr("sim.coprocessor.SimTransport", transport)
    monkeypatch.setattr("sim.board.emit", lambda unit, params: (unit.name, manifest_of(params)))
    model = object()
    with Accelerator(*simulated(model, preset="tiny", act_kib=2)) as device:
        assert device.contract["a_depth"] == 2 * 8192 // 32
        np.testing.assert_array_equal(device.gemm([[2, 3]], [[1], [-8]]), [[-22]])
    assert seen == {"text": "coprocessor", "model": model}
    with pytest.raises(ValueError, match=r"^simulated got an unexpected keyword argument 'speed'$"):
        simulated(speed=1)
    with pytest.raises(ValueError, match="preset must be one of tiny"):
        simulated(preset="huge")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_board_that_ends_leaves_nothing(end, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with board() as (path, process):
        assert path.startswith("/dev/") and list(tmp_path.iterdir())
        process.send_signal(end)
        assert process.wait(60) == 0
    assert not list(tmp_path.iterdir())


def test_a_simulator_that_is_killed(tmp_path, capsys, monkeypatch):
    def dies(*_, **__):
        raise SimulationError("on icarus, it died", "icarus")

    monkeypatch.setattr("sim.board.simulate", dies)
    assert main("sim", "", ["board"]) == 1
    assert capsys.readouterr() == ("", "python -m sim board: on icarus, it died\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--baud", "7"], "python -m sim board: baud must be at least 2000"),
        (["--clock-hz", "1000"], "python -m sim board: baud must be at most 125 for clock_hz 1000"),
        (["--format", "x"], "python -m sim board: unknown format 'x'"),
        (
            ["--unit", "coprocessor-uart", "--lanes", "2"],
            "python -m sim board: unit coprocessor-uart has no option --lanes",
        ),
        (
            ["--preset", "tiny"],
            "python -m sim board: unit pe-uart has no option --preset",
        ),
        (
            ["--unit", "coprocessor-uart", "--ram-kib", "3"],
            "python -m sim board: ram_kib must be a power of two",
        ),
        (["--waves", __file__], f"python -m sim board: {__file__!r}: File exists"),
    ],
)
def test_bad_arguments(argv, message, capsys):
    assert main("sim", "", ["board", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message) and err.count("\n") == 1
