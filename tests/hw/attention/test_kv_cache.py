# SPDX-License-Identifier: Apache-2.0
"""The unit ``kv-cache``: emitted Verilog against the definition, its cycles, faults, refusals."""

import numpy as np
import pytest

from hw.attention import kv_cache
from hw.attention.kv_cache_params import KvCacheParams
from tests.hw.attention.bench import BUSY, broken, holds, simulate

CASES = [
    {"axis": "token", "lanes": 2},
    {"axis": "channel", "bits": 4, "lanes": 4},
    {"axis": "channel", "lanes": 16, "group": 16, "x_bits": 16},
]


@pytest.mark.parametrize("parameters", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_verilog(parameters, tmp_path):
    holds("kv-cache", parameters, tmp_path, passes=BUSY, beats=250)


@pytest.mark.parametrize("parameters", CASES[:2], ids=["token", "channel"])
def test_cycles(parameters, tmp_path):
    """Of a group alone 2 * n + overhead; groups behind it take as many cycles as beats."""
    beats = 32 if parameters["axis"] == "token" else 8
    for groups in (1, 3):
        count = beats * groups
        x = np.arange(count * parameters["lanes"]).reshape(count, -1) * 37 % 201 - 100
        stimulus = {"x": x, "last": np.arange(count) % beats == beats - 1}
        report, manifest = simulate("kv-cache", parameters, tmp_path, stimulus)
        assert report.passed, report.mismatch or report.fault
        overhead = manifest["contract"]["overhead"]
        assert report.passes[0].cycles == count + beats + overhead


FAULTS = [
    ("_code", "(scaled >= edge)", "(scaled > edge)"),
    ("_ends", "opens | (some > best)", "some > best"),
    ("elaborate", "| (count != params.beats - 1)", ""),
]


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_fault_is_caught(number, tmp_path, monkeypatch):
    broken(monkeypatch, kv_cache.KiviQuantize, *FAULTS[number])
    parameters = {"axis": "channel", "bits": 4, "lanes": 4, "group": 8}
    assert not simulate("kv-cache", parameters, tmp_path, beats=300)[0].passed


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"op": "sort"}, "op must be one of quantize, not 'sort'"),
        ({"scheme": "kv9"}, "scheme must be one of kivi, not 'kv9'"),
        ({"axis": "head"}, "axis must be one of token, channel, not 'head'"),
        ({"bits": 3}, "bits must be 2 or 4, not 3"),
        ({"group": 24}, "group must be a multiple of 16, not 24"),
        ({"group": 8}, "group must be an integer from 16 to 128, not 8"),
        ({"axis": "channel", "lanes": 3}, "lanes must divide 16 with axis channel, not 3"),
        ({"x_bits": 17}, "x_bits must be an integer from 4 to 16, not 17"),
    ],
)
def test_refusals(parameters, text):
    with pytest.raises(ValueError, match=text):
        KvCacheParams(**parameters)
