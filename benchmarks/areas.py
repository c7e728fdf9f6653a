# SPDX-License-Identifier: Apache-2.0
"""Area of the bare accumulating PE over format pairs, architectures and targets.

``python -m benchmarks areas`` measures with ``fpga.report`` what is not in its cache and writes
``hw/pe/areas.json``, by which ``--arch auto`` chooses and from which the figures are drawn.
"""

import concurrent.futures
import itertools
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from fpga.report import report_unit
from hw.pe.params import TARGETS, PEParams
from hw.pe.recorded import smallest

__all__ = ["PATH", "PLACES", "WEIGHTS", "main", "measure"]

PATH = Path(__file__).parents[1] / "hw" / "pe" / "areas.json"

WEIGHTS = (
    "binary int2 ternary bipolar2 shift2 int3 fp3_er+ fp3_ea+ int4 uint4 sm4 bipolar4 e1m2 e2m1 "
    "e3m0 posit4_1 shift4 apot4 nf4 e2m1_sr fp4_er+ e2m3 e3m2 int8 e4m3 e5m2 posit8_0"
).split()
#: (activation, target) of each weight.
PLACES = (*(("int8", target) for target in TARGETS), ("e4m3", "gates"), ("e4m3", "xcup"))
#: What ``auto`` chooses from: the architectures that take every pair.
ARCHS = ("multiply", "shift-add")


def area_of(record: dict[str, Any]) -> float:
    """Return the one figure by which two designs on one target are compared."""
    if record["area"]:
        return round(record["area"]["total"], 1)
    counts = record["counts"]
    return counts.get("LUT4eq", counts.get("LUT", counts.get("LUT4")))


def measure(point: tuple[str, tuple[str, str], str], use_cache: bool = True) -> float | None:
    """Return the area of (weight, (act, target), arch), without DSP blocks; None if refused."""
    weight, (act, target), arch = point
    parameters = {"format": weight, "act": act, "arch": arch, "core": "accumulate"}
    try:
        PEParams(**parameters)
    except ValueError:
        return None
    dsp = None if target == "gates" else False
    record = report_unit("pe", parameters, target, seeds=0, dsp=dsp, use_cache=use_cache)
    return area_of(record)


def main(executor: concurrent.futures.Executor | None = None) -> int:
    """Measure every point and write the record. A pure function of each point: resumable."""
    points = list(itertools.product(WEIGHTS, PLACES, ARCHS))
    own = executor is None
    workers = int(os.environ.get("WORKERS", "0")) or os.cpu_count()
    executor = executor or concurrent.futures.ProcessPoolExecutor(workers)
    try:
        futures = [executor.submit(measure, point) for point in points]
        areas: dict[str, dict[str, float]] = {}
        for number, (point, future) in enumerate(zip(points, futures, strict=True), 1):
            weight, place, arch = point
            if (area := future.result()) is not None:
                areas.setdefault(" ".join((weight, *place)), {})[arch] = area
            if sys.stderr.isatty():
                print(f"\r{number}/{len(points)} {weight:12}", end="", file=sys.stderr)
    finally:
        if own:
            executor.shutdown(cancel_futures=True)
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in areas.items()]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    wins = Counter(smallest(*key.split())[0] for key in areas)
    print(f"{len(areas)} pairs; smallest: {', '.join(f'{a} {n}' for a, n in wins.most_common())}")
    return 0
