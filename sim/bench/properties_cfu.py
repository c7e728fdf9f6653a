# SPDX-License-Identifier: Apache-2.0
"""Formal properties of a unit behind the custom-instruction port of CFU Playground.

The properties, by the labels that proofs report:

``rsp_reset``
    No answer in the cycle after one of reset.
``rsp_valid_kept``, ``rsp_payload_kept``
    An answer that waits for its reader stays, unchanged.
``rsp_not_early``
    An answer only for an instruction that was taken: none twice, none too many.
``rsp_in_time``
    The answer is there one cycle after its instruction, but to a ``result`` that may wait.
``cmd_one``
    No instruction is taken before the answer to the last one is.
``cmd_taken``
    With no answer open, and while one is taken, an instruction is taken at once.

All inputs are free but for the processor's rule: an instruction that waits stays.
"""

from collections.abc import Mapping
from typing import Any

from hw.spec.cfu import FUNCTIONS, MODIFIERS

__all__ = ["harness", "takes_instructions"]


def takes_instructions(manifest: Mapping[str, Any]) -> bool:
    """Return whether the unit has the port."""
    names = {port["name"] for port in manifest["ports"]}
    return {"cmd_valid", "cmd_ready", "rsp_valid", "rsp_ready"} <= names


def harness(manifest: Mapping[str, Any], top: str) -> str:
    """Return SystemVerilog for the module ``top``, which instantiates the unit."""
    clock = manifest["clock"]
    others = [p for p in manifest["ports"] if p["role"] not in ("clock", "reset")]
    inputs = [p for p in others if p["dir"] == "in"]
    given = [p for p in inputs if p["name"].startswith("cmd_payload_")]
    answer = next(p for p in others if p["name"].startswith("rsp_payload_"))
    asked = "{" + ", ".join(p["name"] for p in given) + "}"
    asked_bits = sum(p["width"] for p in given)
    pins = {p["name"]: p["name"] for p in others} | {clock["name"]: "clk", clock["reset"]: "rst"}
    connections = ", ".join(f".{pin}({net})" for pin, net in pins.items())
    ports = ["input clk", "input rst_free", *(f"input {_range(p)}{p['name']}" for p in inputs)]
    number, hurry = FUNCTIONS["result"][0], 3 + MODIFIERS["try"][0]
    which = next(p["name"] for p in given if p["name"].endswith("function_id"))
    return f"""\
module {top}({", ".join(ports)});
  reg started = 0; always @(posedge clk) started <= 1;
  wire rst = !started || rst_free;
{"".join(f"  wire {_range(p)}{p['name']};{chr(10)}" for p in others if p["dir"] == "out")}\
  {manifest["module"]} dut({connections});
  wire take = cmd_valid && cmd_ready && !rst;
  wire give = rsp_valid && rsp_ready && !rst;
  reg past = 0, cmd_waits = 0, rsp_waits = 0, slow = 0, was_give = 0, was_rst = 0;
  reg [1:0] owed = 0;
  reg [{asked_bits - 1}:0] cmd_was; reg [{answer["width"] - 1}:0] rsp_was;
  always @(posedge clk) begin
    past <= !rst; was_give <= give; was_rst <= was_rst || (started && rst);
    cmd_waits <= cmd_valid && !cmd_ready && !rst; cmd_was <= {asked};
    rsp_waits <= rsp_valid && !rsp_ready && !rst; rsp_was <= {answer["name"]};
    owed <= rst ? 0 : owed + take - give;
    if (take) slow <= {which}[2:0] == {number} && !{which}[{hurry}];
  end
  always @* if (past && cmd_waits) begin
    assume (cmd_valid); assume ({asked} == cmd_was);
  end
  always @* if (!past && started) rsp_reset: assert (!rsp_valid);
  always @* if (!rst) begin
    if (past && rsp_waits) begin
      rsp_valid_kept: assert (rsp_valid);
      rsp_payload_kept: assert ({answer["name"]} == rsp_was);
    end
    rsp_not_early: assert (!rsp_valid || owed != 0);
    rsp_in_time: assert (owed == 0 || slow || rsp_valid);
    cmd_one: assert (owed == 0 || give || !cmd_ready);
    cmd_taken: assert (cmd_ready || (owed != 0 && !give));
    cover (give && rsp_waits);
    cover (give && was_give);
    cover (owed != 0 && slow && !rsp_valid);
    cover (give && slow && !rsp_waits);
    cover (was_rst && past && give);
  end
endmodule
"""


def _range(port: Mapping[str, Any]) -> str:
    return f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
