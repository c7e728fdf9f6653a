# SPDX-License-Identifier: Apache-2.0
"""The unit ``kv-cache``: emitted Verilog against the definition, its cycles, faults, refusals."""

from fractions import Fraction

import numpy as np
import pytest

from hw.attention import kv_dequantize, kv_quantize
from hw.attention.kv_cache_params import KvCacheParams
from tests.hw.attention.bench import BUSY, broken, holds, simulate

CASES = [
    {"lanes": 2, "group": 16},
    {"bits": 4, "lanes": 1, "group": 8, "x_bits": 16},
    {"axis": "channel", "group": 48, "lanes": 4, "x_bits": 5},
    {"axis": "channel", "bits": 4, "group": 16},
    {"op": "dequantize", "lanes": 2},
    {"op": "dequantize", "axis": "channel", "bits": 4, "group": 24, "lanes": 4, "x_bits": 16},
    {"op": "dequantize", "axis": "channel", "bits": 4},
    pytest.param({"axis": "channel", "bits": 4, "group": 8, "x_bits": 12}, marks=pytest.mark.deep),
]


@pytest.mark.parametrize("parameters", CASES, ids=str)
def test_verilog(parameters, tmp_path):
    longer = parameters.get("op") and "lanes" in parameters  # many elements of each word
    beats = 40 if longer else 150
    holds("kv-cache", parameters, tmp_path, beats=beats, passes=BUSY)


@pytest.mark.deep
@pytest.mark.parametrize("op", ["quantize", "dequantize"])
@pytest.mark.parametrize("axis", ["token", "channel"])
@pytest.mark.parametrize("bits", [2, 4])
def test_default_parameters(op, axis, bits, tmp_path):
    parameters = {"op": op, "axis": axis, "bits": bits}
    holds("kv-cache", parameters, tmp_path, beats=2000, passes=BUSY)


def groups(lengths, lanes, bits=8):
    count = sum(lengths)
    x = np.arange(count * lanes).reshape(count, lanes) * 37 % (1 << bits) - (1 << bits - 1)
    last = np.zeros(count, dtype=int)
    last[np.cumsum(lengths) - 1] = 1
    return {"x": x, "last": last}


@pytest.mark.parametrize("bits", [2, 4])
def test_every_element_of_every_range(bits, tmp_path):
    """Of 4-bit elements; what is due is said by fractions, and by the digits of the words."""
    codes, q, rows, due = 32 // bits, (1 << bits) - 1, [], []
    for low in range(-8, 8):
        for high in range(low, 8):
            middle = [low + k % (high - low + 1) for k in range(2 * codes - 2)]
            for part in (middle[: codes - 2], middle[codes - 2 :][: codes - 2]):
                row = [low, high, *part]
                rows.append(row)
                r = high - low
                c = [round(Fraction((x - low) * q, r)) if r else 0 for x in row]
                due.append((sum(v << bits * k for k, v in enumerate(c)), low, r))
    parameters = {"axis": "channel", "bits": bits, "group": codes, "lanes": codes, "x_bits": 4}
    beats = {"x": np.array(rows), "last": np.ones(len(rows), dtype=int)}
    report, _ = simulate("kv-cache", parameters, tmp_path, beats)
    assert report.passed, report.mismatch or report.fault
    columns = [[int(v) for v in report.outputs[name]] for name in ("o_w", "o_mn", "o_r")]
    found = [(w, (mn & 15 ^ 8) - 8, r) for w, mn, r in zip(*columns, strict=True)]
    assert [w & 0xFFFFFFFF for w, _, _ in found] == [w for w, _, _ in due]
    assert [rest for _, *rest in found] == [list(rest) for _, *rest in due]


TOKEN = {"axis": "token", "lanes": 2, "group": 16}
FULL = {"axis": "channel", "lanes": 8, "bits": 4, "group": 16}  # as many words as beats


@pytest.mark.parametrize(
    ("parameters", "whole", "lengths"),
    [
        (TOKEN, 16, [16]),
        (TOKEN, 16, [16, 17, 15, 1, 16, 16]),
        (FULL, 2, [2, 3, 1, 2, 1, 1, 1, 5, 2, 2, 2]),
    ],
)
def test_cycles(parameters, whole, lengths, tmp_path):
    """One group and many; packets of other lengths between them cost their beats and no more."""
    words = parameters["group"] * parameters.get("bits", 2) // 32
    report, manifest = simulate(
        "kv-cache", parameters, tmp_path, groups(lengths, parameters["lanes"])
    )
    assert report.passed, report.mismatch or report.fault
    overhead = manifest["contract"]["overhead"]
    assert overhead == whole + 5
    assert report.passes[0].cycles == sum(lengths) + overhead + words - 1


def test_cycles_back(tmp_path):
    """Elements leave without a gap between groups."""
    parameters = {"op": "dequantize", "axis": "channel", "lanes": 4, "bits": 4, "group": 24}
    for count in (1, 5):
        w = np.arange(3 * count) * 0x1234567
        last = np.arange(3 * count) % 3 == 2
        beats = {"w": w, "mn": w % 7, "r": w % 50, "last": last}
        report, manifest = simulate("kv-cache", parameters, tmp_path, beats)
        assert report.passed, report.mismatch or report.fault
        assert manifest["contract"]["overhead"] == 5
        assert report.passes[0].cycles == 3 + 5 + 6 * count - 1


BACK = {"op": "dequantize", "group": 32}
FAULTS = [
    ({}, kv_quantize.KvQuantize, "_code", "(scaled >= bound) if k & 1 else", ""),
    (BACK, kv_dequantize.KvDequantize, "elaborate", "takes & first", "takes"),
    ({}, kv_quantize.KvQuantize, "_extremes", "Mux(opens, best, both)", "both"),
    ({}, kv_quantize.KvQuantize, "_code", "& some.replicate(self.params.bits)", ""),
    ({}, kv_quantize.KvQuantize, "_store", "into + goods[0]", "into"),
    (BACK, kv_dequantize.KvDequantize, "_share", "<< 1) + most", "<< 1)"),
]


@pytest.mark.parametrize(
    "number",
    [k if k < 3 else pytest.param(k, marks=pytest.mark.deep) for k in range(len(FAULTS))],
)
def test_fault_is_caught(number, tmp_path, monkeypatch):
    parameters, *fault = FAULTS[number]
    broken(monkeypatch, *fault)
    report, _ = simulate("kv-cache", {"lanes": 2, "group": 16, **parameters}, tmp_path, beats=100)
    assert not report.passed


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"op": "pack"}, "op must be one of quantize, dequantize, not 'pack'"),
        ({"scheme": "int4"}, "scheme must be one of kivi, not 'int4'"),
        ({"axis": "head"}, "axis must be one of token, channel, not 'head'"),
        ({"bits": 3}, "bits must be 2 or 4, not 3"),
        ({"group": 24}, "group must be a multiple of 16, not 24"),
        ({"bits": 4, "group": 136}, "group must be an integer from 8 to 128, not 136"),
        ({"lanes": 65}, "lanes must be an integer from 1 to 64, not 65"),
        ({"axis": "channel", "lanes": 3}, "lanes must divide 16 with axis channel, not 3"),
        ({"x_bits": 17}, "x_bits must be an integer from 4 to 16, not 17"),
    ],
)
def test_refusals(parameters, text):
    with pytest.raises(ValueError, match=text):
        KvCacheParams(**parameters)
