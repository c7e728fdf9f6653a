# SPDX-License-Identifier: Apache-2.0
"""A comes as the engine's packer would send it, from as few reads as there is room for."""

import numpy as np
import pytest

from hw.coprocessor.params import CoprocessorParams
from hw.coprocessor.row_buffer import RowBuffer
from sim.golden.mpgemm.frame import pack_act
from tests.hw.coprocessor.memory import Feed, rows_of

#: Rows, columns, lanes, activation, bus; each buffer has 1 KiB.
SHAPES = {
    "word of one step": (2, 3, 8, "int8", 64),
    "word of many steps": (3, 2, 1, "int4", 64),
    "word of two beats": (4, 2, 8, "int8", 32),
    "one row": (1, 4, 4, "int8", 32),
    "one step a beat": (4, 1, 4, "int8", 32),
    "odd codes": (2, 2, 2, "e2m3", 128),
}


def feed(shape: str, m: int, n: int, k: int, *, skew: int = 0, gap: int = 0, **bus: float) -> Feed:
    """Read A of (m, k) for n columns; see that beats are those of the golden packer."""
    rows, columns, lanes, act, width = SHAPES[shape]
    flow = "cube" if lanes > 1 else "broadcast"
    engine = f"array --dataflow {flow} --rows {rows} --columns {columns} --lanes {lanes} "
    params = CoprocessorParams(engine=f"{engine} --format int2 --act {act}", data_width=width,
                               act_kib=1, max_burst=4)  # fmt: skip
    rng = np.random.default_rng(m + n + k)
    a = rng.integers(0, 1 << params.shape.lane_bits, (m, k))
    lines = rows_of(a, params.act_slot)
    stride = len(lines[0]) + gap
    image = bytearray(skew)
    for line in lines:
        image += line + bytes(gap)
    image = image[: len(image) - gap] if gap else image
    dut = RowBuffer(params)
    beats = pack_act({"rows": rows, "columns": columns, "lanes": lanes, "act": act}, a, columns)
    tiles = -(-n // columns)
    found = Feed(dut, dut.act, bytes(image), **bus).run(  # type: ignore[arg-type]
        tiles * len(beats), 20, m=m, n=n, last_step=-(-k // lanes) - 1, row_bytes=len(lines[0]),
        address=skew, stride=stride,
    )  # fmt: skip
    exists = mask_of(params, m, k)
    for at, (word, last) in enumerate(found.beats):
        at, tile = at % len(beats), at // len(beats)
        assert word & exists[at] == beats[at] & exists[at], (tile, at)
        assert last == (at == len(beats) - 1)
    return found


def mask_of(params: CoprocessorParams, m: int, k: int) -> list[int]:
    """Return for each beat of a packet which bits are codes of A."""
    bits, depth, masks = params.shape.lane_bits, params.depth, []
    for top in range(0, m, params.rows):
        for step in range(0, k, depth):
            mask = 0
            for r in range(min(params.rows, m - top)):
                count = min(depth, k - step) * bits
                mask |= (1 << count) - 1 << r * depth * bits
            masks.append(mask)
    return masks


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(1, 1, 1), (7, 5, 13), (4, 4, 16), (5, 1, 67)])
def test_beats_are_those_of_the_packer(shape: str, size: tuple[int, int, int]) -> None:
    feed(shape, *size, skew=size[0], gap=size[1], pause=0.3)


def test_what_fits_is_read_once() -> None:
    # 64 words of 8 bytes for each of two rows: eight row tiles of eight words.
    found = feed("word of one step", 16, 9, 64, latency=20)
    assert found.words == 16 * 8
    assert sorted(found.commands) == [(64 * r + at, 32) for r in range(16) for at in (0, 32)]


def test_what_does_not_fit_is_read_for_each_column_tile() -> None:
    found = feed("word of one step", 17, 9, 64, latency=20)
    assert found.words == 3 * 17 * 8
    found = feed("word of one step", 16, 9, 65, pause=0.3)
    assert found.words == 3 * 16 * 9
    found = feed("word of two beats", 9, 7, 97, pause=0.3)
    assert found.words == 4 * 9 * 25


def test_a_step_leaves_in_every_cycle() -> None:
    # Once read, one after the other; while it is read, as fast as the bus brings it.
    fill = 60
    found = feed("word of many steps", 9, 16, 64, latency=30)
    assert len(found.beats) == 3 * 8 * 64 and found.cycles <= len(found.beats) + fill
    found = feed("one row", 64, 4, 64, latency=30)
    assert found.cycles <= len(found.beats) + fill
    found = feed("one step a beat", 33, 2, 128, latency=30)  # four beats a step, twice
    assert found.words == 2 * 33 * 32 and found.cycles <= found.words + fill


def test_requests_come_before_their_turn() -> None:
    # Of rows that do not fit, a quarter of the buffer is asked for within as many cycles.
    found = feed("one row", 64, 8, 64, latency=100)
    assert found.cycles <= 2 * 64 * 16 + 100 + 60
