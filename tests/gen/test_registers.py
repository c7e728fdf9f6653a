# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``gen/registers.py``: what other tools read out of the files is the map."""

import importlib
import os
import shutil
import subprocess
import sys
from datetime import date
from xml.etree import ElementTree

import pytest

from gen import registers
from gen.registers import register_files, svd, systemrdl
from hw.coprocessor.pe_registers import registers_of
from hw.pe.params import PEParams
from hw.spec.coprocessor import EngineNumbers, coprocessor_map

COPROCESSOR = coprocessor_map(
    engines=1, max_bits=4, act_bits=8, acc_bits=24, rows=2, columns=16, depth=4, group=0,
    buffer_kib=300, acc_kib=5, log2_bytes=4, max_burst=256, outstanding=8, addr_bits=40,
    build=0x89AB_CDEF, numbers=[EngineNumbers(1, 2, 2, 0, 4, 24)] * 2,
)  # fmt: skip
MAPS = {"coprocessor": COPROCESSOR, "pe": registers_of(PEParams(format="e4m3", act="int8"))}


def needed(module, install):
    """Return a module that a test cannot do without."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        pytest.fail(f"{module} is not installed: {install}")


@pytest.fixture
def peakrdl():
    """What the extra ``registers`` brings."""
    for module in ("systemrdl", "peakrdl_cheader", "peakrdl_markdown", "peakrdl_ipxact"):
        needed(module, "pip install -e '.[registers]'")


@pytest.mark.parametrize("name", MAPS)
def test_systemrdl_read_back(name, tmp_path, peakrdl):
    from systemrdl import RDLCompiler

    path = tmp_path / "map.rdl"
    path.write_text(systemrdl(MAPS[name], "device"))
    compiler = RDLCompiler()
    compiler.compile_file(str(path))
    found = {r.inst_name: r for r in compiler.elaborate(top_def_name="device").top.registers()}
    assert list(found) == [r.name for r in MAPS[name].registers]
    for register in MAPS[name].registers:
        node = found[register.name]
        assert node.absolute_address == register.offset
        assert node.get_property("desc").startswith(register.doc)
        fields = {f.inst_name: f for f in node.fields()}
        assert set(fields) == {f.name for f in register.fields}
        for f in register.fields:
            field = fields[f.name]
            assert (field.lsb, field.width) == (f.lsb, f.width)
            assert field.get_property("reset") == f.reset
            assert field.get_property("desc") == f.doc
            assert field.is_sw_readable == (register.access != "WO")
            assert field.is_sw_writable == (register.access != "RO")
            assert bool(field.get_property("woclr")) == (register.access == "W1C")
            assert field.get_property("singlepulse") == f.once


@pytest.mark.parametrize("name", MAPS)
def test_svd_read_back(name, tmp_path):
    parser = needed("cmsis_svd", "pip install cmsis-svd")
    path = tmp_path / "map.svd"
    path.write_text(svd(MAPS[name], "device"))
    device = parser.SVDParser.for_xml_file(str(path)).get_device()
    (peripheral,) = device.get_peripherals()
    found = peripheral.get_registers()
    assert [r.name for r in found] == [r.name for r in MAPS[name].registers]
    access = {"read-only": "RO", "read-write": "RW", "write-only": "WO"}
    for got, register in zip(found, MAPS[name].registers, strict=True):
        assert got.address_offset == register.offset and got.reset_value == register.reset
        kind = access[got.access.value]
        if got.modified_write_values is not None:
            assert got.modified_write_values.value == "oneToClear"
            kind = "W1C"
        assert kind == register.access, register.name
        fields = [(f.name, f.bit_offset, f.bit_width) for f in got.get_fields()]
        assert fields == [(f.name, f.lsb, f.width) for f in register.fields]


def test_svd_by_hand():
    """What matters most, without any other package."""
    root = ElementTree.fromstring(svd(COPROCESSOR))
    rows = {r.findtext("name"): r for r in root.iter("register")}
    assert len(rows) == len(COPROCESSOR.registers)
    irq = rows["IRQ_STATUS"]
    assert irq.findtext("addressOffset") == "0x028"
    assert irq.findtext("modifiedWriteValues") == "oneToClear"
    assert rows["BUILD"].findtext("resetValue") == "0x89ABCDEF"
    assert "acts once" in rows["CTRL"].find("fields/field/description").text
    assert "locked while busy" in rows["QSIZE"].findtext("description")


def test_the_header_compiles_and_knows_the_map(tmp_path, peakrdl):
    compiler = shutil.which("cc")
    assert compiler, "no C compiler: apt-get install gcc"
    files = register_files(COPROCESSOR, "copro")
    (tmp_path / "copro.h").write_text(files["copro.h"])
    lines = ['#include <stddef.h>\n#include "copro.h"']
    for r in COPROCESSOR.registers:
        lines.append(f'_Static_assert(offsetof(copro_t, {r.name}) == {r.offset}, "{r.name}");')
        for f in r.fields:
            stem = f"COPRO__{r.name}__{f.name}"
            lines.append(f'_Static_assert({stem}_bp == {f.lsb}, "{stem}");')
            lines.append(f'_Static_assert({stem}_bm == {f.mask}u, "{stem}");')
    source = tmp_path / "check.c"
    source.write_text("\n".join(lines) + "\n")
    subprocess.run([compiler, "-std=c11", "-Werror", "-c", "check.c"], cwd=tmp_path, check=True)


def test_ipxact_and_markdown_know_the_map(peakrdl):
    files = register_files(COPROCESSOR, "copro")
    root = ElementTree.fromstring(files["copro.xml"])
    space = {"x": root.tag[1:].split("}")[0]}
    rows = {r.findtext("x:name", None, space): r for r in root.iterfind(".//x:register", space)}
    for register in COPROCESSOR.registers:
        row = rows.pop(register.name)
        assert int(row.findtext("x:addressOffset", None, space)[2:], 16) == register.offset
        places = [
            (f.findtext("x:name", None, space), int(f.findtext("x:bitOffset", None, space)))
            for f in row.iterfind("x:field", space)
        ]
        assert sorted(places) == sorted((f.name, f.lsb) for f in register.fields)
    assert not rows
    assert all(f"{r.name}" in files["copro.md"] for r in COPROCESSOR.registers)


def test_the_same_bytes_everywhere(tmp_path):
    """In other processes, with other hashes, temporary folders, clocks and languages."""
    text = (
        "import hashlib\nfrom tests.gen.test_registers import COPROCESSOR, register_files\n"
        "files = register_files(COPROCESSOR, 'copro')\n"
        "print({n: hashlib.sha256(t.encode()).hexdigest() for n, t in sorted(files.items())})"
    )
    results = set()
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        folder = tmp_path / seed
        folder.mkdir()
        more = {"PYTHONHASHSEED": seed, "TZ": zone, "TMPDIR": str(folder), "USER": seed}
        run = subprocess.run(
            [sys.executable, "-c", text],
            env={**os.environ, **more},
            capture_output=True,
            text=True,
            check=True,
        )
        results.add(run.stdout)
    assert len(results) == 1
    for name, content in register_files(COPROCESSOR, "copro").items():
        assert "/tmp" not in content and str(date.today().year) not in content, name


def test_without_the_extra_a_note_says_what_is_missing(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(registers, "import_module", missing)
    files = register_files(COPROCESSOR, "copro")
    assert sorted(files) == ["copro.rdl", "copro.svd", "copro_registers.txt"]
    note = files["copro_registers.txt"]
    assert 'pip install "bitloom[registers]"' in note
    assert all(name in note for name in ("copro.h", "copro.md", "copro.xml"))


def test_bad_names():
    with pytest.raises(ValueError, match="name must be an identifier, not 'a-b'"):
        register_files(COPROCESSOR, "a-b")
