# SPDX-License-Identifier: Apache-2.0
"""Products by shifts and additions; the scale and the zero point of a group once at its end."""

from hw.mpgemm import cells
from hw.mpgemm.engines import EngineKind
from hw.mpgemm.epilogue import OPTIONS

ENGINE = EngineKind(
    name="shift-add",
    summary="products by shifts and additions; scale and zero point of a group once, at its end",
    source="MixPE (2024)",
    cycles="ceil(K / lanes) cycles a tile, at least `rows`",
    when="For weights of few bits with scales per group: nothing is dequantised within a group.",
    golden="sim.golden.mpgemm.shift_add",
    options={
        "format": "int4",
        "lanes": 4,
        "window": None,
        **OPTIONS,
    },
    fixed={"arch": "shift-add"},
    check=cells.check,
    max_product=cells.max_product,
    longest=cells.longest,
    resolved=cells.resolved,
    shape=cells.shape,
    weights=cells.weights,
    build=cells.build,
    cases=(
        {
            "format": "int2",
            "act": "int2",
            "lanes": 2,
            "rows": 1,
            "columns": 1,
            "max_k": 4,
            "group_size": 2,
        },
    ),
)
