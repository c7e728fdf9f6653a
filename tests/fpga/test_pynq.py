# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``fpga/pynq/coprocessor.py``, with the golden model in the place of the board."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fpga.driver.golden import GoldenTransport
from fpga.pynq import coprocessor
from tests.sim.golden.coprocessor.manifests import manifest_of


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """Return the folder of a finished build."""
    report = {"base": 0xA000_0000, "bitstream": {"file": "ultra96.bit"}, "unit": "coprocessor"}
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    manifest = json.dumps(manifest_of("cube"))
    (tmp_path / "coprocessor.json").write_text(manifest, encoding="utf-8")
    return tmp_path


def test_on_a_board(build: Path, monkeypatch, capsys) -> None:
    loaded: list[object] = []

    def transport(base: int) -> GoldenTransport:
        loaded.append(base)
        return GoldenTransport(manifest_of("cube"))

    monkeypatch.setattr(coprocessor, "PynqTransport", transport)
    monkeypatch.setattr(coprocessor, "SIDE", 24)
    monkeypatch.setitem(sys.modules, "pynq", SimpleNamespace(Overlay=loaded.append))
    assert coprocessor.main([str(build)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "6 products exact" and "24x24x24 exact: " in out and not err
    assert loaded == [0xA000_0000, str(build / "ultra96.bit")]


def test_elsewhere(build: Path, tmp_path: Path, capsys) -> None:
    assert coprocessor.main([str(build)]) == 2
    assert "the package pynq is not installed" in capsys.readouterr().err
    assert coprocessor.main([str(tmp_path / "none")]) == 2
    assert "none' holds no finished build: No such file" in capsys.readouterr().err
    assert coprocessor.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")
