# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``fpga/commands/run.py``: verdicts, exit statuses, one-line complaints."""

import json

import numpy as np
import pytest

from fpga.board import discover
from fpga.driver.golden import GoldenTransport
from fpga.driver.transport import DeviceError
from fpga.products import manifest_of
from gen.cli import main
from hw.coprocessor.params import CoprocessorParams
from hw.pe.params import PEParams
from hw.spec.pe_registers import ERROR_FLAGS
from tests.fpga.driver.golden_board import golden_board

PARAMETERS = PEParams(format="e2m1", act="e4m3", lanes=3).resolved
OPTIONS = ["--format", "e2m1", "--act", "e4m3", "--lanes", "3", "--timeout", "10"]


def run(*argv):
    return main("fpga", "test", ["run", *argv])


def test_pass(capsys):
    with golden_board(PARAMETERS) as (path, _):
        assert run("--port", path, *OPTIONS, "--beats", "40") == 0
    out, err = capsys.readouterr()
    assert out.startswith("PASS: ")
    assert "40 beats of 3 products" in out and " ms a dot product" in out
    assert err == ""


def test_codes_of_a_file(tmp_path, capsys):
    path = tmp_path / "codes.npz"
    rng = np.random.default_rng(0)
    np.savez(path, a=rng.integers(64, size=(5, 7)), w=rng.integers(16, size=(5, 7)))
    with golden_board(PARAMETERS) as (port, _):
        assert run("--port", port, *OPTIONS, "--codes", str(path)) == 0
    assert capsys.readouterr().out.startswith("PASS: 5 of 5 dot products exact\n15 beats of 3")


def test_fail(capsys):
    """A device that loses the top bit of every weight."""
    with golden_board(PARAMETERS) as (path, device):
        take = device._take
        device._take = lambda words, last: take({**words, "W0": words["W0"] & 0x777}, last)
        assert run("--port", path, *OPTIONS) == 1
    out, err = capsys.readouterr()
    assert out.startswith("FAIL: ")
    assert err.startswith("python -m fpga run: dot product ") and err.count("\n") == 1


def test_a_device_that_reports_errors(capsys):
    with golden_board(PARAMETERS) as (path, device):
        device._push = lambda last: device.flag("FRAMING")
        assert run("--port", path, *OPTIONS) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"python -m fpga run: the device reports FRAMING: {ERROR_FLAGS['FRAMING']}\n"


def test_no_device(capsys):
    with golden_board(PARAMETERS, lambda k, byte: b"") as (path, _):
        assert run("--port", path, *OPTIONS, "--timeout", "0.01") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"python -m fpga run: no answer from {path} at 115200 baud")


def test_memory_that_is_no_device(tmp_path, capsys):
    path = tmp_path / "memory"
    path.write_bytes(bytes(8192))
    assert run("--memory", str(path), "--address", "0x1000", *OPTIONS) == 1
    assert "its ID is 0x00000000" in capsys.readouterr().err


@pytest.mark.parametrize("name", discover())
def test_a_board_has_the_parameters_it_is_built_with(name, capsys):
    units = discover()[name].units
    unit = "pe-uart" if "pe-uart" in units else "pe-axi"
    defaults = {k: v for k, v in units[unit].items() if k in PARAMETERS}
    with golden_board(PEParams(**defaults).resolved) as (path, _):
        assert run("--port", path, "--board", name, "--timeout", "10", "--beats", "8") == 0
    # What is given wins, the usual value of an option too.
    with golden_board(PEParams(**{**defaults, "lanes": 1}).resolved) as (path, _):
        argv = ["--port", path, "--board", name, "--timeout", "10", "--lanes", "1"]
        assert run(*argv, "--beats", "8", "--unit", unit) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--port", "/no/tty"], "port '/no/tty' cannot be opened: No such file or directory"),
        (["--port", "/no/tty", "--format", "e9m9"], "format 'e9m9' would have 19 bits"),
        (["--port", "/no/tty", "--board", "x"], "board must be one of"),
        (
            ["--port", "/no/tty", "--board", "kv260", "--unit", "pe-uart"],
            "board kv260 has unit coprocessor, pe-axi, not 'pe-uart'",
        ),
        (["--port", "/no/tty", "--beats", "0"], "beats must be from 1 to 1000000, not 0"),
        (["--port", "/no/tty", "--seed", "-1"], "seed must not be negative, which -1 is"),
        (["--port", "/no/tty", "--core", "dot"], "core must be stream behind registers, not 'dot'"),
        (["--port", "/no/tty", "--codes", "/no.npz"], "codes '/no.npz' must be an .npz file"),
        (["--memory", "/dev/null", "--address", "x"], "address must be a number, not 'x'"),
        (
            ["--memory", __file__, "--address", f"{1 << 80}"],
            f"memory {__file__!r} cannot be mapped",
        ),
        (["--port", "/no/tty", "--timeout", "nan"], "timeout must be a positive number, not nan"),
    ],
)
def test_bad_arguments(argv, message, capsys):
    assert run(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"python -m fpga run: {message}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (np.zeros((2, 3)), "a of codes {!r} must be integers of shape (rows, k), not float64"),
        (np.array([["1"]]), "a of codes {!r} must be integers of shape (rows, k), not <U1"),
        (np.zeros((0, 3), int), "a of codes {!r} must be integers of shape (rows, k), not int64"),
        (np.zeros(3, int), "a of codes {!r} must be integers of shape (rows, k), not int64"),
        (b"PK\3\4", "codes {!r} must be an .npz file with a and w: "),
    ],
)
def test_codes_that_are_none(a, message, tmp_path, capsys):
    path = tmp_path / "codes.npz"
    if isinstance(a, bytes):
        path.write_bytes(a)
    else:
        np.savez(path, a=a, w=a)
    assert run("--port", "/no/tty", "--codes", str(path)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"python -m fpga run: {message.format(str(path))}")
    assert err.count("\n") == 1


def test_a_device_with_other_parameters(capsys):
    with golden_board(PARAMETERS) as (path, _):
        assert run("--port", path, "--format", "e2m1", "--timeout", "10") == 2
    assert "the device was generated with other parameters: LANES 3, not 1" in (
        capsys.readouterr().err
    )


MATRICES = ["--unit", "coprocessor-uart", "--port", "/the/port", "--timeout", "9", "--baud", "9600"]


@pytest.fixture
def matrices(monkeypatch):
    """A golden co-processor of preset tiny behind the port, and what its link was opened with."""
    board = GoldenTransport(manifest_of(CoprocessorParams(preset="tiny")))

    class Link:
        opened, closed = [], 0

        def __init__(self, *words, **options):
            self.opened.append((*words, options))

        def close(self):
            Link.closed += 1

    monkeypatch.setattr("fpga.products.UartTransport", Link)
    monkeypatch.setattr("fpga.products.BridgeTransport", lambda link: board)
    board.close = Link.close.__get__(Link)
    return board, Link


def test_matrices_pass(capsys, matrices):
    assert run(*MATRICES, "--preset", "tiny", "--products", "3") == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith("PASS: 3 of 3 matrix products exact\n")
    assert out.endswith(" ms a product, host and link included\n")
    assert matrices[1].opened == [("/the/port", 9600, {"timeout": 9.0})]
    assert matrices[1].closed == 1


def test_a_manifest_in_place_of_options(capsys, matrices, tmp_path):
    path = tmp_path / "coprocessor_uart.json"
    path.write_text(json.dumps(manifest_of(CoprocessorParams(preset="tiny"))))
    assert run(*MATRICES, "--manifest", str(path), "--products", "1") == 0
    for text, told in (("{}", "is that of no matrix co-processor"), ("{", "cannot be read: ")):
        path.write_text(text)
        assert run(*MATRICES, "--manifest", str(path)) == 2
        assert told in capsys.readouterr().err
    assert run(*MATRICES, "--manifest", "/no/where") == 2
    assert "manifest '/no/where' cannot be read: No such file" in capsys.readouterr().err


def test_a_coprocessor_that_is_another(capsys, matrices):
    assert run(*MATRICES, "--preset", "small") == 2
    out, err = capsys.readouterr()
    assert out == "" and "the device was generated with other parameters than the manifest" in err
    assert err.count("\n") == 1 and matrices[1].closed == 1


def test_a_coprocessor_that_errs(capsys, matrices, monkeypatch):
    board = matrices[0]
    download = board.download
    board.download = lambda *where: bytes(255 - byte for byte in download(*where))
    assert run(*MATRICES, "--preset", "tiny") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("python -m fpga run: self-test: product 0, MxNxK ")

    def silent(link):
        raise DeviceError("no answer")

    monkeypatch.setattr("fpga.products.BridgeTransport", silent)
    assert run(*MATRICES, "--preset", "tiny") == 1
    assert capsys.readouterr().err == "python -m fpga run: no answer\n"
    assert matrices[1].closed == 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--lanes", "4"], "unit coprocessor-uart has no option --lanes"),
        (["--products", "0"], "products must be from 1 to 10000, not 0"),
        (["--codes", "x.npz"], "unit coprocessor-uart has no option --codes"),
        (["--board", "ultra96"], "board ultra96 has unit "),
        (["--engine", "array --rows"], "--rows of the engine must have a value"),
    ],
)
def test_bad_arguments_of_matrices(argv, message, capsys):
    assert run(*MATRICES, *argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"python -m fpga run: {message}") and err.count("\n") == 1


def test_an_element_has_no_options_of_matrices(capsys):
    assert run("--port", "/no/tty", "--preset", "tiny") == 2
    assert "unit pe has no option --preset" in capsys.readouterr().err
