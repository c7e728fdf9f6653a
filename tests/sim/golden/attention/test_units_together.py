# SPDX-License-Identifier: Apache-2.0
"""A whole attention layer by its units: descriptors to tiles, tiles to rows, rows to one."""

import numpy as np
import pytest

from sim.golden.attention import attention, attention_tiles, merge
from sim.golden.attention.rows import scale_of

TOKENS, D, TILE, PAGE = 50, 16, 4, 8
HEADS, GROUPS = 4, 2  #: Heads of queries, and of keys and values, which two of them share.
TILES = -(-TOKENS // TILE)
PADDED = TILES * TILE

RNG = np.random.default_rng(1)
Q = RNG.integers(-127, 128, (HEADS, TOKENS, D))
K, V = RNG.integers(-127, 128, (2, GROUPS, PADDED, D))
STEP = 2.0**-11 / np.sqrt(D)  #: Natural worth of a step of the scores.
M, SH = scale_of(STEP * np.log2(np.e))
WHOLE = {"kind": "fa-int", "head_dim": D, "value_dim": D, "tile": TILE, "qk_bits": 8}
WHOLE |= {"exp_bits": 16, "max_len": TOKENS}


def walked(jobs):
    """Return the tiles that descriptors ask for."""
    columns = {name: np.array([job[name] for job in jobs], dtype=object) for name in jobs[0]}
    p = {"tile": TILE, "max_len": TOKENS, "page": PAGE, "head_bits": 4}
    return attention_tiles.run(p, columns)


def beats(tiles, queries):
    """Return the beats of the core: what the memory holds where a tile says."""
    row = np.cumsum(tiles["last"]) - tiles["last"]
    some = np.arange(TILE) + TILE * tiles["tile"][:, np.newaxis]
    count = len(row)
    found = {"q": queries[row], "keep": tiles["keep"], "last": tiles["last"]}
    for name, memory in (("k", K), ("v", V)):
        found[name] = memory[tiles["head"][:, np.newaxis], some].reshape(count, -1)
    for name, value in (("m", M), ("sh", SH), ("mo", 1 << 14), ("so", 14)):
        found[name] = np.full(count, value)
    return found


def float_row(head, query, seen):
    x = K[head, seen] @ query * STEP
    e = np.exp(x - x.max())
    return e / e.sum() @ V[head, seen]


#: Descriptor fields of each mask, and which keys they leave.
MASKS = {
    "causal": ({"causal": 1}, lambda t, j: j <= t),
    "sink and window": (
        {"causal": 1, "window": 8, "sink": 4},
        lambda t, j: (j <= t) & ((j < 4) | (j > t - 8)),
    ),
    "pages": (
        {"causal": 1, "bitmap": 0b0101101},
        lambda t, j: (j <= t) & (0b0101101 >> j // PAGE & 1 == 1),
    ),
    "none": ({}, lambda t, j: j >= 0),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", ["fa-int", "fa-int-p2"])
def test_grouped_queries_under_every_mask(mask, kind):
    fields, rule = MASKS[mask]
    usual = {"causal": 0, "window": 0, "sink": 0, "bitmap": (1 << 7) - 1, "length": TOKENS}
    jobs = [
        {**usual, **fields, "head": head * GROUPS // HEADS, "query": t}
        for head in range(HEADS) for t in range(TOKENS)
    ]  # fmt: skip
    tiles = walked(jobs)
    found = attention.run({**WHOLE, "kind": kind, "result": "row"}, beats(tiles, Q.reshape(-1, D)))
    assert len(found["o"]) == len(jobs) and not found["err"].any()
    j = np.arange(TOKENS)
    for number, job in enumerate(jobs):
        seen = j[rule(job["query"], j)]
        due = float_row(job["head"], Q.reshape(-1, D)[number], seen)
        assert np.abs(found["o"][number] - due).max() < 0.52
    visited = sum(len({int(k) // TILE for k in j[rule(t, j)]}) for t in range(TOKENS))
    assert len(tiles["tile"]) == HEADS * visited, "tiles that nobody sees take no beat"


@pytest.mark.parametrize("kind", ["fa-int", "fa-int-p2"])
@pytest.mark.parametrize("form", ["partial", "lse"])
def test_a_prefix_that_queries_share(kind, form):
    """The prefix by itself and the rest by itself, merged (Hydragen)."""
    queries, prefix = Q[0], 32
    parts = []
    for pages in (0b0001111, 0b1110000):
        job = {"causal": 1, "window": 0, "sink": 0, "bitmap": pages, "length": TOKENS, "head": 0}
        tiles = walked([{**job, "query": t} for t in range(TOKENS)])
        p = {**WHOLE, "kind": kind, "result": "partial" if form == "partial" else "row"}
        parts.append(attention.run(p, beats(tiles, queries)))
    names = ("m", "l", "o") if form == "partial" else ("lse", "o")
    both = {name: np.stack([part[name] for part in parts], axis=1) for name in names}
    flat = {name: c.reshape(2 * TOKENS, *c.shape[2:]) for name, c in both.items()}
    # Rows in memory have 16 bits, here with 8 behind the point.
    flat["o"] = flat["o"] if form == "partial" else flat["o"] * 256
    fixed = {"scale": M, "sh": SH, "mo": 1 << 14, "so": 14 + 8 * (form == "lse")}
    flat |= {name: np.full(2 * TOKENS, value) for name, value in fixed.items()}
    flat["last"] = np.arange(2 * TOKENS) % 2 == 1
    found = merge.run({**WHOLE, "kind": kind, "form": form, "max_parts": 2}, flat)
    for t in range(TOKENS):
        due = float_row(0, queries[t], np.arange(t + 1))
        assert np.abs(found["o"][t] - due).max() < (0.52 if form == "partial" else 1.1)
        x = K[0, : t + 1] @ queries[t] * STEP
        level = (x.max() + np.log(np.exp(x - x.max()).sum())) * np.log2(np.e)
        assert abs(found["lse"][t] / 256 - level) < 0.01
    assert parts[1]["lse" if form == "lse" else "l"][prefix - 1] in (attention.NO_LSE, 0)
