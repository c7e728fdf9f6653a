# SPDX-License-Identifier: Apache-2.0
"""Latency of whole networks by the published model of the Adaptable Butterfly (MICRO 2022).

Rows go through the engines side by side, ``engines`` at a time. Loading, computing and unloading
overlap, of a Fourier transform computing and loading do not. The model leaves the unloading of a
layer's last pass to the next layer and divides by an efficiency that its authors chose.
"""

from dataclasses import dataclass

__all__ = ["MODELS", "Memory", "layer_cycles", "milliseconds", "power_of_two"]

_BITS = 16


@dataclass(frozen=True)
class Memory:
    """Bits per cycle of the memory's channels."""

    inputs: int = 2048
    weights: int = 256
    outputs: int = 2048


#: Model -> layers, hidden size, inner size of the feed-forward part.
MODELS = {"base": (12, 768, 3072), "large": (24, 1024, 4096)}


def power_of_two(size: int) -> int:
    """Return the least power of two that is not below ``size``."""
    return 1 << (size - 1).bit_length()


def _transfer(words: int, bits: int, bandwidth: int) -> int:
    return -(-words // (bandwidth // bits))


def _compute(size: int, butterflies: int) -> int:
    return size // (2 * butterflies) * (size.bit_length() - 1)


def _fourier(
    size: int, passes: int, engines: int, butterflies: int, memory: Memory, last: bool
) -> int:
    """One of the two dimensions: the first brings complex numbers out, the last takes them in."""
    complex_in, complex_out = (2, 1) if last else (1, 2)
    load = max(_transfer(size * engines, _BITS * complex_in, memory.inputs), size)
    weights = _transfer(size * (size.bit_length() - 1), 2 * _BITS, memory.weights)
    first = max(load, weights) + _compute(size, butterflies)
    second = max(_transfer(size * engines, _BITS * complex_out, memory.outputs), size)
    return first + max(0, passes - 2) * max(first, second)


def _linear(size: int, passes: int, engines: int, butterflies: int, memory: Memory) -> int:
    load = max(_transfer(size * engines, _BITS, memory.inputs), size)
    weights = _transfer(2 * size * (size.bit_length() - 1), _BITS, memory.weights)
    first, second = max(load, weights), _compute(size, butterflies)
    third = max(_transfer(size * engines, _BITS, memory.outputs), size)
    inner = max(0, passes - 3) * max(first, second, third)
    return first + second + inner + (max(second, third) if passes > 2 else 0)


def layer_cycles(
    model: str, length: int, engines: int, butterflies: int = 4, memory: Memory = Memory()
) -> int:
    """Return the cycles of a block of Fourier mixing and a feed-forward part of butterflies.

    Raises ``ValueError`` for an unknown model.
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, not {model!r}")
    hidden, inner = (power_of_two(size) for size in MODELS[model][1:])
    passes = -(-length // engines)
    common = engines, butterflies, memory
    mixing = sum(_fourier(hidden, passes, *common, last) for last in (False, True))
    wide = _linear(hidden, passes * (inner // hidden), *common)
    return mixing + wide + _linear(inner, passes, *common)


def milliseconds(
    model: str,
    length: int,
    engines: int,
    butterflies: int = 4,
    memory: Memory = Memory(),
    megahertz: float = 200,
    efficiency: float = 0.85,
) -> float:
    """Return the latency of all layers of a model."""
    cycles = MODELS[model][0] * layer_cycles(model, length, engines, butterflies, memory)
    return cycles / megahertz / 1000 / efficiency
