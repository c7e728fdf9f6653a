# SPDX-License-Identifier: Apache-2.0
"""How long the tools take: emission of one PE and of arrays, an exhaustive comparison.

``python -m benchmarks speed`` prints the figures; the recorded ones are in ``docs/benchmarks.md``.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen.emit import emit
from gen.unit import Unit, discover
from hw.cell import Cell
from hw.mpgemm.dataflow import NAMES
from hw.pe.cells import Accumulate
from hw.pe.params import PEParams
from sim.bench.exhaustive import Pair, compare


@dataclass(frozen=True)
class GridParams:
    """A square of output-stationary PEs, for this benchmark only."""

    size: int = 32


class Row(Cell):
    """One activation against a row of weights."""

    def __init__(self, pe: PEParams, size: int):
        self.pe, self.size = pe, size
        self.label = f"row{size}_{pe.format}"
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "a": In(8),
                "w": In(8 * size),
                "acc": Out(pe.acc_width * size),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        for column in range(self.size):
            m.submodules[f"pe{column}"] = cell = Accumulate(self.pe)
            m.d.comb += [
                cell.en.eq(self.en),
                cell.clr.eq(self.clr),
                cell.a.eq(self.a),
                cell.w.eq(self.w.word_select(column, 8)),
                self.acc.word_select(column, self.pe.acc_width).eq(cell.acc),
            ]
        return m


class Grid(wiring.Component):
    """Output-stationary cells: row r takes activation r, column c takes weight c."""

    def __init__(self, params: GridParams):
        self.size = params.size
        self.pe = PEParams(format="int8", core="accumulate")
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "a": In(8 * self.size),
                "w": In(8 * self.size),
                "select": In(range(self.size)),
                "acc": Out(self.pe.acc_width * self.size),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for index in range(self.size):
            m.submodules[f"row{index}"] = row = Row(self.pe, self.size)
            m.d.comb += [
                row.en.eq(self.en),
                row.clr.eq(self.clr),
                row.a.eq(self.a.word_select(index, 8)),
                row.w.eq(self.w),
            ]
            with m.If(self.select == index):
                m.d.comb += self.acc.eq(row.acc)
        return m


def best(action: Any, runs: int = 3) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def exhaustive() -> None:
    """Compare all 65 536 products of E4M3 by E4M3 with the golden model."""
    with tempfile.TemporaryDirectory() as folder:
        compared, wrong = compare([Pair("e4m3", "e4m3", "shift-add")], Path(folder), "netlist")
        if wrong or compared != 1 << 16:
            raise RuntimeError(f"{compared} compared, wrong: {wrong[:1]}")


def arrays() -> None:
    """Print time and text of whole arrays of every dataflow; a tree is a row of long sums."""
    unit = discover()["array"]
    print("arrays of int8 x int8, CPU time      32 x 32           64 x 64")
    for flow in NAMES:
        figures = []
        for size in (32, 64):
            shape = {"rows": 1, "lanes": size} if flow == "tree" else {"rows": size}
            params = unit.params(dataflow=flow, format="int8", columns=size, **shape)
            start = time.process_time()  # of one thread: the same on a busy machine
            text, _ = emit(unit, params)
            figures.append(f"{time.process_time() - start:6.2f} s {len(text) / 1e3:5.0f} kB")
        print(f"  {flow:26}{'  '.join(figures)}", flush=True)


def main() -> int:
    """Print every figure beside its goal."""
    pe = discover()["pe"]
    emit(pe, PEParams(format="e2m1"))  # warm
    inside = best(lambda: emit(pe, PEParams(format="e2m1")))
    command = [sys.executable, "-m", "gen", "pe", "--bits", "4", "--format", "e2m1"]
    outside = best(lambda: subprocess.run(command, check=True, capture_output=True))
    grid = Unit("grid", "benchmark", GridParams, Grid, {"size": ""}, "")
    text, manifest = emit(grid, GridParams())
    array = best(lambda: emit(grid, GridParams()), 1)
    exhaustive()  # warm
    print(f"one PE, inside a process         {inside:6.3f} s  (goal < 0.15)")
    print(f"one PE, as a command             {outside:6.3f} s  (goal < 1.0)")
    print(f"32x32 array of PEs               {array:6.3f} s  (goal < 3)")
    print(f"  its text                       {len(text) / 1e3:6.1f} kB (goal < 60)")
    print(f"  modules                        {len(manifest['modules']):6}")
    print(f"E4M3 x E4M3, all 65 536 products {best(exhaustive):6.3f} s  (goal < 5)")
    arrays()  # goals: 3 s and 10 s
    return 0
