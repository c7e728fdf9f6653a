# SPDX-License-Identifier: Apache-2.0
"""Flat ports: the names a person expects in Verilog, wired to the members of a component."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import ClockDomain, Module, Signal, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import data, stream, wiring

__all__ = ["Port", "flat_ports", "named_clock", "wire_up"]


@dataclass(frozen=True)
class Port:
    """One port of the emitted module and the piece of the component it stands for."""

    name: str
    direction: str  #: ``"in"`` or ``"out"``.
    value: Any
    signed: bool = False
    stream: str | None = None  #: Name of the stream it belongs to.
    role: str = "data"  #: ``"valid"``, ``"ready"``, ``"payload"`` or ``"data"``.

    @property
    def width(self) -> int:
        return len(Value.cast(self.value))


def _pieces(name: str, direction: str, value: Any, **kind: Any) -> list[Port]:
    if isinstance(value, data.View) and isinstance(value.shape(), data.StructLayout):
        return [
            port
            for key, _ in value.shape()
            for port in _pieces(f"{name}_{key}", direction, value[key], **kind)
        ]
    cast = Value.cast(value)
    return [Port(name, direction, cast, cast.shape().signed, **kind)]


def flat_ports(component: wiring.Component) -> list[Port]:
    """Return the ports of ``component``: streams as ``x_valid``, ``x_ready`` and ``x_<field>``.

    A stream with the field ``tdata`` gets the names of AXI4-Stream, ``x_tvalid`` and ``x_tready``.
    """
    ports: list[Port] = []
    for name, member in component.signature.members.items():
        value, flow = getattr(component, name), member.flow
        direction, other = ("in", "out") if flow == wiring.In else ("out", "in")
        if member.is_port:
            ports += _pieces(name, direction, value)
        elif isinstance(member.signature, (stream.Signature, wiring.FlippedSignature)):
            struct = isinstance(value.payload, data.View)
            stem = name if struct else f"{name}_payload"
            t = "t" if struct and "tdata" in dict(value.payload.shape()) else ""  # AXI4-Stream
            ports.append(
                Port(f"{name}_{t}valid", direction, value.valid, stream=name, role="valid")
            )
            ports.append(Port(f"{name}_{t}ready", other, value.ready, stream=name, role="ready"))
            ports += _pieces(stem, direction, value.payload, stream=name, role="payload")
        else:
            raise TypeError(f"member {name!r}: only ports and streams can be made flat")
    return ports


def wire_up(m: Module, ports: list[Port]) -> dict[str, tuple[Any, PortDirection]]:
    """Add the flat ports to ``m`` and return them as :func:`amaranth.back.rtlil.convert` wants."""
    table: dict[str, tuple[Any, PortDirection]] = {}
    for port in ports:
        wire = Signal.like(port.value, name=port.name)
        if port.direction == "in":
            m.d.comb += port.value.eq(wire)
            table[port.name] = (wire, PortDirection.Input)
        else:
            m.d.comb += wire.eq(port.value)
            table[port.name] = (wire, PortDirection.Output)
    return table


def named_clock(m: Module, clock: str, reset: str) -> dict[str, tuple[Any, PortDirection]]:
    """Drive the clock domain of ``m`` from ports of these names.

    The reset is active low if its name ends with n.
    """
    m.domains.sync = domain = ClockDomain("sync")
    domain.clk, port = Signal(name=clock), Signal(name=reset)
    m.d.comb += domain.rst.eq(~port if reset.endswith("n") else port)
    return {clock: (domain.clk, PortDirection.Input), reset: (port, PortDirection.Input)}
