# SPDX-License-Identifier: Apache-2.0
"""Formal properties of a matrix engine, written from its manifest alone.

The rules of transfer of :mod:`sim.bench.properties` for its output (``out_valid_kept``,
``out_payload_kept``), and

``out_not_early``
    No result without a job that was taken and has not ended: not more ``tlast`` than jobs, and
    after the ``tlast`` of a job no beat before the next job.
``out_error_last``
    An error comes alone: with ``tlast``, without data and without ``tkeep``.
``out_keep_value``
    A good beat keeps whole columns, from the first on; columns beyond N hold zeros. In an
    arbitrary small job these are the columns that the tile has.
``out_rows_value``
    An arbitrary small job gives as many beats as it has rows in all tiles, if no error ends it.
``out_code_value``
    A job that its descriptor forbids gives that error, any other job none of these.
``out_in_time``
    When every packet of the jobs taken has come to its end and the output accepts, the next result
    comes within :func:`wait` cycles.
``all_in_time``
    While every input offers and the output accepts, something moves at least every :func:`wait`
    cycles.

The reset may come at any time. Inputs keep the rules of transfer and are otherwise free: packets
end anywhere. A small job has at most :data:`SMALL` rows and columns; all others have any size.
"""

from collections.abc import Mapping
from typing import Any

from hw.spec.gemm import ERRORS, FLOW, JOB, JOB_BITS, error_code
from sim.bench.lemmas_axis import SMALL, Place, Walk

__all__ = ["SMALL", "depth", "harness", "paths", "takes_jobs", "wait", "walk"]

_LABELS = {"s_axis_job": "job", "s_axis_act": "act", "s_axis_wgt": "wgt", "s_axis_scale": "scale"}
_SLACK = 8  #: Cycles for the beats and the tile in the registers at the boundary.


def takes_jobs(manifest: Mapping[str, Any]) -> bool:
    """Return whether the unit has the streams of a matrix engine."""
    return {"s_axis_job", "s_axis_act", "m_axis_out"} <= {s["name"] for s in manifest["streams"]}


def wait(manifest: Mapping[str, Any]) -> int:
    """Return the cycles after which an engine that moves nothing counts as stuck."""
    contract, parameters = manifest["contract"], manifest["parameters"]
    interval = contract.get("tile_interval", parameters.get("rows", 1))
    return int(manifest["latency"] or 0) + 2 * int(interval) + _SLACK


def depth(manifest: Mapping[str, Any]) -> int:
    """Return the cycles in which every cover can be reached: those of two short jobs."""
    return 16 + 2 * wait(manifest) - _SLACK


def _most(manifest: Mapping[str, Any]) -> int:
    """Return how many jobs, or packets before their jobs, may be under way at once."""
    return max(8, int(manifest["latency"] or 0) + 6)


def paths(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each (output, input) between which there must be a register."""
    inputs, outputs = _ports(manifest)
    return [(o["name"], i["name"]) for o in outputs for i in inputs]


def _ports(manifest: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    ports = [p for p in manifest["ports"] if p["role"] not in ("clock", "reset")]
    return [p for p in ports if p["dir"] == "in"], [p for p in ports if p["dir"] == "out"]


def harness(manifest: Mapping[str, Any], top: str) -> str:
    """Return SystemVerilog for the module ``top``, which instantiates the engine."""
    clock = manifest["clock"]
    inputs, outputs = _ports(manifest)
    pins = {clock["name"]: "clk", **{p["name"]: p["name"] for p in inputs + outputs}}
    pins[clock["reset"]] = "!rst" if clock.get("reset_active") == "low" else "rst"
    ports = ["input clk", "input rst_free", "input mark"]
    ports += [f"input {_range(p['width'])}{p['name']}" for p in inputs]
    widths = {p["name"]: p["width"] for p in manifest["ports"]}
    streams = [s for s in manifest["streams"] if s["dir"] == "in"]
    (out,) = (s for s in manifest["streams"] if s["dir"] == "out")
    lines = [
        f"module {top}({', '.join(ports)});",
        "  reg started = 0; always @(posedge clk) started <= 1;",
        "  wire rst = !started || rst_free;",
        "  reg past = 0; always @(posedge clk) past <= !rst;",
        *(f"  wire {_range(p['width'])}{p['name']};" for p in outputs),
        f"  {manifest['module']} dut({', '.join(f'.{pin}({net})' for pin, net in pins.items())});",
    ]
    for stream in streams:
        lines += _input(stream, widths)
    packets = [_LABELS[s["name"]] for s in streams if f"{s['name']}_tlast" in s["fields"]]
    lines += [
        *_output(out, widths),
        *_jobs(packets, _most(manifest)),
        *_job(manifest, widths),
        *_pauses(streams, out, packets, wait(manifest)),
        *_covers(manifest, packets),
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def _channel(stream: Mapping[str, Any], label: str, widths: Mapping[str, int]) -> list[str]:
    """Return wires and registers that follow one stream: ``_move``, ``_waited``, ``_was``."""
    width = sum(widths[field] for field in stream["fields"])
    valid, ready = stream["valid"], stream["ready"]
    return [
        f"  wire {label}_move = {valid} && {ready} && !rst;",
        f"  wire {_range(width)}{label}_now = {{{', '.join(stream['fields'])}}};",
        f"  reg {label}_waited = 0; reg {_range(width)}{label}_was;",
        "  always @(posedge clk) begin",
        f"    {label}_waited <= {valid} && !{ready} && !rst; {label}_was <= {label}_now;",
        "  end",
    ]


def _input(stream: Mapping[str, Any], widths: Mapping[str, int]) -> list[str]:
    label, name = _LABELS[stream["name"]], stream["name"]
    lines = _channel(stream, label, widths)
    if f"{name}_tlast" in stream["fields"]:
        lines.append(f"  wire {label}_end = {label}_move && {name}_tlast;")
    return [
        *lines,
        f"  always @* if (past && {label}_waited) begin",
        f"    assume ({stream['valid']}); assume ({label}_now == {label}_was);",
        "  end",
    ]


def _output(out: Mapping[str, Any], widths: Mapping[str, int]) -> list[str]:
    name = out["name"]
    return [
        *_channel(out, "out", widths),
        f"  wire out_here = {out['valid']} && !rst;",
        f"  wire [3:0] out_code = {name}_tuser[3:0];",
        f"  wire out_end = out_move && {name}_tlast;",
        "  always @* if (!rst && past && out_waited) begin",
        f"    out_valid_kept: assert ({out['valid']});",
        "    out_payload_kept: assert (out_now == out_was);",
        "  end",
        "  always @* if (out_here && out_code != 0)",
        f"    out_error_last: assert ({name}_tlast && !{name}_tkeep && !{name}_tdata"
        f" && out_code < {len(ERRORS)});",
    ]


def _unary(name: str, most: int, up: str, down: str) -> list[str]:
    """Return a register that counts in unary, which is far easier to reason about than binary."""
    return [
        f"  reg [{most - 1}:0] {name} = 0;",
        f"  always @(posedge clk) if (rst) {name} <= 0;",
        f"    else if ({up} && !({down})) {name} <= {{{name}[{most - 2}:0], 1'b1}};",
        f"    else if ({down} && !({up})) {name} <= {name} >> 1;",
    ]


def _behind(label: str, most: int) -> list[str]:
    """Return counters of one operand: jobs whose packet has not ended, and packets before a job."""
    is_open, early = f"{label}_open", f"{label}_early"
    return [
        f"  wire {label}_lead;",
        *_unary(early, most, f"{label}_lead", "job_move"),
        *_unary(is_open, most, f"job_move && !{early}[0]", f"{label}_end && !{label}_lead"),
        f"  assign {label}_lead = {label}_end && !{is_open}[0] && !(job_move && !{early}[0]);",
    ]


def _jobs(packets: list[str], most: int) -> list[str]:
    """Return counters: jobs that have not ended, and packets ended beyond the jobs taken."""
    return [
        *_unary("owed", most, "job_move", "out_end"),
        *(line for label in packets for line in _behind(label, most)),
        "  always @* if (!rst)",
        f"    out_not_early: assert ((!out_here || owed[0]) && !(owed[{most - 1}] && job_move));",
    ]


def walk(manifest: Mapping[str, Any]) -> Walk:
    """Return how the rows of a result follow each other."""
    parameters, contract = manifest["parameters"], manifest["contract"]
    grouped = contract.get("sum") == "int"
    keep = next(p["width"] for p in manifest["ports"] if p["name"] == "m_axis_out_tkeep")
    columns = int(contract.get("tile_columns", parameters["columns"]))
    return Walk(
        rows=int(contract.get("tile_rows", parameters["rows"])),
        columns=columns,
        octets=keep // columns,
        most=_most(manifest),
        max_k=int(contract.get("max_k", parameters["max_k"])),
        group=int(contract["group"]) if grouped else 0,
        swapped=parameters.get("dataflow") == "is",
    )


def _job(manifest: Mapping[str, Any], widths: Mapping[str, int]) -> list[str]:
    """Follow one small job to its results: ``before`` jobs end ahead of it.

    ``at_m``, ``at_n`` and ``at_g`` are the rows, columns and groups that are left of it, ``at_r``
    is the row of the tile.
    """
    path, bits = walk(manifest), f"[{walk(manifest).bits - 1}:0]"
    fields = {f.name: f"s_axis_job_tdata[{f.offset + f.bits - 1}:{f.offset}]" for f in JOB}
    contract = manifest["contract"]
    odd, reserved = f"{fields['bits']} > {int(contract.get('planes', 0))}", fields["reserved"]
    most_rows = SMALL
    if "dense" in contract:
        odd = f"({fields['bits']} != 0 && {fields['bits']} != {contract['dense']})"
    if "flow_extra" in contract:  # its two orders of rows are one within a tile
        reserved = f"s_axis_job_tdata[{JOB_BITS - 1}:{FLOW + 1}]"
        most_rows = min(SMALL, path.rows, int(manifest["parameters"]["depth"]))
    wrong = f"{reserved} != 0 || {odd}"
    zero = " || ".join(f"{fields[name]} == 0" for name in "mnk")
    width = widths["m_axis_out_tdata"] // path.columns
    user, keep = "m_axis_out_tuser", "m_axis_out_tkeep"
    beyond = [
        f"({keep}[{c * path.octets}] || !m_axis_out_tdata[{(c + 1) * width - 1}:{c * width}])"
        for c in range(path.columns)
    ]
    whole = " || ".join(f"{keep} == {mask}" for mask in path.masks)
    rows, columns = ("n", "m") if path.swapped else ("m", "n")
    after = path.after(Place("at_m", "at_n", "at_g", "at_r"))
    return [
        "  reg marked = 0, inside = 0;",
        f"  reg [{path.most - 1}:0] before = 0;",
        f"  reg {bits} at_m = 0, at_n = 0, at_r = 0, at_g = 0, job_n = 0, job_g = 0;",
        "  reg [3:0] code_due = 0; reg sent = 0;",
        f"  wire small = {fields['m']} <= {most_rows} && {fields['n']} <= {SMALL};",
        "  wire enters = job_move && mark && small && !marked;",
        "  wire mine = inside && !before[0];",
        f"  wire [3:0] code_now = {zero} ? {error_code('zero size')} :",
        f"    {fields['k']} > 17'd{path.max_k} ? {error_code('k above max_k')} :",
        f"    {wrong} ? {error_code('unsupported mode')} : 0;",
        f"  wire {bits} groups_now = {path.groups(fields['k'])};",
        "  always @(posedge clk) begin",
        "    marked <= !rst && (marked || enters);",
        "    inside <= !rst && (enters || (inside && !(out_end && mine)));",
        "    before <= enters ? (out_end ? owed >> 1 : owed) : out_end ? before >> 1 : before;",
        "    sent <= !enters && (sent || (out_move && mine));",
        "    if (enters) begin",
        f"      at_m <= {fields[rows]}; at_n <= {fields[columns]}; at_r <= 0; at_g <= groups_now;",
        f"      job_n <= {fields[columns]}; job_g <= groups_now; code_due <= code_now;",
        "    end else if (out_move && mine) begin",
        f"      at_m <= {after.m}; at_n <= {after.n}; at_g <= {after.g}; at_r <= {after.r};",
        "    end",
        "  end",
        "  always @* if (out_here) begin",
        "    if (out_code == 0) begin",
        f"      out_keep_value: assert (({whole}) && {' && '.join(beyond)} &&",
        f"        (!mine || {keep} == {path.keep('at_n')}));",
        "      if (mine)",
        "        out_rows_value: assert (m_axis_out_tlast ==",
        f"          {path.last(Place('at_m', 'at_n', 'at_g', 'at_r'))});",
        "    end",
        f"    if (mine) out_code_value: assert (code_due != 0 ? {user}[3:0] == code_due :",
        f"      out_code == 0 || out_code > {error_code('unsupported mode')});",
        "  end",
    ]


def _pauses(
    streams: list[Mapping[str, Any]], out: Mapping[str, Any], packets: list[str], most: int
) -> list[str]:
    bits = most.bit_length()
    offers = " && ".join(s["valid"] for s in streams)
    moves = " || ".join(f"{_LABELS[s['name']]}_move" for s in streams)
    whole = " && ".join(f"!{label}_open[0]" for label in packets)
    return [
        f"  reg [{bits}:0] out_pause = 0, all_pause = 0;",
        f"  wire out_due = {out['ready']} && !out_move && owed[0] && {whole};",
        f"  wire stuck = {offers} && {out['ready']} && !({moves} || out_move);",
        "  always @(posedge clk) begin",
        "    out_pause <= rst || !out_due ? 0 : out_pause + 1;",
        "    all_pause <= rst || !stuck ? 0 : all_pause + 1;",
        "  end",
        "  always @* if (!rst) begin",
        f"    out_in_time: assert (out_pause < {most});",
        f"    all_in_time: assert (all_pause < {most});",
        "  end",
    ]


def _covers(manifest: Mapping[str, Any], packets: list[str]) -> list[str]:
    """What must be reachable, so that no property holds for want of traffic."""
    deep = int(manifest["contract"].get("max_k", manifest["parameters"]["max_k"]))
    codes = [error_code("zero size"), error_code("unsupported mode")]
    codes += [error_code("k above max_k")] if deep < 65535 else []
    starts = {"act": "activations", "wgt": "weights", "scale": "scales"}
    codes += [error_code(f"{starts[p]} end {when}") for p in packets for when in ("early", "late")]
    reached = [
        *(f"out_end && out_code == {code}" for code in sorted(codes)),
        "out_end && mine && out_code == 0 && sent",
        "out_end && failed && out_code == 0",
        "out_end && owed[1]",
        "out_end && held && out_code == 0",
        "was_rst && out_end && out_code == 0",
        *(f"past && {label}_waited" for label in packets),
    ]
    return [
        "  reg failed = 0, held = 0, was_rst = 0;",
        "  always @(posedge clk) begin",
        "    failed <= !rst && (failed || (out_end && out_code != 0));",
        "    held <= !rst && !out_end && (held || (out_here && out_waited && !m_axis_out_tlast));",
        "    was_rst <= was_rst || (started && rst);",
        "  end",
        *(f"  always @* if (!rst) cover ({what});" for what in reached),
    ]
