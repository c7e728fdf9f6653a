# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/coprocessor/sizes.py``: record, page and manifests say the same of presets."""

import pytest

from benchmarks.presets import HEAD, PAGE, measured, row
from fpga.products import manifest_of
from hw.coprocessor.params import PRESETS, CoprocessorParams
from hw.coprocessor.sizes import POINTS, expected, recorded

#: Tables and registers of an iCE40UP5K, of a GW2AR-18 and of an ECP5-85F, and its block RAM.
ROOM = {"ice40": (5280, 5280, 30), "gowin": (20736, 15552, 46), "ecp5": (83640, 83640, 208)}


def test_the_page_has_what_is_recorded() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = "\n".join([HEAD, *(row(*point) for point in POINTS)])
    assert f"\n\n{table}\n\n" in text, "run `python -m benchmarks presets`"
    assert {preset for preset, _, _ in POINTS} == set(PRESETS)
    assert set(recorded()) == set(POINTS)


@pytest.mark.parametrize("preset", PRESETS)
def test_manifests_say_what_is_expected(preset: str) -> None:
    for protect in ("none", "secded"):
        given = {} if protect == "none" else {"protect": protect}
        told = manifest_of(CoprocessorParams(preset=preset, **given))["contract"]["expected"]
        due = {t: recorded()[p, t, s] for p, t, s in POINTS if (p, s) == (preset, protect)}
        assert told == due and (protect != "none" or due)
    assert expected(CoprocessorParams(preset=preset, max_burst=2)) == {}
    assert expected(CoprocessorParams()) == {}


@pytest.mark.parametrize("target", ROOM)
def test_presets_fit_their_boards(target: str) -> None:
    for point in POINTS:
        counts = recorded()[point]
        if point[1] == target:
            luts = counts["LUT4"] if target == "ice40" else counts["LUT4eq"]
            assert all(n < most for n, most in zip((luts, counts["FF"], counts["BRAM"]),
                                                   ROOM[target], strict=True)), point  # fmt: skip


@pytest.mark.deep
def test_tiny_is_as_recorded() -> None:
    assert measured(*POINTS[0], use_cache=False) == recorded()[POINTS[0]]
