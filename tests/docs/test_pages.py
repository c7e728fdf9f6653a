# SPDX-License-Identifier: Apache-2.0
"""The pages a stranger reads: every example works, every unit, file and link is there."""

import re
import shlex
from pathlib import Path

import pytest

from gen.__main__ import main
from gen.unit import discover

ROOT = Path(__file__).parents[2]
#: The examples of docs/architectures.md are run beside what generates them.
PAGES = ["README.md", "docs/units.md", "docs/formats.md"]
UNITS = (ROOT / "docs" / "units.md").read_text(encoding="utf-8")


def commands(page: str) -> list[str]:
    """Return the lines of a page that call the generator."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(r"python -m gen( |$)", line)]


@pytest.mark.parametrize("page", PAGES)
def test_examples(
    page: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = commands(page)
    assert found
    for command in found:
        status = main(shlex.split(command.split(" > ")[0], comments=True)[3:])
        out, err = capsys.readouterr()
        assert status == 0 and not err, f"{command}: {err}"
        unit = [*command.split(), ""][3]
        verilog = unit in discover() and not {"--show", "-o"} & set(command.split())
        assert "endmodule" in out or not verilog, command


def test_every_unit_but_pe_has_a_section_and_an_example() -> None:
    sections = re.findall(r"^## (\S+)$", UNITS, re.M)
    assert set(sections) == set(discover()) - {"pe"}
    examples = {command.split()[3] for command in commands("docs/units.md")}
    assert examples >= set(sections)


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_and_paths(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    named = re.findall(r"`((?:hw|sim|gen|fpga|tests|docs)/[\w/.-]+)`", text)
    if page != "docs/adding_a_unit.md":  # whose files the reader makes
        missing += [path for path in named if not (ROOT / path).exists()]
    assert not missing


#: Options with which a unit has every port that its section names.
FULL = {
    "block-quantize": (["--block", "nvfp4", "--tensor-scale"], ["--block", "razer_a"]),
    "requant": (["--zero-point"], ["--scheme", "rbe"]),
    "dequant": (["--act-scale", "e8m0", "--zero-point"], ["--sum", "exact", "--scale", "fp16"]),
    "array": (["--group", "2", "--scale", "fp16"],),
}


@pytest.mark.parametrize("name", sorted(set(discover()) - {"pe"}))
def test_ports_of_a_section(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    section = UNITS.split(f"\n## {name}\n")[1].split("\n## ")[0]
    text = section.split("\n- Ports: ")[1].split("\n- ")[0]
    named = re.findall(r"`((?:[io]|uart|[sm]_axis?)_\w+?)(?:_\*)?`", text)
    shown = ""
    for options in FULL.get(name, ([],)):
        assert main([name, *options, "--show"]) == 0
        shown += capsys.readouterr().out
    ports = re.findall(r"^  (?:in|out) +\d+  (\w+)", shown, re.M)
    assert named
    for port in named:
        assert any(p == port or p.startswith(f"{port}_") for p in ports), port
