# SPDX-License-Identifier: Apache-2.0
"""A register map in the forms that other tools read.

The map in :mod:`hw.spec` is the source. SystemRDL and CMSIS-SVD are written here; C header,
Markdown and IP-XACT are what PeakRDL makes of the SystemRDL, where the extra ``registers`` is
installed.
"""

import re
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from hw.spec.registers import WINDOW, WORD, Field, Register, RegisterMap

__all__ = ["register_files", "svd", "systemrdl"]

_VENDOR = "bitloom"
_EXTRA = "registers"

#: What an access is in SystemRDL: of software, of the hardware.
_RDL = {
    "RO": "sw = r; hw = w;",
    "RW": "sw = rw; hw = r;",
    "W1C": "sw = rw; onwrite = woclr; hw = rw;",
    "WO": "sw = w; hw = r;",
}

#: What it is in SVD: access, and what writing does where that is not to keep the bits.
_SVD = {
    "RO": ("read-only", None),
    "RW": ("read-write", None),
    "W1C": ("read-write", "oneToClear"),
    "WO": ("write-only", None),
}

#: Ending of a file; module and class of PeakRDL that writes it, and the options of the class.
_EXPORTS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".h": ("peakrdl_cheader.exporter", "CHeaderExporter", {}),
    ".md": ("peakrdl_markdown", "MarkdownExporter", {}),
    ".xml": ("peakrdl_ipxact", "IPXACTExporter", {"vendor": _VENDOR, "library": _VENDOR}),
}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _note(register: Register) -> str:
    """Return what is to be said of a register."""
    return register.doc + (" (locked while busy)" if register.guarded else "")


def systemrdl(registers: RegisterMap, name: str | None = None) -> str:
    """Return the map as SystemRDL 2.0; ``name`` is that of the map if not given."""
    name = name or registers.name
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"addrmap {name} {{",
        f"    name = {_quoted(name)};",
        f"    default regwidth = {WORD};",
        f"    default accesswidth = {WORD};",
    ]
    for register in registers.registers:
        lines += ["    reg {", f"        desc = {_quoted(_note(register))};"]
        for f in register.fields:
            access = _RDL[register.access]
            if register.constant:
                access = "sw = r; hw = na;"
            elif f.once:
                access += " singlepulse;"
            lines.append(
                f"        field {{ desc = {_quoted(f.doc)}; {access} }} "
                f"{f.name}[{f.lsb + f.width - 1}:{f.lsb}] = {f.width}'h{f.reset:x};"
            )
        lines.append(f"    }} {register.name} @ 0x{register.offset:03x};")
    return "\n".join([*lines, "};", ""])


def svd(registers: RegisterMap, name: str | None = None) -> str:
    """Return the map as the CMSIS-SVD description of a device that has it at address 0."""
    name = name or registers.name
    root = ElementTree.Element(
        "device",
        {
            "schemaVersion": "1.3",
            "xmlns:xs": "http://www.w3.org/2001/XMLSchema-instance",
            "xs:noNamespaceSchemaLocation": "CMSIS-SVD.xsd",
        },
    )

    def add(parent: ElementTree.Element, **texts: object) -> None:
        for tag, text in texts.items():
            ElementTree.SubElement(parent, tag).text = str(text)

    add(root, vendor=_VENDOR, name=name, version="1.0", description=f"registers of {name}")
    add(root, addressUnitBits=8, width=WORD, size=WORD, access="read-write")
    add(root, resetValue="0x0", resetMask="0xFFFFFFFF")
    peripheral = ElementTree.SubElement(ElementTree.SubElement(root, "peripherals"), "peripheral")
    add(peripheral, name=name, description=f"registers of {name}", baseAddress="0x0")
    block = ElementTree.SubElement(peripheral, "addressBlock")
    add(block, offset="0x0", size=f"0x{WINDOW:X}", usage="registers")
    rows = ElementTree.SubElement(peripheral, "registers")
    for register in registers.registers:
        access, modified = _SVD[register.access]
        row = ElementTree.SubElement(rows, "register")
        add(row, name=register.name, description=_note(register))
        add(row, addressOffset=f"0x{register.offset:03X}", size=WORD, access=access)
        add(row, resetValue=f"0x{register.reset:08X}")
        if modified:
            add(row, modifiedWriteValues=modified)
        fields = ElementTree.SubElement(row, "fields")
        for f in register.fields:
            field = ElementTree.SubElement(fields, "field")
            add(field, name=f.name, description=_once(f), bitOffset=f.lsb, bitWidth=f.width)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _once(field: Field) -> str:
    return field.doc + (" (acts once, reads 0)" if field.once else "")


def register_files(registers: RegisterMap, name: str) -> dict[str, str]:
    """Return the text of each file by its name, the same bytes everywhere.

    What the extra ``registers`` would give is left out without it, and a note says so. Raises
    ``ValueError`` for a name that is no identifier.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ValueError(f"name must be an identifier, not {name!r}")
    rdl = systemrdl(registers, name)
    files = {f"{name}.rdl": rdl, f"{name}.svd": svd(registers, name)}
    try:
        compiler = import_module("systemrdl").RDLCompiler()
        exporters = {
            suffix: getattr(import_module(module), kind)(**options)
            for suffix, (module, kind, options) in _EXPORTS.items()
        }
    except ImportError:
        left_out = ", ".join(name + suffix for suffix in _EXPORTS)
        files[f"{name}_registers.txt"] = (
            f"Left out: {left_out}. They are made of {name}.rdl where PeakRDL is installed:\n"
            f'    pip install "bitloom[{_EXTRA}]"\n'
        )
        return files
    with TemporaryDirectory() as folder:
        source = Path(folder, f"{name}.rdl")
        source.write_text(rdl)
        compiler.compile_file(str(source))
        top = compiler.elaborate(top_def_name=name).top
        for suffix, exporter in exporters.items():
            path = Path(folder, f"{name}{suffix}")
            exporter.export(top, str(path))
            files[path.name] = path.read_text()
    return files
