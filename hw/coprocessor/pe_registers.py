# SPDX-License-Identifier: Apache-2.0
"""A processing element behind registers."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.axi.bus import Bus
from hw.axi.register_file import RegisterFile
from hw.pe.params import PEParams
from hw.pe.pe import PE, plain
from hw.spec.pe_registers import ERROR_FLAGS, pe_map
from hw.spec.registers import RegisterMap

__all__ = ["BRIDGE_ERRORS", "PERegisters", "registers_of"]

#: Flags of the register ERROR that a bridge raises, in order of its ``errors`` port.
BRIDGE_ERRORS = ("TIMEOUT", "COMMAND", "FRAMING", "OVERRUN")


def registers_of(params: PEParams) -> RegisterMap:
    """Return the register map of a processing element.

    Raises ``ValueError`` if it is not a streaming one or does not fit the map.
    """
    if params.core != "stream":
        raise ValueError(f"core must be stream behind registers, not {params.core!r}")
    if params.architecture.build is not plain:
        raise ValueError(
            f"arch must be one that takes a beat a cycle behind registers, such as shift-add, not "
            f"{params.architecture.name!r}"
        )
    return pe_map(
        params.resolved,
        act_bits=params.act_format.bits,
        weight_bits=params.weight_format.bits,
        lanes=params.lanes,
        acc_bits=params.acc_width,
        max_k=params.max_k,
        lam=params.lam,
        nan=params.has_nan,
    )


class PERegisters(wiring.Component):
    """Registers that feed the stream of a processing element and hold its result.

    Operands are staged in the ``A`` and ``W`` registers; a write to ``PUSH`` sends them as one
    beat. ``FEED`` takes operand words one after the other and pushes by itself. A result waits
    until ``POP``; the beat pushed behind it waits too, and keeps the registers busy.

    Parameters
    ----------
    params : :class:`hw.pe.params.PEParams`
        Of the processing element.
    address_width : int
        Bits of the byte address on the bus.

    Members
    -------
    bus : ``In(Bus(address_width))``
        Where accesses come from.
    errors : ``In(4)``
        Flags of :data:`BRIDGE_ERRORS` to raise, first one in bit 0.
    result, error : ``Out(1)``, ``Out(1)``
        A result waits; a sticky error is set.

    Timing
    ------
    An access is over one cycle after its request. A push reaches the processing element in the
    second cycle after the request; while it has to wait, ``STATUS.BUSY`` is set and operand writes
    and pushes are refused.
    """

    def __init__(self, params: PEParams, address_width: int):
        self.params = params
        self.registers = registers_of(params)
        super().__init__(
            {
                "bus": In(Bus(address_width)),
                "errors": In(len(BRIDGE_ERRORS)),
                "result": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        names = self.registers
        m.submodules.file = file = RegisterFile(names, self.bus.signature.address_width)
        m.submodules.pe = pe = PE(self.params)

        # A write to FEED is a write to the operand register whose turn it is.
        turn = Signal(range(names.feed + 1))
        feeding = Signal()
        first = names["A0"].offset
        wiring.connect(m, wiring.flipped(self.bus), file.bus)
        m.d.comb += feeding.eq(self.bus.write & (self.bus.address == names["FEED"].offset))
        with m.If(feeding):
            m.d.comb += file.bus.address.eq(first + (turn << 2))

        pending, last, resetting = Signal(), Signal(), Signal()
        m.d.comb += [
            file.busy.eq(pending | resetting),
            pe.i.valid.eq(pending),
            pe.i.payload.last.eq(last),
        ]
        for stem in "aw":
            words = [getattr(file, r.name.lower()) for r in names.vector(stem.upper())]
            m.d.comb += getattr(pe.i.payload, stem).as_value().eq(Cat(words))

        with m.If(pe.i.ready):
            m.d.sync += pending.eq(0)
        accepted = self.bus.request & feeding & ~file.busy
        with m.If(accepted & self.bus.strobe.any()):
            m.d.sync += turn.eq(turn + 1)
            with m.If(turn == names.feed - 1):
                m.d.sync += [turn.eq(0), pending.eq(1), last.eq(0)]
        with m.If(file.push_strobe):
            m.d.sync += [turn.eq(0), pending.eq(1), last.eq(file.push[0])]

        self._results(m, file, pe, pending, last, resetting, turn)
        return m

    def _results(
        self,
        m: Module,
        file: RegisterFile,
        pe: PE,
        pending: Signal,
        last: Signal,
        resetting: Signal,
        turn: Signal,
    ) -> None:
        """Add counts, the result registers, the error flags and the reset."""
        names, busy = self.registers, file.busy
        beats, results, closed = Signal(16), Signal(16), Signal(16)
        taken = pe.i.valid & pe.i.ready
        ending = Signal()  # the reset's own closing beat has been sent
        waiting = Signal()
        m.d.comb += [
            waiting.eq(pe.o.valid & ~resetting),
            pe.o.ready.eq(resetting | file.pop_strobe),
            self.result.eq(waiting),
            self.error.eq(file.error.any()),
        ]
        with m.If(taken):
            m.d.sync += [beats.eq(beats + 1), closed.eq(closed + last)]
        with m.If(pe.o.valid & pe.o.ready):
            m.d.sync += results.eq(results + 1)

        # The element has no reset but the device's: close whatever is open and drop what comes.
        with m.If(file.ctrl_strobe & file.ctrl[names["CTRL"].field("RESET").lsb]):
            m.d.sync += [resetting.eq(1), ending.eq(0), turn.eq(0)]
        with m.Elif(resetting & ~pending):
            with m.If(~ending):
                m.d.sync += [pending.eq(1), last.eq(1), ending.eq(1)]
            with m.Elif(closed == results):
                m.d.sync += [resetting.eq(0), beats.eq(0), results.eq(0), closed.eq(0)]

        status, result = names["STATUS"], names["RESULT"]
        idle = ~busy & (closed == results)
        flags = {"IDLE": idle, "BUSY": busy, "RESULT": waiting, "ERROR": self.error}
        for name, flag in flags.items():
            m.d.comb += file.status[status.field(name).lsb].eq(flag)
        m.d.comb += [
            file.count.eq(Cat(beats, results)),
            file.result[result.field("VALID").lsb].eq(waiting),
        ]
        if self.params.has_nan:
            m.d.comb += file.result[result.field("NAN").lsb].eq(waiting & pe.o.payload.nan)
        words = [getattr(file, r.name.lower()) for r in names.vector("ACC")]
        acc = Signal(signed(32 * len(words)))
        with m.If(waiting):
            m.d.comb += acc.eq(pe.o.payload.acc)
        m.d.comb += Cat(words).eq(acc)

        raised = {
            "BUSY": file.blocked,
            "EMPTY": file.pop_strobe & ~waiting,
            "ACCESS": file.bus.ack & file.bus.error,
        }
        for name, flag in [*raised.items(), *zip(BRIDGE_ERRORS, self.errors, strict=True)]:
            m.d.comb += file.error_set[list(ERROR_FLAGS).index(name)].eq(flag)
