# SPDX-License-Identifier: Apache-2.0
"""Weights bit plane by bit plane, each bit of several weights at once by table lookup.

**Order of beats.** For each tile of ``rows`` rows of A, for each tile of ``columns`` columns of W,
for each step of ``group * tables`` products: one beat of activations and ``ceil(B / planes)`` beats
of weights, lowest bits first. B is the descriptor's ``bits``, or the parameter ``bits`` where that
is 0 or where all planes of the parameter come in one beat.

**A beat of activations.** Row ``r``, table ``l``, activation ``i`` of its group is product
``l * group + i`` of the step and lies at code ``(r * tables + l) * group + i``. With
``table_source`` ``port`` the beat holds the tables instead: entry ``p`` of table ``l`` of row ``r``
is number ``(r * tables + l) * port_entries + p``, of ``port_entry_bits``, see
:class:`~hw.mpgemm.tables.TableShape`; activations beyond K must have counted as zeros.

With ``table_bits`` the tables are rounded ones, as of T-MAC: entries of that many bits, signed, of
any value. ``S`` is then the sum of the last entries of all tables of all steps, those beyond K
too, entry 0 of a full table is 0, and ``aggregate`` ``average`` takes for the sum of the lookups of
a step and plane ``tables`` times their average, made in pairs of neighbours, then of these, each as
``(x + y + 1) >> 1``.

**A beat of weights.** Beat ``j`` has the planes ``t = j * planes + p``. The key of column ``c``,
plane ``p``, table ``l`` are the ``group`` bits at ``((c * planes + p) * tables + l) * group``. With
``B' = planes * ceil(B / planes)``, which is B in most cases, and ``w`` the weight's value,
activation ``i``'s weight has in plane ``t`` bit ``t`` of

* ``w + zero_point`` where a ``zero_point`` is given,
* else ``w + 2**(B' - 1)`` for half tables and ``w mod 2**B'`` for full ones.

These bits ``u[i]`` make the key: for full tables ``u[i]`` is bit ``i``. For half tables bit
``group - 1`` is ``s = u[group - 1]``, and bit ``i`` below it ``u[i]`` where ``s`` is 1, else
``~u[i]``. Keys of activations beyond K and of columns beyond N may be anything.

**Result.** ``sum(a * w)``, exact, in units of the activations. A weight's code of B bits means with
``twos`` its value as two's complement, with ``offset`` the unsigned code less ``zero_point``, where
none is given less ``2**(B - 1)``. Of rounded half tables it is twice that, ``sum(2**t * lookups of
plane t) + (2**B' - 1 - 2 * zero_point) * S``, with ``2**(B' - 1)`` where no zero point is given; of
full ones ``- zero_point * S`` where one is.
"""

import dataclasses
from typing import Any

from hw.mpgemm.engines import EngineKind
from hw.mpgemm.epilogue import OPTIONS
from hw.mpgemm.lookup import Lookup
from hw.mpgemm.lookup_shape import LookupShape
from hw.mpgemm.params import MpGemmParams, check_zero, within
from hw.mpgemm.shape import Shape


def _check(params: MpGemmParams) -> None:
    check_zero(params)
    within("bits", params.option("bits"), 1, 8)
    within("group", params.option("group"), 2, 8)
    within("tables", params.option("tables"), 1, 64)
    within("planes", params.option("planes"), 1, params.option("bits"))
    within("pipeline", params.pipeline, 0, 2)
    for name, allowed in (
        ("scheme", ("twos", "offset")),
        ("table_kind", ("half", "full")),
        ("table_source", ("builder", "port")),
    ):
        if params.option(name) not in allowed:
            text = " or ".join(allowed)
            raise ValueError(f"{name} must be {text}, not {params.option(name)!r}")
    if params.option("table_source") == "port" and params.activation.nan:
        raise ValueError(
            f"act must be a format of finite codes with table_source port, such as int8 or e2m1, "
            f"without a window, not {params.act!r}"
        )
    _check_rounded(params)
    if params.zero_point is not None:
        if params.option("scheme") != "offset":
            raise ValueError(
                f"zero_point must not be given with scheme {params.option('scheme')}, but is "
                f"{params.zero_point}; offset takes it"
            )
        within("zero_point", params.zero_point, 0, (1 << params.option("bits")) - 1)
    if params.zero_points and params.option("table_source") == "port":
        raise ValueError(
            "zero_points must not be given with table_source port, whose beats have no "
            "activations to add up, but is True"
        )
    params.check_epilogue(_shape(params).depth)


def _check_rounded(params: MpGemmParams) -> None:
    """Hold tables that are rounded, and how their lookups are added, to each other."""
    bits, tables = params.table_bits, params.option("tables")
    if params.option("aggregate") not in ("sum", "average"):
        raise ValueError(f"aggregate must be sum or average, not {params.aggregate!r}")
    if bits is not None:
        if params.option("table_source") != "port":
            raise ValueError(
                f"table_bits must not be given with table_source builder, but is {bits!r}; "
                "port takes it"
            )
        exact = dataclasses.replace(_shape(params).table, rounded_bits=None)
        within("table_bits", bits, 2, exact.port_entry_bits)
    if params.option("aggregate") == "average":
        if bits is None:
            raise ValueError("table_bits must be given with aggregate average, such as 8")
        if tables < 2 or tables & tables - 1:
            raise ValueError(
                f"tables must be a power of two from 2 to 64 with aggregate average, not {tables}"
            )


def _max_product(params: MpGemmParams) -> int:
    """Return the largest magnitude of a product, of rounded tables of what one adds to a result."""
    shape = _shape(params)
    if shape.rounded_bits is None:
        most: int = params.activation.most * shape.max_weight
        return most
    if shape.half:
        return shape.max_weight << shape.rounded_bits
    return (1 << shape.bits) - 1 + (shape.zero_point or 0) << shape.rounded_bits - 1


def _longest(params: MpGemmParams) -> int:
    """Return how many of these make the longest sum."""
    longest = min(params.max_k, params.group_size or params.max_k)
    shape = _shape(params)
    return longest if shape.rounded_bits is None else -(-longest // shape.depth) * shape.tables


def _shape(params: MpGemmParams) -> LookupShape:
    return LookupShape(
        bits=params.option("bits"),
        planes=params.option("planes"),
        group=params.option("group"),
        tables=params.option("tables"),
        rows=params.rows,
        columns=params.columns,
        act=params.activation,
        half=params.option("table_kind") == "half",
        zero_point=params.zero_point,
        outside=params.option("table_source") == "port",
        pipeline=params.pipeline,
        carry_chains=params.target != "gates",
        rounded_bits=params.table_bits,
        average=params.option("aggregate") == "average",
    )


def _frame(params: MpGemmParams) -> Shape:
    shape = _shape(params)
    frame = Shape(
        rows=params.rows,
        columns=params.columns,
        depth=shape.depth,
        lane_bits=shape.row_bits if shape.outside else shape.act.code_bits,
        zero=shape.act.zero or 0,
        act_lanes=shape.rows if shape.outside else 0,
        act_masked=shape.outside,
        wgt_bits=shape.wgt_bits,
        acc_bits=params.acc_width,
        max_k=params.max_k,
        planes=shape.bits,
        planes_per_beat=shape.planes,
        nan=shape.act.nan,
    )
    return params.epilogue.framed(frame)


def _weights(params: MpGemmParams) -> dict[str, Any]:
    shape = _shape(params)
    return {"format": f"uint{shape.group}", "lanes": shape.wgt_bits // shape.group}


ENGINE = EngineKind(
    name="lut",
    summary="bit planes of weights look up sums of `group` activations, made once for all columns",
    source="LUT Tensor Core, ISCA 2025; T-MAC",
    cycles="ceil(K / (group tables)) ceil(bits / planes) cycles a tile, at least `rows`",
    when="For weights of 1 or 2 bits, or whose bits change from job to job, with many columns.",
    golden="sim.golden.mpgemm.lut",
    options={
        "bits": 4,
        "scheme": "twos",
        "zero_point": None,
        "group": 4,
        "tables": 1,
        "planes": 1,
        "table_kind": "half",
        "table_source": "builder",
        "table_bits": None,
        "aggregate": "sum",
        "window": None,
        **OPTIONS,
    },
    check=_check,
    max_product=_max_product,
    longest=_longest,
    shape=_frame,
    weights=_weights,
    build=lambda params: params.engine_of(Lookup(_shape(params), params.shape)),
    cases=(
        {"act": "int2", "bits": 2, "group": 2, "rows": 2, "columns": 2, "max_k": 3},
        {"act": "uint2", "bits": 2, "group": 2, "rows": 1, "columns": 1, "max_k": 3, "planes": 2,
         "scheme": "offset", "zero_point": 1, "table_kind": "full", "pipeline": 1},
    ),
)  # fmt: skip
