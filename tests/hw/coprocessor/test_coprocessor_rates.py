# SPDX-License-Identifier: Apache-2.0
"""The whole co-processor, compiled: how fast it is, what it counts, what it copies."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from gen.emit import emit
from gen.unit import discover
from sim.coprocessor import MemoryModel, SimTransport

LATENCY = 100
ENGINE = "array --dataflow os --arch multiply --format int8"
#: A row of results is four bus words, as with 16 columns on a bus of 128 bits.
SMALL = {"engine": f"{ENGINE} --rows 4 --columns 4", "data_width": 32, "wgt_kib": 2}
LARGE = {"engine": f"{ENGINE} --rows 16 --columns 16", "preset": "ultra96"}


def device(params: dict[str, Any], **memory: Any) -> Accelerator:
    """Return a driver of the emitted Verilog."""
    unit = discover()["coprocessor"]
    text, manifest = emit(unit, unit.params(**params))
    model = MemoryModel(**{"read_latency": LATENCY, **memory})
    return Accelerator(SimTransport(text, manifest, model), manifest, timeout=3000)


@pytest.fixture(scope="module")
def small() -> Iterator[Accelerator]:
    with device(SMALL) as found:
        yield found


def busy(board: Accelerator, m: int, n: int, k: int) -> dict[str, int]:
    """Compute a product; return the counters."""
    rng = np.random.default_rng(m)
    a, w = rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))
    board.clear_counters()
    assert (board.gemm(a, w) == a @ w).all()
    return board.counters()


def test_the_array_works_in_95_cycles_of_100(small: Accelerator) -> None:
    counters = busy(small, 32, 32, 128)
    assert counters["compute"] == 64 * 128
    assert counters["busy"] <= 64 * 128 / 0.95


def test_the_bus_brings_weights_in_95_cycles_of_100(small: Accelerator) -> None:
    counters = busy(small, 1, 384, 128)
    words = 96 * 128 + 32
    assert counters["rd_bytes"] == 4 * words
    assert counters["busy"] <= words / 0.95


@pytest.mark.deep
def test_a_large_array_works_in_95_cycles_of_100() -> None:
    with device(LARGE) as board:
        assert busy(board, 256, 256, 256)["busy"] <= 256 * 256 / 0.95
        assert busy(board, 1, 4096, 256)["busy"] <= (256 * 256 + 16) / 0.95


def test_bytes_are_counted_as_memory_sees_them() -> None:
    with device(SMALL, seed=1, stalls={"w": 60, "aw": 30}) as board:
        here = board.transport.alloc(4096).address
        seen = 0
        for size, rows in ((1, 1), (3, 4), (2, 1), (5, 2), (1, 1)):
            before = board.counters()["wr_bytes"]
            board.copy(here, here + 2049, size, rows, target_stride=8)
            seen += size * rows
            assert board.counters()["wr_bytes"] - before == size * rows
        assert board.transport.statistics()["write_bytes"] == seen  # type: ignore[attr-defined]


@pytest.mark.parametrize("memory", [{}, {"seed": 3, "shy": True}])
def test_copies(memory: dict[str, Any]) -> None:
    rng = np.random.default_rng(5)
    with device(SMALL, **memory) as board:
        side = board.transport
        data = rng.integers(0, 256, 20_000, dtype=np.uint8)
        source, target = side.alloc(len(data), 4096), side.alloc(len(data), 4096)
        side.upload(source.address, data.tobytes())
        due, total = np.zeros(len(data), np.uint8), 0
        read = 0  # bytes of words
        side.upload(target.address, due.tobytes())
        for size, rows, a, c, a_stride, c_stride in (
            (1, 1, 0, 3, 1, 4), (5, 7, 1, 2, 9, 8), (129, 6, 4093, 1021, 130, 132),
            (7001, 2, 3, 5001, 7500, 7004),
        ):  # fmt: skip
            board.copy(
                source.address + a,
                target.address + c,
                size,
                rows,
                source_stride=a_stride,
                target_stride=c_stride,
            )
            for row in range(rows):
                due[c + row * c_stride :][:size] = data[a + row * a_stride :][:size]
                first = a + row * a_stride
                read += 4 * ((first + size + 3) // 4 - first // 4)
            total += size * rows
            assert side.download(target.address, len(data)) == due.tobytes()
        counters = board.counters()
        assert counters["wr_bytes"] == total and counters["macs"] == 0
        assert counters["rd_bytes"] == read
        a = rng.integers(-128, 128, (5, 9))
        assert (board.gemm(a, a.T) == a @ a.T).all()
        side.free(source)
        side.free(target)
