# SPDX-License-Identifier: Apache-2.0
"""Weights and activations bit plane by bit plane: counts of common bits.

**Order of beats.** For each tile of ``rows`` rows of A, for each tile of ``columns`` columns of W,
for each step of ``lanes`` products: one beat of activations and ``ceil(B / planes)`` beats of
weights, lowest bits first. B is the descriptor's ``bits``, or the parameter ``bits`` where that is
0 or where all planes of the parameter come in one beat.

**A beat of activations.** Product ``l`` of the step and row ``r`` is code ``r * lanes + l``.

**A beat of weights.** Beat ``j`` has the planes ``t = j * planes + p``: bit ``t`` of the code of
column ``c``, product ``l`` is bit ``(c * planes + p) * lanes + l``. Planes from B up, in a last
beat with room for more, repeat the sign with ``twos`` and are 0 with ``offset``; with ``bipolar``
such a job has a mode that the engine lacks. Bits of products beyond K and of columns beyond N may
be anything.

**Result.** ``sum(a * w)``, exact. A code of B bits means with ``twos`` its value as two's
complement, with ``offset`` the unsigned code less ``zero_point``, where none is given less
``2**(bits - 1)`` of the parameter, with ``bipolar`` the sum of its digits
``2**t * (2 u[t] - 1)``.
"""

from typing import Any

from hw.mpgemm.decoded import Decoded
from hw.mpgemm.engines import EngineKind
from hw.mpgemm.epilogue import OPTIONS
from hw.mpgemm.params import MpGemmParams, within
from hw.mpgemm.plane_shape import PlaneShape
from hw.mpgemm.popcount import PlaneRows
from hw.mpgemm.shape import Shape
from hw.spec.formats import IntFormat


def _check(params: MpGemmParams) -> None:
    fmt, scheme = params.act_format, params.option("scheme")
    if scheme not in ("twos", "offset", "bipolar"):
        raise ValueError(f"scheme must be twos, offset or bipolar, not {scheme!r}")
    allowed = ("bipolar",) if scheme == "bipolar" else ("twos", "unsigned")
    if not isinstance(fmt, IntFormat) or fmt.encoding not in allowed or fmt.bits > 8:
        such = "bipolar1 to bipolar8" if scheme == "bipolar" else "int2 to int8 or uint1 to uint8"
        raise ValueError(f"act must be {such} with scheme {scheme}, not {fmt.name!r}")
    bits = params.option("bits")
    within("bits", bits, 1, 8)
    within("lanes", params.option("lanes"), 1, 256)
    within("pipeline", params.pipeline, 0, 2)
    if params.planes is not None:
        within("planes", params.planes, 1, bits)
        if scheme == "bipolar" and bits % params.planes:
            raise ValueError(
                f"planes must divide bits, {bits}, with scheme bipolar, not be {params.planes}"
            )
    if params.zero_point is not None:
        if scheme != "offset":
            raise ValueError(
                f"zero_point must not be given with scheme {scheme}, but is {params.zero_point}; "
                f"offset takes it"
            )
        within("zero_point", params.zero_point, 0, (1 << bits) - 1)
    if params.zero_points and scheme == "bipolar":
        raise ValueError("zero_points must not be given with scheme bipolar, but is True")
    params.check_epilogue(params.option("lanes"))


def _planes(params: MpGemmParams) -> PlaneShape:
    fmt = params.act_format
    assert isinstance(fmt, IntFormat)
    return PlaneShape(
        bits=params.option("bits"),
        lanes=params.option("lanes"),
        act=fmt,
        scheme=params.option("scheme"),
        zero_point=params.zero_point,
        carry_chains=params.target != "gates",
        planes=params.planes or 0,
        pipeline=params.pipeline,
    )


def _frame(params: MpGemmParams) -> Shape:
    planes = _planes(params)
    frame = Shape(
        rows=params.rows,
        columns=params.columns,
        depth=planes.lanes,
        lane_bits=planes.act.bits,
        zero=0,
        wgt_bits=params.columns * planes.per_beat * planes.lanes,
        acc_bits=params.acc_width,
        max_k=params.max_k,
        marked=planes.bipolar,
        planes=planes.bits if planes.beats > 1 else 1,
        planes_per_beat=planes.per_beat if planes.beats > 1 else 1,
        planes_whole=planes.bipolar,
    )
    return params.epilogue.framed(frame)


def _weights(params: MpGemmParams) -> dict[str, Any]:
    return {"format": "uint1", "lanes": _frame(params).wgt_bits}


ENGINE = EngineKind(
    name="bit-plane",
    summary="ones that bit planes of weights and of activations have in common are counted",
    source="ABQ-LLM; FlexQ; arbitrary-precision tensor cores",
    cycles="ceil(K / lanes) ceil(bits / planes) cycles a tile, at least `rows`",
    when="For operands of 1 to 3 bits, above all of -1 and +1, and long steps.",
    golden="sim.golden.mpgemm.bit_plane",
    options={
        "bits": 2,
        "lanes": 16,
        "scheme": "twos",
        "zero_point": None,
        "planes": None,
        **OPTIONS,
    },
    check=_check,
    max_product=lambda params: _planes(params).most,
    shape=_frame,
    weights=_weights,
    resolved=lambda params: {"planes": _planes(params).per_beat},
    build=lambda params: params.engine_of(Decoded(PlaneRows(_planes(params), params.shape))),
    cases=(
        {"act": "uint1", "bits": 2, "lanes": 2, "rows": 1, "columns": 2, "max_k": 3},
        {"act": "bipolar1", "bits": 1, "lanes": 2, "rows": 2, "columns": 1, "max_k": 3,
         "scheme": "bipolar"},
    ),
)  # fmt: skip
