# SPDX-License-Identifier: Apache-2.0
"""Ternary weights, several of them at once by table lookup.

**Order of beats.** For each tile of ``rows`` rows of A, for each tile of ``columns`` columns of W,
for each step of ``group * tables`` products: one beat of activations and one of weights.

**A beat of activations.** Row ``r``, table ``l``, activation ``i`` of its group is product
``l * group + i`` of the step and lies at code ``(r * tables + l) * group + i``.

**A beat of weights.** The key of column ``c``, table ``l`` lies at ``(c * tables + l) * kb``, with
``kb`` 4, 5, 7 or 8 bits for groups of 2, 3, 4 or 5. It is the two's complement number ``sum(w[i] *
3**i)`` of the group's weights -1, 0 and 1. A number that no weights have counts as zero, as do keys
of activations beyond K; keys of columns beyond N may be anything.

**Result.** ``sum(a * w)``, exact, in units of the activations.
"""

from typing import Any

from hw.mpgemm.decoded import Decoded
from hw.mpgemm.engines import EngineKind
from hw.mpgemm.epilogue import OPTIONS
from hw.mpgemm.params import MpGemmParams, check_zero, within
from hw.mpgemm.shape import Shape
from hw.mpgemm.ternary import TernaryLookup, TernaryRows

#: Activations of the tables of a group, by the option ``table_kind``.
_PARTS: dict[str, dict[int, tuple[int, ...]]] = {
    "half": {2: (2,), 3: (3,), 4: (4,), 5: (5,)},
    "split": {2: (1, 1), 3: (2, 1), 4: (2, 2), 5: (2, 2, 1)},
}


def _check(params: MpGemmParams) -> None:
    check_zero(params)
    within("group", params.option("group"), 2, 5)
    within("tables", params.option("tables"), 1, 64)
    within("pipeline", params.pipeline, 0, 1)
    kind = params.option("table_kind")
    if kind not in _PARTS:
        raise ValueError(f"table_kind must be half or split with engine lut-ternary, not {kind!r}")
    params.check_epilogue(params.option("group") * params.option("tables"))


def _lookup(params: MpGemmParams) -> TernaryLookup:
    group = params.option("group")
    return TernaryLookup(
        group=group,
        tables=params.option("tables"),
        act=params.activation,
        parts=_PARTS[params.option("table_kind")][group],
        pipeline=params.pipeline,
        carry_chains=params.target != "gates",
    )


def _frame(params: MpGemmParams) -> Shape:
    look = _lookup(params)
    frame = Shape(
        rows=params.rows,
        columns=params.columns,
        depth=look.group * look.tables,
        lane_bits=look.act.code_bits,
        zero=look.act.zero or 0,
        wgt_bits=params.columns * look.tables * look.key_bits,
        acc_bits=params.acc_width,
        max_k=params.max_k,
        nan=look.act.nan,
    )
    return params.epilogue.framed(frame)


def _weights(params: MpGemmParams) -> dict[str, Any]:
    look = _lookup(params)
    return {"format": f"int{look.key_bits}", "lanes": params.columns * look.tables}


def _core(params: MpGemmParams) -> Decoded:
    return Decoded(TernaryRows(_lookup(params), params.shape))


ENGINE = EngineKind(
    name="lut-ternary",
    summary="keys of `group` ternary weights look up sums made once for all columns",
    source="TeLLMe; ternary table generator of KU Leuven, ISPASS 2026",
    cycles="ceil(K / (group tables)) cycles a tile, at least `rows`",
    when="For ternary weights stored with 1.6 bits each, wide activations and many columns.",
    golden="sim.golden.mpgemm.lut_ternary",
    options={"group": 5, "tables": 1, "table_kind": "half", "window": None, **OPTIONS},
    check=_check,
    max_product=lambda params: params.activation.most,
    shape=_frame,
    weights=_weights,
    build=lambda params: params.engine_of(_core(params)),
    cases=(
        {"act": "int2", "group": 2, "rows": 2, "columns": 2, "max_k": 3},
        {"act": "uint2", "group": 3, "rows": 1, "columns": 1, "max_k": 4, "pipeline": 1,
         "table_kind": "split"},
    ),
)  # fmt: skip
