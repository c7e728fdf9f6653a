# SPDX-License-Identifier: Apache-2.0
"""Tables apart from their engine: they make it the engine with tables inside; messages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Const

from gen import yosys
from gen.emit import emit
from gen.unit import discover
from hw.mpgemm.lut_table import LutTableCell, LutTableParams
from hw.mpgemm.tables import TableShape
from sim.bench import streams
from sim.bench.check import Pass, check, golden_of
from sim.bench.netlist import Netlist
from tests.hw.pe.netlists import evaluate

_GIVEN = {"act": "int4", "group": 3, "tables": 2}
_ENGINE = {"engine": "lut", "rows": 2, "columns": 2, "bits": 2, "max_k": 12, **_GIVEN}


def _tables(rows: list[int], kind: str, folder: Path) -> list[int]:
    """Return what the hardware makes of each row's activations."""
    cell = LutTableCell(LutTableParams(table_kind=kind, **_GIVEN))
    text = yosys.to_verilog(rtlil.convert(cell, name="dut", emit_src=False))
    (folder / "dut.v").write_text(text, encoding="utf-8")
    found = evaluate(Netlist.read([folder / "dut.v"], "dut", folder), {"act": np.array(rows)})
    return [int(word) for word in found["table"]]


def _results(folder: Path, stimulus: Any, **given: Any) -> list[int]:
    """Return the results of an engine, in hardware those of its golden model."""
    unit = discover()["mpgemm"]
    text, manifest = emit(unit, unit.params(**_ENGINE, **given))
    folder.mkdir()
    (folder / "dut.v").write_text(text, encoding="utf-8")
    passes = [Pass("none", "none")]
    report = streams.check(folder / "dut.v", manifest, stimulus, folder / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)
    found = golden_of(manifest).run(manifest["parameters"], stimulus)["m_axis_out"]
    return [int(word) for word in found["tdata"]]


@pytest.mark.parametrize("kind", ["half", "full"])
def test_an_engine_with_tables_from_outside_is_the_engine(kind: str, tmp_path: Path) -> None:
    rng, (m, n, depth) = np.random.default_rng(3), (3, 2, 12)
    acts = rng.integers(0, 1 << 24, 2 * 2 * 2).tolist()  # of two tiles, two steps, two rows
    acts[:2] = [0x888888, 0x777777]
    shape = LutTableParams(table_kind=kind, **_GIVEN).shape
    sides = {"builder": (acts, 24), "port": (_tables(acts, kind, tmp_path), 2 * shape.port_bits)}
    found = {}
    for source, (words, size) in sides.items():
        stimulus = {
            "s_axis_job": {"tdata": [m | n << 16 | depth << 32]},
            "s_axis_act": {
                "tdata": [words[k] | words[k + 1] << size for k in range(0, 8, 2)],
                "tlast": [0, 0, 0, 1],
            },
            "s_axis_wgt": {"tdata": list(range(0, 8 * 411, 411)), "tlast": [0] * 7 + [1]},
        }
        found[source] = _results(tmp_path / source, stimulus, table_kind=kind, table_source=source)
    assert found["builder"] == found["port"]
    assert len(found["port"]) == m


CASES: tuple[dict[str, Any], ...] = (
    {"act": "int4", "group": 3, "tables": 2},
    {"act": "e2m1", "group": 2, "table_kind": "full", "pipeline": 1},
)


def _checked(given: dict[str, Any], folder: Path) -> bool:
    unit = discover()["lut-table"]
    text, manifest = emit(unit, unit.params(**given))
    (folder / "dut.v").write_text(text, encoding="utf-8")
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(1), 100)
    passes = [Pass("none", "none"), Pass("random", "bursty")]
    report = check(folder / "dut.v", manifest, beats, folder / "build", passes=passes)
    assert report.passes[0].cycles == report.vectors + given.get("pipeline", 0) + 1
    return report.passed


@pytest.mark.parametrize("given", CASES, ids=["half", "full"])
def test_traffic(given: dict[str, Any], tmp_path: Path) -> None:
    assert _checked(given, tmp_path)


def test_broken_tables_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = TableShape.port_entry_bits.fget
    monkeypatch.setattr(
        TableShape, "to_port", lambda self, table: Cat(table, Const(0, wide(self)))
    )  # without the signs that the entries are extended by
    assert not _checked(CASES[0], tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"group": 9}, "group must be an integer from 2 to 8, not 9"),
        ({"tables": 0}, "tables must be an integer from 1 to 64, not 0"),
        ({"pipeline": 2}, "pipeline must be an integer from 0 to 1, not 2"),
        ({"table_kind": "split"}, "table_kind must be half or full, not 'split'"),
        ({"target": "asic"}, "target must be one of gates, xcup, ecp5, ice40, not 'asic'"),
        (
            {"act": "fp16"},
            "act must be a format of finite codes with table_source port, such as int8 or e2m1, "
            "without a window, not 'fp16'",
        ),
    ],
    ids=str,
)
def test_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        LutTableParams(**given)
    assert str(error.value) == message
