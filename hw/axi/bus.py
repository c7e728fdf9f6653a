# SPDX-License-Identifier: Apache-2.0
"""The register bus inside a device: one 32-bit access at a time."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Bus"]


class Bus(wiring.Signature):
    """Bus from a bridge (``Out``) to registers (``In``).

    Members
    -------
    request : ``Out(1)``
        High for one cycle: the other ``Out`` members describe an access. The next request comes
        only after ``ack``.
    address : ``Out(address_width)``
        Byte address.
    write, data, strobe : ``Out(1)``, ``Out(32)``, ``Out(4)``
        Direction, and for a write its word and which of its bytes are meant. They and ``address``
        stay until ``ack``.
    ack : ``In(1)``
        High for one cycle, later than ``request``: the access is over.
    value, error : ``In(32)``, ``In(1)``
        With ``ack``: the word that was read (0 if none), and whether the access was refused. Both
        are 0 without.
    """

    def __init__(self, address_width: int):
        self.address_width = address_width
        super().__init__(
            {
                "request": Out(1),
                "address": Out(address_width),
                "write": Out(1),
                "data": Out(32),
                "strobe": Out(4),
                "ack": In(1),
                "value": In(32),
                "error": In(1),
            }
        )
