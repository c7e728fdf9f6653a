# SPDX-License-Identifier: Apache-2.0
"""Faults of the whole co-processor, and the scene that sees each.

Each is a change to a line of a component, made by ``coprocessor_damaged`` when the Verilog is
emitted; a line that is not there, or more than once, fails the test.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hw.axi.read_master import ReadMaster
from hw.axi.register_file import RegisterFile
from hw.axi.splitter import BurstSplitter
from hw.axi.write_master import WriteMaster
from hw.coprocessor.control import Control
from hw.coprocessor.control_errors import ErrorLog
from hw.coprocessor.control_ring import Ring as QueueRing
from hw.coprocessor.control_words import DescriptorWords
from hw.coprocessor.coprocessor import CoprocessorCore
from hw.coprocessor.datapath import Datapath
from hw.coprocessor.panel_buffer import PanelBuffer
from hw.coprocessor.ring import Ring
from hw.coprocessor.row_buffer import RowBuffer
from hw.coprocessor.row_walk import RowWalk, Summands
from hw.coprocessor.store import Store
from hw.mpgemm.sequencer import Sequencer
from tests.sim import coprocessor_scenes as scenes

__all__ = ["FAULTS", "LONG", "SCENES", "UPSET", "Fault", "Scene"]

Scene = Callable[..., None]


@dataclass(frozen=True)
class Fault:
    """A line of a component, what it becomes where ``BAD`` is 1, and the scene that sees it."""

    part: type
    line: str
    becomes: str
    scene: Scene
    message: str  #: What the scene says, a pattern.


#: That the engine reports an error, which no descriptor brings about.
UPSET = "packet of A ends early"

_DIFFERS, _RULE = "bytes differ", "breaks a rule of its bus: .*"

FAULTS: dict[str, Fault] = {
    "strobe of a byte missing": Fault(
        WriteMaster,
        "& ~self.stop\n            for k in range(size)",
        "& ~self.stop & ~(BAD & (k == 3))\n            for k in range(size)",
        scenes.products,
        _DIFFERS,
    ),
    "strobes of the first beat all set": Fault(
        WriteMaster, "| ~opens)", "| ~opens | BAD)", scenes.products, _DIFFERS
    ),
    "strobes of the last beat all set": Fault(
        WriteMaster, "| ~closes)", "| ~closes | BAD)", scenes.products, _DIFFERS
    ),
    "strobes stay during an abort": Fault(
        WriteMaster,
        "& ~self.stop & ~(",
        "& ~(self.stop & ~BAD) & ~(",
        scenes.aborts,
        "neither old nor new",
    ),
    "lanes of A beyond K kept": Fault(
        Sequencer,
        'masked(m, shape, "act", act.payload.tdata, left_k, shape.depth)',
        'Mux(BAD, act.payload.tdata, masked(m, shape, "act", act.payload.tdata, left_k, '
        "shape.depth))",
        scenes.products,
        _DIFFERS,
    ),
    "columns beyond N counted": Fault(
        RowWalk,
        "Mux(closes_n, left_n, columns)",
        "Mux(closes_n & ~BAD, left_n, columns)",
        scenes.products,
        _DIFFERS,
    ),
    "weights not replayed": Fault(
        Ring,
        "again, stays = closes & ~closes_m & ~self.streams, ~closes_m & ~self.streams",
        "again, stays = closes & ~closes_m & ~self.streams & ~BAD, ~closes_m & ~self.streams",
        scenes.products,
        _DIFFERS + "|hangs",
    ),
    "activations not replayed": Fault(
        Ring,
        "again, stays = closes_tile & ~closes_n & ~self.streams, ~closes_n & ~self.streams",
        "again, stays = closes_tile & ~closes_n & ~self.streams & ~BAD, "
        "~closes_n & ~self.streams",
        scenes.products,
        _DIFFERS + "|hangs",
    ),
    "replayed weights overwritten": Fault(
        Ring,
        "self.free.eq(Mux(stays, begin, place))",
        "self.free.eq(Mux(stays & ~BAD, begin, place))",
        scenes.long_products,
        _DIFFERS + "|hangs",
    ),
    "weights that stream are not read again": Fault(
        PanelBuffer,
        "here.eq(Mux(never, beyond, panel) if any_never else panel)",
        "here.eq(Mux(BAD, beyond, Mux(never, beyond, panel) if any_never else panel))",
        scenes.long_products,
        _DIFFERS,
    ),
    "activations that stream are not read again": Fault(
        RowBuffer,
        "m.d.sync += [here.eq(self.address), chunk.eq(self.address)]",
        "m.d.sync += [here.eq(Mux(BAD, following, self.address)), chunk.eq(self.address)]",
        scenes.long_products,
        _DIFFERS,
    ),
    "credit of A": Fault(
        RowBuffer,
        '~above[-1] | row.any(), "room"',
        '~above[-1] | row.any() | BAD, "room"',
        scenes.long_products,
        _DIFFERS + "|hangs",
    ),
    "credit of W": Fault(
        PanelBuffer, '~above[-1], "room"', '~above[-1] | BAD, "room"', scenes.long_products,
        _DIFFERS + "|hangs",
    ),
    "more bursts in flight than promised": Fault(
        WriteMaster,
        "flight.w_rdy & fill.w_rdy & address.i.ready & ~self.stop",
        "(flight.w_rdy & fill.w_rdy | BAD) & address.i.ready & ~self.stop",
        scenes.products,
        _RULE + "more than 4 AW bursts are outstanding",
    ),
    "row stride of A": Fault(
        RowBuffer,
        "(here + self.stride)[: len(here)]",
        "(here + Mux(BAD, self.row_bytes, self.stride))[: len(here)]",
        scenes.products,
        _DIFFERS,
    ),
    "row stride of C": Fault(
        RowWalk,
        "self.at.eq(self.at + self.stride)",
        "self.at.eq(self.at + Mux(BAD, self.bytes, self.stride))",
        scenes.products,
        _DIFFERS,
    ),
    "stride of W": Fault(
        PanelBuffer,
        "Mux(self.stride.any(), panel",
        "Mux(self.stride.any() & ~BAD, panel",
        scenes.products,
        _DIFFERS,
    ),
    "what is added is beside it": Fault(
        Summands,
        "self.command.payload.addr.eq(walk.at)",
        "self.command.payload.addr.eq(walk.at + Mux(BAD, 4, 0))",
        scenes.products,
        _DIFFERS,
    ),
    "more rows of C are asked for than there is room": Fault(
        Summands,
        "room = there != self.ahead",
        "room = (there != self.ahead) | BAD",
        scenes.products,
        f"{_DIFFERS}|it hangs",
    ),
    "rows of C read for a job that does not add": Fault(
        Summands,
        "walk.start.eq(self.start & self.on)",
        "walk.start.eq(self.start & (self.on | BAD))",
        scenes.products,
        f"{_DIFFERS}|it hangs",
    ),
    "relu": Fault(
        Store,
        'self.activation == ACTIVATIONS["relu"], "rectifies"',
        '(self.activation == ACTIVATIONS["relu"]) & ~BAD, "rectifies"',
        scenes.products,
        _DIFFERS,
    ),
    "clamp without sign": Fault(
        Store,
        "below = value < self.low",
        "below = Mux(BAD, plain < self.low.as_unsigned(), value < self.low)",
        scenes.products,
        _DIFFERS,
    ),
    "C done before it is written": Fault(
        Store,
        'ending & ~walk.active & ~waiting.any(), "rests"',
        'ending & ~walk.active & (~waiting.any() | BAD), "rests"',
        scenes.products,
        _DIFFERS,
    ),
    "bursts across 4 KiB": Fault(
        BurstSplitter,
        "Mux(near, self.max_burst - word[:low], self.max_burst)",
        "Mux(near & ~BAD, self.max_burst - word[:low], self.max_burst)",
        scenes.products,
        _RULE + "crosses 4 KiB",
    ),
    "WLAST one beat early": Fault(
        WriteMaster,
        "words.i.payload.eq(Cat(shifted, strobes, ends))",
        "words.i.payload.eq(Cat(shifted, strobes, ends | BAD & (number + 1 == head.len)))",
        scenes.products,
        _RULE + "WLAST comes 1 beats early",
    ),
    "WLAST missing": Fault(
        WriteMaster,
        "out = words.o.payload",
        "out = Cat(words.o.payload[:-1], words.o.payload[-1] & ~BAD)",
        scenes.products,
        _RULE + "WLAST is missing",
    ),
    "W waits for AW": Fault(
        WriteMaster,
        'self._axi("wvalid").eq(words.o.valid),\n            words.o.ready.eq(self._axi("wready"))',
        'self._axi("wvalid").eq(words.o.valid & ~(BAD & self._axi("awvalid"))),\n            '
        'words.o.ready.eq(self._axi("wready") & self._axi("wvalid"))',
        scenes.products,
        "hangs|taken back",
    ),
    "RLAST not looked at": Fault(
        ReadMaster,
        "bad.eq(response.any() | (rlast != ends))",
        "bad.eq(response.any() | (rlast != ends) & ~BAD)",
        scenes.ends,
        "ERR_CODE is 0, not 1",
    ),
    "a cut burst is waited for": Fault(
        ReadMaster,
        "flight.r_en.eq(came & (ends | rlast))",
        "flight.r_en.eq(came & (ends | rlast & ~BAD))",
        scenes.ends,
        "hangs",
    ),
    "DECERR of a read told as SLVERR": Fault(
        ReadMaster,
        "self.code.eq(Mux(response == 0b11, DECERR, SLVERR))",
        "self.code.eq(Mux((response == 0b11) & ~BAD, DECERR, SLVERR))",
        scenes.refusals,
        "ERR_CODE is 1, not 2",
    ),
    "DECERR of a write told as SLVERR": Fault(
        WriteMaster,
        "self.code.eq(Mux(response == 0b11, DECERR, SLVERR))",
        "self.code.eq(Mux((response == 0b11) & ~BAD, DECERR, SLVERR))",
        scenes.refusals,
        "ERR_CODE is 3, not 4",
    ),
    "bad responses of writes not looked at": Fault(
        WriteMaster,
        "self.fault.eq(came & response.any())",
        "self.fault.eq(came & response.any() & ~BAD)",
        scenes.refusals,
        "ERR_CODE is 0, not [34]",
    ),
    "address of the error one burst on": Fault(
        ReadMaster,
        "self.addr.eq(head.burst.word << place)",
        "self.addr.eq((head.burst.word + (BAD << 2)) << place)",
        scenes.refusals,
        "ERR_ADDR is",
    ),
    "AR taken back by an abort": Fault(
        ReadMaster,
        "self._axi(\"arvalid\").eq(address.o.valid)",
        "self._axi(\"arvalid\").eq(address.o.valid & ~(BAD & self.stop))",
        scenes.aborts,
        "hangs|AR changes while it waits, or is taken back",
    ),
    "AW taken back by an abort": Fault(
        WriteMaster,
        "self._axi(\"awvalid\").eq(address.o.valid)",
        "self._axi(\"awvalid\").eq(address.o.valid & ~(BAD & self.stop))",
        scenes.aborts,
        "hangs|AW changes while it waits, or is taken back",
    ),
    "abort does not wait for the bus": Fault(
        Control,
        "count.eq(Mux(self.idle, count + 1, 0))\n                with m.If(count == QUIET):\n"
        "                    m.d.comb += self.clear.eq(self.idle)",
        "count.eq(Mux(self.idle | BAD, count + 1, 0))\n                with m.If(count == QUIET):"
        "\n                    m.d.comb += self.clear.eq(self.idle | BAD)",
        scenes.aborts,
        _DIFFERS + "|hangs|rule",
    ),
    "abort leaves a command": Fault(
        BurstSplitter, "with m.If(self.clear):", "with m.If(self.clear & ~BAD):", scenes.aborts,
        _DIFFERS + "|hangs",
    ),
    "queue index not wrapped": Fault(
        QueueRing,
        "place.eq(self.tail & (size - 1))",
        "place.eq(Mux(BAD, self.tail, self.tail & (size - 1)))",
        scenes.queues,
        _DIFFERS,
    ),
    "queue indices of 17 bits": Fault(
        QueueRing,
        "pending.eq(self.head - self.tail)",
        "pending.eq(Mux(BAD & (self.head < self.tail), 0, self.head - self.tail))",
        scenes.wraps,
        "STATUS",
    ),
    "records all in one place": Fault(
        QueueRing,
        "addend.eq(place << _RECORD)",
        "addend.eq(Mux(BAD, 0, place << _RECORD))",
        scenes.queues,
        _DIFFERS,
    ),
    "the last error is kept": Fault(
        ErrorLog,
        "(self.clear | (self.shown.code == 0))",
        "(self.clear | (self.shown.code == 0) | BAD)",
        scenes.errors,
        "'ERR_CODE', \\(6, 0\\), 5",
    ),
    "overflow of the queue not told": Fault(
        QueueRing,
        "self.overflow.eq(pending > size)",
        "self.overflow.eq((pending > size) & ~BAD)",
        scenes.errors,
        "ERR_CODE is [0-9]+, not 10",
    ),
    "clearing wins over an event": Fault(
        RegisterFile,
        "(value & ~clear | raised)",
        "Mux(BAD, (value | raised) & ~clear, value & ~clear | raised)",
        scenes.races,
        "lost after",
    ),
    "guarded registers written while busy": Fault(
        RegisterFile,
        "blocked.eq(bus.write & self.busy)",
        "blocked.eq(bus.write & self.busy & ~BAD)",
        scenes.busy,
        "QBASE_LO",
    ),
    "DIRECT written while it is read": Fault(
        DescriptorWords,
        "beats.valid | running & direct",
        "beats.valid | running & direct & ~BAD",
        scenes.shadows,
        _DIFFERS + "|STATUS",
    ),
    "DIRECT not written while busy": Fault(
        Control,
        "resetting | registers.soft_reset",
        "resetting | registers.soft_reset | self.busy & BAD",
        scenes.shadows,
        "DIRECT15",
    ),
    "START while busy not told": Fault(
        Control,
        "with m.Elif(registers.start & ~resting):",
        "with m.Elif(registers.start & ~resting & ~BAD):",
        scenes.busy,
        "ERR_CODE is 0, not 10",
    ),
    "bytes without a strobe counted": Fault(
        CoprocessorCore,
        "wrote.eq(self.m_axi_wstrb & ",
        "wrote.eq((self.m_axi_wstrb | (BAD).replicate(word)) & ",
        scenes.counts,
        "counters are",
    ),
    "products counted while nothing moves": Fault(
        Datapath,
        "Mux(Cat(*acts).any(), own(",
        "Mux(Cat(*acts).any() | BAD, own(",
        scenes.counts,
        "counters are",
    ),
    UPSET: Fault(
        RowBuffer,
        "act.payload.tlast.eq(ring.items.payload.last)",
        "act.payload.tlast.eq(ring.items.payload.last | BAD)",
        scenes.products,
        _DIFFERS,
    ),
}  # fmt: skip

#: What the faults are looked for with.
SCENES = sorted({fault.scene for fault in FAULTS.values()}, key=lambda scene: scene.__name__)

#: Scenes that take a minute.
LONG = (scenes.wraps,)
