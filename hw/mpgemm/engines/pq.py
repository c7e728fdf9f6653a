# SPDX-License-Identifier: Apache-2.0
"""Product quantisation: the nearest centroid of some activations stands for all of them.

**Order of beats.** For each tile of ``rows`` rows of A, for each tile of ``columns`` columns of W,
for each subspace of ``subvector`` products: a beat of activations, one of weights and one of
``s_axis_scale``.

**A beat of activations.** Row ``r``, product ``i`` of the subspace is code ``r * subvector + i``.

**A beat of ``s_axis_scale``.** Element ``i`` of centroid ``j`` is code ``j * subvector + i``, in
the activations' format.

**A beat of weights.** What centroid ``j`` makes with column ``c`` is the signed entry number
``c * centroids + j``, of ``entry_bits``.

**Result.** The sum, over subspaces, of the entries of the nearest centroids, exact. Of centroids
that are equally near the first one counts. Elements beyond K are equal.

**Requantisation.** What requantises the columns of a tile lies above the centroids, of which beats
the tile's last one counts.
"""

from typing import Any

from hw.mpgemm import finish
from hw.mpgemm.decoded import Decoded
from hw.mpgemm.engine import Engine
from hw.mpgemm.engines import EngineKind
from hw.mpgemm.nearest import NearestRows, NearestShape
from hw.mpgemm.params import MpGemmParams, within
from hw.mpgemm.shape import Shape
from hw.spec.formats import IntFormat


def _check(params: MpGemmParams) -> None:
    fmt = params.act_format
    if not isinstance(fmt, IntFormat) or fmt.encoding not in ("twos", "unsigned"):
        raise ValueError(
            f"act must be a two's complement or unsigned integer with engine pq, such as int8, "
            f"not {fmt.name!r}"
        )
    within("subvector", params.option("subvector"), 1, 64)
    within("centroids", params.option("centroids"), 2, 256)
    within("entry_bits", params.option("entry_bits"), 2, 32)
    within("pipeline", params.pipeline, 0, 1)
    if params.option("distance") not in ("l1", "l2"):
        raise ValueError(f"distance must be l1 or l2, not {params.option('distance')!r}")
    _ = params.epilogue


def _near(params: MpGemmParams) -> NearestShape:
    fmt = params.act_format
    assert isinstance(fmt, IntFormat)
    return NearestShape(
        subvector=params.option("subvector"),
        centroids=params.option("centroids"),
        squares=params.option("distance") == "l2",
        entry_bits=params.option("entry_bits"),
        act=fmt,
        carry_chains=params.target != "gates",
        pipeline=params.pipeline,
    )


def _frame(params: MpGemmParams) -> Shape:
    near = _near(params)
    shape = Shape(
        rows=params.rows,
        columns=params.columns,
        depth=near.subvector,
        lane_bits=near.act.bits,
        zero=0,
        wgt_bits=params.columns * near.table_bits,
        acc_bits=params.acc_width,
        max_k=params.max_k,
        scale_bits=near.centroids * near.vector_bits,
        scale_steps=True,
        marked=True,
    )
    return params.epilogue.framed(shape)


def _build(params: MpGemmParams) -> Engine:
    return params.engine_of(Decoded(NearestRows(_near(params), params.shape)))


def _weights(params: MpGemmParams) -> dict[str, Any]:
    near = _near(params)
    return {"format": f"int{near.entry_bits}", "lanes": params.columns * near.centroids}


ENGINE = EngineKind(
    name="pq",
    summary="the nearest centroid of `subvector` activations looks up what it makes with a column",
    source="PQA",
    cycles="ceil(K / subvector) cycles a tile, at least `rows`",
    when="For layers trained with product quantisation; it is exact to that model only.",
    golden="sim.golden.mpgemm.pq",
    options={"subvector": 4, "centroids": 8, "distance": "l1", "entry_bits": 8,
             **finish.OPTIONS},
    check=_check,
    max_product=lambda params: 1 << params.option("entry_bits") - 1,
    longest=lambda params: -(-params.max_k // params.option("subvector")),
    shape=_frame,
    weights=_weights,
    build=_build,
    cases=(
        {"act": "int2", "subvector": 2, "centroids": 2, "entry_bits": 2, "rows": 1, "columns": 2,
         "max_k": 3},
        {"act": "uint2", "subvector": 1, "centroids": 3, "entry_bits": 3, "rows": 2, "columns": 1,
         "max_k": 2, "distance": "l2"},
    ),
)  # fmt: skip
