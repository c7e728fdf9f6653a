# SPDX-License-Identifier: Apache-2.0
"""The object cache of Verilator builds, with a stand-in for the compiler."""

import os
import stat
from pathlib import Path

import pytest

from sim.bench.objcache import main

COMPILER = """\
#!/bin/sh
[ "$1" = --version ] && { echo "stand-in 1"; exit 0; }
echo run >> calls
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; last=$1; shift; done
[ -f fail ] && exit 3
echo "object of $last" > "$out"
"""


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c++"
    path.write_text(COMPILER)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    for name in ("verilated.cpp", "verilator.cpp", "Vtop.cpp"):
        (tmp_path / name).write_text("int x;")
    return str(path)


def calls() -> int:
    return len(Path("calls").read_text().split()) if Path("calls").exists() else 0


def test_second_build_copies(compiler: str) -> None:
    command = [compiler, "-c", "-o", "a.o", "verilated.cpp"]
    assert main("cache", command) == 0
    first = Path("a.o").read_text()
    Path("a.o").unlink()
    assert main("cache", command) == 0
    assert Path("a.o").read_text() == first
    assert calls() == 1
    assert not [name for name in os.listdir("cache") if not name.endswith(".o")]


def test_a_cache_that_cannot_be_written(compiler: str) -> None:
    Path("cache").write_text("a file, no folder")
    assert main("cache", [compiler, "-c", "-o", "a.o", "verilated.cpp"]) == 0
    assert Path("a.o").exists()


def test_key(compiler: str) -> None:
    main("cache", [compiler, "-c", "-o", "a.o", "verilated.cpp"])
    main("cache", [compiler, "-O2", "-c", "-o", "a.o", "verilated.cpp"])
    Path("verilated.cpp").write_text("int other;")
    main("cache", [compiler, "-c", "-o", "a.o", "verilated.cpp"])
    assert calls() == 3


@pytest.mark.parametrize("name", ["verilator.cpp", "Vtop.cpp"])
def test_model_is_never_kept(name: str, compiler: str) -> None:
    for _ in range(2):
        assert main("cache", [compiler, "-c", "-o", "a.o", name]) == 0
    assert calls() == 2
    assert not Path("cache").exists()


def test_failure_is_passed_on(compiler: str) -> None:
    Path("fail").touch()
    assert main("cache", [compiler, "-c", "-o", "a.o", "verilated.cpp"]) == 3
    assert not Path("cache").exists()
