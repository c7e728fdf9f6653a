# SPDX-License-Identifier: Apache-2.0
"""The unit ``norm``: emitted Verilog against the definition, its cycles, faults, refusals."""

import numpy as np
import pytest

from hw.attention import load_table, norm, norm_sums
from hw.attention.norm_params import NormParams
from tests.hw.attention.bench import BUSY, broken, holds, simulate

CASES = [
    {"kind": "ln", "lanes": 2, "max_len": 12, "shortcut": True},
    {"kind": "rms", "lanes": 3, "max_len": 10, "x_bits": 16, "out_bits": 16, "target": "fpga"},
    {"kind": "ln", "lanes": 1, "max_len": 7, "x_bits": 4, "frac": 14, "affine": False},
    {"kind": "rms", "lanes": 2, "max_len": 8, "affine": False, "frac": 4},
]
PLAIN = {"kind": "ln", "lanes": 4, "max_len": 16, "affine": False}


@pytest.mark.parametrize("parameters", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_verilog(parameters, tmp_path):
    holds("norm", parameters, tmp_path, passes=BUSY)


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["ln", pytest.param("rms", marks=pytest.mark.deep)])
def test_long_rows(kind, tmp_path):
    parameters = {"kind": kind, "lanes": 8, "max_len": 4096, "x_bits": 16}
    holds("norm", parameters, tmp_path, beats=3000, passes=BUSY)


def rows(elements, lanes, eps=0):
    """Whole rows of given elements, each padded with what is absent."""
    x, keep, last = [], [], []
    for row in elements:
        count = -(-len(row) // lanes)
        x += [*row, *[77] * (count * lanes - len(row))]
        keep += [k < len(row) for k in range(count * lanes)]
        last += [k == count - 1 for k in range(count)]
    x, keep = np.reshape(x, (-1, lanes)), np.reshape(keep, (-1, lanes))
    return {"x": x, "keep": keep, "last": np.array(last), "eps": np.full(len(x), eps)}


def test_published_values(tmp_path):
    """The specification's own values, through all of the hardware."""
    elements = [[1, 2, 3, 4], [0, 0, 0, 5], [-7, 100, 3, 3, 50, -128, 127, 9], [6] * 5, [9]]
    report, _ = simulate("norm", PLAIN, tmp_path, rows(elements, 4))
    assert report.passed, report.mismatch or report.fault
    bits, found = 20, []
    for word in report.outputs["o_y"]:
        lanes = [int(word) >> bits * lane & (1 << bits) - 1 for lane in range(4)]
        found += [v - (v >> bits - 1 << bits) for v in lanes]
    assert found[:8] == [-5495, -1832, 1832, 5495, -2365, -2365, -2365, 7094]
    assert found[8:16] == [-1504, 4539, -939, -939, 1715, -8337, 6064, -600]
    assert not any(found[16:])


@pytest.mark.parametrize("kind", ["ln", pytest.param("rms", marks=pytest.mark.deep)])
def test_cycles(kind, tmp_path):
    """Of a row alone 2 * n + overhead; rows behind it take as many cycles as beats."""
    parameters = {**PLAIN, "kind": kind}
    for lengths in ([3], [1], [4, 1, 1, 2, 4, 1, 1, 1, 1, 4]):
        elements = [[k * 37 % 90 for k in range(4 * length)] for length in lengths]
        report, manifest = simulate("norm", parameters, tmp_path, rows(elements, 4, eps=3))
        alone = 2 * lengths[-1] + manifest["contract"]["overhead"]
        assert report.passed and report.passes[0].cycles == sum(lengths[:-1]) + alone
    assert manifest["contract"]["overhead"] == 16


FAULTS = [
    (norm_sums.RowSums, "__init__", "Mux(opens, 0, old)", "old"),
    (norm_sums.RowSums, "__init__", "with m.If(takes & first)", "with m.If(takes)"),
    (norm.Norm, "_second_pass", "((moved + 1) >> 1)", "(moved >> 1)"),
    (load_table.LoadTable, "elaborate", "~self.first | ~rows.any()", "1"),
]


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.deep) for n in range(1, len(FAULTS)))]
)
def test_fault_is_caught(number, tmp_path, monkeypatch):
    broken(monkeypatch, *FAULTS[number])
    report, _ = simulate("norm", {"lanes": 2, "max_len": 12, "out_bits": 16}, tmp_path)
    assert not report.passed


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"kind": "batch"}, "kind must be one of ln, rms, not 'batch'"),
        ({"x_bits": 3}, "x_bits must be an integer from 4 to 16, not 3"),
        ({"lanes": 0}, "lanes must be an integer from 1 to 64, not 0"),
        ({"max_len": 4097}, "max_len must be an integer from 1 to 4096, not 4097"),
        ({"frac": 15}, "frac must be an integer from 4 to 14, not 15"),
        ({"out_bits": 17}, "out_bits must be an integer from 4 to 16, not 17"),
        ({"affine": False, "out_bits": 8}, "out_bits must not be given without affine"),
        ({"affine": False, "shortcut": True}, "shortcut must not be given without affine"),
        ({"affine": 2}, "affine must be True or False, not 2"),
    ],
)
def test_refusals(parameters, text):
    with pytest.raises(ValueError, match=text):
        NormParams(**parameters)
