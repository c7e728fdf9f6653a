# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``fpga/driver/mapped.py`` and ``dma_buffer.py``, over plain files."""

import os

import pytest

from fpga.driver.mapped import DevmemTransport, UioTransport

BASE = 0x7010_0000


@pytest.fixture
def files(tmp_path):
    (tmp_path / "uio0").write_bytes(bytes(8192))
    (tmp_path / "udmabuf0").write_bytes(bytes(1 << 16))
    folder = tmp_path / "sysfs"
    folder.mkdir()
    (folder / "phys_addr").write_text(f"{BASE:#018x}\n")
    (folder / "size").write_text(f"{1 << 16}\n")
    return tmp_path


def attributes(folder):
    names = ("sync_offset", "sync_size", "sync_direction", "sync_for_device", "sync_for_cpu")
    return {name: (folder / name).read_text().strip() for name in names if (folder / name).exists()}


def test_registers_and_memory(files):
    board = DevmemTransport(
        4096, str(files / "udmabuf0"), path=str(files / "uio0"), sysfs=str(files / "sysfs")
    )
    board.write(0x20, [1, 2])
    assert board.read(0x24, 1) == [2]
    assert (files / "uio0").read_bytes()[4096 + 0x20] == 1
    first, second = board.alloc(100), board.alloc(100)
    assert (first.address, second.address) == (BASE, BASE + 128)
    board.upload(second.address + 1, b"abc")
    assert (files / "udmabuf0").read_bytes()[129:132] == b"abc"
    assert attributes(files / "sysfs") == {
        "sync_offset": "129",
        "sync_size": "3",
        "sync_direction": "1",
        "sync_for_device": "1",
    }
    assert board.download(second.address + 2, 2) == b"bc"
    found = attributes(files / "sysfs")
    assert (found["sync_direction"], found["sync_for_cpu"], found["sync_size"]) == ("2", "1", "2")
    board.free(second)
    assert board.alloc(50) == type(second)(BASE + 128, 50)
    assert not board.wait_interrupt(1)
    with pytest.raises(ValueError, match="are not in the device's memory"):
        board.upload(BASE + (1 << 16), b"a")
    board.close()


def test_missing(files):
    with pytest.raises(ValueError, match=r"memory .* cannot be opened: No such file"):
        DevmemTransport(0, str(files / "udmabuf0"), path=str(files / "none"))
    with pytest.raises(ValueError, match=r"buffer .* cannot be opened: No such file"):
        DevmemTransport(0, str(files / "udmabuf0"), path=str(files / "uio0"), sysfs="/nowhere")


def test_interrupt(files, monkeypatch):
    """UIO: a write of 1 enables, a read of four bytes waits and counts."""
    board = UioTransport(str(files / "uio0"), str(files / "udmabuf0"), sysfs=str(files / "sysfs"))
    event, enabled = os.pipe(), []
    os.set_blocking(event[0], False)
    os.close(board._file)
    board._file = event[0]
    real = os.write

    def write(file, data):
        if file != board._file:
            return real(file, data)
        enabled.append(data)
        return len(data)

    monkeypatch.setattr(os, "write", write)
    assert not board.wait_interrupt(0.01)
    real(event[1], (7).to_bytes(4, "little"))
    assert board.wait_interrupt(1)
    assert enabled == [b"\x01\0\0\0"] * 2
    assert not board.wait_interrupt(0)
    os.close(event[1])
    board.close()
    board.close()
