# SPDX-License-Identifier: Apache-2.0
"""Sums stay; every cell adds a dot product of several lanes a cycle."""

from hw.mpgemm.array import engine_of
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.broadcast import ArrayRows, Broadcast
from hw.mpgemm.dataflow import Dataflow


def _check(params: ArrayParams) -> None:
    """Take everything: a broadcast matrix and a set of trees are cubes too."""


DATAFLOW = Dataflow(
    name="cube",
    summary="sums stay; every cell adds a dot product of `lanes` products a cycle",
    source="3D cube of the bit-weight tensor engines, HPCA 2025",
    cycles="ceil(K / lanes) cycles a tile of rows x columns, at least `rows`",
    when="For most products a cycle in the least area: lanes share an accumulator.",
    check=_check,
    build=lambda params: engine_of(params, Broadcast(ArrayRows(params))),
    cases=({"format": "int2", "act": "int2", "rows": 2, "columns": 1, "lanes": 2, "max_k": 3},),
)
