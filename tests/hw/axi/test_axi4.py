# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/axi/axi4.py``: both masters as one bus, with a memory of cocotbext-axi."""

import re

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.axi.axi4 import axi4_read_ports, axi4_write_ports
from hw.axi.dma import command, read_beats, write_beats
from hw.axi.read_master import ReadMaster
from hw.axi.write_master import WriteMaster
from sim.runner import SimulationError, simulate
from tests.hw.axi.axi_bench import emit

LIMITS = {"max_burst": 4, "outstanding": 3}
IDS = {"arid": Out(1), "rid": In(1), "awid": Out(1), "bid": In(1)}


class Masters(wiring.Component):
    """A client for each master; IDs, as the memory wants them."""

    def __init__(self):
        super().__init__(
            {
                **axi4_read_ports("m_axi_", 20, 32),
                **axi4_write_ports("m_axi_", 20, 32),
                **{f"m_axi_{name}": member for name, member in IDS.items()},
                "ask": In(command(20)),
                "read": Out(read_beats(32)),
                "put": In(command(20)),
                "write": In(write_beats(32)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reads = reads = ReadMaster(20, 32, [1], **LIMITS)
        m.submodules.writes = writes = WriteMaster(20, 32, 1, **LIMITS)
        for part, ports in ((reads, axi4_read_ports), (writes, axi4_write_ports)):
            for name, member in ports("m_axi_", 20, 32).items():
                inner, outer = getattr(part, name), getattr(self, name)
                m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)
        wiring.connect(m, wiring.flipped(self.ask), reads.commands[0])
        wiring.connect(m, wiring.flipped(self.put), writes.commands[0])
        wiring.connect(m, wiring.flipped(self.write), writes.beats[0])
        wiring.connect(m, reads.beats[0], wiring.flipped(self.read))
        m.d.comb += self.done.eq(writes.done)
        m.d.comb += [self.m_axi_arid.eq(0), self.m_axi_awid.eq(0)]
        return m


def check(folder, mutate=lambda text: text):
    source = folder / "masters.v"
    source.write_text(mutate(emit(Masters(), "masters")), encoding="utf-8")
    return simulate([source], "masters", "tests.hw.axi.cocotb_axi_ram", folder / "run")


def test_with_a_standard_memory(tmp_path):
    assert check(tmp_path).tests == 1


def test_the_monitor_watches(tmp_path):
    """A master whose bursts are one word longer than they should be is found out."""

    def longer(text):
        length = r"assign m_axi_arlen = (\\[^;]+);"
        changed, count = re.subn(length, r"assign m_axi_arlen = \1 | 8;", text)
        assert count == 1
        return changed

    with pytest.raises(SimulationError, match="AR_LEN"):
        check(tmp_path, longer)


@pytest.mark.parametrize(
    ("master", "option", "message"),
    [
        (ReadMaster, {"data_width": 48}, "data_width .* not 48"),
        (ReadMaster, {"addr_bits": 12}, "addr_bits .* not 12"),
        (ReadMaster, {"max_burst": 3}, "max_burst .* not 3"),
        (ReadMaster, {"outstanding": 0}, "outstanding .* not 0"),
        (ReadMaster, {"aligns": [1, 3]}, r"aligns .* not \[1, 3\]"),
        (ReadMaster, {"aligns": []}, r"aligns .* not \[\]"),
        (WriteMaster, {"data_width": 16}, "data_width .* not 16"),
        (WriteMaster, {"clients": 0}, "clients .* not 0"),
        (WriteMaster, {"align": 6}, "align .* not 6"),
    ],
)
def test_refused(master, option, message):
    # Amaranth would say of what is not made that it is not used.
    quiet = type("Quiet", (master,), {"_MustUse__silence": True})
    first = {"aligns": [1]} if master is ReadMaster else {"clients": 1}
    with pytest.raises(ValueError, match=message):
        quiet(**{"addr_bits": 20, "data_width": 32, **first, **option})
