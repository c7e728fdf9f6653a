# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from sim.golden.attention import attention_tiles
from sim.golden.attention.attention_tiles import run, vectors, visible


def parameters(**chosen):
    return {"tile": 4, "max_len": 50, "page": None, "head_bits": 8} | chosen


def beats(**fields):
    given = {"head": 3, "query": 0, "length": 50, "causal": 0, "window": 0, "sink": 0} | fields
    return {name: [value] for name, value in given.items()}


@pytest.mark.parametrize("page", [None, 4, 8, 16])
def test_every_key_that_is_visible_by_the_definition(page):
    p = parameters(page=page)
    v = vectors(p, np.random.default_rng(1), 200)
    found = run(p, v)
    ends = np.flatnonzero(found["last"]) + 1
    assert len(ends) == 200 and (np.flatnonzero(found["first"])[1:] == ends[:-1]).all()
    for job, part in enumerate(np.split(np.arange(len(found["last"])), ends[:-1])):
        one = {name: int(column[job]) for name, column in v.items()}
        due = [
            j for j in range(one["length"])
            if (not one["causal"] or j <= one["query"])
            and (one["window"] == 0 or j < one["sink"] or j > one["query"] - one["window"])
            and (page is None or one["bitmap"] >> j // page & 1)
        ]  # fmt: skip
        long = one["length"] > 50
        tiles = zip(found["tile"][part], found["keep"][part], strict=True)
        got = [4 * int(t) + j for t, keep in tiles for j in np.flatnonzero(keep)]
        assert got == ([] if long else due)
        assert (found["head"][part] == one["head"]).all() and (found["err"][part] == long).all()
        assert len(part) == max(1, len({j // 4 for j in got}))


def test_nothing_visible_is_one_beat():
    for fields in ({"length": 0}, {"length": 51}, {"causal": 1, "window": 1, "query": 60}):
        found = run(parameters(), beats(**fields))
        assert [int(found[n][0]) for n in ("tile", "first", "last")] == [0, 1, 1]
        assert len(found["tile"]) == 1 and not found["keep"].any()
        assert found["err"].tolist() == [fields.get("length") == 51]
    assert not run(parameters(page=8), {**beats(), "bitmap": [0]})["keep"].any()


def test_sink_and_window():
    """The ring of the specification: its slots are those of the visible keys, each once."""
    sink, window = 4, 8
    for query in range(40):
        seen = np.flatnonzero(visible(48, query, query + 1, causal=True, window=window, sink=sink))
        slots = [j if j < sink else sink + (j - sink) % window for j in seen]
        assert len(set(slots)) == len(seen) == min(query + 1, sink + window)


def test_tiles_that_are_masked_take_no_beat():
    found = run(
        parameters(max_len=4096, tile=16),
        beats(query=4000, length=4001, causal=1, window=32, sink=4),
    )
    assert found["tile"].tolist() == [0, 248, 249, 250]
    assert attention_tiles.visible(4, 1, 9, causal=True).tolist() == [True, True, False, False]
