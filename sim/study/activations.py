# SPDX-License-Identifier: Apache-2.0
"""Activations for a layer: what the model file itself can tell of them, else random numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.study.models import Tensor, read_rows

__all__ = ["Activations", "activations"]

_WORDS = r"(word_embeddings|embed_tokens|tok_embeddings|wte)\.weight$"
#: The constant in BERT's layer norm.
_EPSILON = 1e-12


@dataclass(frozen=True)
class Activations:
    """Vectors of shape (count, K), and in words what they are."""

    values: NDArray[np.float64]
    source: str


def activations(
    path: Path, known: Mapping[str, Tensor], width: int, count: int, rng: np.random.Generator
) -> Activations:
    """Return ``count`` vectors of ``width`` values.

    Where the file has a word embedding of that width, they are those of random tokens: of a
    BERT-like model the output of the whole embedding layer (word, position and type, normalised),
    which is what its first layer receives; else the plain rows. Without one, standard normal.
    """
    words = next(
        (
            t
            for t in known.values()
            if re.search(_WORDS, t.name) and t.shape[1:] == (width,) and t.shape[0] >= count
        ),
        None,
    )
    if words is None or words.dtype not in ("F64", "F32", "F16", "BF16"):
        return Activations(rng.standard_normal((count, width)), "random, standard normal")
    tokens = rng.choice(words.shape[0], count, replace=False)
    rows = read_rows(path, words, tokens)
    if not words.name.endswith("word_embeddings.weight"):
        return Activations(rows, f"rows of {words.name}")
    prefix = words.name.removesuffix("word_embeddings.weight")
    others = [
        known.get(prefix + name)
        for name in ("position_embeddings.weight", "token_type_embeddings.weight")
    ]
    norm = [known.get(prefix + name) for name in ("LayerNorm.weight", "LayerNorm.bias")]
    position, kind = others
    scale, shift = norm
    if position is None or kind is None or scale is None or shift is None:
        return Activations(rows, f"rows of {words.name}")
    places = np.arange(count) % position.shape[0]
    rows = rows + read_rows(path, position, places) + read_rows(path, kind, [0])
    centred = rows - rows.mean(axis=-1, keepdims=True)
    spread = np.sqrt(centred.var(axis=-1, keepdims=True) + _EPSILON)
    values = centred / spread * read_rows(path, scale) + read_rows(path, shift)
    return Activations(values, "output of the model's embedding layer for random tokens")
