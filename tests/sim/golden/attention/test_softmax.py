# SPDX-License-Identifier: Apache-2.0
"""What holds for every kind of softmax, and our own against float64."""

import numpy as np
import pytest

from sim.golden.attention import softmax, softmax_two_pass
from sim.golden.attention.attention import attend
from sim.golden.attention.rows import scale_of
from sim.golden.attention.tables import exp2n, recip
from tests.sim.golden.attention.softmax_rows import (
    LOGARITHMIC,
    PUBLISHED,
    beats,
    exact,
    parameters,
    probabilities,
    row,
)

KINDS = tuple(softmax.KINDS)
OURS = ("safe", "online", "two-pass")


def logits(n: int, seed: int = 1, low: int = -60, high: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high + 1, n)


def same(kind, one, other):
    names = ("p", "zero", "l") if kind in LOGARITHMIC else ("p",)
    assert all(one[name].tolist() == other[name].tolist() for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_shifted_logits_give_the_same(kind):
    for n in (1, 5, 64, 100):
        q = logits(n)
        if kind == "two-pass":  # which takes absolute logits: whole octaves
            m, sh = 16384, 6  # 16 steps
            given = [beats(q + step, 4) for step in (0, 32, -64)]
            fixed = {"m": np.full(100, m), "sh": np.full(100, sh)}
            some = [softmax.run(parameters(kind), {**b, **fixed}) for b in given]
            assert all(s["p"].tolist() == some[0]["p"].tolist() for s in some)
            continue
        for step in (1, -7, 60):
            same(kind, row(kind, q), row(kind, q + step))


@pytest.mark.parametrize("kind", KINDS)
def test_an_absent_element_is_none(kind):
    """Whatever stands there, and whether it stands there: the groups of those present are equal."""
    lanes = parameters(kind)["lanes"]
    q, keep = logits(6 * lanes), np.random.default_rng(2).random(6 * lanes) < 0.5
    keep[2 * lanes : 3 * lanes] = False
    found = row(kind, q, keep)
    for other in (-128, 127, 0):
        same(kind, found, row(kind, np.where(keep, q, other), keep))
    assert not found["p"][~keep].any()
    without = np.delete(q, slice(2 * lanes, 3 * lanes))
    less = row(kind, without, np.delete(keep, slice(2 * lanes, 3 * lanes)))
    assert less["p"].tolist() == np.delete(found["p"], slice(2 * lanes, 3 * lanes)).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_order_within_a_beat_does_not_count(kind):
    rng, lanes = np.random.default_rng(3), parameters(kind)["lanes"]
    if (
        kind == "two-pass"
    ):  # lanes are added in pairs: those of a pair, and pairs, may change places
        orders = [[1, 0, 2, 3], [2, 3, 0, 1], [3, 2, 1, 0]]
    else:
        orders = [rng.permutation(lanes) for _ in range(3)]
    q = logits(8 * lanes).reshape(8, lanes)
    for order in orders:
        found, mixed = row(kind, q.ravel()), row(kind, q[:, order].ravel())
        assert found["p"].reshape(8, -1)[:, order].tolist() == mixed["p"].reshape(8, -1).tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 37, 200])
def test_larger_logits_get_no_less(kind, n):
    q = logits(n, high=127, low=-128)
    p = np.abs(probabilities(kind, q))
    order = np.argsort(q, kind="stable")
    assert (np.diff(p[order]) >= 0).all()
    assert all(len(set(p[q == value])) == 1 for value in q)


#: One element, one far above all others: what stands for (almost) 1.
ONE = {"ita": 255, "ibert": 255, "ivit": 127} | dict.fromkeys(LOGARITHMIC, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_one_element_and_one_above_all(kind):
    for q in ([5], [-128], [-128] * 30 + [127] + [-128] * 20):
        found = row(kind, q)
        top = int(np.argmax(q))
        assert abs(int(found["p"][top]) - ONE.get(kind, 255)) <= (kind in ("safe", "online"))
        if kind in LOGARITHMIC:
            assert found["zero"].tolist() == [k != top for k in range(len(q))]
        else:
            assert found["p"].sum() == found["p"][top]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 3, 64, 200])
def test_all_equal(kind, n):
    found = {value: row(kind, [value] * n)["p"] for value in (-128, 0, 127)}
    assert len({int(p) for column in found.values() for p in column}) == 1
    p = probabilities(kind, [7] * n)
    allowed = 0.17 if kind in LOGARITHMIC else 1 / 128 + (0.03 / n if kind == "ita" else 0)
    assert np.abs(p - 1 / n).max() <= allowed


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_kept_is_a_row_of_zeros(kind):
    found = row(kind, logits(20), np.zeros(20, dtype=bool))
    assert not found["p"].any() and not found["keep"].any()
    if kind in LOGARITHMIC:
        assert found["zero"].all() and not found["l"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_too_long_is_one_error_and_harms_no_other(kind):
    p = parameters(kind, max_len=32)
    lanes = p["lanes"]
    good = [beats(logits(32, seed), lanes) for seed in (1, 2)]
    long = beats(logits(32 + 1), lanes)
    parts = [good[0], long, good[1]]
    found = softmax.run(p, {name: np.concatenate([b[name] for b in parts]) for name in long})
    alone = [softmax.run(p, b) for b in good]
    n = 32 // lanes
    assert found["err"].tolist() == [False] * n + [True] + [False] * n
    assert (
        found["last"].tolist() == np.concatenate([good[0]["last"], [1], good[1]["last"]]).tolist()
    )
    assert not found["p"][n].any() and not found["keep"][n].any()
    for name in found:
        due = np.concatenate([a[name] for a in alone])
        assert np.delete(found[name], n, axis=0).tolist() == due.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_stimulus_fits_and_has_every_kind_of_row(kind):
    p = parameters(kind, max_len=32)
    v = softmax.vectors(p, np.random.default_rng(1), 250)
    assert v["x"].shape == v["keep"].shape == (250, p["lanes"]) and v["last"][-1]
    assert v["x"].min() == -128 and v["x"].max() == 127
    found = softmax.run(p, v)
    assert found["err"].sum() >= 2 and 0 < found["p"].sum()
    assert ("m" in v) == (kind not in PUBLISHED)
    top = 15 if kind in LOGARITHMIC else 255
    assert found["p"].min() >= 0 and found["p"].max() <= top
    assert softmax.run(p, {n: c[:0] for n, c in v.items()})["p"].shape == (0, p["lanes"])


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("n", [1, 16, 197, 1024])
@pytest.mark.parametrize("out_bits", [8, 16])
def test_ours_against_float64(kind, n, out_bits):
    """Half of a unit for the output's rounding, and the error of 12 bits of e and of the table."""
    for seed in range(3):
        q = logits(n, seed, -100, 100)
        chosen = {"out_bits": out_bits} | ({} if kind == "two-pass" else {"exp_bits": 16})
        found = probabilities(kind, q, **chosen) * (1 << out_bits)
        due = np.minimum(exact(q) * (1 << out_bits), (1 << out_bits) - 1)
        # Table and scale err by 2**-12 of a number; each rescaling by less than 2**-16.
        assert np.abs(found - due).max() <= 0.5 + (1 << out_bits) * exact(q).max() * 2.5e-4 + 1e-3


def by_hand(kind, q, lanes, m, sh, exp_bits, out_bits):
    """A row without absent elements, number by number."""

    def e(d):
        return min(int(exp2n(d * m >> sh, exp_bits)), 2**exp_bits - 1)

    top, total = max(q), 0
    if kind == "safe":
        total = sum(e(top - x) for x in q)
    else:
        so_far = q[0]
        for begin in range(0, len(q), lanes):
            new = max([so_far, *q[begin : begin + lanes]])
            a = int(exp2n((new - so_far) * m >> sh, 16))
            total = (total * a + 32768) // 65536 + sum(e(new - x) for x in q[begin : begin + lanes])
            so_far = new
    k, y = (int(v) for v in recip(total))
    shift = 30 + k - out_bits
    return [min((e(top - x) * y + 2 ** (shift - 1)) >> shift, 2**out_bits - 1) for x in q]


@pytest.mark.parametrize("kind", ["safe", "online"])
@pytest.mark.parametrize("exp_bits", [4, 8, 12, 16])
def test_ours_by_hand(kind, exp_bits):
    rng = np.random.default_rng(exp_bits)
    for n, lanes in ((1, 1), (3, 1), (24, 4), (40, 8)):
        for out_bits in (8, 16):
            q = np.sort(rng.integers(-128, 128, n)) if n == 24 else rng.integers(-128, 128, n)
            given = beats(q, lanes)
            found = row(kind, q, lanes=lanes, exp_bits=exp_bits, out_bits=out_bits)["p"]
            m, sh = int(given["m"][0]), int(given["sh"][0])
            assert found.tolist() == by_hand(kind, q.tolist(), lanes, m, sh, exp_bits, out_bits)


def test_ours_has_none_of_the_faults_of_the_published():
    for kind in OURS:
        for n in (256, 2048, 4096):
            p = probabilities(kind, [7] * n, out_bits=16)
            assert abs(p.sum() - 1) < 0.03 and (p > 0).all()


def test_online_is_safe_where_the_maximum_comes_first():
    q = np.sort(logits(100))[::-1]
    same("safe", row("online", q), row("safe", q))
    for lanes in (1, 4, 64):
        p = probabilities("online", logits(300), lanes=lanes, out_bits=16)
        assert np.abs(p - exact(logits(300))).max() < 5e-4


def test_online_sums_by_the_definition():
    """The recurrence of the specification with the element-wise numbers of ``FA-INT``, V = 1."""
    q = logits(64)
    m, sh = scale_of(np.log2(np.e) / 16)
    part = attend(q[np.newaxis], np.ones((64, 1)), m, sh, tile=4, exp_bits=12)
    e = attend(np.array([[q.max(), q[5]]]), np.array([[0], [1]]), m, sh, tile=2).o[0, 0]
    k, y = recip(part.l[0])
    assert row("online", q)["p"][5] == (int(e) * int(y) + (1 << 21 + k)) >> 22 + int(k)


def test_two_pass_merges_in_any_grouping_up_to_rounding():
    merge = softmax_two_pass.merge
    assert merge(None, None) is None and merge((70000, 3), None) == (70000, 3)
    assert merge((70000, 3), (65536, 5)) == (65536 + 17500, 5)
    assert merge((65537, 0), (65536, 1)) == (65536 + 32769, 1)  # half up
    assert merge((65536, -90), (65536, 1)) == (65536, 1)


def test_two_pass_takes_logits_of_any_sign_and_size():
    for q in ([-128, -127, -126, -125], [127, 126, -128, 5]):
        found = probabilities("two-pass", q, out_bits=16)
        assert np.abs(found - exact(q)).max() < 5e-4


def test_scale_of():
    assert scale_of(0.0625 * np.log2(np.e)) == (23637, 6)
    for step in (7.9, 1.0, 2.0**-30):
        m, sh = scale_of(step)
        assert 1 << 14 <= m < 1 << 15 and abs(m / 2.0**sh / 4096 / step - 1) < 2**-14
    with pytest.raises(ValueError, match=r"a step must be .* octaves, not 9"):
        scale_of(9)
