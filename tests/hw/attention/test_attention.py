# SPDX-License-Identifier: Apache-2.0
"""The unit ``attention``: results of the golden model, cycles of the contract, faults, refusals."""

import numpy as np
import pytest

from hw.attention.attention_params import AttentionParams
from sim.bench.check import golden_of
from tests.hw.attention.rows import checked, stalled

PARTIAL = {"head_dim": 3, "value_dim": 2, "tile": 2, "max_len": 12, "result": "partial"}
CASES = [
    PARTIAL,
    {"head_dim": 2, "tile": 2, "max_len": 8, "kind": "fa-int-p2", "qk_bits": 3, "exp_bits": 8},
    {"head_dim": 3, "tile": 2, "max_len": 16},
    {"head_dim": 5, "value_dim": 2, "tile": 3, "max_len": 40, "qk_bits": 4},
    {"head_dim": 2, "value_dim": 9, "tile": 1, "max_len": 9, "exp_bits": 16, "kind": "fa-int-p2"},
    {"head_dim": 2, "tile": 1, "qk_bits": 2, "exp_bits": 4, "max_len": 1},
    {"head_dim": 2, "tile": 4, "max_len": 300, "kind": "fa-int-p2", "result": "partial"},
    {"head_dim": 1, "value_dim": 75, "tile": 2, "max_len": 64, "exp_bits": 8},
]


@pytest.mark.parametrize(
    "case", [c if n < 2 else pytest.param(c, marks=pytest.mark.deep) for n, c in enumerate(CASES)]
)
def test_results_and_cycles(case, tmp_path):
    """Under all stalls, and rows that take ``max(beats, row_cycles)`` cycles without any."""
    manifest = stalled("attention", case, tmp_path, 80)
    contract, channels = manifest["contract"], manifest["parameters"]["value_dim"]
    assert contract["overhead"] <= 64
    assert contract["row_cycles"] <= max(8, -(-channels // 8) + 2)


@pytest.mark.parametrize("kind", ["fa-int", pytest.param("fa-int-p2", marks=pytest.mark.deep)])
def test_example_of_the_definition(kind, tmp_path):
    """Section 3.1 of the sheet: sums of ten keys, in blocks of 4, with exponentials of 12 bits."""
    scores = [100, -50, 300, 20, -400, 250, 310, 0, 5, -7]
    values = [(10, -20), (127, -128), (5, 6), (-7, 8), (99, -99), (-60, 61), (33, -34), (1, 2),
              (3, 4), (-5, -6)]  # fmt: skip
    keys = np.zeros((12, 4), dtype=int)
    for key, score in enumerate(scores):  # a query of (10, 10, 10, 1) gives each score
        tens, ones = divmod(score, 10)
        keys[key] = [*(tens // 3 + (tens % 3 > k) for k in range(3)), ones]
    assert (keys[:10] @ [10, 10, 10, 1]).tolist() == scores and abs(keys).max() < 128
    beats = {
        "q": np.tile([10, 10, 10, 1], (3, 1)),
        "k": keys.reshape(3, 16),
        "v": np.array([*values, (0, 0), (0, 0)]).reshape(3, 8),
        "keep": np.array([1] * 10 + [0] * 2).reshape(3, 4),
        "last": np.array([0, 0, 1]),
        "m": np.full(3, 20000),
        "sh": np.full(3, 9),
    }
    case = {"head_dim": 4, "value_dim": 2, "tile": 4, "max_len": 12, "result": "partial"}
    _, report, _ = checked("attention", {**case, "kind": kind}, tmp_path, stimulus=beats)
    assert report.passed, report.mismatch
    weight, channels = {
        "fa-int": (14303, [46561, -15876]),
        "fa-int-p2": (13876, [45143, -15379]),
    }[kind]
    assert [int(v) for v in report.outputs["o_l"].ravel()] == [weight]
    word = int(np.ravel(report.outputs["o_o"])[0])
    size = AttentionParams(**case, kind=kind).o_bits
    found = [(word >> size * c & (1 << size) - 1 ^ 1 << size - 1) - (1 << size - 1) for c in (0, 1)]
    assert found == channels


FAULTS = {
    "keys that do not count": ("assign some = ", "assign some = 1'h1 | "),
    "a maximum that never rises": ("assign rise = ", "assign rise = 0 & "),
    "rows that never are too long": ("assign long = ", "assign long = 1'h0 & "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_seen(fault, tmp_path):
    assert not checked("attention", PARTIAL, tmp_path, 80, edit=FAULTS[fault])[1].passed


@pytest.mark.deep
def test_utilisation(tmp_path):
    """Rows of 512 keys with 64 channels: a tile of 16 keys in at least 95 % of all cycles."""
    case = {"head_dim": 64, "tile": 16, "max_len": 512}
    golden = golden_of({"golden": "sim.golden.attention.attention", "unit": "attention"})
    parameters = AttentionParams(**case).resolved
    rows = 4
    beats = dict(golden.vectors(parameters, np.random.default_rng(5), 32 * rows))
    beats["last"] = np.arange(32 * rows) % 32 == 31
    manifest, report, _ = checked("attention", case, tmp_path, stimulus=beats)
    assert report.passed, report.mismatch
    spent = report.passes[0].cycles
    assert spent == 32 * rows + manifest["contract"]["overhead"]
    steady = (spent - manifest["contract"]["overhead"]) / rows
    assert 512 / 16 / steady >= 0.95


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"kind": "flash"}, "kind must be one of fa-int, fa-int-p2, not 'flash'"),
        ({"head_dim": 257}, "head_dim must be an integer from 1 to 256, not 257"),
        ({"value_dim": 0}, "value_dim must be an integer from 1 to 256, not 0"),
        ({"tile": 65}, "tile must be an integer from 1 to 64, not 65"),
        ({"qk_bits": 9}, "qk_bits must be an integer from 2 to 8, not 9"),
        ({"exp_bits": 3}, "exp_bits must be an integer from 4 to 16, not 3"),
        ({"max_len": 0}, "max_len must be an integer from 1 to 65536, not 0"),
        ({"result": "lse"}, "result must be one of row, partial, not 'lse'"),
    ],
)
def test_refusals(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        AttentionParams(**wrong)
    assert "\n" not in str(caught.value)
