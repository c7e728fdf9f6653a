# SPDX-License-Identifier: Apache-2.0
"""An integer adder as an approximate multiplier of minifloats."""

from typing import Any

from hw.pe.arch import Arch
from hw.pe.datapath import check_stages, component
from hw.pe.lmul import AddingDatapath
from hw.pe.params import PEParams
from hw.spec.formats import FloatFormat


def _check(params: PEParams) -> None:
    fmt = params.weight_format
    plain = isinstance(fmt, FloatFormat) and fmt.has_sign and fmt.special is None
    if not plain or not isinstance(fmt, FloatFormat) or fmt.exp_bits < 2:
        raise ValueError(
            "format must be a signed minifloat of at least 2 exponent bits with arch lmul, such "
            f"as e4m3, not {fmt.name!r}"
        )
    if params.act_format != fmt:
        raise ValueError(f"act must be as format with arch lmul, {fmt.name!r}, not {params.act!r}")
    if params.act_window:
        raise ValueError(f"window must not be given with arch lmul, not {params.window!r}")
    check_stages(params)


def _build(params: PEParams) -> Any:
    built: Any = component(AddingDatapath(params))
    fmt, stream = params.weight_format, params.core == "stream"
    width = params.dot_width if params.core == "dot" else params.acc_width
    output = {"stream": "o_acc", "accumulate": "acc", "dot": "p"}[params.core]
    built.number_formats = {
        **{f"{'i_' if stream else ''}{n}": {"format": fmt.name, "lanes": params.lanes}
           for n in ("a", "w")},
        output: {"format": f"int{width}", "lam": fmt.lam},
    }  # fmt: skip
    built.contract = {"lam": fmt.lam, "acc_bits": width, "max_k": params.max_k}
    built.notes = (
        *params.notes,
        "products are approximate: the exponent and mantissa fields of both codes are added",
    )
    return built


ARCH = Arch(
    name="lmul",
    summary="minifloat products by one integer addition of the codes, approximate; their sum exact",
    source="L-Mul (2024)",
    cycles="one beat a cycle",
    when="For minifloats of 8 to 16 bits, where errors of up to an eighth of a product are small "
    "beside what the network forgives.",
    check=_check,
    build=_build,
    flow=(("a", "w"), ("adder of the codes",), ("align",), ("Dadda tree or carry chains",),
          ("accumulator@",)),
    golden="sim.golden.pe.lmul",
    max_product=lambda params: params.weight_format.max_int,
    wide_floats=True,
    cases=({"format": "e2m1", "act": "e2m1", "lanes": 2, "max_k": 4},
           {"format": "e3m2", "act": "e3m2", "pipeline": 1, "max_k": 2}),
)  # fmt: skip
