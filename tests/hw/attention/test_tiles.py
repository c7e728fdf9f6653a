# SPDX-License-Identifier: Apache-2.0
"""The unit ``attention-tiles``: every small descriptor by the definition, cycles, faults."""

import itertools

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.attention.attention_tiles_params import AttentionTilesParams
from sim.bench.check import Pass, check, golden_of, passes_for

UNIT = discover()["attention-tiles"]
FREE = (Pass("none", "none"),)


def visible(j, query, length, window, sink, causal, page=None, bitmap=0):
    """The contract's rule, word by word."""
    return (
        j < length
        and (not causal or j <= query)
        and (window == 0 or j < sink or j + window > query)
        and (page is None or bitmap >> j // page & 1)
    )


def due(parameters, beats):
    """What must come out of the unit, from :func:`visible`."""
    tile, longest = parameters["tile"], parameters["max_len"]
    rows = {name: [] for name in ("head", "tile", "keep", "first", "last", "err")}
    names = [name for name in beats if name != "head"]
    for number, head in enumerate(beats["head"]):
        row = {name: int(beats[name][number]) for name in names}
        err = row["length"] > longest
        seen = {}
        for j in range(0 if err else longest):
            if visible(j, page=parameters["page"], **row):
                seen.setdefault(j // tile, set()).add(j % tile)
        found = sorted(seen.items()) or [(0, set())]
        for at, (number_of_tile, keys) in enumerate(found):
            keep = [int(k in keys) for k in range(tile)]
            values = (head, number_of_tile, keep, at == 0, at == len(found) - 1, err)
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
    return {name: np.array(column) for name, column in rows.items()}


def descriptors(names, values):
    columns = np.array(list(itertools.product(*values))).T
    beats = dict(zip(names, columns, strict=True))
    return {"head": np.arange(columns.shape[1]) % 2, **beats}


def run(case, beats, folder, edit=None, passes=FREE):
    text, manifest = emit(UNIT, UNIT.params(**case), "dut")
    if edit is not None:
        assert text.count(edit[0]) == 1, edit
        text = text.replace(*edit)
    (folder / "dut.v").write_text(text)
    want = due(manifest["parameters"], beats)
    return manifest, check(
        folder / "dut.v", manifest, beats, folder / "build", expected=want, passes=passes
    )


NAMES = ("query", "length", "window", "sink", "causal")


@pytest.mark.parametrize("tile", [2, 3])
def test_every_descriptor(tile, tmp_path):
    case = {"tile": tile, "max_len": 5, "head_bits": 1}
    some = [range(7), range(7), (0, 1, 2, 4, 15), (0, 1, 3, 9), range(2)]
    manifest, report = run(case, descriptors(NAMES, some), tmp_path)
    assert report.passed, report.mismatch
    assert report.passes[0].cycles == report.results + manifest["contract"]["overhead"]


@pytest.mark.parametrize("page", [3, 6])
def test_every_bitmap(page, tmp_path):
    case = {"tile": 3, "max_len": 11, "page": page, "head_bits": 1}
    pages = -(-11 // page)
    some = [(0, 4, 10, 12), (0, 8, 11), (0, 1, 3), (0, 2, 7), range(2), range(1 << pages)]
    manifest, report = run(case, descriptors((*NAMES, "bitmap"), some), tmp_path)
    assert report.passed, report.mismatch
    assert report.passes[0].cycles == report.results + manifest["contract"]["overhead"]
    assert manifest["contract"]["overhead"] <= 64


CASES = ({"tile": 4, "max_len": 40, "page": 8}, {"tile": 5, "max_len": 64})


@pytest.mark.parametrize("case", CASES)
def test_golden_model_under_stalls(case, tmp_path):
    text, manifest = emit(UNIT, UNIT.params(**case))
    (tmp_path / "dut.v").write_text(text)
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(1), 40)
    report = check(tmp_path / "dut.v", manifest, beats, tmp_path / "b", passes=passes_for("all"))
    assert report.passed, (report.fault, report.mismatch)


FAULTS = {
    "a tile only": ("assign \\final  = ", "assign \\final  = 1'h1 | "),
    "error lost": ("assign over = ", "assign over = 1'h0 & "),
    "window too wide": ("assign begins = after - ", "assign begins = after - 1 - "),
    "no jump": ("assign jump = ", "assign jump = 1'h0 & "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_seen(fault, tmp_path):
    case = {"tile": 2, "max_len": 9, "head_bits": 1}
    some = [range(0, 9, 2), (0, 9, 10), (0, 1, 2), (0, 1, 3), range(2)]
    _, report = run(case, descriptors(NAMES, some), tmp_path, FAULTS[fault])
    assert not report.passed


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"tile": 0}, "tile must be an integer from 1 to 64, not 0"),
        ({"max_len": 65537}, "max_len must be an integer from 1 to 65536, not 65537"),
        ({"head_bits": 0}, "head_bits must be an integer from 1 to 16, not 0"),
        ({"page": 8}, "page must be an integer from 16 to 65536, not 8"),
        ({"page": 40}, "page must be a multiple of tile, 16, not 40"),
        ({"page": 16, "max_len": 65536}, "page must be at least 64 for a bitmap of at most 1024"),
    ],
)
def test_refusals(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        AttentionTilesParams(**wrong)
    assert "\n" not in str(caught.value)
