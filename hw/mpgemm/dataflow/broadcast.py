# SPDX-License-Identifier: Apache-2.0
"""Sums stay; every row's activation and every column's weight reach all their cells at once."""

from hw.mpgemm.array import engine_of
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.broadcast import ArrayRows, Broadcast
from hw.mpgemm.dataflow import Dataflow


def _check(params: ArrayParams) -> None:
    lanes = params.sparse.n if params.sparse else 1
    if params.lanes != lanes:
        raise ValueError(
            f"lanes must be {lanes} with dataflow broadcast, not {params.lanes}; cube takes more"
        )


DATAFLOW = Dataflow(
    name="broadcast",
    summary="sums stay; a row's activation and a column's weight reach all their cells at once",
    source="2D matrix of the bit-weight tensor engines, HPCA 2025",
    cycles="K cycles a tile of rows x columns, at least `rows`",
    when="For small arrays and short products: no cycles to fill or drain it.",
    check=_check,
    build=lambda params: engine_of(params, Broadcast(ArrayRows(params))),
    cases=({"format": "int2", "act": "int2", "rows": 2, "columns": 2, "max_k": 3},),
)
