# SPDX-License-Identifier: Apache-2.0
"""The unit ``merge``: results of the golden model, cycles of the contract, faults, refusals."""

import pytest

from hw.attention.merge_params import MergeParams
from tests.hw.attention.rows import checked, stalled

CASES = [
    {"value_dim": 1, "max_parts": 4, "max_len": 64, "head_dim": 4},
    {"value_dim": 1, "max_parts": 7, "kind": "fa-int-p2", "exp_bits": 16},
    {"form": "lse", "value_dim": 2, "max_parts": 5},
    {"form": "lse", "value_dim": 70, "max_parts": 16},
    {"value_dim": 1, "max_parts": 1, "tile": 1, "max_len": 1, "exp_bits": 4, "qk_bits": 2},
]


@pytest.mark.parametrize(
    "case", [c if n < 3 else pytest.param(c, marks=pytest.mark.deep) for n, c in enumerate(CASES)]
)
def test_results_and_cycles(case, tmp_path):
    """Under all stalls, and rows that take ``max(parts, row_cycles)`` cycles without any."""
    manifest = stalled("merge", case, tmp_path, 80)
    assert manifest["contract"]["overhead"] <= 64
    channels = manifest["parameters"]["value_dim"]
    assert manifest["contract"]["row_cycles"] <= max(8, -(-channels // 8) + 2)


FAULTS = {
    "parts without keys count": ("assign some = ", "assign some = 1'h1 | "),
    "the maximum is not kept": ("assign rise = ", "assign rise = 1'h1 | "),
    "too many parts": ("assign long = ", "assign long = 1'h0 & "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_seen(fault, tmp_path):
    assert not checked("merge", CASES[2], tmp_path, 80, edit=FAULTS[fault])[1].passed


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"form": "sum"}, "form must be one of partial, lse, not 'sum'"),
        ({"value_dim": 257}, "value_dim must be an integer from 1 to 256, not 257"),
        ({"max_parts": 0}, "max_parts must be an integer from 1 to 256, not 0"),
        ({"exp_bits": 17}, "exp_bits must be an integer from 4 to 16, not 17"),
        (
            {"form": "lse", "tile": 16},
            "tile must not be given with form lse, but is 16",
        ),
    ],
)
def test_refusals(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        MergeParams(**wrong)
    assert "\n" not in str(caught.value)
