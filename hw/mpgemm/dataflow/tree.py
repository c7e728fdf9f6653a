# SPDX-License-Identifier: Apache-2.0
"""One row of activations at a time, a tree of adders for each column."""

from hw.mpgemm.array import engine_of
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.broadcast import ArrayRows, Broadcast
from hw.mpgemm.dataflow import Dataflow


def _check(params: ArrayParams) -> None:
    if params.rows != 1:
        raise ValueError(f"rows must be 1 with dataflow tree, not {params.rows}; cube takes more")


DATAFLOW = Dataflow(
    name="tree",
    summary="one row at a time; for each column a tree sums `lanes` products a cycle",
    source="multiplier-adder tree of the bit-weight tensor engines, HPCA 2025",
    cycles="ceil(K / lanes) cycles a row and tile of columns",
    when="For matrix times vector, where every weight is used once: no lane idles with one row.",
    check=_check,
    build=lambda params: engine_of(params, Broadcast(ArrayRows(params))),
    cases=({"format": "int2", "act": "e2m1", "rows": 1, "columns": 2, "lanes": 2, "max_k": 3,
            "pipeline": 1},
           {"format": "int2", "act": "int2", "rows": 1, "columns": 1, "arch": "nm",
            "sparsity": "1:2", "max_k": 3}),
)  # fmt: skip
