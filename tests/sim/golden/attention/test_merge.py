# SPDX-License-Identifier: Apache-2.0
"""Split keys, merged: against attention over all keys, and float64."""

import numpy as np
import pytest

from sim.golden.attention import merge
from sim.golden.attention.attention import NO_LSE, attend, lse, normalised, score_octaves
from sim.golden.attention.merge import merge_lse, merge_partials
from tests.sim.golden.attention.test_attention import KINDS, case


def split(kind, parts, rows=16):
    """Return sums of keys 0..n, those of the parts, the scale and the exact result."""
    q, k, v, scale, due = case(sum(parts), 2, rows=rows)
    ends = np.cumsum(parts)
    some = [
        attend((q @ k.T)[:, e - n : e], v[e - n : e], *scale, kind=kind)
        for e, n in zip(ends, parts, strict=True)
    ]
    return attend(q @ k.T, v, *scale, kind=kind), some, scale, due


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [(512,), (256, 256), (16, 400, 96), (64,) * 8])
def test_merged_is_whole_but_for_roundings(kind, parts):
    whole, some, scale, due = split(kind, parts)
    for row in range(16):
        state = merge_partials(
            kind, [(int(p.m[row]), int(p.l[row]), p.o[row]) for p in some], *scale
        )
        assert state is not None and state[0] == whole.m[row]
        mean = state[2] / state[1]
        assert np.abs(mean - whole.o[row] / whole.l[row]).max() < 0.15
        assert np.linalg.norm(mean - due[row]) / np.linalg.norm(due[row]) < 1e-2
        if len(parts) == 1:
            assert state[1] == whole.l[row] and (state[2] == whole.o[row]).all()


@pytest.mark.parametrize("parts", [(256, 256), (16, 400, 96)])
def test_merged_by_logarithms_of_sums(parts):
    """Rows in units of 1/256 and logarithms in units of 1/256 are enough for eight bits."""
    whole, some, (m, sh), due = split("fa-int", parts)
    for row in range(16):
        given = []
        for p in some:
            level = lse(score_octaves("fa-int", p.m[row], m, sh), p.l[row], 12)
            given.append((int(level), np.rint(p.o[row] / p.l[row] * 256).astype(np.int64)))
        level, total, out = merge_lse(given)
        assert np.abs(out / total / 256 - due[row]).max() < 0.3
        found = lse(level << 8, total, 16)
        assert abs(found - lse(score_octaves("fa-int", whole.m[row], m, sh), whole.l[row], 12)) <= 2


def test_errors_of_the_logarithm_s_width():
    """Relative errors for 6 to 12 fraction bits, as the specification has them."""
    rng = np.random.default_rng(1)
    levels, rows = rng.normal(0, 2, (200, 4)), rng.normal(0, 1, (200, 4, 64))

    def merged(given):
        w = np.exp2(given - given.max(axis=1, keepdims=True))
        return np.einsum("rp,rpc->rc", w / w.sum(axis=1, keepdims=True), rows)

    due = merged(levels)
    for bits, bound in ((6, 1.6e-3), (8, 3.9e-4), (10, 1.1e-4), (12, 3.2e-5)):
        found = merged(np.rint(levels * 2**bits) / 2**bits)
        ratio = np.linalg.norm(found - due) / np.linalg.norm(due)
        assert bound / 3 < ratio < bound * 2.2


def test_empty_partials_change_nothing():
    parts = [(5, 100, np.array([7, -7])), (9, 300, np.array([70, 3]))]
    empty = (1 << 20, 0, np.array([9, 9]))
    for kind in KINDS:
        due = merge_partials(kind, parts, 20000, 14)
        some = merge_partials(kind, [empty, parts[0], empty, parts[1], empty], 20000, 14)
        assert due[:2] == some[:2] and due[2].tolist() == some[2].tolist()
        assert merge_partials(kind, [empty] * 3) is None
    rows = [(100, np.array([256])), (NO_LSE, np.array([5000])), (100, np.array([768]))]
    level, total, out = merge_lse(rows)
    assert (level, total, out.tolist()) == (100, 2 << 16, [1024 << 16])
    assert merge_lse(rows[1:2]) is None


def test_far_partials_and_ties():
    one, two = (0, 3, np.array([3, -3])), (1, 1, np.array([0, 0]))
    state = merge_partials("fa-int-p2", [one, two])  # half of 3 is 2, of -3 is -1
    assert (state[0], state[1], state[2].tolist()) == (1, 3, [2, -1])
    far = merge_partials("fa-int-p2", [one, (10**7, 9, np.array([1, 2]))])
    assert (far[1], far[2].tolist()) == (9, [1, 2])
    equal = merge_partials("fa-int", [one, one], 20000, 0)
    assert (equal[1], equal[2].tolist()) == (6, [6, -6])


def parameters(**chosen):
    base = {"form": "partial", "kind": "fa-int", "head_dim": 64, "value_dim": 3, "qk_bits": 8}
    return base | {"exp_bits": 12, "max_len": 4096, "tile": 16, "max_parts": 8} | chosen


@pytest.mark.parametrize("form", ["partial", "lse"])
@pytest.mark.parametrize("kind", KINDS)
def test_run_is_the_merge_of_each_row(form, kind):
    p = parameters(form=form, kind=kind)
    v = merge.vectors(p, np.random.default_rng(1), 250)
    found, begin = merge.run(p, v), 0
    ends = np.flatnonzero(v["last"]) + 1
    assert len(found["o"]) == len(ends) and found["err"].sum() >= 2
    assert (v["o"] != 0).any() and v["last"][-1]
    for number, end in enumerate(ends):
        rows = range(begin, end)
        begin = end
        assert found["err"][number] == (len(rows) > 8)
        if found["err"][number]:
            assert not found["o"][number].any() and found["lse"][number] == NO_LSE
            continue
        first, state = rows[0], None
        if form == "lse":
            state = merge_lse([(int(v["lse"][k]), v["o"][k]) for k in rows])
        else:
            scale = (int(v["scale"][first]), int(v["sh"][first])) if kind == "fa-int" else (0, 0)
            parts = [(int(v["m"][k]), int(v["l"][k]), v["o"][k]) for k in rows]
            state = merge_partials(kind, parts, *scale)
        if state is None:
            assert not found["o"][number].any() and found["lse"][number] == NO_LSE
            continue
        mean = (
            state[2].astype(float)
            / float(state[1])
            * float(v["mo"][first])
            / 2.0 ** int(v["so"][first])
        )
        assert np.abs(found["o"][number] - np.clip(mean, -128, 127)).max() <= 0.501
        due = normalised(state[1], state[2], int(v["mo"][first]), int(v["so"][first]))
        assert found["o"][number].tolist() == due.tolist()
