# SPDX-License-Identifier: Apache-2.0
"""Hold a matrix engine to its golden model, beat by beat and cycle by cycle.

The half outside the simulator, as :mod:`sim.bench.check` is for units with one input stream. A
stimulus is a column of words per field of each stream, each stream with a length of its own::

    {"s_axis_job": {"tdata": [...]}, "s_axis_act": {"tdata": [...], "tlast": [...]}, ...}

Every job owns one packet on each stream that has a ``tlast``, and one beat on the others. In the
pass without stalls the jobs run once all together and once one by one; in the latter the cycles of
a job, from the first offer to the transfer of its last result, both counted, must be exactly those
of the golden model.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hw.spec.gemm import ERRORS, FLOW, JOB
from sim.bench.check import PATIENCE, Mismatch, Pass, Report, golden_of
from sim.bench.launch import launch
from sim.golden.mpgemm.jobs import Job
from sim.golden.mpgemm.unit import Unit

__all__ = [
    "Columns",
    "Tile",
    "WrongBeat",
    "check",
    "job_ends",
    "joined",
    "short_jobs",
    "single_sizes",
    "stimulus_of",
    "tile_of",
]

#: Stream -> field without the stream's prefix -> words.
Columns = Mapping[str, Mapping[str, Sequence[int]]]


@dataclass(frozen=True)
class WrongBeat(Mismatch):
    """The first beat of a result that differs from the golden model."""

    where: str = ""  #: Job and place in its result.

    def lines(self) -> list[str]:
        return [
            f"{self.where} on {self.port}, stalls {self.stalls}: "
            f"expected {self.expected}, got {self.got}"
        ]


def check(
    verilog: Path,
    manifest: Mapping[str, Any],
    stimulus: Columns,
    build_dir: Path,
    *,
    passes: Sequence[Pass] = (Pass("none", "none"),),
    expected: Columns | None = None,
    seed: int = 1,
    simulator: str | None = None,
    waves: bool = False,
) -> Report:
    """Simulate ``verilog`` under each of ``passes`` and compare with ``expected``.

    ``expected`` is what the golden model gives for ``stimulus`` unless it is passed in. Raises
    ``ValueError`` if streams do not have the same number of packets, or a word does not fit,
    :class:`sim.runner.SimulationError` if the simulation itself fails.
    """
    golden = golden_of(manifest)
    if expected is None:
        expected = golden.run(manifest["parameters"], stimulus)
    quick = Pass("none", "none")
    runs = [run for p in passes for run in ([replace(p, alone=True), p] if p == quick else [p])]
    plan = _plan(manifest, {**stimulus, **expected}, runs, seed)
    bench = "sim.bench.cocotb_jobs"
    seen = launch(
        verilog, manifest["module"], bench, plan, build_dir, simulator=simulator, waves=waves
    )
    view = _View(manifest, stimulus, expected, plan["ends"])
    fault, wrong, times, done, words = seen.fault, None, [], [], {}
    for run, found in zip(runs, seen.passes, strict=False):
        done.append(replace(run, cycles=found["cycles"]))
        words = {name: [int(word, 16) for word in c] for name, c in found["words"].items()}
        wrong = wrong or view.compare(words, run)
        if "job" in found:
            fault = f"{view.job(found['job'])}: {fault}"
        if run.alone:
            times = view.times(found.get("spent", []), golden)
    late = next((time for time in times if time[2] not in (None, time[1])), None)
    if late and not fault and not wrong:
        fault = f"{late[0]} alone took {late[1]} cycles, the golden model says {late[2]}"
    outputs = {name: np.array(column, dtype=object) for name, column in words.items()}
    results = sum(ends[-1] for name, ends in plan["ends"].items() if name in plan["results"])
    return Report(
        seen.simulator,
        len(view.descriptors),
        results,
        done,
        fault,
        wrong,
        seen.waves,
        outputs,
        times,
    )


def stimulus_of(
    golden: Any, parameters: Mapping[str, Any], rng: np.random.Generator, jobs: int
) -> dict[str, dict[str, list[int]]]:
    """Return ``jobs`` good jobs of the model, and those with errors that it knows."""
    parts = [golden.vectors(parameters, rng, jobs)]
    if hasattr(golden, "faulty"):
        parts.append(golden.faulty(parameters, rng))
    return joined(*parts)


class Tile(NamedTuple):
    """Results that belong together: rows and columns, 0 where nobody says."""

    rows: int
    columns: int
    streams: bool = False  #: An operand stays, and a beat of the other one is not a whole tile's.
    flows: tuple[int, ...] = (0,)  #: Bits of descriptors that pick a dataflow.


def tile_of(manifest: Mapping[str, Any]) -> Tile:
    """Return the tile of a matrix engine."""
    parameters, contract = manifest["parameters"], manifest["contract"]
    rows = contract.get("tile_rows", parameters.get("rows", 0))
    columns = contract.get("tile_columns", parameters.get("columns", 0))
    flow = parameters.get("dataflow")
    flows = (0, 1 << FLOW) if flow == "os-ws" else (0,)
    return Tile(int(rows), int(columns), flow in ("is", "os-ws", "ws"), flows)


def joined(*parts: Columns) -> dict[str, dict[str, list[int]]]:
    """Return the jobs of all parts, one after the other."""
    return {
        name: {field: [word for part in parts for word in part[name][field]] for field in columns}
        for name, columns in parts[0].items()
    }


def single_sizes(
    stimulus: Columns, manifest: Mapping[str, Any], most: int, whole: int = 8
) -> dict[str, dict[str, list[int]]]:
    """Return jobs of which one size has one bit beyond the first ones, made of ``stimulus``.

    Those below ``2**whole`` are good ones. The others are far too large for their packets: one that
    ends before these do has lost its bit. Sizes below ``2**most`` are gone through at least once.
    """
    tile, engine = tile_of(manifest), Unit.of(manifest).engine
    several = max(tile.rows, tile.columns) + 1
    most += tile.streams  # a step has the products of several rows, so counters go half as far
    longest = int(np.argmax(_lengths(stimulus)))
    columns = max(1, tile.columns)
    jobs: list[tuple[int, int, int | Mapping[str, int]]] = []
    for flow, size in itertools.product(tile.flows, _SIZES):
        other = "m" if size == "n" else "n"
        across = columns if size == "n" and not tile.streams else 1
        # Where an operand stays each row streams past every tile of columns.
        times = -(-several // columns) if tile.streams else 1
        for bit in range(3, _SIZES[size].bits):
            # What is left out or taken twice must show in one of several results.
            least = several if size == "k" and bit < whole else 1
            sizes = {"m": least, "n": least, "k": 1, other: several, size: 1 << bit}
            word = _descriptor(**sizes) | flow
            if bit < min(whole, most) and sizes["k"] <= engine.max_k:
                beats = engine.schedule(Job.of(word)).beats
                jobs.append((word, longest, {f"s_axis_{n}": count for n, count in beats.items()}))
                continue
            steps = (times << bit) // across if bit < most else 0
            jobs.append((word, longest, 24 + steps))
    return _packets(stimulus, jobs)


def short_jobs(stimulus: Columns, tile: Tile, rounds: int = 6) -> dict[str, dict[str, list[int]]]:
    """Return jobs of one beat, most of which fail, between the shortest ones of ``stimulus``.

    While the output waits they fill every queue with all that can stand in it.
    """
    rows, columns = tile.rows, tile.columns
    shapes = [(1, 1, 1), (rows, columns, 1), (rows, 1, 1), (1, columns, 1), (rows + 1, 1, 1)]
    each = [_descriptor(m, n, k) for m, n, k in (*shapes, (0, 0, 0), (1, 1, 65535))]
    each.append(each[0] | 1 << next(f.offset for f in JOB if f.name == "reserved"))
    good = np.argsort(_lengths(stimulus), kind="stable")[:3]
    words = _words(stimulus)
    jobs: list[tuple[int, int, int | Mapping[str, int]]] = []
    for number in range(rounds):
        for failing in (24, 1, 3, 0, 12, 2):
            # A stride that meets each of them, and in every round next to others.
            stride = 1 + 2 * (len(jobs) % 4)
            few = [each[(len(jobs) + k * stride) % len(each)] for k in range(failing)]
            jobs += [(word, int(good[0]), 1) for word in few]
            jobs += [(words[k], int(k), 0) for k in np.roll(good, number)]
    # Any number of tiles in front, then nothing but errors: one that waits behind a full core would
    # keep these from the last place of a queue.
    wrong = [(word, 1) for word in each[4:]] + [(each[0], 2)]
    for tiles in range(10):
        for turn in range(4):
            jobs += [(each[(turn + k) % 4], int(good[0]), 1) for k in range(tiles)]
            few_wrong = [wrong[(turn + tiles + k * (1 + turn)) % len(wrong)] for k in range(14)]
            jobs += [(word, int(good[0]), length) for word, length in few_wrong]
    return _packets(stimulus, jobs)


_SIZES = {f.name: f for f in JOB if f.name in ("m", "n", "k")}


def _descriptor(m: int, n: int, k: int) -> int:
    given = {"m": m, "n": n, "k": k}
    return sum(value << _SIZES[name].offset for name, value in given.items())


def _words(stimulus: Columns) -> Sequence[int]:
    """Return the descriptors."""
    (words,) = (columns["tdata"] for columns in stimulus.values() if "tlast" not in columns)
    return words


def _lengths(stimulus: Columns) -> list[int]:
    """Return the beats of each job on its longest stream."""
    ends = [[0, *job_ends(name, columns)] for name, columns in stimulus.items()]
    return [int(beats) for beats in np.max([np.diff(each) for each in ends], axis=0)]


def _packets(
    stimulus: Columns, jobs: Sequence[tuple[int, int, int | Mapping[str, int]]]
) -> dict[str, dict[str, list[int]]]:
    """Return jobs: the descriptor of each, the job of ``stimulus`` whose beats it has, how many.

    Beats come again and again if they are too few; for 0 they are just those of the job.
    """
    found: dict[str, dict[str, list[int]]] = {}
    for name, columns in stimulus.items():
        if "tlast" not in columns:
            found[name] = {"tdata": [int(word) for word, _, _ in jobs]}
            continue
        ends = [0, *job_ends(name, columns)]
        given = [n if isinstance(n, int) else n[name] for _, _, n in jobs]
        ats = [at for _, at, _ in jobs]
        sizes = [n or ends[at + 1] - ends[at] for n, at in zip(given, ats, strict=True)]
        found[name] = {field: [] for field in columns}
        for at, size in zip(ats, sizes, strict=True):
            for field, column in columns.items():
                beats = [int(word) for word in column[ends[at] : ends[at + 1]]]
                found[name][field] += [beats[k % len(beats)] for k in range(size)]
        found[name]["tlast"] = [int(k == size - 1) for size in sizes for k in range(size)]
    return found


def job_ends(name: str, columns: Mapping[str, Sequence[int]]) -> list[int]:
    """Return the number of beats of a stream up to the end of each job."""
    length = len(next(iter(columns.values())))
    ends = [k + 1 for k in range(length) if columns["tlast"][k]] if "tlast" in columns else None
    if ends is None:
        return list(range(1, length + 1))
    if not ends or ends[-1] != length:
        raise ValueError(f"the last packet on {name} has no end")
    return ends


def _plan(
    manifest: Mapping[str, Any], streams: Columns, passes: Sequence[Pass], seed: int
) -> dict[str, Any]:
    """Return the plan for the simulator's side."""
    ports = {port["name"]: port for port in manifest["ports"]}
    ends, words, results = {}, {}, {}
    for stream in manifest["streams"]:
        name = stream["name"]
        ends[name] = job_ends(name, streams[name])
        if stream["dir"] == "out":
            results[name] = ends[name][-1]
            continue
        for field in stream["fields"]:
            column = streams[name][field.removeprefix(f"{name}_")]
            if any(int(word) >> ports[field]["width"] for word in column):
                raise ValueError(f"a word does not fit the {ports[field]['width']} bits of {field}")
            words[field] = [f"{int(word):x}" for word in column]
    counts = {name: len(found) for name, found in ends.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} on {name}" for name, count in counts.items())
        raise ValueError(f"every job owns one packet on each stream, but there are {told}")
    for port in manifest["ports"]:
        if port["role"] == "data" and port["dir"] == "in":
            words[port["name"]] = [f"{port.get('constant', 0):x}"]
    latency = manifest["latency"] or 0
    return {
        "clock": manifest["clock"],
        "streams": manifest["streams"],
        "outputs": [p["name"] for p in manifest["ports"] if p["dir"] == "out"],
        "words": words,
        "ends": ends,
        "results": results,
        "quiet": 8 + 2 * latency,
        "patience": PATIENCE + latency + manifest["contract"].get("tile_interval", 0),
        "passes": [
            {"source": p.source, "sink": p.sink, "alone": p.alone, "seed": 1000 * seed + 10 * k}
            for k, p in enumerate(passes)
        ],
    }


class _View:
    """Results as the jobs see them."""

    def __init__(
        self,
        manifest: Mapping[str, Any],
        stimulus: Columns,
        expected: Columns,
        ends: Mapping[str, Sequence[int]],
    ):
        self.manifest, self.expected, self.ends = manifest, expected, ends
        (self.job_stream,) = (s for s in stimulus if "tlast" not in stimulus[s])
        self.descriptors = [int(word) for word in stimulus[self.job_stream]["tdata"]]
        contract = manifest["contract"]
        tile = tile_of(manifest)
        self.rows, self.columns = tile.rows, tile.columns
        #: Products after which a tile's rows come out, 0 where they do once.
        self.group = int(contract["group"]) if contract.get("sum") == "int" else 0

    def sizes(self, number: int) -> dict[str, int]:
        """Return the fields of a job's descriptor."""
        word = self.descriptors[number]
        return {f.name: word >> f.offset & (1 << f.bits) - 1 for f in JOB}

    def job(self, number: int) -> str:
        """Return which job it is, for a person."""
        if number >= len(self.descriptors):
            return "after the last job"
        sizes = self.sizes(number)
        shown = [f"{k} {v}" for k, v in sizes.items() if k in ("m", "n", "k") or v]
        return f"job {number} ({', '.join(shown)})"

    def compare(self, words: Mapping[str, Sequence[int]], run: Pass) -> WrongBeat | None:
        """Return the first beat, if any, of the first output stream that is not what is due."""
        stalls = f"{run.source}/{run.sink}" + (", one job at a time" if run.alone else "")
        for stream in self.manifest["streams"]:
            if stream["dir"] == "in":
                continue
            name, fields = stream["name"], stream["fields"]
            due = [self.expected[name][field.removeprefix(f"{name}_")] for field in fields]
            got = [words.get(field, ()) for field in fields]
            for beat, pair in enumerate(zip(zip(*due), zip(*got))):  # noqa: B905
                want, have = ([int(word) for word in row] for row in pair)
                if want == have:
                    continue
                at = next(k for k, word in enumerate(want) if word != have[k])
                tail, values = self._values(fields[at], want[at], have[at])
                where = self._where(name, beat) + tail
                return WrongBeat(beat, fields[at], *values, {}, stalls, where)
        return None

    def _values(self, field: str, want: int, have: int) -> tuple[str, tuple[int, int]]:
        """Return the column of the first difference, and its numbers: of a row, signed ones."""
        width = next(p["width"] for p in self.manifest["ports"] if p["name"] == field)
        if not field.endswith("_tdata") or not self.columns or width % self.columns:
            return "", (want, have)
        bits = width // self.columns
        change = want ^ have
        column = ((change & -change).bit_length() - 1) // bits
        sign = 1 << bits - 1
        pair = ((word >> column * bits & 2 * sign - 1 ^ sign) - sign for word in (want, have))
        return f", column {column} of the tile", (next(pair), next(pair))

    def _where(self, name: str, beat: int) -> str:
        """Return job, beat and place in the product of a beat of results."""
        ends = self.ends[name]
        number = next(k for k, end in enumerate(ends) if beat < end)
        local = beat - (ends[number - 1] if number else 0)
        text = f"{self.job(number)}, beat {local}"
        sizes = self.sizes(number)
        if not self.rows or not self.columns or not sizes["m"]:
            return text
        groups = -(-sizes["k"] // self.group) if self.group else 1
        across = -(-sizes["n"] // self.columns) * groups
        tile_row, rest = divmod(local, self.rows * across)
        height = min(self.rows, sizes["m"] - tile_row * self.rows)
        if height < 1:
            return text
        place, row = divmod(rest, height)
        tile_column, group = divmod(place, groups)
        told = f", group {group}" if self.group else ""
        return f"{text} (row {tile_row * self.rows + row}, column tile {tile_column}{told})"

    def times(self, spent: Sequence[int], golden: Any) -> list[tuple[str, int, int | None]]:
        """Return each good job, its cycles alone, and those of the model if it says."""
        (name,) = (s["name"] for s in self.manifest["streams"] if s["dir"] == "out")
        model = getattr(golden, "cycles", None)
        found = []
        for number, cycles in enumerate(spent):
            code = int(self.expected[name]["tuser"][self.ends[name][number] - 1]) & 15
            if code != ERRORS.index("none"):
                continue
            sizes = self.sizes(number)
            mode = {"bits": sizes["bits"]} if sizes["bits"] else {}
            mode |= {"flow": 1} if sizes["reserved"] else {}  # the job is a good one
            shape = sizes["m"], sizes["n"], sizes["k"]
            due = model(self.manifest["parameters"], *shape, **mode) if model else None
            found.append((self.job(number), cycles, due))
        return found
