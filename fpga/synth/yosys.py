# SPDX-License-Identifier: Apache-2.0
"""One Verilog module in Yosys, flattened and ready for any target."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fpga import tools

__all__ = ["DUT", "Design", "Port", "quiet"]

DUT = "dut"  #: Name of the module under measurement in everything written to disk.

# Assertions and messages are no hardware; kept hierarchy would hide cells from the counts.
_READ = f"""\
read_verilog -sv in.v
hierarchy -check -top {{top}}
chformal -remove
delete */t:$check */t:$print
proc
flatten
opt_expr
opt_clean
rename -top {DUT}
setattr -unset keep_hierarchy
write_rtlil base.il
write_json base.json
"""

_CLOCK_PINS = ("CLK", "RD_CLK", "WR_CLK")


def quiet(_message: str) -> None:
    """Take a message of progress and say nothing."""


@dataclass(frozen=True)
class Port:
    """One port of the module under measurement."""

    name: str
    output: bool
    bits: tuple[Any, ...]  #: Yosys's net numbers, least significant first.

    @property
    def width(self) -> int:
        return len(self.bits)


@dataclass
class Design:
    """The module ``top`` of ``verilog``, read into ``folder``.

    Parameters
    ----------
    verilog, top
        Text (Verilog or the SystemVerilog that Yosys reads) and module of interest.
    folder
        Empty folder of its own, for the files of all tools.
    timeout
        Longest time of one call of a tool, in seconds.
    progress
        Called with a few words before each call of a tool.

    Raises :class:`fpga.tools.ToolError` when Yosys refuses the text.
    """

    verilog: str
    top: str
    folder: Path
    timeout: float = 300.0
    progress: Callable[[str], None] = quiet
    _module: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        (self.folder / "in.v").write_text(self.verilog, encoding="utf-8")
        self.yosys("read", _READ.format(top=self.top))
        whole = json.loads((self.folder / "base.json").read_text(encoding="utf-8"))
        self._module = whole["modules"][DUT]

    def yosys(self, name: str, script: str) -> None:
        """Run a Yosys script; it is kept as ``<name>.ys``."""
        (self.folder / f"{name}.ys").write_text(script, encoding="utf-8")
        self.progress(f"yosys: {name}")
        try:
            tools.run("yosys", ["-q", "-s", f"{name}.ys"], self.folder, timeout=self.timeout)
        except tools.ToolTimeout as error:
            raise tools.ToolTimeout(f"{error} in step {name}") from None

    def statistics(self, name: str) -> dict[str, Any]:
        """Return what ``tee -o <name>.json stat -json`` of a script wrote about the design."""
        text = (self.folder / f"{name}.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text[text.index("{") :])["design"]
        return found

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """Every port. Raises :class:`fpga.tools.ToolError` for one of both directions."""
        found = []
        for name, port in self._module["ports"].items():
            if port["direction"] == "inout":
                raise tools.ToolError(f"port {name} of {self.top} is inout, which no report covers")
            found.append(Port(name, port["direction"] == "output", tuple(port["bits"])))
        return tuple(found)

    @cached_property
    def clocks(self) -> frozenset[str]:
        """Names of the input ports that clock something."""
        nets = {
            bit
            for cell in self._module["cells"].values()
            for pin in _CLOCK_PINS
            for bit in cell["connections"].get(pin, ())
        }
        return frozenset(p.name for p in self.ports if not p.output and nets & set(p.bits))

    @cached_property
    def multiplies(self) -> bool:
        """Whether a multiplication is left, so that the style of multipliers matters."""
        return any(cell["type"] == "$mul" for cell in self._module["cells"].values())
