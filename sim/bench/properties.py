# SPDX-License-Identifier: Apache-2.0
"""Formal properties of a unit with streams, written from its manifest alone.

The properties, by the labels that proofs report:

``<o>_valid_kept``, ``<o>_payload_kept``
    A result that waits for its reader stays, unchanged.
``<o>_not_early``
    A result is valid only if the beats taken so far call for one more: none twice, none too many.
``<o>_in_time``
    A due result is valid within the unit's latency, whether its reader is ready or not.
``<i>_taken``
    While every reader is ready, an offered beat is taken within the unit's latency.
``<o>_value``
    One beat that is distinct from all others, at an arbitrary time, shows in the one result that it
    belongs to, once, and in no other: no beat is lost, repeated or given to another sum.

Where results have a field ``last``, all those up to it count as one. A unit whose rows take
``row_cycles`` of its contract at least is given as many; rows are not longer than its
``max_beats``.

Of a deep pipeline the contract names the ``places`` where a row can be, in the order in which it
comes by: a register that says whether one is there, the cycles after which it is there at the
latest, and a register that counts more of them, with its width, or nothing. That every row owed is
in one of them (``<o>_places``), and how long the oldest has been on its way (``<o>_pace``), is
proved too, and helps to prove the rest.

The reset may come at any time. Inputs keep the rules of transfer and are otherwise free; an input
beside the streams, a setting, has the ``constant`` that the manifest gives its port.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.bench.pack import pack

__all__ = ["TOP", "Tag", "find_tag", "harness"]

TOP = "properties"  #: Module name of the harness.


@dataclass(frozen=True)
class Tag:
    """A plain and a distinct beat, and what a result shows without and with the distinct one."""

    plain: dict[str, int]  #: Input payload port to word.
    distinct: dict[str, int]
    without: dict[str, int]  #: Output payload port to word.
    with_it: dict[str, int]


def _ports(manifest: Mapping[str, Any], direction: str) -> list[dict[str, Any]]:
    return [p for p in manifest["ports"] if p["role"] == "payload" and p["dir"] == direction]


def _stream(manifest: Mapping[str, Any], direction: str) -> dict[str, Any]:
    found = [s for s in manifest["streams"] if s["dir"] == direction]
    if len(found) != 1 or manifest["clock"] is None or manifest["clock"]["reset"] is None:
        raise ValueError(
            f"unit {manifest['unit']!r} cannot be proved: it needs a clock, a reset and one stream "
            "each way"
        )
    return found[0]


def _field(port: Mapping[str, Any]) -> str:
    return str(port["name"]).removeprefix(f"{port['stream']}_")


def find_tag(manifest: Mapping[str, Any], golden: Any, tries: int = 64) -> Tag | None:
    """Return beats by which results tell whether they contain one of them; None if none are found.

    The golden model is asked: a plain beat adds nothing to a sum, the distinct one something.
    """
    parameters = manifest["parameters"]
    beats = golden.vectors(parameters, np.random.default_rng(1), tries)
    fields = {_field(port) for port in _ports(manifest, "in")} - {"last"}
    beats = {name: np.asarray(values) for name, values in beats.items() if name in fields}
    framed = any(_field(port) == "last" for port in _ports(manifest, "in"))

    def results(rows: list[int]) -> list[tuple[int, ...]]:
        chosen: dict[str, NDArray[Any]] = {name: values[rows] for name, values in beats.items()}
        if framed:
            chosen["last"] = np.arange(len(rows)) == len(rows) - 1
        found = golden.run(parameters, chosen)
        words = [pack(found[_field(p)], p["width"]) for p in _ports(manifest, "out")]
        return list(zip(*words, strict=True))

    every = [results([row]) for row in range(len(next(iter(beats.values()))))]
    alone = [found[0] if len(found) == 1 else None for found in every]
    names = [_field(p) for p in _ports(manifest, "out")]
    for plain, base in enumerate(alone):
        if base is None or (framed and results([plain, plain])[-1] != base):
            continue
        for distinct, value in enumerate(alone):
            mixed = [[plain, distinct, plain], [distinct, plain], [plain, distinct]]
            if value in (None, base) or (framed and any(results(m)[-1] != value for m in mixed)):
                continue
            if framed and results([distinct, distinct])[-1] == value:
                continue
            return Tag(
                _words(manifest, beats, plain),
                _words(manifest, beats, distinct),
                _outputs(manifest, dict(zip(names, base, strict=True))),
                _outputs(manifest, dict(zip(names, value, strict=True))),
            )
    return None


def _words(manifest: Mapping[str, Any], beats: Mapping[str, Any], row: int) -> dict[str, int]:
    ports = [port for port in _ports(manifest, "in") if _field(port) != "last"]
    return {p["name"]: pack(beats[_field(p)][row : row + 1], p["width"])[0] for p in ports}


def _outputs(manifest: Mapping[str, Any], values: Mapping[str, int]) -> dict[str, int]:
    ports = _ports(manifest, "out")
    return {p["name"]: values[_field(p)] & ((1 << p["width"]) - 1) for p in ports}


def harness(manifest: Mapping[str, Any], tag: Tag | None) -> str:
    """Return SystemVerilog for the module :data:`TOP`, which instantiates the unit.

    Raises ``ValueError`` for a unit without exactly one stream each way.
    """
    i, o, clock = _stream(manifest, "in"), _stream(manifest, "out"), manifest["clock"]
    inputs, outputs = _ports(manifest, "in"), _ports(manifest, "out")
    last = next((p["name"] for p in inputs if _field(p) == "last"), "1'b1")
    ends = next((f" && {p['name']}" for p in outputs if _field(p) == "last"), "")
    latency, rate = manifest["latency"], manifest["beats_per_cycle"] or 1
    row_cycles = int(manifest["contract"].get("row_cycles", 1))
    pause = latency + max(int(np.ceil(1 / rate)), row_cycles)
    reset = clock["reset"] if clock.get("reset_active") != "low" else f"!{clock['reset']}"
    free = [p for p in inputs if tag is None or _field(p) == "last"]
    ports = ["input clk", "input rst_free", f"input {i['valid']}", f"input {o['ready']}"]
    ports += [f"input {_range(p)}{p['name']}" for p in free]
    lines = [
        f"module {TOP}({', '.join(ports)}, input distinct);",
        "  reg started = 0; always @(posedge clk) started <= 1;",
        "  wire rst = !started || rst_free;",
        f"  wire {i['ready']}, {o['valid']};",
        *(f"  wire {_range(p)}{p['name']};" for p in outputs),
        "  reg tagged = 0;",
    ]
    for p in inputs:
        if tag is not None and _field(p) != "last":
            words = f"{_hex(p, tag.distinct)} : {_hex(p, tag.plain)}"
            lines.append(f"  wire {_range(p)}{p['name']} = distinct && !tagged ? {words};")
    pins = {clock["name"]: "clk", clock["reset"]: "rst" if reset == clock["reset"] else "!rst"}
    names = [i["valid"], i["ready"], o["valid"], o["ready"], *(p["name"] for p in inputs + outputs)]
    pins |= {name: name for name in names}
    settings = [
        port for port in manifest["ports"] if port["role"] == "data" and port["dir"] == "in"
    ]
    pins |= {p["name"]: f"{p['width']}'d{p.get('constant', 0)}" for p in settings}
    connections = ", ".join(f".{pin}({net})" for pin, net in pins.items())
    i_payload = "{" + ", ".join([*(p["name"] for p in free), "distinct"]) + "}"
    o_payload = "{" + ", ".join(p["name"] for p in outputs) + "}"
    i_width = sum(p["width"] for p in free) + 1
    o_width = sum(p["width"] for p in outputs)
    owed_bits = (4 * latency + 8).bit_length()
    wait_bits = (pause + 4).bit_length() + 1
    longest = int(manifest["contract"].get("max_beats", 0)) if last != "1'b1" else 0
    lines += [
        f"  {manifest['module']} dut({connections});",
        f"  wire take = {i['valid']} && {i['ready']} && !rst;",
        f"  wire give = {o['valid']} && {o['ready']} && !rst;",
        f"  wire closes = take && {last};",
        f"  wire ends = give{ends};",
        "  reg past = 0, i_waits = 0, o_waits = 0;",
        f"  reg [{i_width - 1}:0] i_was; reg [{o_width - 1}:0] o_was;",
        f"  reg [{owed_bits - 1}:0] owed = 0;",
        f"  reg [{wait_bits - 1}:0] i_pause = 0, o_pause = 0;",
        "  always @(posedge clk) begin",
        "    past <= !rst;",
        f"    i_waits <= {i['valid']} && !{i['ready']}; i_was <= {i_payload};",
        f"    o_waits <= {o['valid']} && !{o['ready']}; o_was <= {o_payload};",
        "    owed <= rst ? 0 : owed + closes - ends;",
        f"    i_pause <= rst || !{i['valid']} || {i['ready']} || !{o['ready']} ? 0 : i_pause + 1;",
        f"    o_pause <= rst || {o['valid']} || owed + closes == 0 ? 0 : o_pause + 1;",
        "  end",
        "  always @* if (past && i_waits) begin",
        f"    assume ({i['valid']}); assume ({i_payload} == i_was);",
        "  end",
        *(_within(longest, last) if longest else []),
        *_places(o, manifest["contract"].get("places", [])),
        "  always @* if (!rst) begin",
        "    if (past && o_waits) begin",
        f"      {o['name']}_valid_kept: assert ({o['valid']});",
        f"      {o['name']}_payload_kept: assert ({o_payload} == o_was);",
        "    end",
        f"    {o['name']}_not_early: assert (!{o['valid']} || owed{_now(latency)} != 0);",
        f"    {o['name']}_in_time: assert (o_pause <= {latency} && owed < {4 * latency + 8});",
        f"    {i['name']}_taken: assert (i_pause < {pause});",
        "  end",
        *(_tagging(o, outputs, tag, owed_bits) if tag is not None else []),
        *_covers(i, o, last, tag is not None, latency, rate if row_cycles == 1 else 0),
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _places(o: Mapping[str, Any], places: list[list[Any]]) -> list[str]:
    """Say where the rows are, in registers of the unit that :data:`sim.formal` connects."""
    if not places:
        return []
    numbers = range(len(places))
    lines = ["`ifdef PLACES", *(f"  wire place{k};" for k in numbers)]
    total = " + ".join(f"{{7'b0, place{k}}}" for k in numbers)
    pace = "0"
    for k, (_, cycles, counter, bits) in enumerate(places):
        if counter:
            lines.append(f"  wire [{bits - 1}:0] count{k};")
        pace = f"place{k} ? {cycles}{f' + count{k}' if counter else ''} : ({pace})"
    return [
        *lines,
        "  always @* if (!rst) begin",
        f"    {o['name']}_places: assert (owed == {total});",
        f"    {o['name']}_pace: assert (o_pause <= ({pace}));",
        "  end",
        "`endif",
    ]


def _within(longest: int, last: str) -> list[str]:
    """Assume rows of at most ``longest`` beats."""
    bits = longest.bit_length()
    return [
        f"  reg [{bits - 1}:0] beats = 0;",
        "  always @(posedge clk) if (rst || closes) beats <= 0; else beats <= beats + take;",
        f"  always @* assume (beats < {longest - 1} || {last});",
    ]


def _now(latency: int) -> str:
    return " + closes" if latency == 0 else ""


def _range(port: Mapping[str, Any]) -> str:
    return f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""


def _hex(port: Mapping[str, Any], words: Mapping[str, int]) -> str:
    return f"{port['width']}'h{words[port['name']]:x}"


def _tagging(
    o: Mapping[str, Any], outputs: list[dict[str, Any]], tag: Tag, owed_bits: int
) -> list[str]:
    """Follow the distinct beat to its result: ``ahead`` results come out before that one."""
    without = " && ".join(f"{p['name']} == {_hex(p, tag.without)}" for p in outputs)
    with_it = " && ".join(f"{p['name']} == {_hex(p, tag.with_it)}" for p in outputs)
    return [
        f"  reg inside = 0; reg [{owed_bits - 1}:0] ahead = 0;",
        "  wire enters = take && distinct && !tagged;",
        "  wire mine = inside && ahead == 0;",
        "  always @(posedge clk) begin",
        "    tagged <= !rst && (tagged || enters);",
        "    inside <= !rst && (enters || (inside && !(ends && mine)));",
        "    ahead <= enters ? owed - ends : ahead - (ends && inside && !mine);",
        "  end",
        "  always @* if (!rst) begin",
        f"    if ({o['valid']}) {o['name']}_value: assert (mine ? {with_it} : {without});",
        "  end",
    ]


def _covers(
    i: Mapping[str, Any], o: Mapping[str, Any], last: str, tagged: bool, latency: int, rate: float
) -> list[str]:
    """What must be reachable, so that no property holds for want of traffic."""
    framed = last != "1'b1"
    reached = [
        f"o_waits && give && {i['valid']}",
        f"past && {i['valid']} && !{i['ready']}",
        *(["was_give && give"] if rate >= 1 else []),
        *(["in_sum && closes"] if framed else []),
        *(["was_rst && past && give"]),
        *(["give && mine && !o_waits", "inside && ahead == 1"] if tagged and latency > 1 else []),
        *(["give && mine"] if tagged else []),
        *(["give && mine && entered_early"] if tagged and framed else []),
    ]
    lines = [
        "  reg was_give = 0, in_sum = 0, was_rst = 0;",
        "  always @(posedge clk) begin",
        "    was_give <= give; was_rst <= was_rst || (started && rst);",
        f"    if (rst) in_sum <= 0; else if (take) in_sum <= !{last};",
        "  end",
    ]
    if tagged and framed:
        lines += [
            "  reg entered_early = 0;",
            "  always @(posedge clk) if (enters) entered_early <= !closes;",
        ]
    return [*lines, *(f"  always @* if (!rst) cover ({what});" for what in reached)]
