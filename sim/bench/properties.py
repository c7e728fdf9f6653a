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

A unit whose contract says ``row_ends`` names so the field of a result that ends the results of a
row; all those count as one. A unit whose rows take ``row_cycles`` of its contract at least is given
as many.

Of a deep pipeline the contract names the ``places`` where a row can be, in the order in which it
comes by: a register that says whether one is there, the cycles after which it is there at the
latest, and a register that counts more of them, with its width, or nothing. That every row owed is
in one of them (``<o>_places``), and how long the oldest has been on its way (``<o>_pace``), is
proved too, and helps to prove the rest. Rows are not longer than ``max_beats``.

A unit whose contract says that it ``answers`` beats gives one for each beat of a row, once the row
has been closed; its properties count those, and one for a row of more than ``max_beats``. Of
such results only what goes beside the data, ``keep`` and ``err``, is asked whose they are. One that
answers ``each`` beat on its own has a ``last`` that passes through like any other field.

A unit that answers packets gives one answer, up to its ``last``, for each; packets that the
contract calls ``silent``, by the value of a field, have none and do not come. Its properties do not
follow a beat.

The reset may come at any time. Inputs keep the rules of transfer and are otherwise free; an input
beside the streams, a setting, has the ``constant`` that the manifest gives its port.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.bench.pack import pack

__all__ = ["TOP", "Tag", "answers_packets", "find_tag", "harness", "rows_of"]

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
    if answers_packets(manifest):
        return None
    parameters = manifest["parameters"]
    beats = golden.vectors(parameters, np.random.default_rng(1), tries)
    framing = _framing(manifest)
    fields = {_field(port) for port in _ports(manifest, "in")} - {framing}
    rows = rows_of(manifest)
    beats = {name: np.asarray(values) for name, values in beats.items() if name in fields}
    framed = any(_field(port) == framing for port in _ports(manifest, "in"))

    def results(rows: list[int]) -> list[tuple[int, ...]]:
        chosen: dict[str, NDArray[Any]] = {name: values[rows] for name, values in beats.items()}
        if framed:
            chosen["last"] = np.arange(len(rows)) == len(rows) - 1
        found = golden.run(parameters, chosen)
        words = [pack(found[_field(p)], p["width"]) for p in _told(manifest)]
        return list(zip(*words, strict=True))

    every = [results([row]) for row in range(len(next(iter(beats.values()))))]
    one = rows or framing is None  # what fills a table has no answer
    alone = [found[0] if found and (one or len(found) == 1) else None for found in every]
    names = [_field(p) for p in _told(manifest)]
    for plain, base in enumerate(alone):
        if base is None:
            continue
        if one:
            distinct = _of_rows(results, alone, plain)
            if distinct is None:
                continue
            shown = [dict(zip(names, alone[row] or (), strict=True)) for row in (plain, distinct)]
            words = [_words(manifest, beats, row) for row in (plain, distinct)]
            return Tag(*words, *(_outputs(manifest, values) for values in shown))
        if framed and results([plain, plain])[-1] != base:
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


def rows_of(manifest: Mapping[str, Any]) -> int:
    """Return the beats of the longest row of a unit that answers beats, 0 of any other unit."""
    contract = manifest.get("contract", {})
    return int(contract["max_beats"]) if contract.get("answers") == "beats" else 0


def answers_packets(manifest: Mapping[str, Any]) -> bool:
    """Return whether an answer of the unit is a packet."""
    return bool(manifest.get("contract", {}).get("answers") == "packets")


def _framing(manifest: Mapping[str, Any]) -> str | None:
    """Return the field that ends what is answered together, if there may be one."""
    return None if manifest.get("contract", {}).get("answers") == "each" else "last"


def _told(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the output ports that tell whose a result is; of rows only those beside the data."""
    outputs = _ports(manifest, "out")
    return [p for p in outputs if _field(p) in ("keep", "err")] if rows_of(manifest) else outputs


def _of_rows(
    results: Callable[[list[int]], list[tuple[int, ...]]],
    alone: list[tuple[int, ...] | None],
    plain: int,
) -> int | None:
    """Return a beat that shows in its own result of a row of plain beats and in no other."""
    base = alone[plain]
    for distinct, value in enumerate(alone):
        if value not in (None, base) and results([plain] * 2) == [base] * 2:
            mixed = ([plain, distinct], [distinct, plain])
            if all(results(m) == [alone[row] for row in m] for m in mixed):
                return distinct
    return None


def _words(manifest: Mapping[str, Any], beats: Mapping[str, Any], row: int) -> dict[str, int]:
    ports = [port for port in _ports(manifest, "in") if _field(port) != _framing(manifest)]
    return {p["name"]: pack(beats[_field(p)][row : row + 1], p["width"])[0] for p in ports}


def _outputs(manifest: Mapping[str, Any], values: Mapping[str, int]) -> dict[str, int]:
    ports = _told(manifest)
    return {p["name"]: values[_field(p)] & ((1 << p["width"]) - 1) for p in ports}


def harness(manifest: Mapping[str, Any], tag: Tag | None) -> str:
    """Return SystemVerilog for the module :data:`TOP`, which instantiates the unit.

    Raises ``ValueError`` for a unit without exactly one stream each way.
    """
    i, o, clock = _stream(manifest, "in"), _stream(manifest, "out"), manifest["clock"]
    inputs, outputs = _ports(manifest, "in"), _ports(manifest, "out")
    framing = _framing(manifest)
    last = next((p["name"] for p in inputs if _field(p) == framing), "1'b1")
    latency, rate = manifest["latency"], manifest["beats_per_cycle"] or 1
    row_cycles = int(manifest.get("contract", {}).get("row_cycles", 1))
    pause = latency + max(int(np.ceil(1 / rate)), row_cycles)
    reset = clock["reset"] if clock.get("reset_active") != "low" else f"!{clock['reset']}"
    free = [p for p in inputs if tag is None or _field(p) == framing]
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
        if tag is not None and _field(p) != framing:
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
    rows, packets = rows_of(manifest), answers_packets(manifest)
    ending = "last" if packets else manifest.get("contract", {}).get("row_ends")
    closing = next(p["name"] for p in outputs if _field(p) == ending) if ending else "1'b1"
    silent = manifest.get("contract", {}).get("silent", {})
    most = 4 * latency + 8 + 4 * rows
    owed_bits = most.bit_length()
    wait_bits = (pause + 4).bit_length() + 1
    places = manifest.get("contract", {}).get("places", [])
    longest = int(manifest["contract"]["max_beats"]) if places else 0
    lines += [
        f"  {manifest['module']} dut({connections});",
        f"  wire take = {i['valid']} && {i['ready']} && !rst;",
        f"  wire give = {o['valid']} && {o['ready']} && !rst;",
        f"  wire ends = give && {closing};",
        f"  wire closes = take && {last};",
        *(_row_counter(rows, last) if rows else ["  wire closed = closes;"]),
        "  reg past = 0, i_waits = 0, o_waits = 0;",
        f"  reg [{i_width - 1}:0] i_was; reg [{o_width - 1}:0] o_was;",
        f"  reg [{owed_bits - 1}:0] owed = 0;",
        f"  reg [{wait_bits - 1}:0] i_pause = 0, o_pause = 0;",
        "  always @(posedge clk) begin",
        "    past <= !rst;",
        f"    i_waits <= {i['valid']} && !{i['ready']}; i_was <= {i_payload};",
        f"    o_waits <= {o['valid']} && !{o['ready']}; o_was <= {o_payload};",
        "    owed <= rst ? 0 : owed + closed - ends;",
        f"    i_pause <= rst || !{i['valid']} || {i['ready']} || !{o['ready']} ? 0 : i_pause + 1;",
        f"    o_pause <= rst || {o['valid']} || owed + closes == 0 ? 0 : o_pause + 1;",
        "  end",
        "  always @* if (past && i_waits) begin",
        f"    assume ({i['valid']}); assume ({i_payload} == i_was);",
        "  end",
        *(_within(longest, last) if longest else []),
        *_places(o, places),
        *(f"  always @* assume ({i['name']}_{k} != {v});" for k, v in silent.items()),
        "  always @* if (!rst) begin",
        "    if (past && o_waits) begin",
        f"      {o['name']}_valid_kept: assert ({o['valid']});",
        f"      {o['name']}_payload_kept: assert ({o_payload} == o_was);",
        "    end",
        f"    {o['name']}_not_early: assert (!{o['valid']} || owed{_now(latency)} != 0);",
        f"    {o['name']}_in_time: assert (o_pause <= {latency} && owed < {most});",
        f"    {i['name']}_taken: assert (i_pause < {pause});",
        "  end",
        *(_tagging(o, _told(manifest), tag, owed_bits, bool(rows)) if tag is not None else []),
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


def _row_counter(rows: int, last: str) -> list[str]:
    """Count the beats of the row that is open: ``closed`` answers become due, of a long row one."""
    bits = (rows + 1).bit_length()
    return [
        f"  reg [{bits - 1}:0] open = 0;",
        f"  wire long = open >= {rows};",
        f"  wire [{bits - 1}:0] closed = closes ? (long ? 1 : open + 1) : 0;",
        "  always @(posedge clk)",
        f"    open <= rst || closes ? 0 : take && open < {rows} ? open + 1 : open;",
    ]


def _tagging(
    o: Mapping[str, Any], outputs: list[dict[str, Any]], tag: Tag, owed_bits: int, rows: bool
) -> list[str]:
    """Follow the distinct beat to its result: ``ahead`` results come out before that one.

    Of rows, those before it in its row come out first too; in a row that is too long it shows
    nowhere.
    """
    before = "owed - ends + open" if rows else "owed - ends"
    without = " && ".join(f"{p['name']} == {_hex(p, tag.without)}" for p in outputs)
    with_it = " && ".join(f"{p['name']} == {_hex(p, tag.with_it)}" for p in outputs)
    before, excluded = "owed - ends", ""
    if rows:
        before, excluded = "owed - ends + open", " && !(in_row && closes && long)"
        failed = f"{o['name']}_err"
        others = [p["name"] for p in outputs if p["name"] != failed]
        without = f"{failed} ? longs != 0 && {{{', '.join(others)}}} == 0 : {without}"
    return [
        f"  reg inside = 0; reg [{owed_bits - 1}:0] ahead = 0;",
        "  wire enters = take && distinct && !tagged;",
        "  wire mine = inside && ahead == 0;",
        *(_long_rows(o, owed_bits) if rows else []),
        "  always @(posedge clk) begin",
        "    tagged <= !rst && (tagged || enters);",
        f"    inside <= !rst && (enters || (inside && !(ends && mine))){excluded};",
        f"    ahead <= enters ? {before} : ahead - (ends && inside && !mine);",
        "  end",
        "  always @* if (!rst) begin",
        f"    if ({o['valid']}) {o['name']}_value: assert (mine ? {with_it} : ({without}));",
        "  end",
    ]


def _long_rows(o: Mapping[str, Any], owed_bits: int) -> list[str]:
    """Count the answers that are due to rows that were too long."""
    return [
        f"  reg began = 0; reg [{owed_bits - 1}:0] longs = 0;",
        "  wire in_row = began || enters;",
        "  always @(posedge clk) begin",
        "    began <= !rst && in_row && !closes;",
        f"    longs <= rst ? 0 : longs + (closes && long) - (give && {o['name']}_err);",
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
