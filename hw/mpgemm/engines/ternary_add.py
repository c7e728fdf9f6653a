# SPDX-License-Identifier: Apache-2.0
"""Weights of -1, 0 and 1: each activation is added, taken off or skipped."""

from hw.mpgemm import cells
from hw.mpgemm.engines import EngineKind
from hw.mpgemm.epilogue import OPTIONS

ENGINE = EngineKind(
    name="ternary-add",
    summary="each activation is added, taken off or skipped",
    source="BitNet b1.58; MatMul-free core",
    cycles="ceil(K / lanes) cycles a tile, at least `rows`",
    when="For ternary weights on few columns, where tables do not pay.",
    golden="sim.golden.mpgemm.ternary_add",
    options={"lanes": 4, "window": None, **OPTIONS},
    fixed={"arch": "shift-add", "format": "sm2"},
    check=cells.check,
    max_product=cells.max_product,
    longest=cells.longest,
    resolved=cells.resolved,
    shape=cells.shape,
    weights=cells.weights,
    build=cells.build,
    cases=({"act": "int2", "lanes": 2, "rows": 1, "columns": 2, "max_k": 3},),
)
