# SPDX-License-Identifier: Apache-2.0
"""A linear layer through a co-processor: quantised, multiplied, compared, counted.

Weights have a scale for each group of products and channel, which the engine multiplies in, in its
own format; activations have one for each token, which the host multiplies in, as it does a power of
two that brings the weights' scales near 1.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpga.driver.accelerator import Accelerator
from fpga.driver.golden import GoldenTransport
from fpga.driver.operands import Quantized
from hw.spec.coprocessor import DESCRIPTOR_WORDS, Descriptor
from hw.spec.formats import Format, parse
from sim.coprocessor import SimTransport
from sim.golden.coprocessor.roofline import Roofline, roofline
from sim.golden.encode import encode
from sim.golden.formats import decode_float
from sim.study.activations import activations
from sim.study.models import Tensor, default_tensor, pick, read_rows, tensors
from sim.study.quantize import check_format, quantize

__all__ = ["MOST_PRODUCTS", "Outcome", "Task", "load", "run"]

Reals = NDArray[np.float64]

MOST_PRODUCTS = 200_000_000  #: More would take a simulator longer than anyone waits.


@dataclass(frozen=True)
class Task:
    """Tokens and a layer: real numbers, and what is multiplied in their place."""

    tensor: Tensor
    chosen: bool  #: Whether nobody named the tensor.
    outputs: int  #: Channels that the whole layer has.
    source: str  #: What the activations are.
    acts: Reals  #: (M, K)
    weights: Reals  #: (K, N)
    a: Quantized  #: Codes (M, K).
    w: Quantized  #: Codes (K, N), values of scales (groups, N).
    factors: Reals  #: (M, 1), which the host multiplies C with.

    @property
    def exact(self) -> Reals:
        """Results (M, N) without quantisation."""
        return np.asarray(self.acts @ self.weights)


@dataclass(frozen=True)
class Outcome:
    """What a simulated co-processor made of a task."""

    c: NDArray[Any]
    exact: int  #: Elements of C that are bit for bit those of the golden model.
    counters: Mapping[str, int]
    model: Roofline
    cycles: int  #: Simulated, the host's accesses included.
    seconds: float
    values: Reals  #: What the host makes of C.

    @property
    def passed(self) -> bool:
        return self.exact == self.c.size


def load(
    path: Path,
    name: str | None,
    formats: tuple[str, str, str],
    group: int,
    rows: int,
    *,
    channels: int | None = None,
    seed: int = 1,
    transpose: bool = False,
) -> Task:
    """Return ``rows`` tokens and the matrix ``name``, or evenly spread ``channels`` of it.

    ``formats`` are those of weights, activations and scales. Matrices are (outputs, inputs), or
    with ``transpose`` (inputs, outputs). Raises ``ValueError`` for whatever the file or the formats
    do not allow.
    """
    weight, act, scale = (parse(text) for text in formats)
    check_format(weight, "weights")
    check_format(act, "act")
    known = tensors(path)
    tensor = pick(known, default_tensor(known).name if name is None else name)
    outputs, width = tensor.shape[::-1] if transpose else tensor.shape
    if group > width:
        raise ValueError(f"group must be at most {width}, the inputs of {tensor.name}, not {group}")
    count = outputs if channels is None else min(channels, outputs)
    if rows * count * width > MOST_PRODUCTS:
        raise ValueError(
            f"{rows} rows x {count} channels x {width} inputs are {rows * count * width} products; "
            f"at most {MOST_PRODUCTS} are simulated: lower --rows or --channels"
        )
    chosen = np.linspace(0, outputs - 1, count).astype(np.int64)
    real = read_rows(path, tensor, chosen, axis=int(transpose))
    given = activations(path, known, width, rows, np.random.default_rng(seed))
    for values, what in ((real, f"tensor {tensor.name!r}"), (given.values, given.source)):
        if not np.isfinite(values).all():
            raise ValueError(f"{what} holds a NaN or an infinity and cannot be quantised")
    # One scale for each token: all of its values are one group.
    a = quantize(act, given.values, width)
    w, power = _weights(weight, scale, real, group)
    factors = np.ldexp(a.scales, power)
    return Task(
        tensor, name is None, outputs, given.source, given.values, real.T,
        Quantized(a.codes, format=act.name), w, factors,
    )  # fmt: skip


def _weights(weight: Format, scale: Format, real: Reals, group: int) -> tuple[Quantized, int]:
    """Return W with scales that ``scale`` has exactly, and the power of two they lack."""
    found = quantize(weight, real, group)
    power = int(np.floor(np.log2(np.median(found.scales))))
    # A group of zeros has 1, which may be far from the others and does not matter.
    near = np.minimum(np.ldexp(found.scales, -power), 2.0**15)
    scales = decode_float(scale, encode(scale, near))
    return Quantized(found.codes.T, scales.T, format=weight.name), power


def run(task: Task, board: SimTransport, manifest: Mapping[str, Any]) -> Outcome:
    """Multiply on a simulated co-processor and on its golden model; ``board`` is closed then."""
    golden = GoldenTransport(manifest, base=board.base, size=len(board.memory))
    with Accelerator(golden, manifest) as device:
        due = device.gemm(task.a, task.w)
    with Accelerator(board, manifest, timeout=24 * 3600) as device:
        device.clear_counters()
        before, start = board.statistics()["cycles"], time.perf_counter()
        c = device.gemm(task.a, task.w)
        seconds = time.perf_counter() - start
        cycles = board.statistics()["cycles"] - before
        counters = device.counters()
        words = board.read(device.device.registers["DIRECT0"].offset, DESCRIPTOR_WORDS)
        job = Descriptor.unpack(words)
        lam = device.lam
    same = np.ascontiguousarray(c).view(np.uint8) == np.ascontiguousarray(due).view(np.uint8)
    return Outcome(
        c=c,
        exact=int(same.reshape(*c.shape, -1).all(axis=-1).sum()),
        counters=counters,
        model=roofline(job, manifest, latency=board.model.read_latency),
        cycles=cycles,
        seconds=seconds,
        values=np.ldexp(c.astype(np.float64), lam) * task.factors,
    )
