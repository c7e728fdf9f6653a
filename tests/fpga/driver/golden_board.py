# SPDX-License-Identifier: Apache-2.0
"""Devices for the driver to talk to, made of the golden model: at once, and over a terminal."""

import contextlib
import os
import select
import threading
import time
import tty

from fpga.driver.transport import DeviceError
from sim.golden.coprocessor.device import Device
from sim.golden.coprocessor.pe_uart import Bridge


class GoldenTransport:
    """A transport without a link; ``spoil(self, kind, address)`` may do harm before an access."""

    def __init__(self, parameters, spoil=lambda *_: None):
        self.device, self.spoil, self.accesses = Device(parameters), spoil, 0

    def read(self, address, words):
        self.spoil(self, "read", address)
        self.accesses += words
        return [self.device.read(address + 4 * k)[0] for k in range(words)]

    def write(self, address, words, *, fixed=False):
        if self.spoil(self, "write", address) == "lose":
            return
        self.accesses += len(words)
        for k, word in enumerate(words):
            if self.device.write(address + 4 * k * (not fixed), word):
                raise DeviceError(f"write to {address:#x} was refused")

    def close(self):
        pass


@contextlib.contextmanager
def golden_board(parameters, spoil=lambda k, byte: bytes([byte])):
    """Yield ``(path, device)`` of a pseudo-terminal with the golden device behind it.

    ``spoil(k, byte)`` returns the bytes that arrive for the k-th byte a host sends. A silence of
    100 ms makes the bridge forget an open frame, as the real one does.
    """
    master, slave = os.openpty()
    tty.setraw(slave)
    device, over = Device(parameters), threading.Event()

    def serve():
        bridge, count, heard = Bridge(device), 0, time.monotonic()
        while not over.is_set():
            if not select.select([master], [], [], 0.02)[0]:
                continue
            data = os.read(master, 4096)
            if time.monotonic() - heard > 0.1:
                bridge = Bridge(device)
            heard = time.monotonic()
            for byte in data:
                for arrived in spoil(count, byte):
                    os.write(master, bridge.feed(arrived))
                count += 1

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave), device
    finally:
        over.set()
        thread.join()
        os.close(master)
        os.close(slave)
