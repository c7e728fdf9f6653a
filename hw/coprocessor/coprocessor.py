# SPDX-License-Identifier: Apache-2.0
"""The matrix co-processor: registers on one side, memory on the other, an engine between them."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.axi.axi4 import axi4_read_ports, axi4_write_ports
from hw.axi.axi_lite import AxiLiteSlave, axi_lite_ports
from hw.axi.bus import Bus
from hw.axi.read_master import ReadMaster
from hw.axi.write_master import WriteMaster
from hw.coprocessor.control import Control
from hw.coprocessor.control_facts import facts_of
from hw.coprocessor.datapath import Datapath
from hw.coprocessor.engine_facts import EngineFacts
from hw.coprocessor.params import CoprocessorParams
from hw.coprocessor.sizes import expected
from hw.spec.coprocessor import DESCRIPTOR_BYTES
from hw.spec.registers import WINDOW

__all__ = [
    "ADDRESS_WIDTH",
    "MEMORY",
    "PREFIX",
    "Coprocessor",
    "CoprocessorCore",
    "contract_of",
    "memory_ports",
    "notes_of",
]

ADDRESS_WIDTH = WINDOW.bit_length() - 1  #: Of the AXI4-Lite slave.
PREFIX, MEMORY = "s_axi_ctrl_", "m_axi_"


def memory_ports(params: CoprocessorParams) -> dict[str, Any]:
    """Return the ports of the AXI4 master."""
    shape = (MEMORY, params.addr_bits, params.data_width)
    return axi4_read_ports(*shape) | axi4_write_ports(*shape)


def notes_of(params: CoprocessorParams) -> tuple[str, ...]:
    """Return what a reader of the output should know of choices that were made."""
    found = [getattr(part.engine_params, "notes", ()) for part in params.parts]
    return tuple(dict.fromkeys(note for notes in found for note in notes))


def contract_of(params: CoprocessorParams) -> dict[str, Any]:
    """Return what a host has to know, for the manifest."""
    engines = [_engine_contract(params, part) for part in params.parts]
    return {
        **engines[0],
        **({"engines": engines} if len(engines) > 1 else {}),
        "build": params.registers["BUILD"].reset,
        "rows": params.rows,
        "columns": params.columns,
        "c_bytes": params.c_bytes,
        "accumulate": params.accumulate,
        "a_word": params.act_word,
        "a_depth": params.act_depth,
        "data_width": params.data_width,
        "addr_bits": params.addr_bits,
        "size_bits": params.size_bits,
        "expected": expected(params),
        "features": params.features,
        "max_burst": params.max_burst,
        "outstanding": params.outstanding,
        "registers": params.registers.describe(),
    }


def _engine_contract(params: CoprocessorParams, part: EngineFacts) -> dict[str, Any]:
    """Return what a host has to know of one of the engines."""
    unit, *_ = part.text.split(maxsplit=1)
    return {
        "engine": {"unit": unit, "parameters": part.engine_params.resolved},
        "depth": part.depth,
        "max_k": part.max_k,
        "beats": part.beats,
        "macs_per_cycle": part.macs_per_step,
        "act_slot": part.act_slot,
        "w_slot": part.w_slot,
        "s_slot": part.s_slot,
        "group_steps": part.group_steps,
        "act_scale": part.act_scale,
        "c_signed": part.signed,
        "c_format": part.engine_params.epilogue.out_format(part.shape),
        "formats": {"a_fmt": part.a_format, "w_fmt": part.w_format},
        "layout": part.layout,
        "w_depth": params.wgt_depth * params.wgt_word // (8 * part.w_slot),
        "s_depth": params.scale_depth * params.scale_word // (8 * part.s_slot or 1),
    }


def _ones(bits: Value) -> Value:
    """Return how many bits are 1, by a tree."""
    half = len(bits) // 2
    return _ones(bits[:half]) + _ones(bits[half:]) if half else bits


class CoprocessorCore(wiring.Component):
    """Control, datapath and AXI4 master, behind a bus of registers.

    Parameters
    ----------
    params : :class:`hw.coprocessor.params.CoprocessorParams`

    Members
    -------
    bus : ``In(Bus(12))``
        Accesses of the registers.
    m_axi_araddr ... m_axi_bready
        AXI4 master, one ID, see :mod:`hw.axi.axi4`.
    interrupt, busy, error : ``Out(1)``
        A level; STATUS.BUSY; STATUS.ERROR.

    Timing
    ------
    Those of :class:`~hw.coprocessor.control.Control` and its neighbours. No output depends
    combinationally on an input.
    """

    def __init__(self, params: CoprocessorParams):
        self.params = params
        super().__init__(
            {
                "bus": In(Bus(ADDRESS_WIDTH)),
                **memory_ports(params),
                "interrupt": Out(1),
                "busy": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        facts, word = facts_of(params), params.bus_bytes
        m.submodules.control = control = Control(
            params.registers, facts, params.perf, params.protected
        )
        m.submodules.datapath = datapath = Datapath(params)
        limits = (params.max_burst, params.outstanding)
        bus = (params.addr_bits, params.data_width)
        aligns = {"a": 1, "w": params.w_align, "s": params.s_align, "r": 1}
        kinds = datapath.kinds
        fetches = [DESCRIPTOR_BYTES] if params.queue else []
        m.submodules.read = read = ReadMaster(
            *bus,
            [*fetches, *(aligns[kind] for kind in kinds)],
            *limits,
            max_bytes=params.max_read,
        )
        m.submodules.write = write = WriteMaster(
            *bus, 1 + params.queue, 1, *limits, max_bytes=params.max_write
        )
        for ports, master in ((axi4_read_ports, read), (axi4_write_ports, write)):
            for name, member in ports(MEMORY, *bus).items():
                outer, inner = getattr(self, name), getattr(master, name)
                m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)

        wiring.connect(m, wiring.flipped(self.bus), control.bus)
        wiring.connect(m, control.job, datapath.job)
        for place, kind in enumerate(kinds, len(fetches)):
            wiring.connect(m, getattr(datapath, f"{kind}_command"), read.commands[place])
            wiring.connect(m, read.beats[place], getattr(datapath, f"{kind}_beat"))
        wiring.connect(m, datapath.c_command, write.commands[0])
        wiring.connect(m, datapath.c_beat, write.beats[0])
        if params.queue:
            wiring.connect(m, control.cmd, read.commands[0])
            wiring.connect(m, read.beats[0], control.beats)
            wiring.connect(m, control.record_cmd, write.commands[1])
            wiring.connect(m, control.record_beats, write.beats[1])
            m.d.comb += control.record_done.eq(write.done[1])
        m.d.comb += [
            datapath.c_written.eq(write.done[0]),
            control.done.eq(datapath.done),
            control.engine_error.eq(datapath.engine_error),
            control.nan.eq(datapath.nan),
            control.corrected.eq(datapath.corrected),
            control.detected.eq(datapath.detected),
            control.idle.eq(read.idle & write.idle),
            control.progress.eq(
                read.burst | read.beat | write.burst | write.beat | self.m_axi_bvalid
            ),
            datapath.clear.eq(control.clear),
            self.interrupt.eq(control.interrupt),
            self.busy.eq(control.busy),
            self.error.eq(control.error),
        ]
        for master, fault in ((read, control.read_fault), (write, control.write_fault)):
            m.d.comb += [
                master.stop.eq(control.stop),
                master.clear.eq(control.clear),
                master.attr.eq(control.attr),
                fault.valid.eq(master.fault),
                fault.code.eq(master.code),
                fault.addr.eq(master.addr),
            ]
        if params.perf:
            # Like the masters' pulses a cycle late, or a word would be counted by the next one's.
            moved, wrote = self.m_axi_wvalid & self.m_axi_wready, Signal(word)
            m.d.sync += wrote.eq(self.m_axi_wstrb & moved.replicate(word))
            m.d.comb += [
                control.rd_bursts.eq(read.burst),
                control.wr_bursts.eq(write.burst),
                control.rd_bytes.eq(read.beat << word.bit_length() - 1),
                control.wr_bytes.eq(_ones(wrote)),
            ]
            counted = (
                "compute",
                "load_wait",
                "store_wait",
                "stall_backpressure",
                "macs",
                "lookups",
            )
            m.d.comb += [getattr(control, n).eq(getattr(datapath, n)) for n in counted]
        return m


class Coprocessor(wiring.Component):
    """The co-processor behind an AXI4-Lite slave.

    Parameters
    ----------
    params : :class:`hw.coprocessor.params.CoprocessorParams`

    Members
    -------
    s_axi_ctrl_awaddr ... s_axi_ctrl_rready
        See :func:`hw.axi.axi_lite.axi_lite_ports`; 12 address bits.
    m_axi_araddr ... m_axi_bready, interrupt
        See :class:`CoprocessorCore`.

    Timing
    ------
    As :class:`hw.axi.axi_lite.AxiLiteSlave` and :class:`CoprocessorCore`. The emitted module has
    the clock ``aclk`` and the synchronous reset ``aresetn``, active low.
    """

    clock_names = ("aclk", "aresetn")

    def __init__(self, params: CoprocessorParams):
        self.params = params
        self.notes, self.contract = notes_of(params), contract_of(params)
        super().__init__(
            {**axi_lite_ports(PREFIX, ADDRESS_WIDTH), **memory_ports(params), "interrupt": Out(1)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.slave = slave = AxiLiteSlave(ADDRESS_WIDTH)
        m.submodules.core = core = CoprocessorCore(self.params)
        wiring.connect(m, slave.bus, core.bus)
        for name, member in axi_lite_ports("", ADDRESS_WIDTH).items():
            outer, inner = getattr(self, PREFIX + name), getattr(slave, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        for name, member in memory_ports(self.params).items():
            outer, inner = getattr(self, name), getattr(core, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        m.d.comb += self.interrupt.eq(core.interrupt)
        return m
