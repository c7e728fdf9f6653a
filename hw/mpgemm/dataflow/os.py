# SPDX-License-Identifier: Apache-2.0
"""Sums stay; activations walk right and weights down through registers."""

from hw.mpgemm.array import engine_of
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.dataflow import Dataflow
from hw.mpgemm.systolic import SystolicOS


def _check(params: ArrayParams) -> None:
    """Take everything."""


DATAFLOW = Dataflow(
    name="os",
    summary="output-stationary systolic array: sums stay, activations walk right, weights down",
    source="systolic array of the bit-weight tensor engines, HPCA 2025; Gemmini",
    cycles="ceil(K / lanes) cycles a tile of rows x columns, at least `rows`; rows + columns to "
    "fill it once",
    when="For large arrays at a high clock: every wire reaches the next cell only.",
    check=_check,
    build=lambda params: engine_of(params, SystolicOS(params)),
    cases=({"format": "int2", "act": "int2", "rows": 2, "columns": 2, "max_k": 3},),
)
