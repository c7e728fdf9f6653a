# SPDX-License-Identifier: Apache-2.0
"""Block forms against the plain recurrence in float64 on the same integers."""

import numpy as np
import pytest

from sim.golden.attention import linear_attention
from sim.golden.attention.linear_attention import NO_DECAY, decay_table, gla, lightning


def operands(tokens, d=64, width=48, seed=1):
    rng = np.random.default_rng(seed)
    q, k = np.clip(np.rint(rng.normal(0, 40, (2, tokens, d))), -128, 127).astype(int)
    return q, k, np.clip(np.rint(rng.normal(0, 40, (tokens, width))), -128, 127).astype(int)


def recurrence(q, k, v, decay):
    """``decay`` is a number, or of shape (tokens, d)."""
    state, out = np.zeros((k.shape[1], v.shape[1])), []
    decay = np.broadcast_to(decay, k.shape)
    for t in range(len(q)):
        state = decay[t][:, np.newaxis] * state + np.outer(k[t], v[t])
        out.append(q[t] @ state)
    return np.array(out)


def relative(found, due):
    return np.linalg.norm(found - due) / np.linalg.norm(due)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("word", [(24, 2), (32, 10), (32, 2), (40, 18)])
def test_lightning_against_the_recurrence(decay, word):
    q, k, v = operands(1000 if decay == 0.9999 else 300)
    due = recurrence(q, k, v, decay)
    for block in (16, 64):
        # A table of 2**-15 steps is off by up to 0.15 of the least decay's distance to 1.
        found = lightning(q, k, v, decay_table(decay, block), block, *word)
        assert relative(found, due) < (1.5e-4 if block == 64 else 4e-4)


def test_lightning_without_decay_is_exact():
    q, k, v = operands(100, 8, 5)
    due = recurrence(q, k, v, 1.0)
    for block in (1, 7, 64):
        table = decay_table(1.0, block)
        assert table.tolist() == [NO_DECAY] * (block + 1)
        assert (lightning(q, k, v, table, block) == due).all()


def test_lightning_by_hand():
    """Two blocks of two tokens and a rest of one, with Python's integers."""
    lam = [32768, 20000, 9000]
    q, k, v = [3, -5, 7, 2, -1], [11, 4, -6, 127, 9], [100, -128, 5, 64, -3]

    def half_up(x, s):
        return (x + (1 << (s - 1))) >> s

    state, due = 0, []
    for block in ((0, 1), (2, 3), (4,)):
        for i, t in enumerate(block):
            intra = sum(
                half_up(q[t] * k[block[j]] * lam[i - j], 15) * v[block[j]] for j in range(i + 1)
            )
            due.append(intra + half_up(q[t] * half_up(state, 10) * lam[i + 1], 15))
        added = sum(k[t] * lam[len(block) - 1 - j] * v[t] for j, t in enumerate(block))
        state = half_up(state * lam[len(block)], 15) + half_up(added, 5)
    columns = (np.array(a)[:, np.newaxis] for a in (q, k, v))
    assert lightning(*columns, np.array(lam), 2, 32).ravel().tolist() == due


def test_state_saturates():
    """Without decay 2000 extreme tokens need 25 bits in front of the point."""
    ones, table = np.full((2000, 1), 127), decay_table(1.0, 64)
    held = lightning(ones, ones, -ones, table, 64, 24, 2)
    assert held.min() == -127 * (1 << 21) - 127**3 * 64, "the state stands still"
    assert (held == lightning(ones, ones, -ones, table, 64, 40, 18)).all()
    due = recurrence(ones, ones, -ones, 1.0)
    assert (lightning(ones, ones, -ones, table, 64, 32, 2) == due).all()
    assert (gla(ones, ones, -ones, 0 * ones, 64, 36, 8) == due).all()
    assert (gla(ones, ones, -ones, 0 * ones, 64, 32, 8) != due).any()


@pytest.mark.parametrize("block", [1, 16, 64])
def test_gla_against_the_recurrence(block):
    q, k, v = operands(300)
    rng = np.random.default_rng(2)
    g = np.rint(rng.exponential(0.1, k.shape) * 4096).astype(int)
    assert relative(gla(q, k, v, g, block), recurrence(q, k, v, np.exp2(-g / 4096))) < 2e-4


def test_gla_of_the_widest_state():
    """A saturated state of 40 bits and 128 channels: sums of 70 bits."""
    ones = np.full((200, 128), 127)
    found = gla(ones, ones, ones[:, :2], 0 * ones, 16, 40, 18)
    assert found[-1].tolist() == [127 * 128 * (1 << 21) + 127**3 * 128 * 8] * 2


def test_gla_with_open_and_closed_gates():
    q, k, v = operands(60, 8, 5)
    for block in (1, 7, 64):
        assert (gla(q, k, v, 0 * k, block) == recurrence(q, k, v, 1.0)).all()
        own = (q * k).sum(axis=1, keepdims=True) * v  # 64 octaves: each token sees itself alone
        assert (gla(q, k, v, 0 * k + (64 << 12), block) == own).all()


def parameters(kind, **chosen):
    base = {"kind": kind, "head_dim": 4, "value_dim": 3, "block": 4, "state_bits": 32}
    base["state_fraction"] = 8 if kind == "gla" else 10
    return base | {"gate_bits": 16 if kind == "gla" else None} | chosen


@pytest.mark.parametrize("kind", ["lightning", "gla"])
def test_run_sequence_by_sequence(kind):
    p = parameters(kind)
    v = linear_attention.vectors(p, np.random.default_rng(1), 400)
    found = linear_attention.run(p, v)
    loads = v["load"].sum() if kind == "lightning" else 0
    assert len(found["o"]) == len(found["last"]) == 400 - loads
    assert (np.abs(found["o"]) < 127).mean() > 0.3 and found["last"][-1]
    again = linear_attention.run(p, {n: np.concatenate([c, c]) for n, c in v.items()})
    first = again["o"][: len(found["o"])]
    assert (first == found["o"]).all()
    if kind == "gla":  # no table from before
        assert (again["o"][len(found["o"]) :] == found["o"]).all()


def test_tables_are_taken_between_sequences_only():
    p = parameters("lightning", head_dim=1, value_dim=1, block=2)
    zeros = dict.fromkeys(("load", "index", "lam", "last", "so"), 0) | {
        "q": 1,
        "k": 1,
        "v": 8,
        "mo": 1,
    }
    table = [{**zeros, "load": 1, "index": e, "lam": 32768 >> e, "last": e & 1} for e in range(4)]
    token, end = zeros, {**zeros, "last": 1}

    def outputs(*beats):
        columns = {name: np.array([b[name] for b in beats]) for name in zeros}
        return linear_attention.run(p, columns)["o"].ravel().tolist()

    assert outputs(token, token, token, end) == [8, 16, 24, 32]
    halves = [8, 16, 12, 20]  # weights 0.5 round up to 1 within a block, the state is finer
    assert outputs(*table, token, token, token, end)[:2] == halves[:2]
    assert outputs(token, *table, token, end) == [8, 16, 24], "within a sequence"
    assert outputs(*table[:3], end, *table[3:], token, end) == outputs(*table[:3], end, token, end)
