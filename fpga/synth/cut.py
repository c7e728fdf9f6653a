# SPDX-License-Identifier: Apache-2.0
"""Emitted Verilog as gates and registers beside its memories, which stay memories."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpga import tools
from fpga.synth.machine import Machine

__all__ = ["Memory", "cut"]

_TIMEOUT = 1200.0  #: Seconds that Yosys may take.

_BEFORE = """\
read_verilog machine.v
hierarchy -check -top {top}
proc
flatten
opt_expr
opt_clean
memory_collect
opt_clean
async2sync
opt -full
write_json whole.json
"""

_AFTER = """\
read_json cut.json
opt_clean
techmap
dffunmap
opt_clean
setundef -zero -init
abc -g AND -script +{script}
aigmap
opt_clean
write_aiger -ascii -symbols -zinit cut.aag
"""


@dataclass(frozen=True)
class Memory:
    """A memory whose ports are ports of the machine around it.

    An address is read in the same cycle, and written at the end of it; of writes to one word the
    last one counts. All words are 0 at first.
    """

    name: str
    width: int
    words: int
    #: Output with the address, input with the word.
    reads: tuple[tuple[str, str], ...]
    #: Outputs with the enable of each bit, the address, the word.
    writes: tuple[tuple[str, str, str], ...]


def cut(
    verilog: str, top: str, folder: Path, script: Sequence[str]
) -> tuple[Machine, tuple[Memory, ...]]:
    """Return the module ``top`` without its memories, and these; ``folder`` receives files.

    ``script`` holds the commands with which ABC optimises. Raises ``ValueError`` for a memory that
    does not begin with 0, or has another kind of port.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machine.v").write_text(verilog, encoding="utf-8")
    _yosys(_BEFORE.format(top=top), folder)
    netlist = json.loads((folder / "whole.json").read_text(encoding="utf-8"))
    module = netlist["modules"][top]
    found = list[Memory]()
    for name, cell in sorted(module["cells"].items()):
        if cell["type"] == "$mem_v2":
            found.append(_take_out(module, f"mem{len(found)}", name, cell))
            del module["cells"][name]
    (folder / "cut.json").write_text(json.dumps(netlist), encoding="utf-8")
    commands = ";".join(command.replace(" ", ",") for command in script)
    _yosys(_AFTER.format(script=commands), folder)
    machine = Machine.parse((folder / "cut.aag").read_text(encoding="utf-8"))
    return machine, tuple(found)


def _yosys(script: str, folder: Path) -> None:
    (folder / "cut.ys").write_text(script, encoding="utf-8")
    tools.run("yosys", ["-q", "-s", "cut.ys"], folder, timeout=_TIMEOUT)


def _take_out(module: dict[str, Any], stem: str, name: str, cell: Mapping[str, Any]) -> Memory:
    """Make ports of what a memory is connected to."""

    def number(key: str) -> int:
        return int(cell["parameters"][key], 2)

    def port(kind: str, way: str, pin: str, index: int, size: int) -> str:
        bits = cell["connections"][pin][index * size : (index + 1) * size]
        label = f"{stem}_{kind}{index}"
        module["ports"][label] = {"direction": way, "bits": bits}
        return label

    if "1" in cell["parameters"]["INIT"] or number("RD_CLK_ENABLE") or number("OFFSET"):
        raise ValueError(f"memory {name!r} has contents, an offset or a clocked read port")
    width, bits = number("WIDTH"), number("ABITS")
    reads = [
        (port("rat", "output", "RD_ADDR", k, bits), port("rdata", "input", "RD_DATA", k, width))
        for k in range(number("RD_PORTS"))
    ]
    writes = [
        (
            port("wen", "output", "WR_EN", k, width),
            port("wat", "output", "WR_ADDR", k, bits),
            port("wdata", "output", "WR_DATA", k, width),
        )
        for k in range(number("WR_PORTS"))
    ]
    return Memory(name, width, number("SIZE"), tuple(reads), tuple(writes))
