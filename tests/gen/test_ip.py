# SPDX-License-Identifier: Apache-2.0
"""What makes a bundle an IP of Vivado's: its structure, no more, for there is no Vivado here."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gen.bundle import bundle
from gen.emit import emit
from gen.ip import interfaces, ip_tcl
from gen.ip_xact import NAMESPACE, component_xml
from gen.unit import discover
from tests.memory_unit import memory_unit

STAND_IN = Path(__file__).with_name("ip_stand_in.tcl")
SPIRIT = {"s": NAMESPACE}


def _unit(name: str) -> tuple[str, dict[str, Any]]:
    return memory_unit() if name == "memory" else emit(discover()[name], discover()[name].params())


#: Unit -> its interfaces: name, kind, whether it is the master of it.
EXPECTED = {
    "memory": [
        ("s_axi_ctrl", "axi4lite", False),
        ("m_axi", "axi4", True),
        ("interrupt", "interrupt", True),
        ("aclk", "clock", False),
        ("aresetn", "reset", False),
    ],
    "pe-axi": [
        ("s_axi_ctrl", "axi4lite", False),
        ("aclk", "clock", False),
        ("aresetn", "reset", False),
    ],
    "array": [
        ("s_axis_job", "axis", False),
        ("s_axis_act", "axis", False),
        ("s_axis_wgt", "axis", False),
        ("m_axis_out", "axis", True),
        ("aclk", "clock", False),
        ("aresetn", "reset", False),
    ],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_port_belongs_to_one_interface(name: str) -> None:
    _, manifest = _unit(name)
    found = interfaces(manifest)
    assert [(each.name, each.kind, each.master) for each in found] == EXPECTED[name]
    ports = [port["name"] for each in found for port in each.ports.values()]
    assert sorted(ports) == sorted(port["name"] for port in manifest["ports"])
    clock = found[-2]
    buses = [each.name for each in found if each.kind.startswith("axi")]
    assert clock.parameters == {"ASSOCIATED_BUSIF": ":".join(buses), "ASSOCIATED_RESET": "aresetn"}


def test_a_unit_without_axi_is_no_ip() -> None:
    text, manifest = _unit("pe")
    assert interfaces(manifest) == []
    assert not {"component.xml", "pe_ip.tcl"} & bundle(text, manifest).keys()


def test_a_bundle_with_axi_is_an_ip_repository() -> None:
    text, manifest = _unit("pe-axi")
    files = bundle(text, manifest)
    assert files["component.xml"] == component_xml(manifest)
    assert files["pe_axi_ip.tcl"] == ip_tcl(manifest)


def test_component_xml() -> None:
    _, manifest = memory_unit()
    root = ElementTree.fromstring(component_xml(manifest))
    assert root.tag == f"{{{NAMESPACE}}}component"
    order = [child.tag.rpartition("}")[2] for child in root]
    assert order == [  # as the schema of IEEE 1685-2009 has it
        *("vendor", "library", "name", "version", "busInterfaces", "addressSpaces", "memoryMaps"),
        *("model", "fileSets", "description", "parameters", "vendorExtensions"),
    ]

    def texts(path: str, base: ElementTree.Element = root) -> list[str | None]:
        return [element.text for element in base.iterfind(path, SPIRIT)]

    assert texts("s:name") == ["memory_unit"]
    assert texts("s:busInterfaces/s:busInterface/s:name") == [n for n, _, _ in EXPECTED["memory"]]
    kinds = root.iterfind("s:busInterfaces/s:busInterface/s:abstractionType", SPIRIT)
    names = [kind.get(f"{{{NAMESPACE}}}name") for kind in kinds]
    assert names == ["aximm_rtl", "aximm_rtl", "interrupt_rtl", "clock_rtl", "reset_rtl"]
    # Registers of 4 KiB, a master of 40 address bits.
    block = root.find("s:memoryMaps/s:memoryMap/s:addressBlock", SPIRIT)
    assert block is not None and texts("s:range", block) == [str(0x1000)]
    assert texts("s:addressSpaces/s:addressSpace/s:range") == [str(1 << 40)]
    assert texts("s:addressSpaces/s:addressSpace/s:width") == ["64"]
    bus = "s:busInterfaces/s:busInterface"
    (slave,) = root.iterfind(f"{bus}/s:slave/s:memoryMapRef", SPIRIT)
    (master,) = root.iterfind(f"{bus}/s:master/s:addressSpaceRef", SPIRIT)
    assert slave.get(f"{{{NAMESPACE}}}memoryMapRef") == "s_axi_ctrl"
    assert master.get(f"{{{NAMESPACE}}}addressSpaceRef") == "m_axi"
    # Every port once, with its width, and no name that the interfaces made up.
    ports = list(root.iterfind("s:model/s:ports/s:port", SPIRIT))
    found = {
        texts("s:name", port)[0]: int((texts("s:wire/s:vector/s:left", port) or ["0"])[0] or 0) + 1
        for port in ports
    }
    assert found == {port["name"]: port["width"] for port in manifest["ports"]}
    mapped = texts(f"{bus}/s:portMaps/s:portMap/s:physicalPort/s:name")
    assert sorted(map(str, mapped)) == sorted(map(str, found))


def test_component_xml_holds_the_registers() -> None:
    _, manifest = _unit("pe-axi")
    root = ElementTree.fromstring(component_xml(manifest))
    rows = list(root.iterfind(".//s:register", SPIRIT))
    described = manifest["contract"]["registers"]
    assert [row.findtext("s:name", None, SPIRIT) for row in rows] == [r["name"] for r in described]
    offsets = [int(str(row.findtext("s:addressOffset", None, SPIRIT)), 16) for row in rows]
    assert offsets == [row["offset"] for row in described]


def test_the_script_runs(tmp_path: Path) -> None:
    text, manifest = memory_unit()
    (tmp_path / "memory_unit.v").write_text(text, encoding="utf-8")
    script = tmp_path / "memory_unit_ip.tcl"
    script.write_text(ip_tcl(manifest), encoding="utf-8")
    command = ["tclsh", str(STAND_IN), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for asked in (
        "add_files memory_unit.v",
        "set_property version 0.1 core",
        "ipx::infer_bus_interface aclk xilinx.com:signal:clock_rtl:1.0 core",
        "ipx::add_bus_parameter ASSOCIATED_BUSIF aclk",
        "set_property value s_axi_ctrl:m_axi ASSOCIATED_BUSIF",
        "set_property value ACTIVE_LOW POLARITY",
        "ipx::infer_bus_interface interrupt xilinx.com:signal:interrupt_rtl:1.0 core",
        "set_property value LEVEL_HIGH SENSITIVITY",
        "ipx::associate_bus_interfaces -busif m_axi -clock aclk core",
        "set_property range 4096 registers",
        f"set_property range {1 << 40} m_axi",
        "ipx::remove_segment -quiet m_axi:APERTURE_0 m_axi",
        "ipx::save_core core",
    ):
        assert asked in done.stdout.splitlines(), asked


def test_the_same_bytes_in_another_process() -> None:
    _, manifest = memory_unit()
    program = (
        "from gen.ip import ip_tcl; from gen.ip_xact import component_xml;"
        "from tests.memory_unit import memory_unit; _, m = memory_unit();"
        "print(ip_tcl(m) + component_xml(m), end='')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ip_tcl(manifest) + component_xml(manifest)
