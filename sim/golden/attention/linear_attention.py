# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``linear-attention``: attention without softmax, block by block.

``lightning`` (Lightning Attention-2, 2024) has one decay for a head, ``gla`` (Gated Linear
Attention, 2023) a gate for each key channel and token. A sequence's state starts at 0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.rows import codes, row_slices, signed
from sim.golden.attention.tables import exp2n, rhu, saturate

__all__ = ["NO_DECAY", "decay_table", "gla", "lightning", "run", "vectors"]

Integers = NDArray[Any]

NO_DECAY = 1 << 15


def decay_table(decay: float, block: int) -> Integers:
    """Return ``decay**e``, e = 0 to ``block``, with 15 fraction bits."""
    return np.floor(decay ** np.arange(block + 1) * NO_DECAY + 0.5).astype(np.int64)


def lightning(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    lam: ArrayLike,
    block: int,
    state_bits: int = 32,
    fraction: int = 10,
) -> Integers:
    """Return the outputs (tokens, value_dim) of one sequence; ``lam`` as of :func:`decay_table`.

    ``fraction`` of the ``state_bits`` bits of a state's word are behind the point.
    """
    q, k, v, lam = (np.asarray(a, dtype=np.int64) for a in (q, k, v, lam))
    state = np.zeros((k.shape[1], v.shape[1]), dtype=np.int64)
    out = np.zeros((len(q), v.shape[1]), dtype=np.int64)
    for begin in range(0, len(q), block):
        part = slice(begin, begin + block)
        qs, ks, vs = q[part], k[part], v[part]
        size = len(qs)
        age = np.subtract.outer(np.arange(size), np.arange(size))
        weight = rhu(qs @ ks.T * lam[np.maximum(age, 0)], 15)
        intra = np.where(age >= 0, weight, 0) @ vs
        inter = rhu(qs @ rhu(state, fraction) * lam[1 : size + 1, np.newaxis], 15)
        out[part] = intra + inter
        added = _scaled((ks * lam[size - 1 :: -1][:size, np.newaxis]).T @ vs, 15 - fraction)
        state = saturate(rhu(state * lam[size], 15) + added, state_bits)
    return out


def gla(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    g: ArrayLike,
    block: int,
    state_bits: int = 32,
    fraction: int = 8,
) -> Integers:
    """Return the outputs (tokens, value_dim) of one sequence; ``g`` is minus log2 of the gates."""
    q, k, v, g = (np.asarray(a, dtype=np.int64) for a in (q, k, v, g))
    exact = np.int64 if state_bits <= 32 else object  # of 128 channels of 40 bits
    state = np.zeros((k.shape[1], v.shape[1]), dtype=np.int64)
    out = np.zeros((len(q), v.shape[1]), dtype=np.int64)
    for begin in range(0, len(q), block):
        part = slice(begin, begin + block)
        qs, ks, vs, total = q[part], k[part], v[part], np.cumsum(g[part], axis=0)
        for i in range(len(qs)):
            fade = exp2n(total[i] - total[: i + 1], 16)
            weight = rhu((ks[: i + 1] * fade) @ qs[i], 16)
            inter = (qs[i] * exp2n(total[i], 16)).astype(exact) @ state.astype(exact)
            inter = rhu(inter, 16 + fraction).astype(np.int64)
            out[begin + i] = weight @ vs[: i + 1] + inter
        added = _scaled((ks * exp2n(total[-1] - total, 16)).T @ vs, 16 - fraction)
        kept = rhu(state * exp2n(total[-1], 16)[:, np.newaxis], 16)
        state = saturate(kept + added, state_bits)
    return out


def _scaled(value: Integers, shift: int) -> Integers:
    """Return ``value`` shifted right by ``shift``, rounded half up; left if that is negative."""
    return rhu(value, shift) if shift > 0 else value << -shift


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return ``o`` (n', value_dim) and ``last`` (n',), one beat for each token.

    ``beats`` holds ``q``, ``k`` (n, head_dim), ``v`` (n, value_dim), ``last``, ``mo``, ``so`` (n,)
    and ``load``, ``index``, ``lam`` (n,) or ``g`` (n, head_dim). Beats that load are no tokens.
    The last sequence must have an end.
    """
    count, block = len(beats["last"]), int(parameters["block"])
    word = int(parameters["state_bits"]), int(parameters["state_fraction"])
    q, k, v = (signed(beats[name], 8).reshape(count, -1) for name in "qkv")
    decays = parameters["kind"] == "lightning"
    load = np.asarray(beats["load"]).astype(bool) if decays else np.zeros(count, dtype=bool)
    last = np.asarray(beats["last"]).astype(bool) & ~load
    lam = np.full(block + 1, NO_DECAY, dtype=np.int64)
    found = [np.zeros((0, v.shape[1]), dtype=np.int64)]
    for part in row_slices(last):
        tokens = np.flatnonzero(~load[part]) + part.start
        if decays:
            for beat in range(part.start, tokens[0]):
                if int(beats["index"][beat]) <= block:
                    lam[int(beats["index"][beat])] = int(codes(beats["lam"][beat], 16))
        rows = q[tokens], k[tokens], v[tokens]
        if decays:
            wide = lightning(*rows, lam, block, *word)
        else:
            gate = codes(beats["g"], int(parameters["gate_bits"])).reshape(count, -1)
            wide = gla(*rows, gate[tokens], block, *word)
        mo, so = codes(beats["mo"], 15)[tokens], codes(beats["so"], 6)[tokens]
        found.append(saturate(rhu(wide * mo[:, np.newaxis], so[:, np.newaxis]), 8))
    return {"o": np.concatenate(found), "last": last[~load]}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return sequences of one token, of whole blocks, of blocks and a rest, with every decay.

    Some have only extremes, all of a sign, so that the state grows as fast as it can. Before some
    there is a table; now and then one is offered within a sequence, or beyond the table's end.
    """
    block, d = int(parameters["block"]), int(parameters["head_dim"])
    width = int(parameters["value_dim"])
    decays = parameters["kind"] == "lightning"
    q, k = rng.integers(-128, 128, (2, beats, d))
    v = rng.integers(-128, 128, (beats, width))
    last, load = np.zeros(beats, dtype=bool), np.zeros(beats, dtype=bool)
    index, lam = rng.integers(0, 1 << block.bit_length(), beats), rng.integers(0, 1 << 16, beats)
    g = np.zeros((beats, d), dtype=np.int64)
    mo, so = rng.integers(1 << 14, 1 << 15, beats), rng.integers(0, 64, beats)
    begin = number = 0
    while begin < beats:
        if decays and number % 4:
            table = decay_table((1.0, 0.5, 0.9, 0.99, 0.0)[number // 4 % 5], block)
            if number % 12 == 5:
                table = rng.integers(0, 1 << 16, block + 1)
            some = rng.permutation(block + 1)[: max(0, beats - begin - 1)]
            part = slice(begin, begin + len(some))
            load[part], index[part], lam[part] = True, some, table[some]
            last[part] = rng.integers(0, 2, len(some))
            begin += len(some)
        size = (1, block, block + 1, 2 * block, int(rng.integers(1, 3 * block + 1)))[number % 5]
        part = slice(begin, min(begin + size, beats))
        length = part.stop - part.start
        if number % 3 == 1:
            q[part], k[part], v[part] = (int(rng.choice([-128, 127])) for _ in range(3))
        top = 1 << int(parameters["gate_bits"] or 1)
        g[part] = np.minimum(2.0 ** rng.uniform(0, 16, (length, d)), top - 1)
        if number % 4 == 0:
            g[part] = rng.choice(np.array([0, 1, top - 1]), (length, d))
        reach = int(np.log2(d * 128.0**3)) - (0 if number % 3 == 1 else 5)
        so[part] = int(rng.integers(reach + 7, reach + 14))
        if decays and number % 6 == 2 and length > 3:
            load[part.start + 1] = True
        last[part.stop - 1] = True
        begin, number = part.stop, number + 1
    found = {"q": q, "k": k, "v": v, "last": last, "mo": mo, "so": so}
    return {**found, "load": load, "index": index, "lam": lam} if decays else {**found, "g": g}
