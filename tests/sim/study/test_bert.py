# SPDX-License-Identifier: Apache-2.0
"""The forward pass: number by number on a tiny model, and by what a real one has learnt."""

import json
import math

import numpy as np
import pytest

from sim.study.bert import attention, capture, embed, word_pieces
from sim.study.models import find_model
from tests.sim.study.files import write

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "cafe", ",", "a"]
D, HEADS, INNER, LAYERS = 6, 2, 8, 2


def test_pieces_of_words():
    found = word_pieces(WORDS, "Unaffable, CAFÉ\n unaffably a")
    assert [WORDS[k] for k in found] == [
        "[CLS]", "un", "##aff", "##able", ",", "cafe", "[UNK]", "a", "[SEP]"
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"the vocabulary has no \[UNK\]"):
        word_pieces(["[CLS]", "[SEP]"], "a")


@pytest.fixture
def tiny(tmp_path):
    rng = np.random.default_rng(1)
    shapes = {f"embeddings.{n}_embeddings.weight": (rows, D)
              for n, rows in (("word", 10), ("position", 5), ("token_type", 2))}  # fmt: skip
    norms = ["embeddings"]
    for layer in range(LAYERS):
        stem = f"encoder.layer.{layer}"
        norms += [f"{stem}.attention.output", f"{stem}.output"]
        linear = {f"attention.self.{n}": (D, D) for n in ("query", "key", "value")}
        linear |= {"attention.output.dense": (D, D)}
        linear |= {"intermediate.dense": (INNER, D), "output.dense": (D, INNER)}
        for name, shape in linear.items():
            shapes |= {f"{stem}.{name}.weight": shape, f"{stem}.{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.LayerNorm.{part}": (D,) for part in ("weight", "bias")}
    data = {name: rng.normal(0, 1, shape) for name, shape in shapes.items()}
    path = write(tmp_path / "model.safetensors", data)
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": HEADS}))
    return path, data


def normed(x, weight, bias):
    mean = sum(x) / len(x)
    spread = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-12)
    return [(v - mean) / spread * w + b for v, w, b in zip(x, weight, bias, strict=True)]


def layer_by_hand(data, stem, x):
    """Return queries, keys, values and the output of a layer, in loops."""

    def linear(name, row):
        weight, bias = data[f"{stem}.{name}.weight"], data[f"{stem}.{name}.bias"]
        return [sum(w * v for w, v in zip(ws, row, strict=True)) + b
                for ws, b in zip(weight, bias, strict=True)]  # fmt: skip

    def norm(name, row):
        return normed(row, *(data[f"{stem}.{name}.LayerNorm.{p}"] for p in ("weight", "bias")))

    q, k, v = ([linear(f"attention.self.{n}", row) for row in x] for n in ("query", "key", "value"))
    out, size = [], D // HEADS
    for t, row in enumerate(x):
        mixed = []
        for begin in range(0, D, size):
            part = range(begin, begin + size)
            e = [
                math.exp(sum(q[t][c] * k[s][c] for c in part) / math.sqrt(size))
                for s in range(len(x))
            ]
            mixed += [sum(w * v[s][c] for s, w in enumerate(e)) / sum(e) for c in part]
        attended = linear("attention.output.dense", mixed)
        mid = norm("attention.output", [a + b for a, b in zip(row, attended, strict=True)])
        inner = [
            h / 2 * (1 + math.erf(h / math.sqrt(2))) for h in linear("intermediate.dense", mid)
        ]
        last = linear("output.dense", inner)
        out.append(norm("output", [a + b for a, b in zip(mid, last, strict=True)]))
    return (q, k, v), out


def test_forward_pass_by_hand(tiny):
    path, data = tiny
    tokens = [2, 7, 9, 3]
    kinds = [data[f"embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type")]
    both = [data[f"embeddings.LayerNorm.{p}"] for p in ("weight", "bias")]
    x = [normed(kinds[0][t] + kinds[1][i] + kinds[2][0], *both) for i, t in enumerate(tokens)]
    layers, last = capture(path, tokens)
    assert len(layers) == LAYERS
    for number, heads in enumerate(layers):
        due, x = layer_by_hand(data, f"encoder.layer.{number}", x)
        for got, rows in zip(heads, due, strict=True):
            assert got.shape == (HEADS, 4, D // HEADS)
            np.testing.assert_allclose(got.transpose(1, 0, 2).reshape(4, D), rows, rtol=1e-9)
    np.testing.assert_allclose(last, x, rtol=1e-9)
    assert attention(*layers[0]).shape == (HEADS, 4, D // HEADS)


def test_what_is_refused(tiny, tmp_path):
    path, data = tiny
    with pytest.raises(ValueError, match="the model takes at most 5 tokens, not 6"):
        capture(path, [2] * 6)
    other = write(tmp_path / "other.safetensors", {"w": data["embeddings.LayerNorm.bias"]})
    with pytest.raises(
        ValueError, match=r"is no BERT: it has no embeddings.word_embeddings.weight"
    ):
        capture(other, [2])
    part = {name: a for name, a in data.items() if not name.endswith("query.bias")}
    with pytest.raises(ValueError, match=r"it has no encoder.layer.0.attention.self.query.bias"):
        capture(write(path, part), [2])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config.json with num_attention_heads is missing beside"):
        capture(path, [2])


@pytest.mark.deep
def test_real_model_knows_what_is_alike():
    """Sentences of one meaning point one way, of two they do not: so all layers are right."""
    path = find_model("minilm")
    words = (path.parent / "vocab.txt").read_text(encoding="utf-8").splitlines()
    text = [
        "A man is eating food.",
        "Someone eats a meal.",
        "The stock market fell today.",
        "Shares lost value on the exchange.",
    ]
    e = np.array([embed(path, word_pieces(words, sentence)) for sentence in text])
    alike = e @ e.T
    assert alike[0, 1] > 0.7 and alike[2, 3] > 0.45 and np.abs(alike[:2, 2:]).max() < 0.1
