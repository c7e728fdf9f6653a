# SPDX-License-Identifier: Apache-2.0
"""Activations: from the model's own embedding where it has one of the right width."""

import numpy as np

from sim.study.activations import activations
from sim.study.models import tensors
from tests.sim.study.files import write

K = 24


def made(tmp_path, **arrays):
    path = write(
        tmp_path / "m.safetensors",
        {name.replace("__", "."): array.astype("<f4") for name, array in arrays.items()},
    )
    return path, tensors(path)


def given(path, known, width, count, seed=5):
    return activations(path, known, width, count, np.random.default_rng(seed))


def test_output_of_the_embedding_layer(tmp_path):
    rng = np.random.default_rng(1)
    word, position, kind = (rng.standard_normal((n, K)) for n in (50, 4, 2))
    scale, shift = rng.standard_normal(K), rng.standard_normal(K)
    path, known = made(
        tmp_path,
        bert__embeddings__word_embeddings__weight=word,
        bert__embeddings__position_embeddings__weight=position,
        bert__embeddings__token_type_embeddings__weight=kind,
        bert__embeddings__LayerNorm__weight=scale,
        bert__embeddings__LayerNorm__bias=shift,
    )
    got = given(path, known, K, 3)
    assert "embedding layer" in got.source
    word, position, kind, scale, shift = (
        x.astype("<f4").astype(float) for x in (word, position, kind, scale, shift)
    )
    for place, row in enumerate(got.values):
        candidates = []
        for token in word:
            x = token + position[place] + kind[0]
            candidates.append((x - x.mean()) / np.sqrt(x.var() + 1e-12) * scale + shift)
        assert min(np.abs(row - c).max() for c in candidates) < 1e-9
    np.testing.assert_array_equal(got.values, given(path, known, K, 3).values)
    assert not np.array_equal(got.values, given(path, known, K, 3, seed=6).values)


def test_plain_rows_where_the_rest_is_unknown(tmp_path):
    word = np.random.default_rng(2).standard_normal((50, K))
    path, known = made(tmp_path, model__embed_tokens__weight=word)
    got = given(path, known, K, 4)
    assert got.source == "rows of model.embed_tokens.weight"
    tokens = {row.tobytes() for row in word.astype("<f4").astype(float)}
    assert all(row.tobytes() in tokens for row in got.values)
    assert len({row.tobytes() for row in got.values}) == 4
    path, known = made(tmp_path, embeddings__word_embeddings__weight=word)
    assert given(path, known, K, 4).source == "rows of embeddings.word_embeddings.weight"


def test_random_where_nothing_fits(tmp_path):
    path, known = made(tmp_path, embed_tokens__weight=np.ones((3, K)))
    for width, count in ((K + 1, 2), (K, 4)):
        got = given(path, known, width, count)
        assert got.source == "random, standard normal" and got.values.shape == (count, width)
        np.testing.assert_array_equal(
            got.values, np.random.default_rng(5).standard_normal((count, width))
        )
