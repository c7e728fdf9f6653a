# SPDX-License-Identifier: Apache-2.0
"""Activations stay; weights walk right, sums down: the transpose of ws."""

from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.dataflow import Dataflow
from hw.mpgemm.engine import StationaryEngine
from hw.mpgemm.stationary import Stationary
from hw.mpgemm.stationary_sequencer import StationarySequencer


def _check(params: ArrayParams) -> None:
    """Take everything."""


def _build(params: ArrayParams) -> StationaryEngine:
    sequencer = StationarySequencer(params.shape, params.rows, params.batch, params.swapped)
    finish = params.epilogue.finish_stage(params.shape)
    return StationaryEngine(params.shape, sequencer, Stationary(params, sequencer), finish)


DATAFLOW = Dataflow(
    name="is",
    summary="activations stay, twice, so that the next tile loads meanwhile; weights walk right, "
    "sums down",
    source="Gemmini (shadow registers, loaded with the skew of the wave)",
    cycles="a tile takes as many cycles as rows of weights, at least `rows`",
    when="For few rows of activations and many columns of weights.",
    check=_check,
    build=_build,
    core="dot",
    stationary=True,
    cases=({"format": "int2", "act": "int2", "rows": 2, "columns": 2, "max_k": 3, "depth": 2},),
)
