# SPDX-License-Identifier: Apache-2.0
import pytest

from sim.bench.stalls import PATTERNS, pattern


def walk(name: str, seed: int = 1, cycles: int = 400, ready: bool = True) -> list[bool]:
    """Return when a partner is willing while the other side always is, or never."""
    willing, last, found = pattern(name, seed), False, []
    for _ in range(cycles):
        now = willing(last, not last)
        found.append(now)
        last = now and ready
    return found


@pytest.mark.parametrize("name", PATTERNS)
def test_goes_on_for_ever(name: str) -> None:
    assert any(walk(name)[-16:])


@pytest.mark.parametrize("name", ["random", "bursty"])
def test_seed_decides(name: str) -> None:
    assert walk(name, 1) == walk(name, 1) != walk(name, 2)


def test_none_never_waits() -> None:
    assert all(walk("none"))


def test_slow_rests_three_cycles_after_each_transfer() -> None:
    assert walk("slow", cycles=9) == [True, False, False, False] * 2 + [True]
    assert all(walk("slow", ready=False))


def test_shy_waits_for_an_offer() -> None:
    willing = pattern("shy", 1)
    assert not willing(False, False)
    assert willing(False, True)
    assert not willing(True, True)


def test_bursty_has_runs_of_either_kind() -> None:
    runs = "".join("1" if now else "0" for now in walk("bursty"))
    assert "1111" in runs and "0000" in runs
    assert max(len(run) for run in runs.split("0")) <= 8


def test_unknown() -> None:
    with pytest.raises(ValueError, match="stall pattern must be one of none, random"):
        pattern("often", 1)
