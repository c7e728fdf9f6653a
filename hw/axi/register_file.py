# SPDX-License-Identifier: Apache-2.0
"""Registers from a register map."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.axi.bus import Bus
from hw.spec.registers import Register, RegisterMap

__all__ = ["RegisterFile"]


class RegisterFile(wiring.Component):
    """Decode a register map and hold what is written.

    Parameters
    ----------
    registers : :class:`hw.spec.registers.RegisterMap`
        What there is; constants need no port.
    address_width : int
        Bits of the byte address; any bit above the map's window makes an access unmapped.

    Members
    -------
    bus : ``In(Bus(address_width))``
        Where accesses come from.
    busy : ``In(1)``
        While high, writes to guarded registers are refused.
    blocked : ``Out(1)``
        With ``bus.ack``: the access was refused for that reason.
    <name> : ``In(32)`` of an ``RO`` register, ``Out(32)`` of any other
        Value of the register, called as in the map but in lower case. For ``WO`` it is the word
        just written and counts only in the cycle of the strobe.
    <name>_strobe : ``Out(1)``
        High for one cycle after a write to a ``WO`` register with at least one byte enabled.
    <name>_set : ``In(32)``
        Flags of a ``W1C`` register to raise; this wins over a write that clears them.

    Timing
    ------
    ``ack`` and what was written appear in the cycle after ``request``; ``RO`` values are sampled
    in the cycle of the request. Every output comes from a register.
    """

    def __init__(self, registers: RegisterMap, address_width: int):
        self.registers = registers
        members: dict[str, Any] = {"bus": In(Bus(address_width)), "busy": In(1)}
        members["blocked"] = Out(1)
        for register in registers.registers:
            name = register.name.lower()
            if register.constant:
                continue
            members[name] = In(32) if register.access == "RO" else Out(32)
            if register.access == "WO":
                members[f"{name}_strobe"] = Out(1)
            elif register.access == "W1C":
                members[f"{name}_set"] = In(32)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bus = self.bus
        enabled = Cat(bit.replicate(8) for bit in bus.strobe)
        error, blocked, value = Signal(), Signal(), Signal(32)
        m.d.comb += error.eq(1)
        with m.Switch(bus.address):
            for register in self.registers.registers:
                with m.Case(register.offset):
                    read_only = bus.write if register.access == "RO" else 0
                    if register.guarded:
                        m.d.comb += blocked.eq(bus.write & self.busy)
                    m.d.comb += error.eq(read_only | blocked)
                    if register.access != "WO":
                        m.d.comb += value.eq(self._word(register))

        for register in self.registers.registers:
            if register.access != "RO":
                written = Signal(name=f"written_{register.name.lower()}")
                hit = bus.address == register.offset
                m.d.comb += written.eq(bus.request & bus.write & ~blocked & hit)
                self._store(m, register, written, enabled)

        m.d.sync += [
            bus.ack.eq(bus.request),
            bus.error.eq(bus.request & error),
            self.blocked.eq(bus.request & blocked),
            bus.value.eq(Mux(bus.request & ~bus.write & ~error, value, 0)),
        ]
        return m

    def _word(self, register: Register) -> Any:
        if register.constant:
            return register.reset
        return getattr(self, register.name.lower()) & register.mask

    def _store(self, m: Module, register: Register, written: Signal, enabled: Any) -> None:
        """Add the storage of a register that can be written."""
        name, bus = register.name.lower(), self.bus
        value = getattr(self, name)
        if register.access == "WO":
            strobe = getattr(self, f"{name}_strobe")
            m.d.sync += strobe.eq(written & bus.strobe.any())
            m.d.sync += value.eq(bus.data & enabled & register.mask)
        elif register.access == "W1C":
            clear = Mux(written, bus.data & enabled, 0)
            raised = getattr(self, f"{name}_set")
            m.d.sync += value.eq((value & ~clear | raised) & register.mask)
        else:
            kept = Signal(32, init=register.reset, name=f"kept_{name}")
            m.d.comb += value.eq(kept)
            with m.If(written):
                m.d.sync += kept.eq((kept & ~enabled | bus.data & enabled) & register.mask)
