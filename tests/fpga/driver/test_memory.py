# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``fpga/driver/memory.py``: pieces never overlap, and come back."""

import numpy as np
import pytest

from fpga.driver.memory import Buffer, Heap


def test_any_order():
    heap, rng, taken = Heap(0x1001, 1 << 14), np.random.default_rng(1), []
    for _ in range(500):
        if taken and rng.random() < 0.5:
            heap.free(taken.pop(rng.integers(len(taken))))
            continue
        size, align = int(rng.integers(1, 900)), 1 << int(rng.integers(0, 8))
        try:
            found = heap.alloc(size, align)
        except ValueError:
            assert sum(buffer.size for buffer in taken) > 1 << 12
            continue
        assert found.size == size
        assert found.address % align == 0
        assert 0x1001 <= found.address and found.end <= 0x1001 + (1 << 14)
        assert not any(found.overlaps(other) for other in taken)
        taken.append(found)
    for buffer in taken:
        heap.free(buffer)
    assert heap.alloc(1 << 14, 1) == Buffer(0x1001, 1 << 14)


def test_refusals():
    heap = Heap(0, 100)
    first = heap.alloc(60, 1)
    with pytest.raises(ValueError, match="of 100 bytes has no 41 in one piece, 40 are free"):
        heap.alloc(41, 1)
    heap.free(first)
    with pytest.raises(ValueError, match="no buffer of 60 bytes is taken at 0x0"):
        heap.free(first)
    for size, align in ((0, 1), (1, 3), (1, 0)):
        with pytest.raises(ValueError, match="align a power of two"):
            heap.alloc(size, align)
    assert heap.check(90, 10) == 90
    with pytest.raises(ValueError, match="11 bytes at 0x5a are not in the device's memory"):
        heap.check(90, 11)
