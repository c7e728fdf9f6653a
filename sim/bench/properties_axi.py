# SPDX-License-Identifier: Apache-2.0
"""Formal properties of an AXI4-Lite slave, written from its manifest alone.

The stream rules of :mod:`sim.bench.properties` for its five channels, by the same kinds of label
(``<channel>_valid_kept``, ``<channel>_payload_kept``), and

``b_not_early``, ``r_not_early``
    A response only for a request that was taken: for a write, both its address and its data.
``b_in_time``, ``r_in_time``
    A due response is valid within :func:`wait` cycles, whether its reader is ready or not.
``aw_taken``, ``w_taken``, ``ar_taken``
    With the responses being read and, for a write, both parts offered, a request is taken within
    :func:`wait` cycles.
"""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["WAIT", "axi_prefix", "harness", "wait"]

#: Cycles within which a register answers: a bound on deadlock, not a promise of speed.
WAIT = 16
COUNTER_WAIT = 64  #: The same, of units whose counters take turns in a memory.

_REQUESTS, _RESPONSES = ("aw", "w", "ar"), ("b", "r")


def axi_prefix(manifest: Mapping[str, Any]) -> str | None:
    """Return what the port names of an AXI4-Lite slave begin with; None if there is none."""
    names = {port["name"] for port in manifest["ports"] if port["dir"] == "in"}
    for name in sorted(names):
        match = re.fullmatch(r"(\w+_)awvalid", name)
        if match and {f"{match[1]}{rest}" for rest in ("wvalid", "arvalid", "bready")} <= names:
            return match[1]
    return None


def wait(manifest: Mapping[str, Any]) -> int:
    """Return the cycles within which a register answers."""
    return COUNTER_WAIT if manifest["parameters"].get("perf") else WAIT


def harness(manifest: Mapping[str, Any], prefix: str, top: str) -> str:
    """Return SystemVerilog for the module ``top``, which instantiates the unit.

    Other inputs of the unit are free.
    """
    clock, limit = manifest["clock"], wait(manifest)
    others = [p for p in manifest["ports"] if p["role"] not in ("clock", "reset")]
    inputs = [p for p in others if p["dir"] == "in"]
    pins = {clock["name"]: "clk", **{p["name"]: p["name"] for p in others}}
    pins[clock["reset"]] = "!rst" if clock.get("reset_active") == "low" else "rst"
    ports = ["input clk", "input rst_free", *(f"input {_range(p)}{p['name']}" for p in inputs)]
    lines = [
        f"module {top}({', '.join(ports)});",
        "  reg started = 0; always @(posedge clk) started <= 1;",
        "  wire rst = !started || rst_free;",
        *(f"  wire {_range(p)}{p['name']};" for p in others if p["dir"] == "out"),
        f"  {manifest['module']} dut({', '.join(f'.{pin}({net})' for pin, net in pins.items())});",
        "  reg past = 0; always @(posedge clk) past <= !rst;",
    ]
    for channel in (*_REQUESTS, *_RESPONSES):
        lines += _channel(others, prefix, channel)
    lines += [
        "  reg [3:0] aw_owed = 0, w_owed = 0, ar_owed = 0;",
        f"  reg [{limit.bit_length()}:0] b_pause = 0, r_pause = 0, aw_pause = 0, w_pause = 0,"
        " ar_pause = 0;",
        "  always @(posedge clk) begin",
        "    aw_owed <= rst ? 0 : aw_owed + aw_move - b_move;",
        "    w_owed <= rst ? 0 : w_owed + w_move - b_move;",
        "    ar_owed <= rst ? 0 : ar_owed + ar_move - r_move;",
        f"    b_pause <= rst || {prefix}bvalid || !aw_owed || !w_owed ? 0 : b_pause + 1;",
        f"    r_pause <= rst || {prefix}rvalid || !ar_owed ? 0 : r_pause + 1;",
        f"    aw_pause <= rst || !(aw_waits && w_here && {prefix}bready) ? 0 : aw_pause + 1;",
        f"    w_pause <= rst || !(w_waits && aw_here && {prefix}bready) ? 0 : w_pause + 1;",
        f"    ar_pause <= rst || !(ar_waits && {prefix}rready) ? 0 : ar_pause + 1;",
        "  end",
        f"  wire w_here = {prefix}wvalid || w_owed != 0;",
        f"  wire aw_here = {prefix}awvalid || aw_owed != 0;",
        "  always @* if (!rst) begin",
        f"    b_not_early: assert (!{prefix}bvalid || (aw_owed != 0 && w_owed != 0));",
        f"    r_not_early: assert (!{prefix}rvalid || ar_owed != 0);",
        f"    b_in_time: assert (b_pause < {limit} && aw_owed < 8 && w_owed < 8);",
        f"    r_in_time: assert (r_pause < {limit} && ar_owed < 8);",
        *(f"    {c}_taken: assert ({c}_pause < {limit});" for c in _REQUESTS),
        "    cover (b_move); cover (r_move);",
        "    cover (past && b_waited && b_move);",
        "    cover (past && r_waited && r_move);",
        f"    cover (r_move && |{prefix}rdata);",
        "    cover (aw_move && !w_move && w_owed == 0);",
        "  end",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _channel(ports: list[dict[str, Any]], prefix: str, channel: str) -> list[str]:
    """Return the transfer rules of one channel: assumed of a request, asserted of a response."""
    valid, ready = f"{prefix}{channel}valid", f"{prefix}{channel}ready"
    fields = [
        p for p in ports if re.fullmatch(rf"{prefix}{channel}(addr|prot|data|strb|resp)", p["name"])
    ]
    payload = "{" + ", ".join(p["name"] for p in fields) + "}"
    width = sum(p["width"] for p in fields)
    lines = [
        f"  wire {channel}_move = {valid} && {ready} && !rst;",
        f"  wire {channel}_waits = {valid} && !{ready};",
        f"  reg {channel}_waited = 0; reg [{width - 1}:0] {channel}_was;",
        "  always @(posedge clk) begin",
        f"    {channel}_waited <= {channel}_waits && !rst; {channel}_was <= {payload};",
        "  end",
    ]
    if channel in _REQUESTS:
        rules = [f"assume ({valid})", f"assume ({payload} == {channel}_was)"]
        condition = f"past && {channel}_waited"
    else:
        rules = [
            f"{channel}_valid_kept: assert ({valid})",
            f"{channel}_payload_kept: assert ({payload} == {channel}_was)",
        ]
        condition = f"!rst && past && {channel}_waited"
    return [*lines, f"  always @* if ({condition}) begin", *(f"    {r};" for r in rules), "  end"]


def _range(port: Mapping[str, Any]) -> str:
    return f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
