# SPDX-License-Identifier: Apache-2.0
"""The pages a stranger reads: every example works, every unit, file and link is there."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from fpga.driver.golden import GoldenTransport
from fpga.products import manifest_of
from gen.__main__ import main
from gen.unit import discover
from hw.coprocessor.params import CoprocessorParams

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


@pytest.mark.parametrize("page", ["README.md", "docs/coprocessor.md"])
def test_matrices_on_a_simulated_board(page: str) -> None:
    """The lines of Python in the emitted Verilog, compiled."""
    lines, *_ = _python(page, "Accelerator(transport")
    shown: dict[str, object] = {}
    exec(lines, shown)
    assert "board" in shown


def test_matrices_on_a_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines, but for the transport, which a golden model stands for."""
    manifest = manifest_of(CoprocessorParams(preset="tiny"))
    seen: list[object] = []

    def link(port: str) -> GoldenTransport:
        seen.append(port)
        return GoldenTransport(manifest)

    monkeypatch.setattr("fpga.driver.uart.UartTransport", link)
    monkeypatch.setattr("fpga.driver.bridge.BridgeTransport", lambda link: link)
    monkeypatch.chdir(tmp_path)
    path = Path("build/copro/coprocessor_uart.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    lines, *_ = _python("README.md", "Accelerator(transport")
    other, *_ = _python("README.md", "BridgeTransport(UartTransport(")
    simulated = re.compile(r"^transport, manifest = simulated\(.*$", re.M)
    assert simulated.search(lines)
    exec(simulated.sub(lambda _: other, lines), {})
    assert seen == ["/dev/ttyUSB1"]


def test_what_else_the_driver_does() -> None:
    """The lines of the page's section, on a golden model of an engine with and without scales."""
    lines, *_ = _python("docs/coprocessor.md", "load_weights(")
    rng = np.random.default_rng(1)
    for scaled in (False, True):
        engine = "array --dataflow tree --rows 1 --columns 2 --lanes 4"
        engine += " --group 4 --scale fp16" if scaled else ""
        manifest = manifest_of(CoprocessorParams(preset="small", engine=engine))
        with Accelerator(GoldenTransport(manifest), manifest, queue=8) as board:
            a, w = rng.integers(-128, 128, (3, 8)), rng.integers(-8, 8, (8, 5))
            shown = {"board": board, "a": a, "w": w, "s": np.ones((2, 5)) if scaled else None}
            exec(lines, shown)
            np.testing.assert_array_equal(shown["c"], a @ w)


def test_what_the_driver_adds() -> None:
    """The lines of the page's section, on a golden model that adds."""
    lines, *_ = _python("docs/coprocessor.md", "onto=")
    rng = np.random.default_rng(2)
    engine = "array --dataflow tree --rows 1 --columns 2 --lanes 4 --max-k 32"
    manifest = manifest_of(CoprocessorParams(preset="small", engine=engine, accumulate=True))
    sizes = {"a": (3, 8), "a2": (3, 20), "long_a": (3, 100)}
    shown = {name: rng.integers(-128, 128, size) for name, size in sizes.items()}
    sizes = {"w": (8, 5), "w2": (20, 5), "long_w": (100, 5)}
    shown |= {name: rng.integers(-8, 8, size) for name, size in sizes.items()}
    a, w, c = shown["a"], shown["w"], rng.integers(-999, 999, (3, 5))
    with Accelerator(GoldenTransport(manifest), manifest, queue=8) as board:
        found: dict[str, Any] = {"board": board, "c": c, **shown}
        exec(lines, found)
    np.testing.assert_array_equal(found["c"], a @ w + c)
    np.testing.assert_array_equal(found["both"], a @ w + shown["a2"] @ shown["w2"])
    np.testing.assert_array_equal(found["far"], shown["long_a"] @ shown["long_w"])


def _python(page: str, holds: str) -> list[str]:
    """Return the blocks of Python of a page that hold a text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if holds in block]


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
    "norm": (["--shortcut"],),
    "activation": (["--function", "load"], ["--kind", "swiglu"], ["--kind", "ita"]),
    "block-quantize": (["--block", "nvfp4", "--tensor-scale"], ["--block", "razer_a"]),
    "requant": (["--zero-point"], ["--scheme", "rbe"]),
    "dequant": (["--act-scale", "e8m0", "--zero-point"], ["--sum", "exact", "--scale", "fp16"]),
    "array": (["--group", "2", "--scale", "fp16"],),
    "butterfly": (["--engines", "2"],),
    "scalar": (["--function", "recip"],),
    "norm": (["--shortcut"],),
    "activation": (["--kind", "swiglu", "--function", "load"], ["--kind", "ita"]),
}


@pytest.mark.parametrize("name", sorted(set(discover()) - {"pe"}))
def test_ports_of_a_section(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    section = UNITS.split(f"\n## {name}\n")[1].split("\n## ")[0]
    text = section.split("\n- Ports: ")[1].split("\n- ")[0]
    named = re.findall(r"`((?:[io]|cmd|rsp|uart|[sm]_axis?)_\w+?)(?:_\*)?`", text)
    shown = ""
    for options in FULL.get(name, ([],)):
        assert main([name, *options, "--show"]) == 0
        shown += capsys.readouterr().out
    ports = re.findall(r"^  (?:in|out) +\d+  (\w+)", shown, re.M)
    assert named
    for port in named:
        assert any(p == port or p.startswith(f"{port}_") for p in ports), port
