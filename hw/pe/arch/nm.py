# SPDX-License-Identifier: Apache-2.0
"""Weights of which N of every M are stored."""

from typing import Any

from hw.pe.arch import Arch
from hw.pe.datapath import check_stages, component
from hw.pe.nm import SparseDatapath, ratio
from hw.pe.params import PEParams


def _check(params: PEParams) -> None:
    n, _ = ratio(params.sparsity)
    if params.lanes % n:
        raise ValueError(
            f"lanes must be a multiple of {n} with sparsity {params.sparsity}, not {params.lanes}"
        )
    check_stages(params)


def _build(params: PEParams) -> Any:
    path = SparseDatapath(params)
    built: Any = component(path)
    n, m = path.n, path.m
    built.number_formats = {
        "i_a": {"format": params.act_format.name, "lanes": path.blocks * m},
        "i_w": {"format": params.weight_format.name, "lanes": params.lanes},
        "i_idx": {"format": f"uint{path.index_bits}", "lanes": params.lanes},
        "o_acc": {"format": f"int{params.acc_width}", "lam": params.lam},
    }
    built.contract = {
        "lam": params.lam,
        "acc_bits": params.acc_width,
        "max_k": params.max_k,
        "sparsity": [n, m],
        "dense_passes": path.passes,
    }
    return built


ARCH = Arch(
    name="nm",
    summary="N of every M weights are stored, each with an index that picks its activation",
    source="SAT (2024); the 2:4 layout of common GPUs",
    cycles="one beat a cycle: M activations of each block, N products; a dense block takes M/N",
    when="For weights pruned to N of every M: the same multipliers do M/N times the work.",
    check=_check,
    build=_build,
    flow=(("a", "idx", "w"), ("pick by index", "order of idx"), ("products",),
          ("Dadda tree or carry chains",), ("accumulator@",)),
    options=("sparsity",),
    typical={"sparsity": "2:4", "lanes": 4},
    cores=("stream",),
    golden="sim.golden.pe.nm",
    cases=({"sparsity": "2:4", "format": "int2", "act": "int2", "lanes": 2, "max_k": 4},
           {"sparsity": "3:4", "format": "int2", "act": "e2m1", "lanes": 3, "max_k": 6,
            "pipeline": 1}),
)  # fmt: skip
