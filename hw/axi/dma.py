# SPDX-License-Identifier: Apache-2.0
"""Streams between an AXI4 master and its clients."""

from amaranth.lib import data, stream

__all__ = ["command", "read_beats", "write_beats"]


def command(addr_bits: int) -> stream.Signature:
    """Return the stream of commands: ``bytes`` bytes (at least one) from byte address ``addr``."""
    return stream.Signature(data.StructLayout({"addr": addr_bits, "bytes": 32}))


def read_beats(width: int) -> stream.Signature:
    """Return the stream of what was read, which its client can never refuse.

    The first byte of a command is in bits [7:0] of its first beat; ``last`` marks its last beat,
    in which the bytes beyond the command are undefined.
    """
    return stream.Signature(data.StructLayout({"data": width, "last": 1}), always_ready=True)


def write_beats(width: int) -> stream.Signature:
    """Return the stream of what is to be written, in the form of :func:`read_beats`."""
    return stream.Signature(data.StructLayout({"data": width, "last": 1}))
