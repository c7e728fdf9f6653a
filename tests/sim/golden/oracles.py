# SPDX-License-Identifier: Apache-2.0
"""Oracles that this project did not write, behind one call each."""

import warnings
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
from gfloat import Domain, FormatInfo, RoundMode
from numpy.typing import NDArray

from hw.spec.formats import FloatFormat, parse

__all__ = [
    "GFLOAT_MODES",
    "ML_DTYPES",
    "gfloat_info",
    "ml_dtypes_codes",
    "ml_dtypes_type",
    "posits",
]

ML_DTYPES = {
    "e2m1": "float4_e2m1fn",
    "e2m3": "float6_e2m3fn",
    "e3m2": "float6_e3m2fn",
    "e4m3": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "e4m3_ieee": "float8_e4m3",
    "e3m4_ieee": "float8_e3m4",
    "e4m3_fnuz": "float8_e4m3fnuz",
    "e5m2_fnuz": "float8_e5m2fnuz",
    "e4m3_b11fnuz": "float8_e4m3b11fnuz",
    "bf16": "bfloat16",
    "fp16": "float16",
}

GFLOAT_MODES = {
    "rne": RoundMode.TiesToEven,
    "rha": RoundMode.TiesToAway,
    "rtz": RoundMode.TowardZero,
}


def ml_dtypes_type(name: str) -> np.dtype[Any]:
    """The numpy type that ml_dtypes (or numpy, for float16) has for format ``name``."""
    return np.dtype(getattr(ml_dtypes, ML_DTYPES[name], ML_DTYPES[name]))


def ml_dtypes_codes(name: str, values: NDArray[np.float64]) -> NDArray[np.int64]:
    """``values`` cast by ml_dtypes: nearest even; overflow to infinity or NaN if it has them."""
    with np.errstate(over="ignore"):
        cast = values.astype(ml_dtypes_type(name))
    return cast.view(f"u{cast.itemsize}").astype(np.int64)


def gfloat_info(name: str) -> FormatInfo:
    """The gfloat description of minifloat ``name``, from its fields alone."""
    fmt = parse(name)
    assert isinstance(fmt, FloatFormat)
    rule = fmt.nonfinite_rule
    return FormatInfo(
        name,
        k=fmt.bits - fmt.pad,
        precision=fmt.man_bits + 1,
        bias=fmt.bias,
        is_signed=fmt.has_sign,
        domain=Domain.Extended if rule == "ieee" else Domain.Finite,
        has_nz=fmt.has_sign and rule != "fnuz",
        num_high_nans={"ieee": (1 << fmt.man_bits) - 1, "fn": 1}.get(rule, 0),
        has_subnormals=True,
        is_twos_complement=False,
    )


def posits() -> ModuleType:
    """The ``softposit`` module, whose SWIG types warn on import under some Python versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import softposit
    return softposit
