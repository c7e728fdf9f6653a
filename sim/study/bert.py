# SPDX-License-Identifier: Apache-2.0
"""Queries, keys and values inside a BERT-like model, by a forward pass in float64."""

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.study.models import Tensor, read_rows, tensors

__all__ = ["Heads", "capture", "embed", "word_pieces"]

Reals = NDArray[np.float64]

_EPSILON = 1e-12  #: The constant in BERT's layer norm.
_erf = np.vectorize(math.erf, otypes=[np.float64])


class Heads(NamedTuple):
    """What the attention of a layer takes: each of shape (heads, tokens, channels)."""

    q: Reals
    k: Reals
    v: Reals


def word_pieces(vocabulary: Sequence[str], text: str) -> list[int]:
    """Return the tokens of a text, between the first and the last one of every input.

    Lower case without accents, punctuation apart, the longest known piece first. Raises
    ``ValueError`` for a vocabulary without the special tokens.
    """
    index = {word: k for k, word in enumerate(vocabulary)}
    missing = [name for name in ("[CLS]", "[SEP]", "[UNK]") if name not in index]
    if missing:
        raise ValueError(f"the vocabulary has no {missing[0]}")
    plain = unicodedata.normalize("NFD", text.lower())
    plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    found = [index["[CLS]"]]
    for word in re.findall(r"\w+|[^\w\s]", plain):
        pieces: list[int] = []
        begin = 0
        while begin < len(word):
            ends = range(len(word), begin, -1)
            prefix = "##" if begin else ""
            end = next((e for e in ends if prefix + word[begin:e] in index), 0)
            if not end:
                pieces = [index["[UNK]"]]
                break
            pieces.append(index[prefix + word[begin:end]])
            begin = end
        found += pieces
    return [*found, index["[SEP]"]]


def capture(path: Path, tokens: Sequence[int]) -> tuple[list[Heads], Reals]:
    """Return the heads of every layer, and the last layer's output (tokens, channels).

    The number of heads is that of ``config.json`` beside the file. Raises ``ValueError`` for a file
    that is not of BERT's kind, and for more tokens than it has positions.
    """
    weights = _Weights(path)
    places = weights.known["embeddings.position_embeddings.weight"].shape[0]
    if len(tokens) > places:
        raise ValueError(f"the model takes at most {places} tokens, not {len(tokens)}")
    x = weights.rows("embeddings.word_embeddings.weight", np.asarray(tokens))
    x = x + weights.rows("embeddings.position_embeddings.weight", np.arange(len(tokens)))
    x = weights.norm("embeddings", x + weights.rows("embeddings.token_type_embeddings.weight", [0]))
    found = []
    for layer in range(weights.layers):
        stem = f"encoder.layer.{layer}"
        heads = Heads(
            *(
                weights.linear(f"{stem}.attention.self.{name}", x)
                .reshape(len(tokens), weights.heads, -1)
                .transpose(1, 0, 2)
                for name in ("query", "key", "value")
            )
        )
        found.append(heads)
        mixed = attention(*heads).transpose(1, 0, 2).reshape(x.shape)
        attended = weights.linear(f"{stem}.attention.output.dense", mixed)
        x = weights.norm(f"{stem}.attention.output", x + attended)
        inner = weights.linear(f"{stem}.intermediate.dense", x)
        inner = inner / 2 * (1 + _erf(inner / math.sqrt(2)))
        x = weights.norm(f"{stem}.output", x + weights.linear(f"{stem}.output.dense", inner))
    return found, x


def attention(q: Reals, k: Reals, v: Reals) -> Reals:
    """Return softmax(q k / sqrt d) v over the last two axes."""
    x = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    found: Reals = e / e.sum(axis=-1, keepdims=True) @ v
    return found


def embed(path: Path, tokens: Sequence[int]) -> Reals:
    """Return the direction that stands for a text: the mean of the last layer, of length 1."""
    mean = capture(path, tokens)[1].mean(axis=0)
    found: Reals = mean / np.linalg.norm(mean)
    return found


class _Weights:
    """The tensors of a file."""

    def __init__(self, path: Path):
        self.path, self.known = path, tensors(path)
        names = [f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position")]
        if not set(names) <= set(self.known):
            raise ValueError(f"{str(path)!r} is no BERT: it has no {names[0]}")
        layers = {name.split(".")[2] for name in self.known if name.startswith("encoder.layer.")}
        self.layers = len(layers)
        try:
            config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
            self.heads = int(config["num_attention_heads"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(
                f"config.json with num_attention_heads is missing beside {str(path)!r}"
            ) from None

    def rows(self, name: str, rows: NDArray[np.int64] | Sequence[int] | None = None) -> Reals:
        return read_rows(self.path, self._tensor(name), rows)

    def linear(self, name: str, x: Reals) -> Reals:
        found: Reals = x @ self.rows(f"{name}.weight").T + self.rows(f"{name}.bias")
        return found

    def norm(self, name: str, x: Reals) -> Reals:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON)
        scaled = centred / spread * self.rows(f"{name}.LayerNorm.weight")
        found: Reals = scaled + self.rows(f"{name}.LayerNorm.bias")
        return found

    def _tensor(self, name: str) -> Tensor:
        if name not in self.known:
            raise ValueError(f"{str(self.path)!r} is no BERT: it has no {name}")
        return self.known[name]
