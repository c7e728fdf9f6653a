# SPDX-License-Identifier: Apache-2.0
"""Tables against multipliers: size of engines of equal throughput, ``docs/engine_area.md``.

``python -m benchmarks engines`` measures with ``fpga.report`` what ``benchmarks/engines.json`` does
not hold, or holds of another Verilog text, keeps each point as soon as it is there, and writes the
page and its pictures. It may be interrupted and goes on where it stopped.
"""

import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.units import command
from fpga.report import own_target, report
from gen.emit import emit
from gen.unit import discover

__all__ = ["ACTS", "GROWTH", "PARTS", "PATH", "WEIGHTS", "Engine", "Record", "engines", "load",
           "main", "measure", "parts", "points", "save"]  # fmt: skip

PATH = Path(__file__).parent / "engines.json"
ACTS = ("int8", "int16")
COLUMNS = 8

#: Weights of the page -> (bit planes, format of arrays, bits of information).
WEIGHTS: dict[str, tuple[int, str, float]] = {
    "W1": (1, "uint1", 1),
    "W1.58": (0, "sm2", 1.58),
    "W2": (2, "int2", 2),
    "W4": (4, "int4", 4),
}

Record = dict[str, dict[str, Any]]  #: "target command" -> figures.


@dataclass(frozen=True)
class Engine:
    """One engine: its family on the page, its unit, its parameters, products in a cycle."""

    family: str
    unit: str
    options: tuple[tuple[str, Any], ...]
    macs: float

    @property
    def command(self) -> str:
        """The unit and its options as ``python -m gen`` and ``python -m fpga report`` take them."""
        return command(self.unit, dict(self.options))

    @property
    def table(self) -> bool:
        """Whether products come from tables."""
        return self.family.startswith("lut")


def _tile(rows: int = 1, columns: int = COLUMNS, act: str = "int8") -> dict[str, Any]:
    return {"act": act, "rows": rows, "columns": columns}


def _engine(family: str, unit: str, macs: float, *options: Mapping[str, Any]) -> Engine:
    return Engine(family, unit, tuple({k: v for o in options for k, v in o.items()}.items()), macs)


def _lut(bits: int, group: int, tables: int, planes: int = 0, **tile: Any) -> Engine:
    planes = planes or bits
    macs = group * tables * tile.get("columns", COLUMNS) * planes / bits
    serial = ", one plane a cycle" if planes < bits else ""
    most = tile.pop("max_k", 4096)
    more = {} if most == 4096 else {"max_k": most}
    shape = {"bits": bits, "planes": planes, "group": group, "tables": tables}
    name = f"lut, groups of {group}{serial}"
    return _engine(name, "mpgemm", macs, {"engine": "lut"}, _tile(**tile), shape, more)


def _shift_add(fmt: str, lanes: int = 4, **tile: Any) -> Engine:
    most = tile.pop("max_k", 4096)
    more = {} if most == 4096 else {"max_k": most}
    macs = lanes * tile.get("columns", COLUMNS)
    shape = {"format": fmt, "lanes": lanes}
    return _engine("shift-add", "mpgemm", macs, {"engine": "shift-add"}, _tile(**tile), shape, more)


def _array(flow: str, fmt: str, act: str) -> Engine:
    rows, lanes = (1, 4) if flow == "cube" else (4, 1)
    shape = {"format": fmt, "lanes": lanes, "arch": "multiply"}
    tile = _tile(rows, act=act)
    return _engine(f"{flow}, multiply", "array", 32, {"dataflow": flow}, tile, shape)


def _ternary(group: int, act: str) -> Engine:
    shape = {"group": group, "tables": 4 // group}
    name = f"lut-ternary, groups of {group}"
    return _engine(name, "mpgemm", 32, {"engine": "lut-ternary"}, _tile(act=act), shape)


@cache
def engines(weight: str, act: str) -> tuple[Engine, ...]:
    """Return the engines of one kind of weights, all of 32 products a cycle."""
    bits, fmt, _ = WEIGHTS[weight]
    if bits:
        tables = (_lut(bits, 4, 1, act=act), _lut(bits, 2, 2, act=act))
    else:
        tables = (_ternary(4, act), _ternary(2, act)) if act == "int8" else (_ternary(2, act),)
    others = (_shift_add(fmt, act=act), _array("cube", fmt, act))
    return (*tables, *others, *([_array("broadcast", fmt, act)] if act == "int8" else []))


_LONGEST = (256, 4096, 65535)

#: What grows -> line of the picture -> [(value, engine)], for int8 and ``xcup``.
GROWTH: dict[str, dict[str, list[tuple[int, Engine]]]] = {
    "bits of a weight": {
        "lut, groups of 2": [(b, _lut(b, 2, 2)) for b in (1, 2, 4, 8)],
        "lut, groups of 2, one plane a cycle": [(b, _lut(b, 2, 2, 1)) for b in (2, 4, 8)],
        "shift-add": [(b, _shift_add(f"{'u' * (b == 1)}int{b}")) for b in (1, 2, 4, 8)],
    },
    "group g, of 12 activations (W1)": {
        "lut": [(g, _lut(1, g, 12 // g)) for g in (2, 3, 4, 6)],
        "shift-add": [(g, _shift_add("uint1", 12)) for g in (2, 6)],
    },
    "longest K (W2)": {
        "lut, groups of 2": [(k, _lut(2, 2, 2, max_k=k)) for k in _LONGEST],
        "shift-add": [(k, _shift_add("int2", max_k=k)) for k in _LONGEST],
    },
    "columns N (W1)": {
        "lut, groups of 4": [(n, _lut(1, 4, 1, columns=n)) for n in (4, 8, 16, 32)],
        "lut, groups of 2": [(n, _lut(1, 2, 2, columns=n)) for n in (4, 8, 16, 32)],
        "shift-add": [(n, _shift_add("uint1", columns=n)) for n in (4, 8, 16, 32)],
    },
}

#: Engines whose area is told module by module.
PARTS = tuple(
    engine
    for weight in ("W1", "W1.58", "W2")
    for engine in engines(weight, "int8")
    if engine.unit == "mpgemm"
)


def points() -> dict[str, tuple[str, Engine, bool]]:
    """Return every point on record: key -> (target, engine, whether it is its modules)."""
    found = {}

    def add(target: str, engine: Engine, modules: bool = False) -> None:
        key = f"{target} {engine.command}{' (modules)' * modules}"
        found[key] = (target, engine, modules)

    def table(target: str, act: str) -> None:
        for weight in WEIGHTS:
            for engine in engines(weight, act):
                # Multipliers take twice as many mappings to gates, and lose: int8 shows it.
                left_out = () if target == "xcup" else ("broadcast", *["cube"] * (act != "int8"))
                if not engine.family.startswith(left_out):
                    add(target, engine)

    table("xcup", "int8")
    for engine in PARTS:
        add("xcup", engine, True)
    table("gates", "int8")
    for line in (line for lines in GROWTH.values() for line in lines.values()):
        for _, engine in line:
            add("xcup", engine)
    table("xcup", "int16")
    for engine in PARTS:
        add("gates", engine, True)
    table("gates", "int16")
    return found


def _text(target: str, engine: Engine) -> tuple[str, str]:
    """Return the Verilog of an engine as ``fpga report`` measures it, and its top module."""
    unit = discover()[engine.unit]
    params = unit.params(**dict(engine.options), target=own_target(unit, target))
    text, manifest = emit(unit, params)
    return text, manifest["module"]


def parts(text: str, top: str) -> dict[str, int]:
    """Return the modules that the engine's core and its rows consist of, and how many of each."""
    bodies = {m[1]: m[0] for m in re.finditer(r"^module (\S+?)\(.*?^endmodule", text, re.S | re.M)}
    found: Counter[str] = Counter()
    waiting = [(f"{top}_core", 1)]
    while waiting:
        name, number = waiting.pop()
        for child in re.findall(r"^  (\w+) +\S+ +\($", bodies[name], re.M):
            if child.startswith((f"{top}_row", f"{top}_core")):
                waiting.append((child, number))
            elif child in bodies:
                found[child] += number
    return dict(sorted(found.items()))


def _figures(text: str, top: str, target: str) -> dict[str, Any]:
    record = report(text, top, target, seeds=0, dsp=None if target == "gates" else False)
    if target == "xcup":
        return {name: record["counts"][name] for name in ("LUT", "FF", "CARRY4")}
    small, fast = record["points"]
    return {
        "GE": round(small["area"]["total"]),
        "registers": round(small["area"]["sequential"]),
        "delay": round(small["delay"]["value"], 1),
        "fast": [round(fast["delay"]["value"], 1), round(fast["area"]["total"])],
    }


def measure(
    target: str, engine: Engine, modules: bool, known: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the figures of a point, the known ones if they are of the same Verilog."""
    text, top = _text(target, engine)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    if known is not None and known.get("sha256") == digest:
        return dict(known)
    if not modules:
        return {"sha256": digest, **_figures(text, top, target)}
    size = "LUT" if target == "xcup" else "GE"
    found = {
        name: [count, _figures(text, name, target)[size]]
        for name, count in parts(text, top).items()
    }
    return {"sha256": digest, "modules": found}


def load(path: Path | None = None) -> Record:
    """Return what is on record. Raises ``ValueError`` for a file that is no record."""
    path = path or PATH
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from None
    if not isinstance(found, dict) or not all(
        isinstance(value, dict) and "sha256" in value for value in found.values()
    ):
        raise ValueError(f"{path.name} must be an object of points, each with its sha256")
    return found


def save(record: Record, path: Path | None = None) -> None:
    """Write the points, those of today in their order, whole or not at all."""
    path = path or PATH
    lines = [f"  {json.dumps(k)}: {json.dumps(record[k])}" for k in points() if k in record]
    part = path.with_suffix(".part")
    part.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    os.replace(part, path)


def main(executor: concurrent.futures.Executor | None = None) -> int:
    """Measure what is missing, then write the page and the pictures."""
    from benchmarks.engine_page import write

    try:
        record = load()
    except ValueError as error:
        print(f"python -m benchmarks engines: {error}; delete it to start anew", file=sys.stderr)
        return 2
    workers = int(os.environ.get("WORKERS", "0")) or os.cpu_count()
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    pool = executor or concurrent.futures.ProcessPoolExecutor(
        workers, spawn, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )
    failed = 0
    wanted = points()
    order = sorted(wanted, key=lambda key: key in record)  # what is missing comes first
    try:
        futures = {pool.submit(measure, *wanted[key], record.get(key)): key for key in order}
        for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
            try:
                record[futures[future]] = future.result()
            except ValueError as error:  # a tool that is missing, fails or takes too long
                failed += 1
                print(f"\n{futures[future]}: {error}", file=sys.stderr)
            save(record)
            if sys.stderr.isatty():
                print(f"\r\x1b[K{number}/{len(wanted)} {futures[future]}"[:110], end="",
                      file=sys.stderr, flush=True)  # fmt: skip
    except KeyboardInterrupt:
        print(f"\nstopped; {len(record)} points are kept", file=sys.stderr)
        return 130
    finally:
        if executor is None:
            pool.shutdown(wait=False, cancel_futures=True)
    for path in write(record):
        print(path)
    return 1 if failed else 0
