# SPDX-License-Identifier: Apache-2.0
"""Highest clock frequency of a module after place and route, from register to register."""

import json
import statistics
from typing import Any

from fpga import tools
from fpga.synth.lut import Family
from fpga.synth.yosys import DUT, Design, Port

__all__ = ["fmax", "wrapper"]

TOP = "wrap"


def wrapper(ports: tuple[Port, ...], clocks: frozenset[str], serial: bool) -> str:
    """Return Verilog that puts a register before every input and after every output.

    The module has one clock, for all of ``clocks``. With ``serial`` its pins are few whatever the
    module: inputs are the taps of a shift register; outputs run, one stage later, into a chain of
    exclusive ors. Neither adds logic to the paths through the module.
    """
    header, body, pins = ["input wclk"], [], []
    if serial:
        header += ["input si", "output so"]
    chain = ["si", "1'b0"]  # Last bit of the input and of the output chain.
    for index, port in enumerate(ports):
        own = f"\\{port.name} "
        if port.name in clocks:
            pins.append(f".{own}({{{port.width}{{wclk}}}})")
            continue
        bits, last = f"[{port.width - 1}:0]", port.width - 1
        pins.append(f".{own}({'y' if port.output else 'r'}{index})")
        if port.output:
            body.append(f"wire {bits} y{index}; reg {bits} q{index};")
            body.append(f"always @(posedge wclk) q{index} <= y{index};")
        else:
            body.append(f"reg {bits} r{index};")
        if not serial:
            if port.output:
                header.append(f"output {bits} o{index}")
                body.append(f"assign o{index} = q{index};")
            else:
                header.append(f"input {bits} i{index}")
                body.append(f"always @(posedge wclk) r{index} <= i{index};")
        elif port.output:
            body.append(f"reg {bits} s{index};")
            body.append(f"always @(posedge wclk) s{index} <= q{index} ^ {{s{index}, {chain[1]}}};")
            chain[1] = f"s{index}[{last}]"
        else:
            # Inverted from bit to bit: a plain delay of a bit would be the same register as one
            # that the module puts after its input, and be merged with it.
            body.append(f"always @(posedge wclk) r{index} <= ~{{r{index}, {chain[0]}}};")
            chain[0] = f"r{index}[{last}]"
    if serial:
        body.append(f"assign so = {chain[1]};")
    return (
        f"module {TOP}({', '.join(header)});\n"
        + "\n".join(body)
        + f"\n{DUT} u({', '.join(pins)});\nendmodule\n"
    )


def fmax(
    design: Design, family: Family, device: str, dsp: bool, seeds: int
) -> tuple[dict[str, Any] | None, str]:
    """Return the frequencies of seeds 1, 2, ... in MHz with their median, and a note.

    The frequencies are ``None``, and the note says why, when the module does not fit the device or
    has no path between registers. Raises :class:`fpga.tools.ToolError` for a missing tool and for
    one that takes too long.
    """
    assert family.nextpnr and family.devices
    if dsp and not family.times_dsp:
        return None, f"no Fmax: {family.nextpnr} does not time paths through DSP blocks"
    tools.require(family.nextpnr)
    arguments = family.devices[device]
    serial = "--out-of-context" not in arguments
    name = f"wrap_{'dsp' if dsp else 'lut'}"
    text = wrapper(design.ports, design.clocks, serial)
    (design.folder / f"{name}.v").write_text(text, encoding="utf-8")
    command = f"{family.command(TOP, dsp)} -json {name}.json"
    design.yosys(name, f"read_rtlil base.il\nread_verilog {name}.v\n{command}\n")
    found: list[float] = []
    for seed in range(1, seeds + 1):
        design.progress(f"{family.nextpnr}: seed {seed} of {seeds}")
        options = ["-q", *arguments, "--seed", str(seed), "--freq", "500", "--timing-allow-fail"]
        options += ["--json", f"{name}.json", "--report", "pnr.json"]
        try:
            tools.run(family.nextpnr, options, design.folder, timeout=design.timeout)
        except tools.ToolTimeout:
            raise
        except tools.ToolError as error:
            return None, f"no Fmax on {device}: {error}"
        report = json.loads((design.folder / "pnr.json").read_text(encoding="utf-8"))
        clocks = [clock["achieved"] for clock in report["fmax"].values()]
        if not clocks:
            return None, "no Fmax: no path between registers"
        found.append(round(min(clocks), 2))
    return {
        "median": round(statistics.median(found), 2),
        "all": found,
        "seeds": list(range(1, seeds + 1)),
        "unit": "MHz",
    }, ""
