# SPDX-License-Identifier: Apache-2.0
"""Cycles of arrays: the sheet's anchors, and a systolic array simulated register by register."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm.cycles import FILL, cycles, cycles_isolated, cycles_streamed


def test_anchors_of_the_sheet():
    assert cycles_isolated("os", 4, 4, 4) == 10
    assert cycles_isolated("os", 8, 8, 16) == 30
    assert cycles_isolated("ws", 8, 8, 16) == 30
    assert cycles_streamed("ws", 8, 8, 16, 3) == 70
    assert cycles_streamed("ws", 8, 8, 4, 3) == 42
    assert cycles_streamed("ws", 8, 8, 1, 5) == 55
    assert cycles_streamed("ws", 4, 6, 9, 4) == 48
    assert cycles_streamed("os", 4, 6, 9, 3) == 35
    assert cycles_streamed("os", 8, 8, 3, 4) == 41


def test_other_rows_of_the_sheet():
    assert cycles_isolated("is", 4, 6, 9) == cycles_isolated("ws", 4, 6, 9)
    assert cycles_isolated("broadcast", 4, 6, 9) == 9
    assert cycles_isolated("tree", 1, 4, 64, lanes=16) == 4 + 4
    assert cycles_isolated("cube", 4, 4, 8, lanes=8) == 1 + 3
    assert cycles_streamed("broadcast", 4, 4, 9, 6) == 54
    assert cycles_streamed("tree", 1, 4, 33, 6, lanes=16) == 18
    assert cycles_streamed("cube", 4, 4, 33, 6, lanes=16) == 18


@pytest.mark.parametrize(
    ("rows", "columns", "k", "tiles"), [(4, 6, 9, 3), (8, 8, 3, 4), (1, 1, 1, 2)]
)
def test_output_stationary_array_in_registers(rows, columns, k, tiles):
    """Skewed operands, one register a hop, a new tile every max(k, rows) cycles."""
    rng = np.random.default_rng(k)
    a, w = rng.integers(-9, 9, (tiles, rows, k)), rng.integers(-9, 9, (tiles, k, columns))
    period, last = max(k, rows), 0
    right, down = np.zeros((2, rows, columns), dtype=int)
    tags = np.full((rows, columns), -1)
    sums = np.zeros((tiles, rows, columns), dtype=int)
    for now in range(tiles * period + rows + columns):
        right, down, tags = (np.roll(x, 1, axis) for x, axis in ((right, 1), (down, 0), (tags, 1)))
        for lane in range(max(rows, columns)):
            tile, step = divmod(now - lane, period)
            valid = 0 <= tile < tiles and step < k
            if lane < rows:
                right[lane, 0] = a[tile, lane, step] if valid else 0
                tags[lane, 0] = tile if valid else -1
            if lane < columns:
                down[0, lane] = w[tile, step, lane] if valid else 0
        for row, column in np.argwhere(tags >= 0):
            sums[tags[row, column], row, column] += right[row, column] * down[row, column]
            last = now + 1
    assert_array_equal(sums, a @ w)
    assert last == cycles_streamed("os", rows, columns, k, tiles)


def parameters(dataflow, rows, columns, lanes=1, **others):
    return {"dataflow": dataflow, "rows": rows, "columns": columns, "lanes": lanes, **others}


@pytest.mark.parametrize("flow", ["broadcast", "tree", "cube"])
def test_whole_jobs_of_sums_in_place(flow):
    fill = FILL[flow] + 1  # one for the copy of the sums
    # One step, then one row a cycle.
    assert cycles(parameters(flow, 4, 4), 4, 4, 1) - fill == 1 + 4
    # Rows bound: six tiles of two steps, four cycles apart; the last tile has one row.
    assert cycles(parameters(flow, 4, 4), 5, 12, 2) - fill == 2 + 5 * 4 + 1
    # Steps bound: six tiles of nine steps.
    assert cycles(parameters(flow, 4, 4, 4), 8, 12, 33) - fill == 6 * 9 + 4
    assert cycles(parameters(flow, 4, 4, 4, pipeline=2), 8, 12, 33) - fill == 6 * 9 + 4 + 2


def test_whole_jobs_of_systolic_arrays():
    # The last row of a full tile comes the cycle after the last multiplication.
    whole = cycles(parameters("os", 4, 6), 12, 6, 9) - FILL["os"]
    assert whole == cycles_streamed("os", 4, 6, 9, 3) + 1
    for flow in ("ws", "is"):
        p = parameters(flow, 8, 8, depth=16)
        sizes = (16, 8) if flow == "ws" else (8, 16)
        assert cycles(p, *sizes, 24) - FILL[flow] == cycles_streamed("ws", 8, 8, 16, 3) + 1
        # Tiles of 16 and then 4 rows, which a load of 8 cycles outlasts.
        sizes = (20, 8) if flow == "ws" else (8, 20)
        assert cycles(p, *sizes, 16) - FILL[flow] == 8 + (16 + 16 + 8) + 4 + 14 + 1


def test_long_jobs_use_the_array():
    """Multiplications of a long job over those of an array that never waits (issue 4: 99 %)."""
    for flow in FILL:
        p = parameters(flow, 8, 8, 4, depth=256)
        m, n, k = 256, 256, 1024
        assert m * n * k / (8 * 8 * 4) / cycles(p, m, n, k) > 0.99


def test_a_vector_uses_an_array_that_loads_tiles():
    """HSA: all cells work for one row of activations, where a tile a cycle comes."""
    p = parameters("ws", 8, 8, depth=64)
    assert 1024 * 1024 / 64 / cycles({**p, "load": "tile"}, 1, 1024, 1024) > 0.99
    assert 1024 * 1024 / 64 / cycles(p, 1, 1024, 1024) < 0.13
