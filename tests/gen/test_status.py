# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``gen/status.py``: the ladder, and that the recorded evidence is that of the table."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gen import status
from gen.status import LADDER, status_of
from gen.unit import discover
from tests.evidence import FOLDER, ROOT, TESTS, UNDERWAY, command, evidence, paths_of, rests_on

RECORDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
ALL = [item for needed in LADDER.values() for item in needed]


def holding(*items: str) -> Callable[[str], dict[str, Any]]:
    return lambda name: {item: {"passed": True} for item in items}


@pytest.mark.parametrize("count", range(len(ALL) + 1))
def test_a_rung_needs_all_below(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "evidence_of", holding(*ALL[:count]))
    due = "S3" if count == 9 else "S2" if count == 8 else "S1" if count >= 3 else "S0"
    assert status_of(discover()["pe"]) == due
    monkeypatch.setattr(status, "evidence_of", holding(*ALL[1:]))
    assert status_of(discover()["pe"]) == "S0"


def test_what_failed_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {item: {"passed": item != "oracle"} for item in ALL}
    monkeypatch.setattr(status, "evidence_of", lambda name: failed)
    assert status_of(discover()["pe"]) == "S0"


def test_the_table_is_of_units_and_of_items() -> None:
    assert set(TESTS) == set(discover())
    for items in TESTS.values():
        assert set(items) <= set(ALL)
    for unit in set(TESTS) - set(UNDERWAY):
        for arguments in TESTS[unit].values():
            paths = [path.split("::")[0] for path in paths_of(arguments)]
            assert paths and all((ROOT / path).exists() for path in paths)


@pytest.mark.parametrize("unit", sorted(set(TESTS) - set(UNDERWAY)))
def test_the_record_is_that_of_the_table(unit: str) -> None:
    told = {item: found["command"] for item, found in RECORDS[unit].items()}
    due = {item: command(arguments) for item, arguments in TESTS[unit].items()}
    assert told == due, f"run `python -m tests.evidence {unit}`"
    assert all(found["tests"] > 0 for found in RECORDS[unit].values() if found["passed"])


@pytest.mark.parametrize(
    ("arguments", "test", "due"),
    [
        (("tests/a",), "tests/a/test_b.py::test_c", True),
        (("tests/a",), "tests/ab/test_b.py::test_c", False),
        (("tests/a.py", "-k", "[mul- and not deep"), "tests/a.py::test_c[mul-0]", True),
        (("tests/a.py", "-k", "[mul- and not deep"), "tests/a.py::test_deep[mul-0]", False),
        (("tests/a.py", "-k", "[mul-"), "tests/a.py::test_c[fma-0]", False),
        (("tests/a.py::test_c",), "tests/a.py::test_c[0]", True),
        (("tests/a.py::test_c",), "tests/a.py::test_cd", False),
        (("tests/a.py", "-m", "deep"), "tests/a.py::test_c", True),
    ],
)
def test_what_an_item_rests_on(arguments: tuple[str, ...], test: str, due: bool) -> None:
    assert rests_on(arguments, test) == due


def test_one_failure_or_no_test_is_no_evidence() -> None:
    items = {"oracle": ("tests/a.py",), "simulation": ("tests/b.py",), "formal": ("tests/c.py",)}
    results = {"tests/a.py::x": True, "tests/a.py::y": False, "tests/b.py::x": True}
    found = evidence(items, results)
    assert [found[item]["passed"] for item in items] == [False, True, False]
    assert [found[item]["tests"] for item in items] == [2, 1, 0]
