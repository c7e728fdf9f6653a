# SPDX-License-Identifier: Apache-2.0
"""Weights stay; activations walk right, sums down."""

from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.dataflow import Dataflow
from hw.mpgemm.engine import StationaryEngine
from hw.mpgemm.stationary import Stationary
from hw.mpgemm.stationary_sequencer import StationarySequencer


def _check(params: ArrayParams) -> None:
    """Take everything."""


def _build(params: ArrayParams) -> StationaryEngine:
    beats = 1 if params.loads_tiles else params.rows
    sequencer = StationarySequencer(params.shape, beats, params.batch, params.swapped)
    finish = params.epilogue.finish_stage(params.shape)
    return StationaryEngine(params.shape, sequencer, Stationary(params, sequencer), finish)


DATAFLOW = Dataflow(
    name="ws",
    summary="weights stay, twice, so that the next tile loads meanwhile; activations walk right, "
    "sums down",
    source="Gemmini (shadow registers, loaded with the skew of the wave)",
    cycles="a tile takes as many cycles as rows of activations, at least `rows`",
    when="For weights that many rows of activations share: they are read once per `depth` rows.",
    check=_check,
    build=_build,
    core="dot",
    stationary=True,
    cases=({"format": "int2", "act": "int2", "rows": 2, "columns": 2, "max_k": 3, "depth": 2},),
)
