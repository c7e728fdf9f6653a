# SPDX-License-Identifier: Apache-2.0
"""Follow ``docs/adding_a_unit.md`` to the letter, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding_a_unit.md").read_text()
FILES = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.S)
COMMANDS = re.findall(r"^python -m (.*)$", PAGE, re.M)


@pytest.fixture
def project(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", "sim_build")
    for name in ("hw", "gen", "sim", "fpga"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (tmp_path / "tests" / "gen").mkdir(parents=True)
    for name in ("tests/conftest.py", "tests/gen/test_units.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name, text in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if not name.startswith("tests"):
            (path.parent / "__init__.py").touch()
    return tmp_path


def run(project, *command, out=None):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_works(project):
    assert [name for name, _ in FILES] == [
        "hw/stats/absmax.py",
        "sim/golden/stats/absmax.py",
        "gen/units/absmax.py",
        "tests/hw/stats/test_absmax.py",
    ]
    for command in COMMANDS:
        words = command.split(" > ")[0].split()
        assert run(project, *words), command
    assert "absmax" in run(project, "gen", "list")
    rules = run(project, "pytest", "-n0", "-k", "absmax", "tests")
    assert re.search(r"\b[1-9]\d* passed", rules)


def test_a_wrong_unit_is_caught(project):
    """The page's own commands must find a fault in the page's unit."""
    unit = project / "hw/stats/absmax.py"
    text = unit.read_text()
    assert text.count("size > best") == 1
    unit.write_text(text.replace("size > best", "size < best"))
    with pytest.raises(AssertionError, match="FAIL"):
        run(project, "sim", "check", "absmax")
