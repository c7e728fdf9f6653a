# SPDX-License-Identifier: Apache-2.0
"""What a co-processor reports when a descriptor fails."""

from fpga.driver.transport import DeviceError
from hw.spec.coprocessor import ERROR_MEANINGS

__all__ = ["AcceleratorError"]

_BUS = range(1, 5)  #: Codes whose address is that of a burst.


class AcceleratorError(DeviceError):
    """A descriptor ended with an error code.

    ``address`` is the burst's for errors of the bus, else the descriptor's, 0 where there is none;
    ``descriptor`` is its index in the queue, ``None`` for one that was started directly.
    """

    def __init__(self, code: int, address: int = 0, descriptor: int | None = None) -> None:
        known = code < len(ERROR_MEANINGS)
        told = ERROR_MEANINGS[code] if known else "unknown to this driver"
        where = f" at {address:#x}" if code in _BUS else ""
        which = "" if descriptor is None else f", descriptor {descriptor} of the queue"
        super().__init__(f"error {code}{which}: {told}{where}")
        self.code, self.address, self.descriptor = code, address, descriptor
