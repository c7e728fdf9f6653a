# SPDX-License-Identifier: Apache-2.0
"""Packed operands come slot by slot, panel by panel, from as few reads as there is room for."""

import numpy as np
import pytest

from hw.coprocessor.panel_buffer import PanelBuffer
from hw.coprocessor.params import CoprocessorParams
from tests.hw.coprocessor.memory import Feed

#: Lanes and columns of int4 weights, so bytes of a slot; data width.
SHAPES = {
    "slots of a byte": (1, 2, 64),
    "padded slots": (1, 6, 32),
    "slot as wide as the bus": (4, 4, 64),
    "slot of four beats": (8, 8, 64),
    "wide bus": (8, 8, 256),
}


def feed(
    shape: str,
    m: int,
    panels: int,
    slots: int,
    *,
    stride: int = 0,
    kind: str = "wgt",
    kib: int = 1,
    pause: float = 0.0,
    latency: int = 3,
) -> Feed:
    """Read panels for m rows of C; see that their slots come for each row tile."""
    lanes, columns, width = SHAPES[shape]
    flow = "cube" if lanes > 1 else "broadcast"
    engine = f"array --dataflow {flow} --rows 2 --columns {columns} --lanes {lanes} --format int4"
    if kind == "scale":
        engine += f" --group {4 * lanes} --scale int8 --act-scale int8"
    params = CoprocessorParams(engine=engine, data_width=width, wgt_kib=kib, max_burst=4)
    dut = PanelBuffer(params, kind)
    rng = np.random.default_rng(slots)
    tiles = -(-m // 2)
    wanted, address = [], 0
    image = bytearray(
        rng.bytes((stride or slots * dut.slots[0] * tiles) * panels + slots * dut.slots[0])
    )
    for _ in range(panels):
        for tile in range(tiles):
            for slot in range(slots):
                begin = address + slot * dut.slots[0]
                word = int.from_bytes(image[begin : begin + dut.slots[0]], "little")
                last = tile == tiles - 1 and slot == slots - 1
                wanted.append((word & (1 << dut.bits["beats"]) - 1, last))
            if kind == "scale":
                address += slots * dut.slots[0]
        if kind == "wgt":
            address += stride or slots * dut.slots[0]
    found = Feed(dut, dut.beats, bytes(image), pause=pause, latency=latency).run(
        len(wanted), 20, m=m, n=panels * params.columns - 1, last_slot=slots - 1, stride=stride
    )
    assert found.beats == wanted
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(1, 1, 1), (5, 3, 7), (2, 4, 16), (3, 2, 33)])
def test_slots_come_in_order(shape: str, size: tuple[int, int, int]) -> None:
    feed(shape, *size, pause=0.3)
    feed(shape, *size, stride=1024 + 16, pause=0.3)


def test_scales_of_rows_are_read_once_each() -> None:
    found = feed("slots of a byte", 5, 3, 7, kind="scale", pause=0.3)
    size = found.dut.slots[0] * 7
    assert found.commands == [(size * i, size) for i in range(9)]


def test_a_panel_that_fits_is_read_once() -> None:
    # 128 slots of 8 bytes fit, 129 do not.
    found = feed("slot as wide as the bus", 9, 3, 128)
    assert found.words == 3 * 128
    found = feed("slot as wide as the bus", 9, 3, 129)
    assert found.words == 3 * 5 * 129
    found = feed("slot as wide as the bus", 2, 3, 129)  # one row tile: nothing comes again
    assert found.words == 3 * 129


def test_a_slot_leaves_in_every_cycle() -> None:
    fill = 40
    found = feed("slot as wide as the bus", 2, 8, 64, latency=20)
    assert found.cycles <= 8 * 64 + fill
    # The next panel is read while this one is sent, also where two do not fit.
    found = feed("slot as wide as the bus", 6, 8, 80, latency=20)
    assert found.cycles <= 8 * 3 * 80 + fill
    found = feed("slots of a byte", 6, 8, 80, latency=20)
    assert found.cycles <= 8 * 3 * 80 + fill
    found = feed("slot of four beats", 2, 8, 16, latency=20)
    assert found.cycles <= 8 * 16 * 4 + fill


def test_a_buffer_that_yields_asks_for_this_column_tile_only() -> None:
    params = CoprocessorParams(engine="array --rows 1 --columns 8 --format int8", max_burst=4)
    dut = PanelBuffer(params, "wgt")
    found = Feed(dut, dut.beats, bytes(1 << 10)).run(3, yields=1, m=1, n=24, last_slot=0)
    # One panel's slot is there before the next one is asked for.
    assert [address for address, _ in found.commands] == [0, 8, 16] and found.cycles >= 3 * 5
