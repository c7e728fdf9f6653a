# SPDX-License-Identifier: Apache-2.0
"""What the registers of a matrix engine's frame hold, for the proof of :mod:`properties_axis`.

Each lemma is an assertion like any other: it is proved together with the properties and never
assumed, so a wrong one can cost a verdict but never make one. They are written for the frame that
engines share (sequencer, queue of tiles, writer, slice at the output), whose registers they reach
by name; a netlist that has none of these gets no lemmas.

The beats that an engine owes stand in a row: in the slice, in the queue of tiles, in the sequencer.
``lemma_owed`` counts the jobs in that row, ``lemma_walk`` follows one small job along it and
compares each place with the tile that is due there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hw.spec.gemm import ERRORS, error_code

__all__ = ["SMALL", "Place", "Walk", "lemmas"]

#: Most rows and columns of the one job whose results are counted.
SMALL = 3

_IDLE, _DROP, _RUN = range(3)  # of the state machine of both sequencers, as they are emitted


@dataclass(frozen=True)
class Place:
    """Where a job stands: what is left of its rows, columns and groups, and the tile's row."""

    m: str
    n: str
    g: str
    r: str


@dataclass(frozen=True)
class Walk:
    """How the rows of a result follow each other: group by group, tile by tile."""

    rows: int  #: Rows of a tile.
    columns: int
    octets: int  #: Bits of ``tkeep`` for a column.
    most: int  #: Bits of the counter of jobs.
    max_k: int
    group: int = 0  #: Products of a group whose sums leave, 0 without groups.
    swapped: bool = False  #: Rows of the output are columns of the product.

    @property
    def bits(self) -> int:
        """Bits of each part of a place."""
        return max(SMALL, self.rows, self.columns, self._groups).bit_length() + 1

    @property
    def _groups(self) -> int:
        return -(-self.max_k // self.group) if self.group else 1

    @property
    def masks(self) -> list[str]:
        """Values of ``tkeep`` for one column, two columns and so on."""
        width = self.columns * self.octets
        return [f"{width}'d{(1 << self.octets * c) - 1}" for c in range(1, self.columns + 1)]

    def groups(self, k: str) -> str:
        """Return the groups of a job."""
        steps = range(2, self._groups + 1)
        more = "".join(f"{k} > {(n - 1) * self.group} ? {n} : " for n in reversed(steps))
        return f"({more}1)"

    def least(self, left: str, size: int) -> str:
        """Return the rows, or columns, that a tile has if ``left`` are left."""
        return f"({left} < {size} ? {left} : {self.bits}'d{size})"

    def keep(self, n: str) -> str:
        """Return ``tkeep`` of a tile."""
        chain = [f"{n} == {c} ? {mask} : " for c, mask in enumerate(self.masks[:-1], 1)]
        return f"({''.join(chain)}{self.masks[-1]})"

    def ends_tile(self, at: Place) -> str:
        """Return whether a row is the last of its tile and group."""
        return f"({at.r} + {self.bits}'d1 == {self.least(at.m, self.rows)})"

    def closes(self, at: Place) -> str:
        """Return whether a tile is the last one, in its last group."""
        return f"({at.m} <= {self.rows} && {at.n} <= {self.columns} && {at.g} == 1)"

    def last(self, at: Place) -> str:
        """Return whether a row is the last one of its job."""
        return f"({self.ends_tile(at)} && {self.closes(at)})"

    def next_tile(self, at: Place) -> Place:
        """Return the place after a tile and group."""
        ends, wraps = f"{at.g} == 1", f"{at.g} == 1 && {at.n} <= {self.columns}"
        return Place(
            f"({wraps} ? {at.m} - {self.bits}'d{self.rows} : {at.m})",
            f"({wraps} ? job_n : {ends} ? {at.n} - {self.bits}'d{self.columns} : {at.n})",
            f"({ends} ? job_g : {at.g} - {self.bits}'d1)",
            f"{self.bits}'d0",
        )

    def after(self, at: Place) -> Place:
        """Return the place after a row."""
        ends, then = self.ends_tile(at), self.next_tile(at)
        m, n, g = (f"({ends} ? {getattr(then, x)} : {getattr(at, x)})" for x in "mng")
        return Place(m, n, g, f"({ends} ? {self.bits}'d0 : {at.r} + {self.bits}'d1)")


@dataclass
class _Nets:
    """Nets of the engine, by their path below it, as the harness sees them."""

    text: str
    module: str
    lines: list[str] = field(default_factory=list)

    def width(self, path: str) -> int:
        """Return the width of a net, 0 if there is none."""
        *cells, name = path.split(".")
        module = "_".join([self.module, *cells])
        body = re.search(rf"^module {module}\(.*?^endmodule", self.text, re.M | re.S)
        kind = r"(?:reg|wire|input|output)(?: (?:reg|wire))?"
        line = rf"^  {kind} (?:\[(\d+):0\] )?{name}\b(?! \[)"
        found = re.search(line, body[0], re.M) if body else None
        return int(found[1] or 0) + 1 if found else 0

    def __call__(self, path: str, otherwise: str = "") -> str:
        """Return the name of a net; ``otherwise`` if there is none."""
        width = self.width(path)
        if not width and otherwise:
            return otherwise
        name = "dut_" + path.replace(".", "_")
        span = f"[{width - 1}:0] " if width > 1 else ""
        line = f"  (* hierconn *) wire {span}\\dut.{path} ; wire {span}{name} = \\dut.{path} ;"
        if line not in self.lines:
            self.lines.append(line)
        return name


@dataclass
class _Row:
    """The beats and tiles that are owed, from the output to the sequencer."""

    walk: Walk
    lines: list[str] = field(default_factory=list)
    length: int = 0

    def at(self) -> Place:
        """Return where the job that is followed stands before the next place."""
        return Place(*(f"{name}{self.length}" for name in "mngr"))

    def add(self, here: str, ends: str, then: Place, then_of_tile: list[str]) -> None:
        """Add a place: whether something stands there, ends its job, and what comes after it."""
        k, bits, most = self.length, self.walk.bits, self.walk.most
        now = self.at()
        self.lines += [
            f"  wire here{k} = {here};",
            f"  wire ends{k} = here{k} && {ends};",
            f"  wire mine{k} = here{k} && live{k} && !ahead{k}[0];",
            f"  wire [{most - 1}:0] ahead{k + 1} = ends{k} ? ahead{k} >> 1 : ahead{k};",
            f"  wire live{k + 1} = live{k} && !(mine{k} && ends{k});",
            *(
                f"  wire [{bits - 1}:0] {name}{k + 1} = mine{k} ? {getattr(then, name)} :"
                f" {getattr(now, name)};"
                for name in "mngr"
            ),
            *then_of_tile,
        ]
        self.length += 1


def lemmas(text: str, manifest: Mapping[str, Any], walk: Walk) -> list[str]:
    """Return the lemmas on the netlist ``text``; none if it has another frame."""
    nets = _Nets(text, manifest["module"])
    needed = ("sequencer.fsm_state", "sequencer.code", "out_slice.waits", "tiles.used1")
    if not all(nets.width(path) for path in needed):
        return []
    stationary = bool(nets.width("sequencer.feed_left_f"))
    row = _Row(walk)
    start = [f"  wire [{walk.most - 1}:0] ahead0 = before; wire live0 = inside;"]
    start.append(f"  wire [{walk.bits - 1}:0] m0 = at_m, n0 = at_n, g0 = at_g, r0 = at_r;")
    _slice(nets, row)
    _queue(nets, row, stationary)
    lines = [*_owed(nets, row), *_sequencer(nets, row, manifest, stationary)]
    lines.append("  always @* lemma_start: assert (!($initstate && started));")
    numbered = "\n".join([*start, *row.lines, *lines])
    count = iter(range(1000))
    numbered = re.sub(r"lemma_\w+", lambda name: f"{name[0]}_{next(count)}", numbered)
    return [*nets.lines, numbered]


def _due(code: str) -> str:
    """Return whether an error code is one that the job that is followed may have."""
    odd = error_code("unsupported mode")
    return f"(code_due != 0 ? {code} == code_due : {code} > {odd})"


def _slice(nets: _Nets, row: _Row) -> None:
    """Add the beats in the slice at the output."""
    walk = row.walk
    keep = walk.octets * walk.columns
    user = nets.width("out_slice.spare") - 1 - keep * 9
    size = 8 * walk.octets
    for valid, payload in (("o__valid", "o__payload"), ("waits", "spare")):
        k, at = row.length, row.at()
        whole = " || ".join(f"keep{k} == {mask}" for mask in walk.masks)
        zeros = " && ".join(
            f"(keep{k}[{c * walk.octets}] || !data{k}[{c * size + size - 1}:{c * size}])"
            for c in range(walk.columns)
        )
        row.lines += [
            f"  wire last{k}; wire [{user - 1}:0] user{k}; wire [{keep - 1}:0] keep{k};",
            f"  wire [{8 * keep - 1}:0] data{k};",
            f"  assign {{last{k}, user{k}, keep{k}, data{k}}} = {nets(f'out_slice.{payload}')};",
        ]
        rules = [
            f"  always @* if (!rst && here{k}) begin",
            f"    lemma_slice: assert (user{k}[3:0] == 0 ? ({whole}) && {zeros} :",
            f"      user{k}[3:0] < {len(ERRORS)} && last{k} && !keep{k} && !data{k});",
            f"    if (mine{k}) lemma_walk: assert (user{k}[3:0] != 0 ? {_due(f'user{k}[3:0]')} :",
            f"      code_due == 0 && keep{k} == {walk.keep(at.n)} &&",
            f"      last{k} == {walk.last(at)});",
            "  end",
        ]
        row.add(nets(f"out_slice.{valid}"), f"last{k}", walk.after(at), rules)
    row.lines.append("  always @* if (!rst) lemma_slice: assert (here0 || !here1);")


def _queue(nets: _Nets, row: _Row, stationary: bool) -> None:
    """Add the tiles in the queue, of which the first one may have sent some rows."""
    walk = row.walk
    rows = 1 if stationary else walk.rows
    number = nets("writer.number", "1'b0")
    if nets.width("writer.number"):
        row.lines.append(
            f"  always @* if (!rst) lemma_number: assert ({number} < {rows} &&"
            f" ({number} == 0 || used2 && code2 == 0));"
        )
    place = 0
    while not place or nets.width(f"tiles.used{place}"):
        used = nets(f"tiles.used{place}" if place else "tiles.o__valid")
        word = nets(f"tiles.place{place}" if place else "tiles.o__payload")
        k, at = row.length, row.at()
        row.lines += [
            f"  wire [{rows.bit_length() - 1}:0] rows{k}; wire [{walk.columns.bit_length() - 1}:0]"
            f" columns{k};",
            f"  wire last{k}; wire [3:0] code{k}; wire used{k} = {used};",
            f"  assign {{code{k}, last{k}, columns{k}, rows{k}}} = {word};",
        ]
        last = walk.last(at) if stationary else walk.closes(at)
        height = "1" if stationary else walk.least(at.m, walk.rows)
        sent = "1'b1" if stationary else f"{at.r} == {0 if place else number}"
        rules = [
            f"  always @* if (!rst && used{k}) begin",
            f"    lemma_tile: assert (code{k} != 0 ? code{k} < {len(ERRORS)} : rows{k} != 0 &&",
            f"      columns{k} != 0 && rows{k} <= {rows} && columns{k} <= {walk.columns});",
            f"    if (mine{k}) lemma_walk: assert (code{k} != 0 ? {_due(f'code{k}')} :",
            f"      code_due == 0 && rows{k} == {height} && {sent} && last{k} == {last} &&",
            f"      columns{k} == {walk.least(at.n, walk.columns)});",
            "  end",
        ]
        if place:
            rules.append(f"  always @* if (!rst) lemma_tile: assert (used{k - 1} || !used{k});")
        # Rows beyond those of the tile are dropped while it still stands at the front.
        waits = "1'b1" if place else f"(code{k} != 0 || {number} < rows{k})"
        then = walk.after(at) if stationary else walk.next_tile(at)
        row.add(f"used{k} && {waits}", f"(code{k} != 0 || last{k})", then, rules)
        place += 1


def _owed(nets: _Nets, row: _Row) -> list[str]:
    """Return what counts the jobs in the row."""
    most, k, state = row.walk.most, row.length, nets("sequencer.fsm_state")
    total = " + ".join(f"{{4'd0, ends{j}}}" for j in range(k))
    later = [" || ".join([*(f"ends{i}" for i in range(j, k)), "busy"]) for j in range(k)]
    return [
        f"  wire busy = {state} != {_IDLE};",
        f"  wire [4:0] due = {total} + {{4'd0, busy}};",
        *(f"  always @* if (!rst && here{j}) lemma_owed: assert ({later[j]});" for j in range(k)),
        "  always @* if (!rst) begin",
        f"    lemma_owed: assert (owed == ({most + 1}'d1 << due) - 1);",
        "    lemma_owed: assert (!inside || (ahead0 & (owed >> 1)) == ahead0);",
        f"    if (live{k}) lemma_owed: assert (busy && !ahead{k}[0]);",
        f"    lemma_state: assert ({state} <= {_RUN});",
        "  end",
    ]


def _sequencer(nets: _Nets, row: _Row, manifest: Mapping[str, Any], stationary: bool) -> list[str]:
    """Return what the sequencer holds: what is left of the job that it walks through."""
    walk, at = row.walk, row.at()
    state, code = nets("sequencer.fsm_state"), nets("sequencer.code")
    rules: list[str] = []
    if stationary:
        m, n, size = (nets(f"sequencer.{x}") for x in ("feed_left_f", "feed_left_s", "size_s"))
        number, height = nets("sequencer.row", "1'b0"), f"({m} < {walk.rows} ? {m} : {walk.rows})"
        place = [f"{at.r} == ({nets('sequencer.feed_closes_k')} ? {number} : 0)"]
        odd = error_code("unsupported mode")
        rules.append(f"lemma_left: assert ({number} < {height});")
        if nets.width("sequencer.broken"):
            found = nets("sequencer.load_code")
            rules.append(
                f"if ({nets('sequencer.broken')}) lemma_left: assert ({found} > {odd} &&"
                f" {found} < {len(ERRORS)});"
            )
    else:
        m, n, size = (nets(f"sequencer.{x}") for x in ("left_m", "left_n", "size_n"))
        place = [f"{at.r} == 0"]
    if walk.group:
        lanes = int(manifest["parameters"]["lanes"])
        steps = nets("sequencer.steps_left")
        left, of_all = nets("sequencer.left_k"), nets("sequencer.size_k")
        # Products that are left, had the group that is under way been full from its start.
        rules.append(f"lemma_left: assert ({left} <= {walk.max_k} && {of_all} <= {walk.max_k} &&")
        rules.append(f"  {left} != 0 && {of_all} != 0 && {steps} < {walk.group // lanes});")
        whole = f"({{8'd0, {left}}} + {walk.group} - ({steps} + 1) * {lanes})"
        place += [f"{at.g} == {walk.groups(whole)}", f"job_g == {walk.groups(of_all)}"]
    else:
        place += [f"{at.g} == 1", "job_g == 1"]
    k = row.length
    return [
        "  always @* if (!rst) begin",
        f"    if ({state} == {_RUN}) begin",
        f"      lemma_left: assert ({m} != 0 && {n} != 0 && {size} != 0 && {n} <= {size});",
        *(f"      {rule}" for rule in rules),
        f"      if (live{k}) lemma_walk: assert (code_due == 0 && {at.m} == {m} &&",
        f"        {at.n} == {n} && job_n == {size} && {' && '.join(place)});",
        "    end",
        f"    if ({state} == {_DROP}) begin",
        f"      lemma_left: assert ({code} != 0 && {code} < {len(ERRORS)});",
        f"      if (live{k}) lemma_walk: assert ({_due(code)});",
        "    end",
        "  end",
    ]
