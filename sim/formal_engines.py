# SPDX-License-Identifier: Apache-2.0
"""Proofs about matrix engines, each on as much of the netlist as it needs.

An engine as a whole is too large for a search without bounds. Two views of it are not. What is cut
away may do anything in them, so what holds there holds in the engine:

``frame``
    Sequencer, queue of tiles, writer and slices; the core and all else between them is cut away.
    The rules of order hold by induction over two cycles, together with the lemmas of
    :mod:`sim.bench.lemmas_axis`.
``control``
    The engine without its numbers: rows reach the writer when they do, with any sums. The rules of
    time are given to ``pdr``; one without a verdict is searched as far as the time allows.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sim.bench import properties_axis
from sim.bench.lemmas_axis import lemmas
from sim.bench.properties import TOP

__all__ = ["prove_engine"]

_FRAME = ("sequencer", "tiles", "writer", "out_slice", "act_slice", "wgt_slice", "scale_slice")

_READ = "read_verilog {source}\nread_verilog -formal {props}\nhierarchy -top {top}\nproc\n"

_FLAT = """\
memory
opt_clean
async2sync
chformal -cover -remove
formalff -clk2ff -ff2anyinit
opt -full
techmap
dffunmap
opt_clean
aigmap
opt_clean
"""

_ABC = """\
design -reset
read_verilog carrier.v
techmap
abc -script views.abc
"""

_INDUCTION = """\
read_aiger {view}.aig
fold
strash
orpos
scleanup
bmc3 -F {depth} -T {seconds}
print_status
ind -F 2 -T {seconds}
print_status
"""

_SEARCH = """\
read_aiger {rule}.aig
fold
strash
scleanup
{command} -T {seconds}
print_status
"""

#: Rules of time, which need the core; the first may be proved, both can be searched.
_TIMES = ("all_in_time", "out_in_time")

#: Rules that hold by the slice at the output alone.
_TRANSFER = ("out_valid_kept", "out_payload_kept")


def prove_engine(
    verilog: str,
    manifest: Mapping[str, Any],
    folder: Path,
    seconds: int,
    independent: str,
    thorough: bool,
    call: Callable[[str], str],
) -> tuple[set[str], dict[str, int]]:
    """Return the rules that are proved, and those only searched: in how many cycles none fails.

    ``independent`` are commands that fail where an output depends on an input without a register.
    ``call`` runs a script of Yosys in ``folder``, which holds Verilog and harness. What can be
    searched only is not searched at all unless ``thorough``.
    """
    text = properties_axis.harness(manifest, TOP)
    order = re.sub(rf"(?m)^.*\b(?:{'|'.join(_TIMES)}): assert.*\n", "", text)
    held = lemmas(verilog, manifest, properties_axis.walk(manifest))
    framed = order.replace("endmodule", "\n".join([*held, "endmodule"]))
    (folder / "frame.sv").write_text(framed, encoding="utf-8")
    depth = properties_axis.depth(manifest)
    tries = [(_TIMES[0], "pdr"), *((rule, f"bmc3 -F {depth}") for rule in _TIMES if thorough)]
    parts = [_SEARCH.format(rule=r, command=c, seconds=seconds) for r, c in tries]
    # Without lemmas only the rules of transfer are inductive.
    view = "frame" if held else "transfer"
    parts.insert(0, _INDUCTION.format(view=view, depth=3, seconds=seconds))
    if not held:
        parts.append(_SEARCH.format(rule="frame", command=f"bmc3 -F {depth}", seconds=seconds))
    commands = f"backup\nset abcout views.log\n{''.join(parts)}unset abcout\nrestore\n"
    (folder / "views.abc").write_text(commands, encoding="utf-8")
    (folder / "views.log").unlink(missing_ok=True)
    call(_script(manifest["module"], independent))
    log = (folder / "views.log").read_text(encoding="utf-8", errors="replace")
    logs = re.split(r"(?m)^Status = .*$", log)
    rules = set(re.findall(r"(\w+): assert", order))
    inductive = rules if held else set(_TRANSFER)
    proved = set(inductive) if _holds(logs.pop(0), logs.pop(0)) else set()
    searched = dict.fromkeys(_TIMES, 0)
    for (rule, _), found in zip(tries, logs, strict=False):
        if "Property proved" in found:
            proved.add(rule)
        if "Property proved" in found or "asserted in frame" in found:
            searched.pop(rule, None)
        else:
            searched[rule] = max(searched.get(rule, 0), _cycles(found))
    if not held and "asserted in frame" not in logs[len(tries)]:
        searched |= dict.fromkeys(rules, _cycles(logs[len(tries)]))
    searched = {rule: cycles for rule, cycles in searched.items() if rule not in proved}
    return proved, searched


def _cycles(log: str) -> int:
    """Return the cycles in which a search found no exception."""
    found = re.search(r"asserted in (\d+) frames|in frame (\d+)", log)
    return int(found[1] or found[2]) if found else 0


def _holds(start: str, step: str) -> bool:
    """Return whether neither the first cycles nor the step of the induction have an exception."""
    return "No output asserted in 3 frames" in start and "Networks are equivalent" in step


def _script(module: str, independent: str) -> str:
    names = {"source": f"{module}.v", "top": TOP}
    others = " ".join(f"{module}/c:{name} %d" for name in _FRAME)
    lines = [
        _READ.format(props="frame.sv", **names),
        f"cutpoint {module}/t:* {others} {module}/t:$* %d\nflatten",
        f"{_FLAT}write_aiger -zinit frame.aig",
        f"chformal -assert -remove {TOP}/t:* {' '.join(f'{TOP}/c:{r} %d' for r in _TRANSFER)}",
        "opt_clean\nwrite_aiger -zinit transfer.aig\ndesign -reset",
        f"{_READ.format(props=f'{TOP}.sv', **names)}flatten\ndesign -save whole",
        f"memory\nopt_clean\n{independent}\ndesign -load whole",
        f"cutpoint w:dut.writer.row__payload\n{_FLAT}design -save control",
    ]
    for rule in _TIMES:
        # All other rules hold by the first view.
        lines += [
            "design -load control",
            f"chformal -assert -remove {TOP}/t:* {TOP}/c:{rule} %d",
            f"opt_clean\nwrite_aiger -zinit {rule}.aig",
        ]
    return "\n".join([*lines, _ABC])
