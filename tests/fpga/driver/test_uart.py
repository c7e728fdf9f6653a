# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``fpga/driver/uart.py``."""

import os
import threading

import pytest

from fpga.driver.transport import DeviceError
from fpga.driver.uart import UartTransport, frame, words_per_frame
from hw.pe.params import PEParams
from tests.fpga.driver.golden_board import golden_board

PARAMETERS = PEParams(format="int4", act="int8", lanes=4).resolved
SCRATCH = 0x1C


def test_the_example_of_the_protocol():
    assert frame(1, 0x4000_0000, 1, [0xDEAD_BEEF]).hex(" ") == "01 01 10 00 00 00 de ad be ef"
    assert frame(2, 0x4000_0000, 1).hex(" ") == "02 01 10 00 00 00"


@pytest.mark.parametrize(
    ("baud", "words"), [(115_200, 142), (9600, 10), (2400, 1), (1_000_000, 255), (19_200, 22)]
)
def test_frames_are_bounded_as_litex_does(baud, words):
    assert words_per_frame(baud) == words


def test_words_arrive():
    with golden_board(PARAMETERS) as (path, device):
        port = UartTransport(path, timeout=10)
        assert port.read(0, 1) == [0x4550_4C42]
        port.write(SCRATCH, [1])
        port.write(SCRATCH, [2, 3, 0x8000_0004], fixed=True)
        assert port.read(SCRATCH, 1) == [0x8000_0004]
        # Longer than a frame, and read over more than one.
        port.write(0x100, [*range(1, 161)])
        assert port.read(0, 160)[:2] == [0x4550_4C42, 0x0100_0000]
        assert device.kept["A0"] == 1
        port.close()
        port.close()


def test_a_lost_byte_of_a_read_is_made_good():
    lost = []

    def spoil(k, byte):
        if k == 8 and not lost:
            lost.append(k)
            return b""
        return bytes([byte])

    with golden_board(PARAMETERS, spoil) as (path, _):
        port = UartTransport(path, timeout=0.3)
        assert port.read(0, 1) == [0x4550_4C42]
        assert port.read(0, 2) == [0x4550_4C42, 0x0100_0000]
        assert lost
        port.close()


def test_half_a_frame_of_an_earlier_host_is_forgotten():
    with golden_board(PARAMETERS) as (path, _):
        file = os.open(path, os.O_RDWR | os.O_NOCTTY)
        os.write(file, frame(1, SCRATCH, 20, [7]))
        os.close(file)
        port = UartTransport(path, timeout=0.3)
        assert port.read(0, 1) == [0x4550_4C42]
        port.close()


def test_silence_is_one_clear_line():
    with golden_board(PARAMETERS, lambda k, byte: b"") as (path, _):
        port = UartTransport(path, timeout=0.05, retries=1)
        with pytest.raises(DeviceError, match=f"no answer from {path} at 115200 baud: 0 of 4 byt"):
            port.read(0, 1)
        port.close()


def test_the_other_side_closes():
    master, slave = os.openpty()
    port = UartTransport(os.ttyname(slave), timeout=10)
    os.close(slave)
    threading.Timer(0.2, os.close, (master,)).start()
    with pytest.raises(DeviceError, match="is gone"):
        port.read(0, 1)
    port.close()


def test_a_port_has_one_user():
    with golden_board(PARAMETERS) as (path, _):
        port = UartTransport(path)
        with pytest.raises(ValueError, match=f"port '{path}' is in use by another program"):
            UartTransport(path)
        port.close()
        UartTransport(path).close()


@pytest.mark.parametrize(
    ("port", "baud", "message"),
    [
        (
            "/nowhere/tty",
            115_200,
            "port '/nowhere/tty' cannot be opened: No such file or directory",
        ),
        ("/dev/null", 115_200, "port '/dev/null' is no serial port"),
        ("a\0b", 115_200, "cannot be opened: embedded null byte"),
        ("/dev/null", 115_201, "baud 115201 is no rate of a serial port"),
        ("/dev/null", 300, "baud must be at least 2000 for a frame to pass in time, not 300"),
    ],
)
def test_bad_ports(port, baud, message):
    with pytest.raises(ValueError, match=message):
        UartTransport(port, baud)
