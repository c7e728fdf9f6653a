# SPDX-License-Identifier: Apache-2.0
"""AXI4-Streams and the register slice that ends combinational paths at a boundary."""

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RegisterSlice", "axis", "whole_bytes"]


def whole_bytes(bits: int) -> int:
    """Return the least number of bits that is at least ``bits`` and fills whole bytes."""
    return -(-bits // 8) * 8


def axis(
    bits: int, *, keep: bool = False, user: int = 0, last: bool = True, pad: bool = True
) -> stream.Signature:
    """Return the signature of an AXI4-Stream whose ``tdata`` holds at least ``bits``.

    ``user`` is the width of ``tuser``. Emission names a stream's ports ``<stream>_tvalid``,
    ``<stream>_tready`` and ``<stream>_<field>`` where it has the field ``tdata``.
    """
    width = whole_bytes(bits) if pad else bits
    fields: dict[str, Any] = {"tdata": unsigned(width)}
    if keep:
        fields["tkeep"] = unsigned(width // 8)
    if user:
        fields["tuser"] = unsigned(user)
    if last:
        fields["tlast"] = unsigned(1)
    return stream.Signature(data.StructLayout(fields))


class RegisterSlice(wiring.Component):
    """Two places in a stream, so that no path leads from one side to the other.

    Parameters
    ----------
    signature : ``stream.Signature``

    Members
    -------
    i : ``In(signature)``
    o : ``Out(signature)``

    Timing
    ------
    One beat per cycle; a beat is offered one cycle after it was accepted.
    """

    latency = 1

    def __init__(self, signature: stream.Signature):
        self._shape = signature.members["payload"].shape
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        held = Signal(self._shape, reset_less=True)
        spare = Signal(self._shape, reset_less=True)
        waits = Signal()  # a beat stands in ``spare``
        moving = Signal()
        m.d.comb += [
            moving.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(~waits),
            self.o.payload.eq(held),
        ]
        with m.If(moving):
            m.d.sync += [waits.eq(0), self.o.valid.eq(self.i.valid | waits)]
            with m.If(waits):
                m.d.sync += held.eq(spare)
            with m.Else():
                m.d.sync += held.eq(self.i.payload)
        with m.Else():
            m.d.sync += waits.eq(waits | self.i.valid)
        with m.If(~waits):
            m.d.sync += spare.eq(self.i.payload)
        return m
