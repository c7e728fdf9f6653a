# SPDX-License-Identifier: Apache-2.0
"""The attention core: numbers of the specification, properties, float64 as the oracle."""

import numpy as np
import pytest

from sim.golden.attention import attention
from sim.golden.attention.attention import NO_LSE, attend, attend_qkv, lse, normalised
from sim.golden.attention.rows import row_slices, scale_of

KINDS = ("fa-int", "fa-int-p2")

X = np.array([[100, -50, 300, 20, -400, 250, 310, 0, 5, -7]])
V = np.array([(10, -20), (127, -128), (5, 6), (-7, 8), (99, -99), (-60, 61), (33, -34), (1, 2),
              (3, 4), (-5, -6)])  # fmt: skip
M, SH = 20000, 9

#: (tile, bits of e) -> O and l of both kinds.
SUMS = {
    (1, 8): ([2917, -1001, 891], [2780, -929, 867]),
    (4, 8): ([2813, -897, 890], [2780, -929, 867]),
    (10, 8): ([2895, -968, 893], [2780, -929, 867]),
    (1, 12): ([46527, -15840, 14302], [45106, -15337, 13875]),
    (4, 12): ([46561, -15876, 14303], [45143, -15379, 13876]),
    (10, 12): ([46549, -15857, 14302], [45143, -15379, 13876]),
}


def listed(part):
    return [*part.o[0].tolist(), int(part.l[0])]


@pytest.mark.parametrize(("tile", "bits"), SUMS)
def test_sums_of_the_specification(tile, bits):
    for kind, due, top in zip(KINDS, SUMS[tile, bits], (310, 3), strict=True):
        part = attend(X, V, M, SH, tile=tile, exp_bits=bits, kind=kind)
        assert listed(part) == due and part.m.tolist() == [top]


def test_scores_and_exact_result_of_the_specification():
    u = [3906, -1954, 11718, 781, -15625, 9765, 12109, 0, 195, -274]
    assert (X[0] * M >> SH).tolist() == u
    e = np.exp2(X[0] * M / 2.0**SH / 4096)
    assert np.round(e @ V / e.sum(), 4).tolist() == [3.2554, -1.1094]


def by_hand(kind, x, v, m, sh, bits, tile):
    """One row with Python's integers, from the definition; ``x`` holds None for absent keys."""

    def half_up(value, shift):
        return value if not shift else (value + (1 << (shift - 1))) >> shift

    def power(d, out):
        y = [int(np.floor(2.0 ** (16 - i / 64) + 0.5)) for i in range(65)]
        index, rest = (d & 4095) >> 6, (d & 63) << 4
        value = y[index] + ((y[index + 1] - y[index]) * rest + 512 >> 10)
        shift = min(d >> 12, 63) + 16 - out
        return 0 if shift > 40 else half_up(value, shift)

    top, total, out = None, 0, [0] * len(v[0])
    for begin in range(0, len(x), tile):
        part = slice(begin, begin + tile)
        pairs = [(s, r) for s, r in zip(x[part], v[part], strict=True) if s is not None]
        if not pairs:
            continue
        if kind == "fa-int":
            new = max([s for s, _ in pairs] + ([] if top is None else [top]))
            if top is not None and new != top:
                a = power((new - top) * m >> sh, 16)
                total, out = half_up(total * a, 16), [half_up(o * a, 16) for o in out]
            distances = [(new - s) * m >> sh for s, _ in pairs]
        else:
            u = [s * m >> sh for s, _ in pairs]
            new = max([-(-t // 4096) for t in u] + ([] if top is None else [top]))
            moved = 0 if top is None else new - top
            total, out = half_up(total, moved), [half_up(o, moved) for o in out]
            distances = [4096 * new - t for t in u]
        top = new
        for d, (_, r) in zip(distances, pairs, strict=True):
            e = min(power(d, bits), 2**bits - 1)
            total += e
            out = [o + e * c for o, c in zip(out, r, strict=True)]
    return top or 0, total, out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_sums_by_hand(kind, bits):
    rng = np.random.default_rng(bits)
    for tile in (1, 3, 8, 40):
        x, v = rng.integers(-60000, 60000, 37), rng.integers(-128, 128, (37, 3))
        keep = rng.random(37) < 0.6
        keep[:10] = tile == 3
        m, sh = int(rng.integers(1 << 14, 1 << 15)), int(rng.integers(12, 18))
        part = attend(
            x[np.newaxis], v, m, sh, keep=keep[np.newaxis], tile=tile, exp_bits=bits, kind=kind
        )
        some = [int(s) if there else None for s, there in zip(x, keep, strict=True)]
        top, total, out = by_hand(kind, some, v.tolist(), m, sh, bits, tile)
        assert (int(part.m[0]), listed(part)) == (top, [*out, total])


def quantized(rng, rows, d, std=1.0):
    x = rng.normal(0, std, (rows, d))
    scale = np.abs(x).max() / 127
    return np.rint(x / scale).astype(int), scale


def case(keys, std, seed=1, d=64, rows=64):
    """Return q, k, v, scale and the exact result in units of v."""
    rng = np.random.default_rng(seed)
    (q, sq), (k, sk), (v, _) = (
        quantized(rng, n, d, s) for n, s in ((rows, std), (keys, 1), (keys, 1))
    )
    scale = sq * sk / np.sqrt(d)
    p = np.exp((q @ k.T - (q @ k.T).max(axis=1, keepdims=True)) * scale)
    return q, k, v, scale_of(scale * np.log2(np.e)), p / p.sum(axis=1, keepdims=True) @ v


def error(part, due):
    return np.linalg.norm(part.o / part.l[:, np.newaxis] - due) / np.linalg.norm(due)


#: Keys, deviation of queries: errors allowed with 8, 12 and 16 bits, fa-int and fa-int-p2.
BOUNDS = {
    (197, 1): ((9e-3, 6e-4, 3e-4), (1.2e-2, 8e-4, 3e-4)),
    (512, 2): ((3e-2, 1.7e-3, 3e-4), (5e-2, 3e-3, 3e-4)),
    (2048, 2): ((7e-2, 4e-3, 4e-4), (1e-1, 7e-3, 4e-4)),
}


@pytest.mark.parametrize(("keys", "std"), BOUNDS)
def test_against_float64_on_the_same_integers(keys, std):
    q, k, v, scale, due = case(keys, std)
    for kind, bounds in zip(KINDS, BOUNDS[keys, std], strict=True):
        for bits, bound in zip((8, 12, 16), bounds, strict=True):
            for tile in (16, 64):
                part = attend_qkv(q, k, v, *scale, tile=tile, exp_bits=bits, kind=kind)
                assert error(part, due) < bound
            out = normalised(part.l, part.o, 1 << 14, 12)  # four times, in units of 1/4
            exact = np.clip(part.o / part.l[:, np.newaxis] * 4, -128, 127)
            assert np.abs(out - exact).max() <= 0.5 + 1e-5


def test_2048_queries_of_2048_keys():
    """All of a head, causal; every row is the one that it is alone."""
    q, k, v, scale, _ = case(2048, 1, rows=2048)
    keep = np.tri(2048, dtype=bool)
    part = attend_qkv(q, k, v, *scale, keep=keep)
    for row in (0, 1, 15, 16, 700, 2047):
        alone = attend_qkv(q[row : row + 1], k[: row + 1], v[: row + 1], *scale)
        assert all((a == b[row]).all() for a, b in zip(alone, part, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_order_within_a_tile_and_absent_keys(kind):
    rng = np.random.default_rng(5)
    q, k, v, scale, _ = case(96, 2, rows=8)
    x, keep = q @ k.T, rng.random((8, 96)) < 0.5
    keep[:, 32:48] = False
    how = {"kind": kind, "tile": 16}
    found = attend(x, v, *scale, keep=keep, **how)
    order = np.concatenate([begin + rng.permutation(16) for begin in range(0, 96, 16)])
    mixed = attend(x[:, order], v[order], *scale, keep=keep[:, order], **how)
    noise = np.where(keep, x, rng.integers(-(1 << 20), 1 << 20, x.shape))
    other = attend(noise, v, *scale, keep=keep, **how)
    there = np.r_[0:32, 48:96]
    fewer = attend(x[:, there], v[there], *scale, keep=keep[:, there], **how)
    for again in (mixed, other, fewer):
        assert all((a == b).all() for a, b in zip(found, again, strict=True))


def test_shifted_scores_change_only_the_maximum():
    q, k, v, scale, _ = case(96, 2, rows=8)
    one, two = (attend(q @ k.T + step, v, *scale) for step in (0, 12345))
    assert (two.m - one.m == 12345).all() and (one.l == two.l).all() and (one.o == two.o).all()
    whole = 1 << 14 - 2  # of octaves: M = 2**14, SH = 14
    one, two = (attend(q @ k.T + step, v, 1 << 14, 14, kind="fa-int-p2") for step in (0, whole))
    assert (two.m - one.m == 1).all() and (one.l == two.l).all() and (one.o == two.o).all()


@pytest.mark.parametrize("kind", KINDS)
def test_size_of_the_tile_is_a_matter_of_rounding(kind):
    q, k, v, scale, _ = case(512, 2)
    some = [attend_qkv(q, k, v, *scale, tile=tile, kind=kind) for tile in (1, 16, 64, 512)]
    means = [p.o / p.l[:, np.newaxis] for p in some]
    for mean in means[1:]:
        assert np.abs(mean - means[0]).max() < 0.25
        assert np.linalg.norm(mean - means[0]) / np.linalg.norm(means[0]) < 2e-3


@pytest.mark.parametrize("kind", KINDS)
def test_max_in_the_last_tile_and_larger_scores_weigh_no_less(kind):
    x = np.append(np.full(47, 1000), 9000)[np.newaxis]
    identity = np.eye(48, dtype=int)
    for keys in (x, x[:, ::-1], np.sort(np.random.default_rng(1).integers(0, 9000, (1, 48)))):
        part = attend(keys, identity, 20000, 14, tile=16, exp_bits=12, kind=kind)
        assert (np.diff(part.o[0][np.argsort(keys[0], kind="stable")]) >= -1).all()
        e = np.exp2(keys[0] * 20000 / 2.0**14 / 4096)
        assert np.abs(part.o[0] / part.l[0] - e / e.sum()).max() < 1.5e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 5, 100])
def test_one_key_and_equal_keys_give_the_mean(kind, n):
    v = np.random.default_rng(n).integers(-128, 128, (n, 4))
    part = attend(np.full((1, n), -4096), v, 16384, 14, kind=kind)
    top = 4095 if kind == "fa-int" or n else 0
    assert part.l[0] == top * n and (part.o[0] == top * v.sum(axis=0)).all()
    due = np.floor(v.mean(axis=0) + 0.5)
    found = normalised(part.l, part.o, 1 << 14, 14)[0]
    tie = v.sum(axis=0) * 2 % n == 0
    assert (found == due)[~tie | (n == 1)].all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_a_key(kind):
    part = attend(X, V, M, SH, keep=np.zeros(X.shape), kind=kind)
    assert listed(part) == [0, 0, 0] and part.m.tolist() == [0]
    assert normalised(part.l, part.o, 32767, 0).tolist() == [[0, 0]]
    assert lse([1 << 20], part.l, 12).tolist() == [NO_LSE] == [-131072]


def test_lse_against_float64():
    for kind in KINDS:
        q, k, _, (m, sh), _ = case(300, 2)
        part = attend(q @ k.T, np.ones((300, 1), dtype=int), m, sh, exp_bits=16, kind=kind)
        x = (q @ k.T) * (m / 2.0**sh / 4096)
        due = x.max(axis=1) + np.log2(np.exp2(x - x.max(axis=1, keepdims=True)).sum(axis=1))
        found = lse(attention.score_octaves(kind, part.m, m, sh), part.l, 16) / 256
        assert np.abs(found - due).max() < 0.5 / 256 + 1e-3
    assert lse([600 << 16, -600 << 16], [1 << 12, 1 << 12], 12).tolist() == [131071, -131072]


def parameters(**chosen):
    base = {
        "kind": "fa-int",
        "head_dim": 6,
        "value_dim": 5,
        "tile": 4,
        "qk_bits": 8,
        "exp_bits": 12,
    }
    return base | {"max_len": 40, "result": "row"} | chosen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [4, 8])
def test_run_is_attend_row_by_row(kind, bits):
    p = parameters(kind=kind, qk_bits=bits)
    v = attention.vectors(p, np.random.default_rng(2), 200)
    rows, partial = attention.run(p, v), attention.run({**p, "result": "partial"}, v)
    found = list(row_slices(v["last"]))
    assert len(rows["o"]) == len(partial["l"]) == len(found) and rows["err"].sum() >= 2
    assert (rows["err"] == [s.stop - s.start > 10 for s in found]).all()
    for number, part in enumerate(found):
        first = part.start
        keep = v["keep"][part].reshape(1, -1)
        if rows["err"][number] or not keep.any():
            assert not rows["o"][number].any() and rows["lse"][number] == NO_LSE
            assert not partial["l"][number] and not partial["o"][number].any()
            continue
        k = v["k"][part].reshape(-1, 6)
        some = [
            int(q) if there else None for q, there in zip(k @ v["q"][first], keep[0], strict=True)
        ]
        if kind == "fa-int":
            values = v["v"][part].reshape(-1, 5).tolist()
            due = by_hand(kind, some, values, int(v["m"][first]), int(v["sh"][first]), 12, 4)
            got = partial["m"][number], partial["l"][number], partial["o"][number].tolist()
            assert got == due
        out = normalised(*(partial[n][number] for n in "lo"), v["mo"][first], v["so"][first])
        assert rows["o"][number].tolist() == out.tolist()


def test_stimulus_moves_the_maximum_and_saturates():
    p = parameters()
    v = attention.vectors(p, np.random.default_rng(3), 300)
    found = attention.run(p, v)
    assert (
        (np.abs(found["o"]) >= 127).mean() < 0.6
        and (found["o"] > 0).any()
        and (found["o"] < 0).any()
    )
    assert all((np.abs(v[n]) <= 128).all() for n in "qkv")


def test_each_block_of_keys_may_have_a_scale():
    """Keys of one half in steps twice as coarse, with twice the M: nothing else changes."""
    q, k, v, (m, sh), _ = case(64, 2, rows=4)
    k = k // 2 * 2
    half = np.concatenate([k[:32], k[32:] // 2])
    how = {"kind": "fa-int-p2", "tile": 16}
    one = attend(q @ k.T, v, m // 2, sh, **how)
    two = attend(q @ half.T, v, [m // 2] * 2 + [m // 2 * 2] * 2, sh, **how)
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
