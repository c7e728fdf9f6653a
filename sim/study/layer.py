# SPDX-License-Identifier: Apache-2.0
"""A linear layer of a model file, quantised, with activations for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import Format
from sim.study.activations import activations
from sim.study.models import Tensor, default_tensor, pick, read_rows, tensors
from sim.study.quantize import Quantized, check_format, default_rules, quantize

__all__ = ["MOST_PRODUCTS", "Layer", "load"]

Reals = NDArray[np.float64]

MOST_PRODUCTS = 4_000_000  #: More would take a simulator longer than anyone waits.


@dataclass(frozen=True)
class Layer:
    """Some output channels of a layer and some activation vectors, as they are and quantised."""

    tensor: Tensor
    chosen: bool  #: Whether nobody named the tensor.
    outputs: int  #: Channels that the whole layer has.
    source: str  #: What the activations are.
    rules: tuple[str, ...]  #: Scale rules of the weights that were tried.
    real_weights: Reals  #: (channels, K)
    real_acts: Reals  #: (vectors, K)
    weights: Quantized
    acts: Quantized

    @property
    def exact(self) -> Reals:
        """Results (vectors, channels) without quantisation."""
        return np.asarray(self.real_acts @ self.real_weights.T)


def load(
    path: Path,
    name: str | None,
    weight: Format,
    act: Format,
    *,
    group: int,
    rows: int,
    batch: int,
    seed: int,
    rules: Sequence[str] = (),
    transpose: bool = False,
) -> Layer:
    """Return ``rows`` evenly spread channels of the matrix ``name``, and ``batch`` activations.

    Matrices are (outputs, inputs), or with ``transpose`` (inputs, outputs); groups run along the
    inputs. There are fewer channels where the layer has fewer. Raises ``ValueError`` for whatever
    the file or the formats do not allow.
    """
    check_format(weight, "weights")
    check_format(act, "act")
    known = tensors(path)
    tensor = pick(known, default_tensor(known).name if name is None else name)
    outputs, width = tensor.shape[::-1] if transpose else tensor.shape
    if group > width:
        raise ValueError(f"group must be at most {width}, the inputs of {tensor.name}, not {group}")
    rows = min(rows, outputs)
    if batch * rows * width > MOST_PRODUCTS:
        raise ValueError(
            f"{batch} vectors x {rows} channels x {width} inputs are {batch * rows * width} "
            f"products; at most {MOST_PRODUCTS} are simulated: lower --batch or --rows"
        )
    channels = np.linspace(0, outputs - 1, rows).astype(np.int64)
    real = read_rows(path, tensor, channels, axis=int(transpose))
    given = activations(path, known, width, batch, np.random.default_rng(seed))
    for values, what in ((real, f"tensor {tensor.name!r}"), (given.values, given.source)):
        if not np.isfinite(values).all():
            raise ValueError(f"{what} holds a NaN or an infinity and cannot be quantised")
    tried = tuple(rules) or default_rules(weight)
    return Layer(
        tensor=tensor,
        chosen=name is None,
        outputs=outputs,
        source=given.source,
        rules=tried,
        real_weights=real,
        real_acts=given.values,
        weights=quantize(weight, real, group, tried),
        acts=quantize(act, given.values, group),
    )
