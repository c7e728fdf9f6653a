# SPDX-License-Identifier: Apache-2.0
"""Units with a fault in their handshake: a wrapper in Verilog around the healthy unit.

Made outside the unit, so that they stay what they are when its logic changes.
"""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["MUTANTS", "mutate"]

#: Name -> Verilog between the ports of the wrapper and the nets ``c_*`` of the healthy unit.
#: Unmentioned pins go straight through.
MUTANTS: dict[str, dict[str, str]] = {
    "ready_stuck": {"i_ready": "1'b1"},
    "valid_dropped": {
        "_": "reg t = 0; always @(posedge clk) t <= c_o_valid && !o_ready && !t;",
        "o_valid": "c_o_valid && !t",
        "c_o_ready": "o_ready && !t",
    },
    "valid_needs_ready": {"o_valid": "c_o_valid && o_ready"},
    "valid_awaits_ready": {
        "_": "reg t = 0; always @(posedge clk) t <= c_o_valid && (t ? !o_ready : o_ready);",
        "o_valid": "c_o_valid && t",
        "c_o_ready": "o_ready && t",
    },
    "payload_moves": {
        "_": "reg t = 0; always @(posedge clk) t <= c_o_valid && !o_ready;",
        "o_acc": "c_o_acc ^ t",
    },
    "beat_lost": {
        "_": "reg [2:0] n = 0; always @(posedge clk) if (i_valid && i_ready) n <= n + 1;",
        "c_i_valid": "i_valid && !(n == 5 && !i_last)",
        "i_ready": "c_i_ready || (n == 5 && !i_last)",
    },
    "beat_twice": {
        "_": "reg t = 0; always @(posedge clk) if (i_valid && c_i_ready) t <= !t && !i_last;",
        "i_ready": "c_i_ready && (t || i_last)",
    },
    "result_lost": {
        "_": "reg [1:0] n = 0; always @(posedge clk) if (c_o_valid && c_o_ready) n <= n + 1;",
        "o_valid": "c_o_valid && n != 3",
        "c_o_ready": "o_ready || n == 3",
    },
    "result_repeated": {
        "_": "reg t = 0; always @(posedge clk) if (c_o_valid && o_ready) t <= !t;",
        "c_o_ready": "o_ready && t",
    },
    "boundary_late": {
        "_": "reg l = 0; always @(posedge clk) if (i_valid && i_ready) l <= i_last;",
        "c_i_last": "l",
    },
    "reset_ignored": {"c_rst": "1'b0"},
    "deadlock": {
        "_": "reg [2:0] n = 0; always @(posedge clk) if (i_valid && i_ready) n <= n + (n != 7);",
        "c_i_valid": "i_valid && n != 7",
        "i_ready": "c_i_ready && n != 7",
    },
    "sign_lost": {"o_acc": "c_o_acc & ~(1 << $bits(o_acc) - 1)"},
}


def mutate(verilog: str, manifest: Mapping[str, Any], fault: str | Mapping[str, str]) -> str:
    """Return ``verilog`` with the unit's module replaced by a mutant: by name, or its changes."""
    module, changes = manifest["module"], MUTANTS[fault] if isinstance(fault, str) else fault
    healthy = re.sub(rf"^module {module}\(", "module healthy(", verilog, flags=re.M)
    lines, pins, ports = [], [], []
    for port in manifest["ports"]:
        span = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
        net, given = f"c_{port['name']}", port["dir"] == "in"
        lines.append(f"  wire {span}{net};")
        pins.append(f".{port['name']}({net})")
        target, source = (net, port["name"]) if given else (port["name"], net)
        lines.append(f"  assign {target} = {changes.get(target, source)};")
        ports.append(f"{'input' if given else 'output'} wire {span}{port['name']}")
    body = "\n".join([*lines, f"  {changes.get('_', '')}", f"  healthy core({', '.join(pins)});"])
    return f"{healthy}\nmodule {module}({', '.join(ports)});\n{body}\nendmodule\n"
