# SPDX-License-Identifier: Apache-2.0
"""Ports of an AXI4 master with one ID, so without ID ports."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Member, Out
from amaranth.utils import exact_log2

__all__ = [
    "ATTRIBUTES",
    "PAGE",
    "axi4_read_ports",
    "axi4_write_ports",
    "check_bus",
    "drive_attributes",
]

#: Bytes of the blocks whose boundaries no burst may cross.
PAGE = 4096

#: What a master says of its accesses: AxCACHE, AxPROT and AxQOS.
ATTRIBUTES = data.StructLayout({"cache": 4, "prot": 3, "qos": 4})

_INCR = 0b01


def axi4_read_ports(prefix: str, addr_bits: int, data_width: int) -> dict[str, Member]:
    """Return the ports of a master's channels AR and R, named ``<prefix>araddr`` and so on."""
    ports = {
        **_address("ar", addr_bits),
        "rdata": In(data_width),
        "rresp": In(2),
        "rlast": In(1),
        "rvalid": In(1),
        "rready": Out(1),
    }
    return {prefix + name: member for name, member in ports.items()}


def axi4_write_ports(prefix: str, addr_bits: int, data_width: int) -> dict[str, Member]:
    """Return the ports of a master's channels AW, W and B, named ``<prefix>awaddr`` and so on."""
    ports = {
        **_address("aw", addr_bits),
        "wdata": Out(data_width),
        "wstrb": Out(data_width // 8),
        "wlast": Out(1),
        "wvalid": Out(1),
        "wready": In(1),
        "bresp": In(2),
        "bvalid": In(1),
        "bready": Out(1),
    }
    return {prefix + name: member for name, member in ports.items()}


def _address(channel: str, addr_bits: int) -> dict[str, Member]:
    fields = {"addr": addr_bits, "len": 8, "size": 3, "burst": 2, "lock": 1}
    fields |= {"cache": 4, "prot": 3, "qos": 4, "valid": 1}
    ports = {channel + name: Out(width) for name, width in fields.items()}
    return {**ports, f"{channel}ready": In(1)}


def check_bus(addr_bits: int, data_width: int, max_burst: int, outstanding: int) -> None:
    """Raise ``ValueError`` for a bus or a limit that a master cannot have."""
    if data_width not in (2**n for n in range(5, 11)):
        raise ValueError(f"data_width must be a power of two from 32 to 1024, not {data_width!r}")
    if not 12 < addr_bits <= 64:
        raise ValueError(f"addr_bits must be from 13 to 64, not {addr_bits!r}")
    if max_burst not in (2**n for n in range(9)):
        raise ValueError(f"max_burst must be a power of two up to 256, not {max_burst!r}")
    if not 1 <= outstanding <= 128:
        raise ValueError(f"outstanding must be from 1 to 128, not {outstanding!r}")


def drive_attributes(m: Module, master: Any, channel: str, quiet: Any) -> None:
    """Drive what channel AR or AW of ``master`` says beside address and length.

    ``attr`` is looked at only while ``quiet``, so that no channel changes its mind under VALID.
    """
    held = Signal(ATTRIBUTES, name=f"{channel}_attributes")
    with m.If(quiet):
        m.d.sync += held.eq(master.attr)
    size = exact_log2(master.data_width // 8)
    fixed = {"size": size, "burst": _INCR, "lock": 0}
    shown = {"cache": held.cache, "prot": held.prot, "qos": held.qos}
    for name, value in {**fixed, **shown}.items():
        m.d.comb += getattr(master, f"{master.prefix}{channel}{name}").eq(value)
