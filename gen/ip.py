# SPDX-License-Identifier: Apache-2.0
"""Interfaces that vendor tools infer from the names of ports, and a script that packages them.

Everything follows from the manifest: AXI4 and AXI4-Lite are ports ``s_axi_*`` and ``m_axi_*``,
AXI4-Streams ``s_axis_*`` and ``m_axis_*``, beside the clock, its reset and ``interrupt``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gen import __version__

__all__ = [
    "LIBRARY",
    "REVISION",
    "SEGMENT",
    "VENDOR",
    "VERSION",
    "Interface",
    "interfaces",
    "ip_tcl",
]

VENDOR = LIBRARY = "bitloom"
VERSION = ".".join(__version__.split(".")[:2])  #: Of the IP.
REVISION = int(__version__.split(".")[2])  #: The last part of the version.
SEGMENT = 0x1000  #: Bytes of the registers behind an AXI4-Lite slave.

_AXI = re.compile(r"([sm]_axi(?:_\w+)?)_((?:aw|w|b|ar|r)[a-z]+)")
_STREAM = re.compile(r"([sm]_axis(?:_\w+)?)_(t[a-z]+)")


@dataclass(frozen=True)
class Interface:
    """One interface of an IP core."""

    name: str
    kind: str  #: ``axi4``, ``axi4lite``, ``axis``, ``clock``, ``reset`` or ``interrupt``.
    master: bool
    ports: dict[str, dict[str, Any]]  #: Name in the standard, in capitals -> port of the manifest.
    parameters: dict[str, str]  #: What the names do not say.

    @property
    def bus(self) -> str:
        """Vendor, library and name of the bus definition, without a version."""
        names = {"axi4": "interface:aximm", "axi4lite": "interface:aximm", "axis": "interface:axis"}
        return f"xilinx.com:{names.get(self.kind, f'signal:{self.kind}')}"

    @property
    def addressed(self) -> bool:
        """Whether there are addresses on it."""
        return self.kind in ("axi4", "axi4lite")

    def width(self, member: str) -> int:
        """Return the bits of the port that the standard calls ``member``."""
        width: int = self.ports[member]["width"]
        return width


def interfaces(manifest: Mapping[str, Any]) -> list[Interface]:
    """Return the interfaces of a unit, clock and reset last; none if it has no AXI."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for port in manifest["ports"]:
        if match := _AXI.fullmatch(port["name"]) or _STREAM.fullmatch(port["name"]):
            found.setdefault(match[1], {})[match[2].upper()] = port
    if not found:
        return []
    result = [_bus(name, ports) for name, ports in found.items()]
    for port in manifest["ports"]:
        if port["name"] == "interrupt":
            level = {"SENSITIVITY": "LEVEL_HIGH"}
            result.append(_signal("interrupt", "interrupt", port, level, master=True))
    clock, reset = manifest["clock"]["name"], manifest["clock"]["reset"]
    rows = {port["name"]: port for port in manifest["ports"]}
    of_clock = {"ASSOCIATED_BUSIF": ":".join(found), "ASSOCIATED_RESET": reset}
    result.append(_signal(clock, "clock", rows[clock], of_clock))
    active = {"POLARITY": f"ACTIVE_{manifest['clock']['reset_active'].upper()}"}
    result.append(_signal(reset, "reset", rows[reset], active))
    return result


def _bus(name: str, ports: dict[str, dict[str, Any]]) -> Interface:
    master = name.startswith("m_")
    if "TVALID" in ports:
        return Interface(name, "axis", master, ports, {})
    lite = "ARLEN" not in ports and "AWLEN" not in ports
    parameters = {"PROTOCOL": "AXI4LITE" if lite else "AXI4"}
    if master:
        parameters["SUPPORTS_NARROW_BURST"] = "0"
    return Interface(name, "axi4lite" if lite else "axi4", master, ports, parameters)


def _signal(
    name: str, kind: str, port: dict[str, Any], parameters: dict[str, str], *, master: bool = False
) -> Interface:
    logical = {"clock": "CLK", "reset": "RST", "interrupt": "INTERRUPT"}[kind]
    return Interface(name, kind, master, {logical: port}, parameters)


_PROCEDURES = """\
proc interface {name type parameters} {
    set core [ipx::current_core]
    if {[ipx::get_bus_interfaces -quiet $name -of_objects $core] eq ""} {
        ipx::infer_bus_interface $name $type $core
    }
    set bus [ipx::get_bus_interfaces $name -of_objects $core]
    foreach {key value} $parameters {
        if {[ipx::get_bus_parameters -quiet $key -of_objects $bus] eq ""} {
            ipx::add_bus_parameter $key $bus
        }
        set_property value $value [ipx::get_bus_parameters $key -of_objects $bus]
    }
}

proc registers {name bytes} {
    set core [ipx::current_core]
    if {[ipx::get_memory_maps -quiet $name -of_objects $core] ne ""} {
        ipx::remove_memory_map $name $core
    }
    set map [ipx::add_memory_map $name $core]
    set_property slave_memory_map_ref $name [ipx::get_bus_interfaces $name -of_objects $core]
    set block [ipx::add_address_block registers $map]
    set_property range $bytes $block
    set_property width 32 $block
    set_property usage register $block
}

proc memory {name bytes} {
    set core [ipx::current_core]
    if {[ipx::get_address_spaces -quiet $name -of_objects $core] eq ""} {
        ipx::add_address_space $name $core
        set_property master_address_space_ref $name \\
            [ipx::get_bus_interfaces $name -of_objects $core]
    }
    set space [ipx::get_address_spaces $name -of_objects $core]
    set_property range $bytes $space
    # Vivado may have made a segment of a guessed size.
    ipx::remove_segment -quiet $name:APERTURE_0 $space
}
"""


def ip_tcl(manifest: Mapping[str, Any]) -> str:
    """Return a script for Vivado that packages the unit, with its Verilog beside it, as IP."""
    module = manifest["module"]
    found = interfaces(manifest)
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        f"# Package {module} as IP into the folder ip beside this script:",
        f"#     vivado -mode batch -source {module}_ip.tcl",
        "",
        "set here [file dirname [file normalize [info script]]]",
        "create_project -in_memory",
        f"add_files -norecurse [file join $here {module}.v]",
        f"set_property top {module} [current_fileset]",
        "update_compile_order -fileset sources_1",
        "ipx::package_project -root_dir [file join $here ip] -import_files -force \\",
        f"    -vendor {VENDOR} -library {LIBRARY} -taxonomy /UserIP",
        "set core [ipx::current_core]",
        f"set_property name {module} $core",
        f"set_property version {VERSION} $core",
        f"set_property core_revision {REVISION} $core",
        f"set_property display_name {{{module}}} $core",
        f"set_property description {{{manifest['summary']}}} $core",
        "",
        _PROCEDURES,
    ]
    for each in found:
        words = " ".join(f"{key} {value}" for key, value in each.parameters.items())
        lines.append(f"interface {each.name} {each.bus}_rtl:1.0 {{{words}}}")
    clock = next(each.name for each in found if each.kind == "clock")
    lines.append("")
    for each in found:
        if each.kind in ("axi4", "axi4lite", "axis"):
            lines.append(f"ipx::associate_bus_interfaces -busif {each.name} -clock {clock} $core")
    for each in found:
        if each.addressed and not each.master:
            lines.append(f"registers {each.name} {SEGMENT}")
        elif each.addressed:
            lines.append(f"memory {each.name} {1 << each.width('ARADDR')}")
    lines += [
        "",
        "ipx::create_xgui_files $core",
        "ipx::update_checksums $core",
        "ipx::check_integrity $core",
        "ipx::save_core $core",
    ]
    return "\n".join(lines) + "\n"
