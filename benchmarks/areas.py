# SPDX-License-Identifier: Apache-2.0
"""Area of the bare accumulating PE over format pairs, architectures and targets.

``python -m benchmarks areas`` measures with ``fpga.report`` what is not in its cache and writes
``hw/pe/areas.json``, by which ``--arch auto`` chooses.
"""

import concurrent.futures
import json
import multiprocessing
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from fpga.report import report_unit
from gen.emit import emit
from gen.unit import discover
from hw.pe.params import TARGETS, PEParams
from hw.pe.recorded import EVERY_PAIR

__all__ = ["ARCHS", "PATH", "WEIGHTS", "main", "measure", "pairs", "size", "takers"]

PATH = Path(__file__).parents[1] / "hw" / "pe" / "areas.json"

WEIGHTS = (
    "binary int2 ternary bipolar2 shift2 int3 fp3_er+ fp3_ea+ int4 uint4 sm4 bipolar4 e1m2 e2m1 "
    "e3m0 posit4_1 shift4 apot4 nf4 e2m1_sr fp4_er+ e2m3 e3m2 int8 e4m3 e5m2 posit8_0"
).split()
#: (activation, target) of each weight; ``same`` is the weight's own format.
_PLACES = (
    *(("int8", target) for target in TARGETS),
    ("e4m3", "gates"),
    ("e4m3", "xcup"),
    ("same", "gates"),
    ("same", "xcup"),
)
#: What ``auto`` chooses from: the architectures that can stand for each other.
ARCHS = (*EVERY_PAIR, "vector", "product-lut")

Pair = tuple[str, str, str]  #: Weight, activation, target.


def pairs() -> list[Pair]:
    """Return every pair on record, each once."""
    named = [(weight, place) for weight in WEIGHTS for place in _PLACES]
    return list(dict.fromkeys((w, w if act == "same" else act, t) for w, (act, t) in named))


def takers(pair: Pair) -> dict[str, dict[str, Any]]:
    """Return the parameters with which each architecture that takes the pair is measured."""
    weight, act, target = pair
    found = {}
    for arch in ARCHS:
        parameters = {"format": weight, "act": act, "arch": arch, "core": "accumulate"}
        try:
            PEParams(**parameters, target=target)
        except ValueError:
            continue
        found[arch] = parameters
    return found


def size(parameters: dict[str, Any], target: str, use_cache: bool = True) -> list[float]:
    """Return the area without DSP blocks, and for gates the delay."""
    dsp = None if target == "gates" else False
    record = report_unit("pe", parameters, target, seeds=0, dsp=dsp, use_cache=use_cache)
    if record["area"]:
        return [round(record["area"]["total"], 1), round(record["delay"]["value"], 1)]
    counts = record["counts"]
    return [counts.get("LUT4eq", counts.get("LUT", counts.get("LUT4")))]


def measure(pair: Pair) -> dict[str, list[float]]:
    """Return the size of each architecture, but not twice of one netlist under two names."""
    unit = discover()["pe"]
    texts: set[str] = set()
    found = {}
    for arch, parameters in takers(pair).items():
        text, _ = emit(unit, unit.params(**parameters, target=pair[2]))
        text = text.replace(arch, "").replace(arch.replace("-", "_"), "")
        if text not in texts:
            texts.add(text)
            found[arch] = size(parameters, pair[2])
    return found


def main(executor: concurrent.futures.Executor | None = None) -> int:
    """Measure every pair and write the record. A pure function of each pair: resumable."""
    wanted = pairs()
    own = executor is None
    workers = int(os.environ.get("WORKERS", "0")) or os.cpu_count()
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    executor = executor or concurrent.futures.ProcessPoolExecutor(workers, spawn)
    record: dict[str, dict[str, list[float]]] = {}
    try:
        futures = [executor.submit(measure, pair) for pair in wanted]
        for number, (pair, future) in enumerate(zip(wanted, futures, strict=True), 1):
            record[" ".join(pair)] = future.result()
            if sys.stderr.isatty():
                print(f"\r{number}/{len(wanted)} {pair[0]:12}", end="", file=sys.stderr)
    finally:
        if own:
            executor.shutdown(cancel_futures=True)
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    wins = Counter(min(found, key=lambda name: found[name][0]) for found in record.values())
    print(f"{len(record)} pairs; smallest: {', '.join(f'{a} {n}' for a, n in wins.most_common())}")
    return 0
