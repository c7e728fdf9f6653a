# SPDX-License-Identifier: Apache-2.0
"""House rules for every architecture: a new one is held to them the day its file appears."""

import importlib
import shlex

import pytest

from benchmarks.architectures import PAIRS, ROOT, files, picture, takes
from gen.__main__ import main
from gen.emit import emit
from gen.unit import discover
from hw.pe import arch as package
from hw.pe.arch import NAMES, Arch, architecture
from hw.pe.params import CORES, PEParams

ARCHS = [architecture(name) for name in NAMES]


@pytest.mark.parametrize("arch", ARCHS, ids=NAMES)
class TestArchitecture:
    def test_says_what_it_is(self, arch: Arch) -> None:
        assert min(map(len, (arch.summary, arch.source, arch.cycles, arch.when))) >= 8
        assert not arch.summary.endswith(".")
        assert set(arch.cores) <= set(CORES) and "stream" in arch.cores
        assert len(arch.flow) >= 3 and all(arch.flow)
        assert hasattr(importlib.import_module(arch.golden or "sim.golden.pe.pe"), "run")

    def test_typical_use_and_cases_generate(self, arch: Arch) -> None:
        unit = discover()["pe"]
        pairs = [pair for pair in PAIRS.values() if takes(arch, pair)]
        formats = {"format": pairs[0][0], "act": pairs[0][1]} if pairs else {}
        for case in ({**arch.typical, **formats}, *arch.cases):
            text, manifest = emit(unit, unit.params(arch=arch.name, **case), "dut")
            assert "module dut(" in text
            assert manifest["parameters"]["arch"] == arch.name
            assert manifest["beats_per_cycle"] or not manifest["streams"]

    def test_has_evidence_of_its_own(self, arch: Arch) -> None:
        if arch.name not in ("multiply", "shift-add"):
            assert arch.cases, "no small parameter set for house rules and proofs"
            stem = arch.name.replace("-", "_")
            named = [p for p in (ROOT / "tests").rglob("test_*.py") if arch.name in p.read_text()]
            assert [p for p in named if p != ROOT / "tests/hw/pe/test_arch.py"], (
                f"no test of {stem}"
            )

    def test_picture_is_the_same_each_time(self, arch: Arch) -> None:
        text = picture(arch)
        assert text == picture(arch)
        assert text.count("<rect") == sum(map(len, arch.flow))


def test_pages_are_up_to_date() -> None:
    for path, text in files().items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, (
            f"{path} is stale; run: python -m benchmarks architectures"
        )


def test_commands_of_the_pages_work(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever copies an example gets Verilog."""
    pages = [ROOT / "README.md", *(ROOT / path for path in files() if path.suffix == ".md")]
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
    commands = [line for line in lines if line.startswith("python -m gen pe --arch")]
    assert len(commands) > len(NAMES)
    for command in commands:
        status = main(shlex.split(command, comments=True)[3:])
        out, err = capsys.readouterr()
        assert status == 0 and "endmodule" in out, f"{command}: {err}"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"columns": 2},
            "columns must not be given with arch shift-add, but is 2; these take it: ",
        ),
        ({"arch": "csa", "group": 2, "scale": "int8"}, "must not be given with arch csa"),
        ({"sparsity": "2:4"}, "these take it: nm"),
        ({"arch": "nm", "zero_columns": 1}, "zero_columns must not be given with arch nm"),
        ({"arch": "bbs", "core": "dot"}, "core must be .* with arch bbs, not 'dot'"),
    ],
)
def test_options_of_other_architectures_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PEParams(**{"arch": "shift-add", **wrong})


def test_a_module_without_an_architecture_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = importlib.import_module("hw.pe.arch.shift_add")
    monkeypatch.setattr(broken, "ARCH", None)
    architecture.cache_clear()
    with pytest.raises(TypeError, match="must define ARCH = Arch"):
        package.architecture("shift-add")
    architecture.cache_clear()
