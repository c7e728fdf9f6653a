# SPDX-License-Identifier: Apache-2.0
"""Sparse weights: every set of indices, legal or not, dense passes, traffic, refusals."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, Signal

from hw.pe.datapath import BeatSum
from hw.pe.nm import SparseDatapath, picked
from hw.pe.params import PEParams
from sim.bench.netlist import Netlist
from tests.verilog.test_stream import PASSES, run


def evaluate(params: PEParams, inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    cell = BeatSum(SparseDatapath(params))
    text = verilog.convert(cell, name="cell", emit_src=False)
    (folder / "cell.v").write_text(text, encoding="utf-8")
    return Netlist.read([folder / "cell.v"], "cell", folder).evaluate(inputs)


def word(codes: Any, bits: int) -> Any:
    """Codes of shape (n, lanes) as (n,) words."""
    return (np.asarray(codes) << bits * np.arange(np.shape(codes)[1])).sum(axis=1)


@pytest.mark.parametrize(("n", "m"), [(1, 2), (1, 4), (2, 4), (3, 4), (2, 8), (3, 8), (4, 8)])
def test_every_index(n: int, m: int, tmp_path: Path) -> None:
    params = PEParams(format="int4", act="uint4", arch="nm", sparsity=f"{n}:{m}", lanes=n, max_k=n)
    rng = np.random.default_rng(n * m)
    passes = m // n if m % n == 0 else 1
    cases = list(itertools.product(itertools.product(range(m), repeat=n), (0, 1), range(passes)))
    idx = np.array([case[0] for case in cases])
    dense, step = (np.array([case[k] for case in cases]) for k in (1, 2))
    a, w = rng.integers(1, 16, (len(cases), m)), rng.integers(-8, 8, (len(cases), n))
    inputs = {"a": word(a, 4), "w": word(w & 15, 4), "idx": word(idx, m.bit_length() - 1)}
    inputs["dense"] = dense
    if m % n == 0:
        inputs["step"] = step
    found = evaluate(params, inputs, tmp_path)
    bits = found["p"].astype(np.int64)
    total = bits @ (1 << np.arange(bits.shape[1])) - (bits[:, -1] << bits.shape[1])
    for row, (index, is_dense, number) in enumerate(cases):
        good = all(x < y for x, y in itertools.pairwise(index))
        if is_dense:
            good, index = m % n == 0, tuple(range(number * n, number * n + n))
        due = sum(int(w[row, j]) * int(a[row, index[j]]) for j in range(n)) if good else 0
        assert (total[row], found["bad"][row, 0]) == (due, not good), cases[row]


def test_a_bad_block_leaves_the_others(tmp_path: Path) -> None:
    params = PEParams(format="e2m1", act="e4m3", arch="nm", sparsity="2:4", lanes=4, max_k=4)
    nan, one = 0x7F, 0x38
    a = [[nan, nan, nan, nan, one, one, one, one], [nan, nan, nan, one, one, one, one, one]]
    idx = [[1, 1, 0, 3], [0, 3, 0, 1]]
    inputs = {"a": word(a, 8), "w": word([[2] * 4] * 2, 4), "idx": word(idx, 2)}
    zero = np.zeros(2, dtype=np.int64)
    found = evaluate(params, {**inputs, "dense": zero, "step": zero}, tmp_path)
    assert found["bad"][:, 0].tolist() == [1, 0]
    assert found["nan"][:, 0].tolist() == [0, 1]  # what a bad block would have met does not count
    values = found["p"].astype(np.int64) @ (1 << np.arange(found["p"].shape[1]))
    assert values.tolist() == [2 * (2 << 9), 3 * (2 << 9)]


def test_a_multiplexer_has_only_the_inputs_that_can_be_asked_for() -> None:
    m, index = Module(), Signal(3)
    m._MustUse__used = True  # or Amaranth would complain that it is not
    values = [Signal(name=f"v{k}") for k in range(8)]
    assert picked(m, [None] * 3 + [values[3]] + [None] * 4, index) is values[3]
    assert picked(m, [None] * 8, index) is None


CASES = {
    "2:4": {"format": "int4", "lanes": 4},
    "2:8": {"format": "e2m1", "act": "e4m3", "lanes": 4, "pipeline": 2, "max_k": 64},
    "3:8": {"format": "int8", "lanes": 6, "pipeline": 1, "target": "xcup"},
    "1:2": {"format": "bipolar2", "act": "fp16", "lanes": 3},
    "1:4": {"format": "e4m3", "act": "e5m2", "lanes": 2, "max_k": 16},
    "4:16": {"format": "nf4", "lanes": 4, "acc_bits": 40},
}


@pytest.mark.parametrize("sparsity", CASES)
def test_traffic(sparsity: str, tmp_path: Path) -> None:
    report = run({"arch": "nm", "sparsity": sparsity, **CASES[sparsity]}, tmp_path, passes=PASSES)
    assert report.passed, (report.fault, report.mismatch)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "sparsity must be N:M with arch nm, M 2, 4, 8 or 16 and N below M, such as 2:4, not"),
        ({"sparsity": "4:4"}, "not '4:4'"),
        ({"sparsity": "2:6"}, "not '2:6'"),
        ({"sparsity": "2:4", "lanes": 3}, "lanes must be a multiple of 2 with sparsity 2:4, not 3"),
        ({"sparsity": "2:4", "lanes": 2, "core": "dot"}, "core must be stream with arch nm"),
        ({"sparsity": "2:4", "lanes": 2, "pipeline": 3}, "pipeline must be 0, 1 or 2 with arch nm"),
        ({"sparsity": "2:4", "lanes": 2, "columns": 2}, "columns must not be given with arch nm"),
        ({"sparsity": "2:4", "lanes": 2, "arch": "lmul"}, "sparsity must not be given with arch"),
    ],
)
def test_refusals(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PEParams(**{"arch": "nm", **wrong})
