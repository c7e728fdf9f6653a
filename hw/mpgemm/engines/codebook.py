# SPDX-License-Identifier: Apache-2.0
"""Weights that are indices into a book of values."""

from hw.mpgemm import cells
from hw.mpgemm.engines import EngineKind

ENGINE = EngineKind(
    name="codebook",
    summary="weights are indices into a book of values",
    source="QLoRA (NF4); DeepGEMM for the tables",
    cycles="ceil(K / lanes) cycles a tile, at least `rows`",
    when="For weights in a quantile format, which no multiplier takes as they are.",
    golden="sim.golden.mpgemm.codebook",
    options={"book": "nf4", "lanes": 4},
    fixed={},
    check=cells.check,
    max_product=cells.max_product,
    longest=cells.longest,
    resolved=cells.resolved,
    shape=cells.shape,
    weights=cells.weights,
    build=cells.build,
    cases=(
        {
            "act": "int2",
            "book": "codebook:-3,0,1,2",
            "lanes": 1,
            "rows": 1,
            "columns": 1,
            "max_k": 2,
        },
    ),
)
