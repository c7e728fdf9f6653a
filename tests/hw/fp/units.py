# SPDX-License-Identifier: Apache-2.0
"""Arithmetic units on arrays of operands: the emitted netlist against the golden model."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gen.emit import emit
from gen.unit import discover
from sim.bench.netlist import Netlist

__all__ = ["every", "hold", "stimulus"]

Beats = dict[str, NDArray[np.int64]]


def hold(unit: str, folder: Path, parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]):
    """Fail with the first operands for which the unit's cell and the golden model differ."""
    found = discover()[unit]
    params = found.params(**parameters, core="cell")
    text, manifest = emit(found, params, "dut")
    (folder / "dut.v").write_text(text, encoding="utf-8")
    words = {name: np.asarray(values, dtype=np.int64) for name, values in beats.items()}
    bits = Netlist.read([folder / "dut.v"], "dut", folder).evaluate(words)["y"]
    got = bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))
    golden = importlib.import_module(manifest["golden"])
    want = np.asarray(golden.run(params.resolved, words)["y"]).astype(np.int64)
    wrong = np.flatnonzero(got != want)
    if len(wrong):
        operands = {name: hex(values[wrong[0]]) for name, values in words.items()}
        first = f"{operands}: expected {want[wrong[0]]:#x}, got {got[wrong[0]]:#x}"
        raise AssertionError(f"{len(wrong)} of {len(got)} differ, first {first}")


def stimulus(unit: str, parameters: Mapping[str, Any], count: int, seed: int = 1) -> Beats:
    """Return the golden model's stimulus, one-dimensional."""
    found = discover()[unit]
    resolved = found.params(**parameters).resolved
    vectors = importlib.import_module(found.golden).vectors
    beats = vectors(resolved, np.random.default_rng(seed), count)
    return {name: np.asarray(values).astype(np.int64).ravel() for name, values in beats.items()}


def every(**codes: ArrayLike) -> Beats:
    """Return every combination of the operands' codes."""
    grids = np.meshgrid(*(np.asarray(c) for c in codes.values()), indexing="ij")
    return {name: grid.ravel() for name, grid in zip(codes, grids, strict=True)}
