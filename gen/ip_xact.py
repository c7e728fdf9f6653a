# SPDX-License-Identifier: Apache-2.0
"""IP-XACT description of a unit (IEEE 1685-2009), as Vivado reads it from an IP repository."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from gen.ip import LIBRARY, REVISION, SEGMENT, VENDOR, VERSION, Interface, interfaces

__all__ = ["NAMESPACE", "component_xml"]

NAMESPACE = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
FAMILIES = (
    "artix7 kintex7 virtex7 spartan7 zynq kintexu virtexu kintexuplus virtexuplus artixuplus "
    "zynquplus zynquplusRFSOC versal"
).split()
ACCESSES = {"RO": "read-only", "RW": "read-write", "W1C": "read-write", "WO": "write-only"}


class _Element:
    """An XML element with children by method, in the ``spirit`` namespace."""

    def __init__(self, element: ElementTree.Element, prefix: str = "spirit"):
        self.element = element
        self.prefix = prefix

    def add(self, name: str, text: object = None, /, **attributes: object) -> "_Element":
        """Append an element; return it."""
        given = {f"{self.prefix}:{key}": str(value) for key, value in attributes.items()}
        child = ElementTree.SubElement(self.element, f"{self.prefix}:{name}", given)
        if text is not None:
            child.text = str(text)
        return _Element(child, self.prefix)


def component_xml(manifest: Mapping[str, Any]) -> str:
    """Return the text of ``component.xml`` for the folder that holds the unit's Verilog."""
    module, found = manifest["module"], interfaces(manifest)
    root = ElementTree.Element(
        "spirit:component", {"xmlns:spirit": NAMESPACE, "xmlns:xilinx": "http://www.xilinx.com"}
    )
    component = _Element(root)
    component.add("vendor", VENDOR)
    component.add("library", LIBRARY)
    component.add("name", module)
    component.add("version", VERSION)
    buses = component.add("busInterfaces")
    for each in found:
        _interface(buses, each)
    if masters := [each for each in found if each.addressed and each.master]:
        spaces = component.add("addressSpaces")
        for each in masters:
            space = spaces.add("addressSpace")
            space.add("name", each.name)
            space.add("range", 1 << each.width("ARADDR"))
            space.add("width", each.width("RDATA"))
    if slaves := [each for each in found if each.addressed and not each.master]:
        maps = component.add("memoryMaps")
        for each in slaves:
            _memory_map(maps, each, manifest.get("contract", {}).get("registers", []))
    _model(component.add("model"), manifest)
    files = component.add("fileSets").add("fileSet")
    files.add("name", "rtl")
    file = files.add("file")
    file.add("name", f"{module}.v")
    file.add("fileType", "verilogSource")
    component.add("description", manifest["summary"])
    parameter = component.add("parameters").add("parameter")
    parameter.add("name", "Component_Name")
    parameter.add("value", f"{module}_0", resolve="user", id="PARAM_VALUE.Component_Name")
    extensions = component.add("vendorExtensions")
    core = _Element(ElementTree.SubElement(extensions.element, "xilinx:coreExtensions"), "xilinx")
    families = core.add("supportedFamilies")
    for family in FAMILIES:
        families.add("family", family, lifeCycle="Beta")
    core.add("taxonomies").add("taxonomy", "/UserIP")
    core.add("displayName", module)
    core.add("coreRevision", REVISION)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _interface(buses: _Element, interface: Interface) -> None:
    bus = buses.add("busInterface")
    bus.add("name", interface.name)
    vendor, library, name = interface.bus.split(":")
    for tag, suffix in (("busType", ""), ("abstractionType", "_rtl")):
        bus.add(tag, vendor=vendor, library=library, name=name + suffix, version="1.0")
    mode = bus.add("master" if interface.master else "slave")
    if interface.addressed:
        reference = "addressSpaceRef" if interface.master else "memoryMapRef"
        mode.add(reference, **{reference: interface.name})
    maps = bus.add("portMaps")
    for logical, port in interface.ports.items():
        entry = maps.add("portMap")
        entry.add("logicalPort").add("name", logical)
        entry.add("physicalPort").add("name", port["name"])
    if interface.parameters:
        parameters = bus.add("parameters")
        for key, value in interface.parameters.items():
            parameter = parameters.add("parameter")
            parameter.add("name", key)
            identity = f"BUSIFPARAM_VALUE.{interface.name.upper()}.{key}"
            parameter.add("value", value, id=identity)


def _memory_map(maps: _Element, interface: Interface, registers: list[dict[str, Any]]) -> None:
    memory = maps.add("memoryMap")
    memory.add("name", interface.name)
    block = memory.add("addressBlock")
    block.add("name", "registers")
    block.add("baseAddress", 0)
    block.add("range", SEGMENT)
    block.add("width", 32)
    block.add("usage", "register")
    for row in registers:
        register = block.add("register")
        register.add("name", row["name"])
        register.add("description", row["doc"])
        register.add("addressOffset", f"{row['offset']:#x}")
        register.add("size", 32)
        register.add("access", ACCESSES[row["access"]])
        register.add("reset").add("value", f"{row['reset']:#x}")
        for each in row["fields"]:
            field = register.add("field")
            field.add("name", each["name"])
            field.add("description", each["doc"])
            field.add("bitOffset", each["lsb"])
            field.add("bitWidth", each["width"])
            if row["access"] == "W1C":
                field.add("modifiedWriteValue", "oneToClear")


def _model(model: _Element, manifest: Mapping[str, Any]) -> None:
    views = model.add("views")
    names = {
        "xilinx_verilogsynthesis": "synthesis",
        "xilinx_verilogbehavioralsimulation": "simulation",
    }
    for name, use in names.items():
        view = views.add("view")
        view.add("name", name)
        view.add("envIdentifier", f"verilogSource:vivado.xilinx.com:{use}")
        view.add("language", "verilog")
        view.add("modelName", manifest["module"])
        view.add("fileSetRef").add("localName", "rtl")
    ports = model.add("ports")
    for row in manifest["ports"]:
        port = ports.add("port")
        port.add("name", row["name"])
        wire = port.add("wire")
        wire.add("direction", row["dir"])
        if row["width"] > 1:
            vector = wire.add("vector")
            vector.add("left", row["width"] - 1)
            vector.add("right", 0)
        kind = wire.add("wireTypeDefs").add("wireTypeDef")
        kind.add("typeName", "std_logic_vector" if row["width"] > 1 else "std_logic")
        for name in names:
            kind.add("viewNameRef", name)
