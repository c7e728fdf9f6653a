# SPDX-License-Identifier: Apache-2.0
"""Small floats and posits of run-time precision in words of 16 bits."""

from typing import TYPE_CHECKING

from hw.pe.arch import Arch
from hw.pe.simd import build

if TYPE_CHECKING:
    from hw.pe.params import PEParams


def check(params: "PEParams") -> None:
    """Hold the parameters to what the words leave open."""
    for name, default in (("format", None), ("bits", None), ("act", "int8"), ("window", None)):
        value = getattr(params, name)
        if value != default:
            raise ValueError(
                f"{name} must not be given with arch simd, but is {value!r}; the field fmt of a "
                "beat names the format"
            )
    if params.acc_bits is not None:
        raise ValueError(f"acc_bits must not be given with arch simd, not {params.acc_bits}")
    if params.pipeline:
        raise ValueError(f"pipeline must be 0 with arch simd, not {params.pipeline}")
    if params.target != "gates":
        raise ValueError(f"target must be gates with arch simd, not {params.target!r}")
    if params.max_k > MOST:
        raise ValueError(f"max_k must be at most {MOST} with arch simd, not {params.max_k}")


#: Products that never overflow a quire: that of posit16_1 is the narrowest.
MOST = 32767

ARCH = Arch(
    name="simd",
    summary="FP4, posit(4,1), posit(8,0) and posit(16,1) at run time, with exact quires",
    source="XR-NPE (2025); posit draft of 2018 for the quires; MacSorley (1961) for the digits",
    cycles="one beat a cycle",
    when="Where layers use posits of several widths and sums must not round.",
    check=check,
    build=build,
    flow=(("a", "w", "fmt"), ("decoders 16, 8, 4, 4", "decoders 16, 8, 4, 4"),
          ("7x7 blocks", "exponents"), ("right shift",), ("quire@",), ("round",)),
    cores=("stream", "accumulate"),
    golden="sim.golden.pe.simd",
    cases=({"max_k": 64},),
)  # fmt: skip
