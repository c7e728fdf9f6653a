# SPDX-License-Identifier: Apache-2.0
"""Engines whose products are those of processing elements: a cube of them in the same frame."""

from typing import Any

from hw.mpgemm import array
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.finish import OPTIONS as FINISH_OPTIONS
from hw.mpgemm.params import MpGemmParams
from hw.mpgemm.shape import Shape

__all__ = ["build", "check", "cube", "longest", "max_product", "resolved", "shape", "weights"]

#: Parameters that have the same name in both units.
_SAME = ("act", "rows", "columns", "max_k", "acc_bits", "pipeline", "target")

#: Options of engines, and what an array calls them.
_OPTIONS = {
    "format": "format",
    "book": "format",
    "lanes": "lanes",
    "window": "window",
    "group_size": "group",
    "scale": "scale",
    "act_scale": "act_scale",
    "zero_points": "zero_point",
    "sum": "sum",
    **{name: name for name in FINISH_OPTIONS},
}


#: What engines call the parameters of groups of an array.
_OURS = {"group": "group_size", "zero_point": "zero_points"}


def cube(params: MpGemmParams, **fixed: Any) -> ArrayParams:
    """Return the parameters of the cube that does the work, ``fixed`` among them."""
    chosen: dict[str, Any] = {name: getattr(params, name) for name in _SAME}
    for name, theirs in _OPTIONS.items():
        if name in params.kind.options:
            chosen[theirs] = params.option(name)
    return ArrayParams(dataflow="cube", **{**chosen, **fixed, **params.kind.fixed})


def check(params: MpGemmParams) -> None:
    """Raise ``ValueError`` for what the cube does not take, in the engine's own words."""
    try:
        cube(params)
    except ValueError as error:
        text = str(error).replace("without group,", "without group_size,")
        for name in ("group", "zero_point"):
            if text.startswith(f"{name} "):
                text = f"{_OURS[name]}{text.removeprefix(name)}"
        if "book" in params.kind.options and text.startswith("format "):
            text = f"book{text.removeprefix('format')}"
        raise ValueError(text) from None


def max_product(params: MpGemmParams) -> int:
    """Return the largest magnitude of a product."""
    return cube(params).cell.max_product


def longest(params: MpGemmParams) -> int:
    """Return the products of the longest sum."""
    return cube(params, acc_bits=None).cell.max_k


def shape(params: MpGemmParams) -> Shape:
    """Return the sizes that the frame must know."""
    return cube(params).shape


def weights(params: MpGemmParams) -> dict[str, Any]:
    """Return what the manifest says of the weights of a beat."""
    return {"format": cube(params).cell.weight_format.name, "lanes": params.columns * lanes(params)}


def lanes(params: MpGemmParams) -> int:
    """Return the products of a cell and step."""
    found: int = params.option("lanes")
    return found


def resolved(params: MpGemmParams) -> dict[str, Any]:
    """Return what the manifest states of groups and formats."""
    array = cube(params)
    names = {**array.epilogue.resolved, "format": array.cell.weight_format.name}
    return {name: value for name, value in names.items() if name in params.kind.options}


def build(params: MpGemmParams) -> Any:
    """Return the cube in its frame, with what its manifest says."""
    return array.build(cube(params))
