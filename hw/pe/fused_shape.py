# SPDX-License-Identifier: Apache-2.0
"""Modes and widths of the fused processing elements."""

from amaranth.hdl import Shape, signed, unsigned

from hw.pe.params import PEParams

__all__ = ["FLOAT", "MODES", "WIDTH"]
__all__ += ["exact_bits", "field_bits", "mode_of", "port_bits", "results", "sum_bits"]

MODES = ("weights", "both", "separate", "float")

FLOAT = 4  #: The width that means fp16.

WIDTH = 3  #: Bits of the field ``width``.


def mode_of(params: PEParams) -> str:
    """Return the way of computing."""
    return params.mode or "weights"


def port_bits(params: PEParams) -> tuple[int, int]:
    """Return the bits of the activations and of the weights of one lane."""
    bits = params.weight_format.bits
    return (32, 8) if mode_of(params) == "weights" else (bits * bits // 2,) * 2


def _beats(params: PEParams) -> int:
    return 1 if params.core == "dot" else params.max_k


def field_bits(params: PEParams) -> int:
    """Return the bits of a sum of products of 2 bits, where sums are separate."""
    return 1 + (4 * _beats(params)).bit_length()


def sum_bits(params: PEParams) -> int:
    """Return the bits of all sums."""
    if mode_of(params) == "separate":
        return 16 * field_bits(params)
    return params.acc_bits or exact_bits(params)


def exact_bits(params: PEParams) -> int:
    """Return the bits of one sum of ``max_k`` beats of the widest products."""
    most = params.max_product * params.lanes * _beats(params)
    return 1 + most.bit_length()


def results(params: PEParams) -> dict[str, Shape]:
    """Return the fields of a result."""
    separate = mode_of(params) == "separate"
    acc = unsigned(sum_bits(params)) if separate else signed(sum_bits(params))
    return {"acc": acc} | ({"y": unsigned(32)} if mode_of(params) == "float" else {})
