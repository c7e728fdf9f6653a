# SPDX-License-Identifier: Apache-2.0
"""Formal properties of an AXI4 master without IDs, written from its ports alone.

Of the channels AW, W and AR, ``<c>``:

``<c>_reset``
    VALID is low in the cycle after one of reset.
``<c>_valid_kept``, ``<c>_payload_kept``
    What is offered stays until it is taken.

Of the addresses of AW and AR:

``<c>_form``, ``<c>_length``, ``<c>_page``
    Whole aligned words, INCR, no lock; no more than the limit; within 4 KiB.
``<c>_in_flight``
    No more bursts in flight than promised.

Of written data:

``w_last``
    WLAST is on the beat that AWLEN says and no other, whichever comes first.
``w_ahead``
    Data run ahead of addresses by no more bursts than may be in flight.
``w_outside``
    No strobe at a byte that is in no command: ``spot`` is any address, chosen once, that the
    harness's user keeps out of the commands.

Where the master has ``stop`` and ``idle``:

``idle_true``
    With ``idle`` no VALID is up and no burst in flight.
``comes_to_rest``
    While stopped, in front of a slave that takes and answers all it can, ``idle`` is high in time.

A slave is assumed that answers only what was asked, sets RLAST right, and keeps what it offers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["harness"]

_FIELDS = ("addr", "len", "size", "burst", "lock", "cache", "prot", "qos")


def harness(
    ports: Sequence[Mapping[str, Any]],
    module: str,
    top: str,
    *,
    max_burst: int,
    outstanding: int,
    prefix: str = "m_axi_",
    clock: str = "clk",
    reset: str = "rst",
    extra: Sequence[str] = (),
) -> str:
    """Return SystemVerilog for the module ``top``, which instantiates ``module``.

    ``ports`` are mappings with ``name``, ``dir`` and ``width``. All inputs are free; ``extra``
    lines may assume more of them, after ``rst``, ``past`` (no reset in the last cycle) and
    ``spot``. A reset whose name ends in ``n`` is active low.
    """
    widths = {p["name"]: p["width"] for p in ports}
    others = [p for p in ports if p["name"] not in (clock, reset)]
    inputs = [p for p in others if p["dir"] == "in"]
    addr_bits = next(
        widths[f"{prefix}{c}addr"] for c in ("aw", "ar") if f"{prefix}{c}addr" in widths
    )
    pins = {p["name"]: p["name"] for p in others} | {clock: "clk"}
    pins[reset] = "!rst" if reset.endswith("n") else "rst"
    heads = [
        "input clk",
        "input rst_free",
        f"input [{addr_bits - 1}:0] spot_free",
        *(f"input {_range(p['width'])}{p['name']}" for p in inputs),
    ]
    lines = [
        f"module {top}({', '.join(heads)});",
        "  reg started = 0; always @(posedge clk) started <= 1;",
        "  wire rst = !started || rst_free;",
        *(f"  wire {_range(p['width'])}{p['name']};" for p in others if p["dir"] == "out"),
        f"  {module} dut({', '.join(f'.{pin}({net})' for pin, net in pins.items())});",
        "  reg past = 0; always @(posedge clk) past <= !rst;",
        f"  reg [{addr_bits - 1}:0] spot = 0;",
        "  always @(posedge clk) if (!started) spot <= spot_free;",
    ]
    build = _Rules(widths, prefix, max_burst, outstanding)
    if f"{prefix}arvalid" in widths:
        lines += build.read()
    if f"{prefix}awvalid" in widths:
        lines += build.write()
    if {"stop", "idle"} <= set(widths):
        lines += build.rest()
    return "\n".join([*lines, *extra, "endmodule"]) + "\n"


class _Rules:
    def __init__(self, widths: Mapping[str, int], prefix: str, max_burst: int, outstanding: int):
        self.widths, self.prefix = widths, prefix
        self.max_burst, self.outstanding = max_burst, outstanding
        self.flight: list[str] = []  # counters of bursts in flight
        self.willing: list[str] = []  # what a slave does that takes and answers all it can
        self.valids: list[str] = []

    def name(self, pin: str) -> str:
        return self.prefix + pin

    def channel(self, c: str, fields: Sequence[str], of_master: bool) -> list[str]:
        """Return the transfer rules of a channel: asserted of the master, assumed of the slave."""
        valid, ready = self.name(f"{c}valid"), self.name(f"{c}ready")
        names = [self.name(c + f) for f in fields if self.name(c + f) in self.widths]
        payload, width = "{" + ", ".join(names) + "}", sum(self.widths[n] for n in names)
        lines = [
            f"  wire {c}_move = {valid} && {ready} && !rst;",
            f"  reg {c}_waited = 0; reg [{width - 1}:0] {c}_was;",
            "  always @(posedge clk) begin",
            f"    {c}_waited <= {valid} && !{ready} && !rst; {c}_was <= {payload};",
            "  end",
        ]
        rules = (f"{valid}", f"{payload} == {c}_was")
        if not of_master:
            kept = [f"assume ({rule});" for rule in rules]
            return [*lines, f"  always @* if (past && !rst && {c}_waited) begin", *kept, "  end"]
        self.valids.append(valid)
        self.willing.append(ready)
        return [
            *lines,
            f"  always @* if (past && !rst && {c}_waited) begin",
            f"    {c}_valid_kept: assert ({rules[0]});",
            f"    {c}_payload_kept: assert ({rules[1]});",
            "  end",
            f"  always @* if (!past && started) {c}_reset: assert (!{valid});",
            f"  always @* if (!rst) cover ({c}_move);",
            f"  always @* if (!rst) cover (past && {c}_waited && {c}_move);",
        ]

    def burst(self, c: str, answered: str) -> list[str]:
        """Return the rules of an address, and the count of bursts in flight."""
        at = {f: self.name(c + f) for f in _FIELDS}
        size = self.widths[self.name(("w" if c == "aw" else "r") + "data")] // 8
        log = size.bit_length() - 1
        bits = (self.outstanding + 1).bit_length() + 1
        self.flight.append(f"{c}_flight")
        offset = f"{at['addr']}[11:{log}]"
        return [
            f"  reg [{bits - 1}:0] {c}_flight = 0;",
            f"  always @(posedge clk) {c}_flight <= rst ? 0 : {c}_flight + {c}_move - {answered};",
            f"  always @* if (!rst && {self.name(c + 'valid')}) begin",
            f"    {c}_form: assert ({at['size']} == {log} && {at['burst']} == 1 && !{at['lock']}"
            f" && {at['addr']}[{log - 1}:0] == 0);",
            f"    {c}_length: assert ({at['len']} < {self.max_burst});",
            f"    {c}_page: assert ({{1'b0, {offset}}} + {at['len']} < {4096 // size});",
            "  end",
            f"  always @* if (!rst) {c}_in_flight: assert ({c}_flight <= {self.outstanding});",
            f"  always @* if (!rst) cover ({c}_flight == {self.outstanding});",
            f"  always @* if (!rst) cover ({c}_move && {at['len']} == {self.max_burst - 1});",
        ]

    def read(self) -> list[str]:
        """Return the rules of AR, and a slave that answers with words in order."""
        length, bits = self.name("arlen"), max(1, (self.max_burst - 1).bit_length())
        depth = 1 << max(1, (self.outstanding - 1).bit_length())
        index = depth.bit_length() - 1
        self.willing.append(f"({self.name('rvalid')} || ar_flight == 0)")
        return [
            *self.channel("ar", _FIELDS, True),
            *self.channel("r", ("data", "resp", "last"), False),
            *self.burst("ar", f"(r_move && {self.name('rlast')})"),
            f"  reg [{bits - 1}:0] r_len [0:{depth - 1}]; reg [{bits - 1}:0] r_at = 0;",
            f"  reg [{index - 1}:0] r_new = 0, r_old = 0;",
            "  always @(posedge clk) begin",
            f"    if (ar_move) r_len[r_new] <= {length};",
            "    r_new <= rst ? 0 : r_new + ar_move;",
            f"    r_old <= rst ? 0 : r_old + (r_move && {self.name('rlast')});",
            f"    r_at <= rst || (r_move && {self.name('rlast')}) ? 0 : r_at + r_move;",
            "  end",
            f"  always @* if (!rst && {self.name('rvalid')}) begin",
            "    assume (ar_flight != 0);",
            f"    assume ({self.name('rlast')} == (r_at == r_len[r_old]));",
            "  end",
            f"  always @* if (!rst) r_taken: assert ({self.name('rready')});",
            "  always @* if (!rst) cover (r_move);",
        ]

    def write(self) -> list[str]:
        """Return the rules of AW and W: bursts by number, address and data in either order."""
        size = self.widths[self.name("wdata")] // 8
        log, most = size.bit_length() - 1, self.max_burst
        bits = most.bit_length()
        depth = 1 << (2 * self.outstanding).bit_length()
        index = depth.bit_length() - 1
        addr, length = self.name("awaddr"), self.name("awlen")
        strb, last, bvalid = self.name("wstrb"), self.name("wlast"), self.name("bvalid")
        word = f"{addr}[{self.widths[addr] - 1}:{log}]"
        spot = f"spot[{self.widths[addr] - 1}:{log}]"
        hit = f"{strb}[spot[{log - 1}:0]]"
        self.flight.append("w_number != b_number")
        self.willing.append(f"({bvalid} || b_number == aw_number || b_number == w_number)")
        return [
            *self.channel("aw", _FIELDS, True),
            *self.channel("w", ("data", "strb", "last"), True),
            *self.channel("b", ("resp",), False),
            *self.burst("aw", "b_move"),
            f"  reg [{index - 1}:0] aw_number = 0, w_number = 0, b_number = 0;",
            f"  reg [{bits - 1}:0] w_at = 0, w_count [0:{depth - 1}], aw_len [0:{depth - 1}];",
            f"  reg [{self.widths[addr] - log - 1}:0] aw_word [0:{depth - 1}];",
            f"  reg [{most - 1}:0] w_now = 0, w_hits [0:{depth - 1}];",
            f"  wire [{index - 1}:0] aw_lead = aw_number - w_number;",
            f"  wire [{index - 1}:0] w_lead = w_number - aw_number;",
            f"  wire aw_first = aw_lead != 0 && aw_lead <= {self.outstanding};",
            f"  wire w_first = w_lead != 0 && w_lead <= {self.outstanding};",
            f"  wire [{most - 1}:0] w_bit = w_move && {hit} ? {most}'d1 << w_at : {most}'d0;",
            f"  wire [{most - 1}:0] w_here = w_now | w_bit;",
            f"  wire [{most}:0] aw_hits = {{1'b0, w_hits[aw_number]}} >> ({spot} - {word});",
            "  always @(posedge clk) begin",
            f"    if (aw_move) aw_len[aw_number] <= {length};",
            f"    if (aw_move) aw_word[aw_number] <= {word};",
            f"    if (w_move && {last}) begin",
            "      w_count[w_number] <= w_at; w_hits[w_number] <= w_here;",
            "    end",
            "    aw_number <= rst ? 0 : aw_number + aw_move;",
            f"    w_number <= rst ? 0 : w_number + (w_move && {last});",
            "    b_number <= rst ? 0 : b_number + b_move;",
            f"    w_at <= rst || (w_move && {last}) ? 0 : w_at + w_move;",
            f"    w_now <= rst || (w_move && {last}) ? 0 : w_here;",
            "  end",
            "  always @* if (!rst) begin",
            f"    if ({bvalid}) assume (b_number != aw_number && b_number != w_number);",
            f"    b_taken: assert ({self.name('bready')});",
            "    // Judged by whichever of address and data comes second.",
            "    if (w_move && aw_first) begin",
            f"      w_last: assert ({last} == (w_at == aw_len[w_number]));",
            f"      w_outside: assert (!({hit} && aw_word[w_number] + w_at == {spot}));",
            "    end",
            "    if (aw_move && w_first) begin",
            f"      w_last_before: assert (w_count[aw_number] == {length});",
            "      w_outside_before: assert (!aw_hits[0]);",
            "    end",
            "    if (aw_move && aw_number == w_number) begin",
            f"      if (w_move) w_last_same: assert ({last} == (w_at == {length}));",
            f"      if (!w_move) w_last_open: assert (w_at <= {length});",
            f"      w_outside_same: assert (!(w_here & ({most}'d1 << ({spot} - {word}))));",
            "    end",
            f"    w_ahead: assert (w_lead <= {self.outstanding} || aw_lead <= {self.outstanding});",
            f"    cover (w_move && {last} && w_first);",
            f"    cover (w_move && {strb} != 0 && {strb} != {{{size}{{1'b1}}}});",
            "  end",
        ]

    def rest(self) -> list[str]:
        """Return the rules of ``stop`` and ``idle``."""
        limit = 8 + 2 * self.outstanding * (self.max_burst + 2)
        bits = limit.bit_length() + 1
        moving = " || ".join(self.valids)
        flying = " || ".join(f"({f}) != 0" if " " not in f else f"({f})" for f in self.flight)
        willing = " && ".join(self.willing)
        return [
            f"  reg [{bits - 1}:0] pause = 0;",
            f"  wire willing = {willing};",
            "  always @(posedge clk) pause <= rst || idle || !stop || !willing ? 0 : pause + 1;",
            "  always @* if (!rst) begin",
            f"    if (idle) idle_true: assert (!({moving} || {flying}));",
            f"    comes_to_rest: assert (pause < {limit});",
            "    cover (stop && !idle && past);",
            "    cover (stop && idle && pause > 3);",
            "  end",
        ]


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""
