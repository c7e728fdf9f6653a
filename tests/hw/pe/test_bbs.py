# SPDX-License-Identifier: Apache-2.0
"""Bit columns with pruning: every column of a sub-group, every cycle count, the Verilog."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from gen.emit import emit
from gen.unit import discover
from hw.pe.bbs_columns import Column
from hw.pe.params import PEParams
from sim.bench.check import Pass, Report, check, golden_of


def run(case: dict[str, Any], folder: Path, beats: Any, passes: list[Pass]) -> Report:
    """Simulate with that many beats of the golden stimulus, or with the given ones."""
    unit = discover()["pe"]
    base = {"arch": "bbs", "format": "int8", "lanes": 16}
    text, manifest = emit(unit, unit.params(**{**base, **case}))
    source = folder / "pe.v"
    source.write_text(text, encoding="utf-8")
    if isinstance(beats, int):
        golden = golden_of(manifest)
        beats = golden.vectors(manifest["parameters"], np.random.default_rng(1), beats)
    return check(source, manifest, beats, folder / "build", passes=passes)


@pytest.mark.parametrize("pruned", range(7))
def test_verilog_and_cycles(pruned: int, tmp_path: Path) -> None:
    """Sheet B.8: 8 - N cycles, at least 2."""
    passes = [Pass("none", "none"), Pass("random", "random")]
    target = "gates" if pruned % 2 else "xcup"
    report = run({"zero_columns": pruned, "target": target}, tmp_path, 80, passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 5
    assert report.passes[0].cycles == 80 * (8 - pruned) + 1


def test_more_lanes(tmp_path: Path) -> None:
    case = {"zero_columns": 4, "lanes": 48, "max_k": 100}
    report = run(case, tmp_path, 40, [Pass("none", "none"), Pass("slow", "none")])
    assert report.passed, (report.fault, report.mismatch)


@pytest.mark.parametrize("chains", [False, True])
def test_every_column_of_a_sub_group(chains: bool) -> None:
    rng = np.random.default_rng(1)
    column = Column(chains)
    extremes = [np.full(8, -128), np.full(8, 127), np.where(np.arange(8) % 2, -128, 127)]
    groups = [*extremes, *rng.integers(-128, 128, (3, 8))]

    async def bench(ctx: Any) -> None:
        for a in groups:
            ctx.set(column.a, int.from_bytes(a.astype(np.int8).tobytes(), "little"))
            ctx.set(column.total, int(a.sum()))
            for bits in range(256):
                ctx.set(column.bits, bits)
                expected = sum(int(a[k]) for k in range(8) if bits >> k & 1)
                assert ctx.get(column.p) == expected, (bits, a)

    sim = Simulator(column)
    sim.add_testbench(bench)
    sim.run()


def test_every_constant_and_place(tmp_path: Path) -> None:
    """All 128 constants and all r, also beyond N, on the largest sums of activations."""
    for pruned in (5,):
        folder = tmp_path / str(pruned)
        folder.mkdir()
        n = 128 * 4
        signs = np.where(np.arange(n) % 3, -128, 127)[:, None] % 256
        beats = {
            "a": np.broadcast_to(signs, (n, 16)),
            "w": np.random.default_rng(1).integers(0, 1 << 8 - pruned, (n, 16)),
            "r": np.arange(n) % 4,
            "c": np.arange(n) // 4,
            "last": np.ones(n, dtype=bool),
        }
        report = run({"zero_columns": pruned}, folder, beats, [Pass("none", "none")])
        assert report.passed, (report.fault, report.mismatch)
        assert report.results == n


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"format": "int4"}, "format must be int8 with arch bbs, not 'int4'"),
        ({"act": "uint8"}, "act must be int8 with arch bbs, not 'uint8'"),
        ({"lanes": 8}, "lanes must be a multiple of 16 with arch bbs, not 8"),
        ({"pipeline": 2}, "pipeline must be 0 with arch bbs, not 2"),
        ({"zero_columns": 7}, "zero_columns must be an integer from 0 to 6, not 7"),
        ({"zero_columns": -1}, "zero_columns must be an integer from 0 to 6, not -1"),
        ({"core": "accumulate"}, "core must be stream with arch bbs, not 'accumulate'"),
        ({"mode": "exact"}, "mode must not be given with arch bbs"),
    ],
)
def test_refusals(case: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        PEParams(**{"arch": "bbs", "format": "int8", "act": "int8", "lanes": 16, **case})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
