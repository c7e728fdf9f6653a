# SPDX-License-Identifier: Apache-2.0
"""Packets of the key-value cache: back and forth, and what is wrong with some."""

import numpy as np
import pytest

from sim.golden.attention import kv_codes, kv_dot
from sim.golden.attention.kv_cache import run, vectors

BASE = {"op": "quantize", "scheme": "kivi", "axis": "token", "bits": 2, "group": 32, "lanes": 4}
BASE |= {"x_bits": 8, "max_len": 32, "sinks": 4, "span": 16, "residual": 8}


def ends(count, each):
    return (np.arange(count) % each == each - 1).astype(int)


@pytest.mark.parametrize("axis", ["token", "channel"])
@pytest.mark.parametrize(("bits", "group"), [(2, 32), (4, 32), (4, 8), (2, 64)])
def test_kivi_there_and_back(axis, bits, group):
    parameters = BASE | {"axis": axis, "bits": bits, "group": group}
    count = group if axis == "token" else group // 4
    x = np.random.default_rng(bits).integers(-128, 128, (5 * count, 4))
    words = run(parameters, {"x": x, "last": ends(5 * count, count)})
    each = group * bits // 32
    assert words["last"].tolist() == ends(5 * each, each).tolist() and not words["err"].any()
    back = run(parameters | {"op": "dequantize"}, words)
    assert back["last"].tolist() == ends(5 * count, count).tolist()
    tiles = x.reshape(5, count, 4)
    groups = tiles.swapaxes(1, 2) if axis == "token" else tiles.reshape(5, 1, group)
    codes, least, spread = kv_codes.kivi_codes(groups, bits)
    values = kv_codes.kivi_values(codes, least[..., None], spread[..., None], bits)
    values = values.swapaxes(1, 2) if axis == "token" else values.reshape(5, count, 4)
    assert np.array_equal(back["x"].reshape(values.shape), values)
    # Words: of a channel its tokens in order, of a token its channels in order.
    first = words["w"][:each, 0] if axis == "token" else words["w"][:each]
    assert np.array_equal(kv_codes.unpack(first, bits).ravel(), codes[0, 0])


@pytest.mark.parametrize(
    ("least", "due"), [(100, [100, 127, 127, 127]), (-120, [-120, -87, -53, -20])]
)
def test_kivi_values_stay_elements(least, due):
    """Words that no quantizer gave may mean more than an element can be."""
    parameters = BASE | {"op": "dequantize", "axis": "channel", "group": 16}
    words = {"w": [0b11100100], "mn": [least], "r": [100], "last": [1]}
    found = run(parameters, {name: np.array(column) for name, column in words.items()})
    assert found["x"][0].tolist() == due


@pytest.mark.parametrize("axis", ["token", "channel"])
@pytest.mark.parametrize("op", ["quantize", "dequantize"])
def test_groups_of_another_length_are_refused(axis, op):
    parameters = BASE | {"axis": axis, "op": op}
    stimulus = vectors(parameters, np.random.default_rng(3), 800)
    due = 2 if op == "dequantize" else 32 if axis == "token" else 8
    begin, errors = 0, []
    found = run(parameters, stimulus)
    for end in np.flatnonzero(stimulus["last"]) + 1:
        errors.append(int(end - begin != due))
        begin = end
    answered = found["last"].astype(bool)
    assert found["err"][answered].tolist() == errors and 0 < sum(errors) < len(errors)
    for name, column in found.items():
        if name not in ("err", "last"):
            assert not column[found["err"] > 0].any()


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_kv4_there_and_back(lanes):
    parameters = BASE | {"scheme": "kv4", "bits": 4, "lanes": lanes, "max_len": 32}
    stimulus = vectors(parameters, np.random.default_rng(lanes), 400)
    words = run(parameters, stimulus)
    back = run(parameters | {"op": "dequantize"}, words)
    begin = out = 0
    begins = np.append(0, np.flatnonzero(words["last"]) + 1)
    for number, end in enumerate(np.flatnonzero(stimulus["last"]) + 1):
        count = int(end - begin)
        beats = int(begins[number + 1] - begins[number]) * 8 // lanes
        if count > 32 // lanes:
            assert words["err"][begins[number]] == 1 and beats == 8 // lanes
        else:
            keep = stimulus["keep"][begin:end].astype(bool)
            assert beats == -(-count * lanes // 8) * 8 // lanes
            due = kv_codes.kv4_values(*kv_codes.kv4_codes(stimulus["x"][begin:end][keep]), 8)
            assert np.array_equal(back["x"][out : out + count][keep], due)
            low = words["z"][begins[number]]
            assert 0 <= low <= 15
        out, begin = out + beats, end
    assert out == len(back["x"])
    assert np.array_equal(np.flatnonzero(back["last"]), begins[1:] * 8 // lanes - 1)
    assert 0 < words["err"].sum() < len(words["err"])


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_outliers_of_kvquant_come_back_exactly(bits):
    parameters = BASE | {"scheme": "kvquant", "bits": bits, "x_bits": None, "max_len": None}
    rng = np.random.default_rng(bits)
    stimulus = vectors(parameters, rng, 600)
    packed = run(parameters, stimulus)
    starts = np.append(True, stimulus["last"][:-1] > 0)
    loads = (stimulus["load"] > 0)[np.maximum.accumulate(np.where(starts, np.arange(600), 0))]
    # The same packets with codes in place of numbers, tables where they were.
    columns = {name: [] for name in ("sparse", "lane", "d", "q", "last", "load", "t", "s", "f")}
    place = 0
    for beat in range(600):
        own = {name: stimulus[name][beat] for name in ("t", "s", "f")}
        if loads[beat]:
            row = {"sparse": 0, "lane": 0, "d": 0, "q": np.zeros(4)} | own
            rows = [row | {"last": stimulus["last"][beat], "load": 1}]
        else:
            rows = []
            while True:
                row = {name: packed[name][place] for name in packed} | own | {"load": 0}
                rows.append(row)
                place += 1
                if not row["sparse"]:
                    break
        for row in rows:
            for name, value in row.items():
                columns[name].append(value)
    assert place == len(packed["q"])
    back = run(parameters | {"op": "dequantize"}, {k: np.array(v) for k, v in columns.items()})
    x, low, high = (stimulus[name][~loads] for name in ("x", "lo", "hi"))
    outlier = (x < low) | (x > high)
    assert np.array_equal(back["x"][outlier], x[outlier]) and outlier.any() and not outlier.all()
    assert back["last"].tolist() == stimulus["last"][~loads].tolist()
    assert np.abs(back["x"] - x)[~outlier].min() <= 1 and (packed["d"] != 0).any()


def test_dequantiser_adds_what_came_before_its_beat():
    parameters = BASE | {"op": "dequantize", "scheme": "kvquant"}
    rows = [
        # load t sparse lane d q last
        (1, 100, 0, 0, 0, 0, 0), (1, -200, 0, 0, 0, 0, 0), (1, 300, 0, 0, 0, 0, 0),
        (1, 400, 1, 0, 0, 0, 0), (1, 999, 0, 0, 0, 0, 1),
        (0, 0, 1, 1, 5, 0, 1), (0, 0, 1, 1, 6, 0, 0), (0, 0, 1, 9, 77, 0, 0),
        (0, 0, 1, 0, -65536, 0, 0), (1, 0, 0, 0, 0, 1, 0), (0, 0, 0, 3, 9, 2, 1),
    ]  # fmt: skip
    names = ("load", "t", "sparse", "lane", "d", "q", "last")
    beats = dict(zip(names, np.array(rows).T, strict=True))
    beats["q"] = np.tile(beats["q"][:, None], (1, 4))
    beats |= {"s": np.full((11, 4), 1 << 15), "f": np.tile([0, 0, 0, 1], (11, 1))}
    found = run(parameters, beats)
    assert found["x"].tolist() == [[-32768, -189, -200, -199], [300, 300, 300, 301]]
    assert found["last"].tolist() == [0, 1]


def test_scores_and_what_is_no_packet():
    parameters = BASE | {"op": "dot", "bits": 4}
    rng = np.random.default_rng(5)
    length, tokens = 3, 5

    def packet(head):
        n = len(head)
        return {
            "head": np.array(head), "last": np.arange(n) == n - 1,
            "q": rng.integers(-128, 128, (n, 4)), "r": rng.integers(0, 256, (n, 4)),
            "mn": rng.integers(-128, 128, (n, 4)), "c": rng.integers(0, 16, (n, 4)),
        }  # fmt: skip

    good = packet([1] * length + [0] * length * tokens)
    due = kv_dot.scores(
        *(good[name][:length].ravel() for name in ("q", "r", "mn")),
        good["c"][length:].reshape(tokens, -1), 4,
    )  # fmt: skip
    found = run(parameters, good)
    assert found["y"].tolist() == due.tolist() and found["last"].tolist() == [0, 0, 0, 0, 1]
    wrong = {
        "no header": ([0, 0, 0], 0),
        "nothing but a header": ([1, 1], 0),
        "header too long": ([1] * 9 + [0] * 9, 0),
        "header again": ([1, 0, 0, 1, 0], 2),
        "header within a token": ([1, 1, 0, 0, 0, 1, 0], 1),
        "half a token": ([1, 1, 0, 0, 0], 1),
    }
    for name, (head, answered) in wrong.items():
        bad = packet(head)
        stream = {field: np.concatenate([bad[field], good[field]]) for field in good}
        found = run(parameters, stream)
        assert found["err"].tolist() == [0] * answered + [1] + [0] * tokens, name
        assert found["last"].tolist() == [0] * answered + [1, 0, 0, 0, 0, 1], name
        assert found["y"][answered] == 0 and found["y"][-tokens:].tolist() == due.tolist()


@pytest.mark.parametrize("x_bits", [8, 16])
def test_sums_of_both_axes_fit(x_bits):
    for axis in ("token", "channel"):
        parameters = BASE | {"op": "dot", "axis": axis, "x_bits": x_bits, "bits": 4, "max_len": 64}
        stimulus = vectors(parameters, np.random.default_rng(6), 900)
        found = run(parameters, stimulus)
        assert np.abs(found["y"]).max() < 1 << 54
        assert found["last"][-1] and len(found["y"]) > 20
        if axis == "token":
            assert set(found["err"].tolist()) == {0, 1}
    assert kv_dot.wrapped([1 << 55, -1, (1 << 56) + 5]).tolist() == [-1 << 55, -1, 5]


def test_addresses_follow_the_tokens():
    none = {name: None for name in BASE if name not in ("sinks", "span", "residual")}
    start = np.zeros(90, dtype=int)
    start[[40, 41]] = 1
    ring = run(BASE | none | {"op": "ring"}, {"start": start})
    token = np.concatenate([np.arange(40), [0], np.arange(49)])
    assert np.array_equal(ring["slot"], kv_codes.ring_slot(token, 4, 16))
    assert np.array_equal(ring["count"], np.minimum(token + 1, 20))
    held = {}
    for t, slot, evict, old in zip(token, ring["slot"], ring["evict"], ring["old"], strict=True):
        held = {} if t == 0 else held
        assert held.get(slot) == (old if evict else None)
        held[slot] = t
    found = run(BASE | none | {"op": "window"}, {"start": start})
    due = kv_codes.window(token + 1, 8)
    assert all(np.array_equal(found[name], due[name]) for name in due)


def test_stimulus_without_an_answer_is_said():
    beats = {"x": np.zeros((3, 4)), "last": np.zeros(3)}
    with pytest.raises(ValueError, match="no packet of the stimulus has an answer"):
        run(BASE, beats)
