# SPDX-License-Identifier: Apache-2.0
"""Sums or weights stay, as each job says."""

from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.dataflow import Dataflow
from hw.mpgemm.engine import SwitchedEngine
from hw.mpgemm.switched import Switched
from hw.mpgemm.switched_sequencer import SwitchedSequencer


def _check(params: ArrayParams) -> None:
    """Take everything."""


def _build(params: ArrayParams) -> SwitchedEngine:
    sequencer = SwitchedSequencer(params.shape, params.row_shape, params.rows, params.batch)
    finish = params.epilogue.finish_stage(params.shape)
    return SwitchedEngine(params.shape, sequencer, Switched(params, sequencer), finish)


DATAFLOW = Dataflow(
    name="os-ws",
    summary="os or ws, as each job says (descriptor bit 52: 1 for ws), with the same multipliers",
    source="Gemmini (both dataflows at run time; two registers in each cell)",
    cycles="those of os, or of ws, and one more; a job of the other dataflow waits until all "
    "results have left",
    when="For products of both kinds: long K, or many rows of activations for the same weights.",
    check=_check,
    build=_build,
    core="dot",
    switched=True,
    cases=({"format": "int2", "act": "int2", "rows": 2, "columns": 2, "max_k": 3, "depth": 2},),
)
