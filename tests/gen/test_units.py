# SPDX-License-Identifier: Apache-2.0
"""House rules that hold for *every* unit: a new one is covered the day its file appears."""

import ast
import dataclasses
import hashlib
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fpga import tools
from gen.__main__ import main
from gen.emit import emit
from gen.unit import discover

ROOT = Path(__file__).parents[2]
UNITS = discover()
CASES = [
    pytest.param(unit, case, id=f"{unit.name}-{number}")
    for unit in UNITS.values()
    for number, case in enumerate(unit.cases)
]
# Who may import whom; hw.spec is the leaf that hardware and models share.
MAY_IMPORT = {
    "hw/spec": {"hw.spec"},
    "hw": {"hw"},
    "sim/golden": {"sim.golden", "hw.spec"},
    "gen": {"gen", "hw", "sim.golden"},
    "fpga": {"fpga", "gen", "hw", "sim.golden"},
    "sim": {"sim", "fpga", "gen", "hw"},
}


def built(unit, case):
    return emit(unit, unit.params(**case), "dut")


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_unit_is_complete(unit):
    fields = dataclasses.fields(unit.params)
    assert set(unit.help) == {f.name for f in fields}
    assert all(f.name in unit.help and len(unit.help[f.name]) > 10 for f in fields)
    golden = vars(importlib.import_module(unit.golden))
    device = any(hasattr(item, "read32") for item in golden.values())  # registers and memory
    assert "run" in golden or device, "no golden model"
    source = Path(importlib.import_module(unit.params.__module__).__file__)
    mirror = ROOT / "tests" / source.relative_to(ROOT).parent
    assert list(mirror.glob("test_*.py")), f"no tests in {mirror.relative_to(ROOT)}"
    assert unit.cases, "no small parameter set"


@pytest.mark.parametrize(("unit", "case"), CASES)
def test_output_is_deterministic_and_names_no_machine(unit, case, tmp_path):
    """Same bytes twice, in another folder, and under another hash seed."""
    text, manifest = built(unit, case)
    assert (text, manifest) == built(unit, case)
    program = (
        "from gen.emit import emit; from gen.unit import discover; import sys\n"
        f"u = discover()[{unit.name!r}]\n"
        f"sys.stdout.write(emit(u, u.params(**{case!r}), 'dut')[0])"
    )
    again = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert again.stdout == text
    everything = text + json.dumps(manifest)
    for machine in (str(ROOT), "site-packages", str(Path.home()), "/tmp"):
        assert machine not in everything


@pytest.mark.parametrize(("unit", "case"), CASES)
def test_manifest_tells_the_truth(unit, case):
    text, manifest = built(unit, case)
    assert manifest["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert manifest["modules"] == re.findall(r"^\s*module ([^\s(]+)", text, re.M)
    assert len(set(manifest["modules"])) == len(manifest["modules"])
    header = re.search(r"^module dut\((.*?)\);", text, re.M | re.S)
    assert [p["name"] for p in manifest["ports"]] == header[1].split(", ")
    body = text[header.end() : text.index("endmodule", header.end())]
    for port in manifest["ports"]:
        span = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
        assert f"{port['dir']}put {span}{port['name']};" in body
    for stream in manifest["streams"]:
        assert {stream["valid"], stream["ready"], *stream["fields"]} <= set(header[1].split(", "))


@pytest.mark.parametrize(("unit", "case"), CASES)
def test_header_says_whose_it_is_and_how_to_make_it_again(unit, case, capsys):
    text, manifest = built(unit, case)
    head = text[: text.index("module dut")]
    assert "SPDX-License-Identifier" in head
    assert "belongs to whoever generated it" in head
    command = re.search(r"^// Made by: python -m gen (.*)$", head, re.M)[1]
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == text
    assert manifest["command"].endswith(command)


@pytest.mark.parametrize(("unit", "case"), CASES)
def test_three_parsers_accept_the_output(unit, case, tmp_path):
    (tmp_path / "dut.v").write_text(built(unit, case)[0])
    read = "read_verilog dut.v; hierarchy -check -top dut; proc; check -assert"
    tools.run("yosys", ["-q", "-p", read], tmp_path, timeout=300)
    tools.run("verilator", ["--lint-only", "-Wno-fatal", "dut.v"], tmp_path, timeout=300)
    if tools.find("iverilog"):
        done = tools.run("iverilog", ["-g2012", "-Wall", "-tnull", "dut.v"], tmp_path, timeout=300)
        assert "error" not in str(done).lower()


@pytest.mark.parametrize(("unit", "case"), CASES)
def test_all_processes_wake_at_time_zero(unit, case):
    """An initialiser in a declaration is no event: outputs of state alone would stay X."""
    text, _ = built(unit, case)
    assert not re.search(r"dump_module\$\d+\s+= 0;\s*$", re.sub("initial .*", "", text), re.M)
    # Nor does a process wake that reads nothing.
    assert not re.search(r"always @\*\n\s*\S.* = \d+'\w+;$", text, re.M)


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_dependency_directions(layer):
    ours = {"hw", "gen", "fpga", "sim", "tests"}
    lower = [other for other in MAY_IMPORT if other != layer and other.startswith(f"{layer}/")]
    seen = 0
    for path in sorted((ROOT / layer).rglob("*.py")):
        relative = path.relative_to(ROOT).as_posix()
        if any(relative.startswith(f"{other}/") for other in lower):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                assert node.level == 0, f"{relative}: relative import"
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                seen += 1
                allowed = any(f"{name}.".startswith(f"{p}.") for p in MAY_IMPORT[layer])
                assert allowed or name.split(".")[0] not in ours, f"{relative} imports {name}"
    assert seen > 5


def test_identical_cells_are_written_once():
    unit = UNITS["pe"]
    text, manifest = emit(unit, unit.params(format="e2m1", lanes=4), "dut")
    assert len(re.findall(r"^module \w*decode_e2m1\b", text, re.M)) == 1
    assert len(re.findall(r"^  dut_decode_e2m1 ", text, re.M)) == 4
    assert len(manifest["modules"]) == 3
