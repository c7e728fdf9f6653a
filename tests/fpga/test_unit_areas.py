# SPDX-License-Identifier: Apache-2.0
"""The recorded sizes of the units around a PE are there, and are what is measured today."""

from typing import Any

import pytest

from benchmarks.units import PAGE, ROWS, command, gates

#: Unit -> the parameters of its first row.
FIRST: dict[str, dict[str, Any]] = {unit: parameters for unit, parameters in reversed(ROWS)}


@pytest.mark.parametrize("name", sorted(FIRST))
def test_sizes_are_on_record(name: str) -> None:
    lines = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    found = {line[0].strip("| `"): line[1:] for line in lines if len(line) == 4}
    assert all(command(u, p) in found for u, p in ROWS if u == name)
    words = command(name, FIRST[name])
    measured = gates(name, FIRST[name], use_cache=False)
    assert " | ".join(found[words][:2]) == measured, "run `python -m benchmarks units`"
