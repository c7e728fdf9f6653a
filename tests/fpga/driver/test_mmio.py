# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``fpga/driver/mmio.py``, over a plain file."""

import mmap

import pytest

from fpga.driver.mmio import MmioTransport

PAGE = mmap.ALLOCATIONGRANULARITY


@pytest.fixture
def memory(tmp_path):
    path = tmp_path / "memory"
    path.write_bytes(bytes(3 * PAGE))
    return path


def test_words_are_little_endian_and_in_place(memory):
    window = MmioTransport(str(memory), PAGE)
    window.write(0x10, [0x0403_0201, 0x8877_6655])
    window.write(0x20, [1, 2, 3], fixed=True)
    assert window.read(0x10, 2) == [0x0403_0201, 0x8877_6655]
    window.close()
    data = memory.read_bytes()
    assert data[PAGE + 0x10 : PAGE + 0x18] == bytes.fromhex("01 02 03 04 55 66 77 88")
    assert data[PAGE + 0x20 : PAGE + 0x28] == bytes.fromhex("03 00 00 00 00 00 00 00")
    assert not any(data[:PAGE]) and not any(data[2 * PAGE :])


@pytest.mark.parametrize(("address", "words"), [(2, 1), (-4, 1), (0x1000, 1), (0xFFC, 2)])
def test_accesses_outside_the_window(memory, address, words):
    window = MmioTransport(str(memory), size=0x1000)
    with pytest.raises(ValueError, match="are not in the mapped window"):
        window.read(address, words)
    with pytest.raises(ValueError, match="are not in the mapped window"):
        window.write(address, [0] * words)
    window.close()


@pytest.mark.parametrize(
    ("path", "offset", "message"),
    [
        ("/nowhere/mem", 0, "memory '/nowhere/mem' cannot be opened: No such file or directory"),
        (None, 0x10, "address must be a multiple of 4096, not 0x10"),
        (None, 1 << 20, "cannot be mapped at 0x100000"),
    ],
)
def test_bad_windows(memory, path, offset, message):
    with pytest.raises(ValueError, match=message):
        MmioTransport(path or str(memory), offset)
