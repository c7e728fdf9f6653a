# SPDX-License-Identifier: Apache-2.0
"""Address map behind a serial bridge: the device's registers, the bridge's own, and memory."""

from hw.spec.registers import WINDOW, Field, Register, RegisterMap

__all__ = [
    "BRIDGE_BASE",
    "BRIDGE_FLAGS",
    "BRIDGE_MAGIC",
    "DEVICE_BASE",
    "RAM_BASE",
    "bridge_map",
    "ram_base",
]

DEVICE_BASE = 0x0000_0000  #: The device's registers.
BRIDGE_BASE = WINDOW  #: Those of :func:`bridge_map`.
#: Memory, for the bridge and for the device's AXI4 master alike, if that has as many address bits.
RAM_BASE = 0x4000_0000

BRIDGE_MAGIC = int.from_bytes(b"BLBR", "little")

#: Sticky flags of the register FLAGS, from bit 0, and what raises them.
BRIDGE_FLAGS = {
    "REFUSED": "an access was answered with an error, whatever the reason",
    "TIMEOUT": "the bridge gave up a frame that took longer than 100 ms",
    "COMMAND": "the bridge swallowed a frame with an unknown command or of no words",
    "FRAMING": "the UART dropped a byte without a stop bit",
    "OVERRUN": "the UART dropped a byte because the bridge was still answering",
}


def ram_base(addr_bits: int) -> int:
    """Return where memory begins: at the half of what the device can address, if that is little."""
    return min(RAM_BASE, 1 << addr_bits - 1)


def bridge_map(ram_bytes: int, base: int = RAM_BASE) -> RegisterMap:
    """Return the registers of a bridge with ``ram_bytes`` of memory at ``base`` behind it."""
    flags = tuple(Field(name, k, 1, doc) for k, (name, doc) in enumerate(BRIDGE_FLAGS.items()))
    return RegisterMap(
        "bridge",
        (
            _constant("ID", 0x000, "what this is", "MAGIC", '"BLBR"', BRIDGE_MAGIC),
            _constant("RAM_BASE", 0x004, "where memory begins", "ADDRESS", "in bytes", base),
            _constant("RAM_BYTES", 0x008, "size of the memory", "BYTES", "in bytes", ram_bytes),
            Register("FLAGS", 0x00C, "W1C", "sticky errors", flags),
        ),
    )


def _constant(name: str, offset: int, doc: str, field: str, meaning: str, value: int) -> Register:
    return Register(name, offset, "RO", doc, (Field(field, 0, 32, meaning, value),), constant=True)
