# SPDX-License-Identifier: Apache-2.0
"""Products by one addition: every pair of codes of every format, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.pe.params import PEParams
from hw.spec.formats import CATALOGUE, FloatFormat, parse
from sim.bench.check import Pass, golden_of
from sim.bench.exhaustive import Pair, chunks, compare
from sim.bench.netlist import Netlist
from tests.verilog.test_stream import PASSES, run


def taken(name):
    fmt = parse(name)
    plain = isinstance(fmt, FloatFormat) and fmt.has_sign and fmt.special is None
    return plain and fmt.exp_bits >= 2 and fmt.bits <= 8


PAIRS = [
    Pair(name, name, "lmul", ("gates", "xcup")[n % 2])
    for n, name in enumerate(filter(taken, CATALOGUE))
]


@pytest.mark.parametrize("chunk", chunks(PAIRS, 16), ids=lambda c: f"{c[0].weight}-{len(c)}")
def test_every_pair(chunk: list[Pair], tmp_path: Path) -> None:
    compared, wrong = compare(chunk, tmp_path, "netlist")
    assert compared and not wrong, wrong


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_wide_formats(name: str, tmp_path: Path) -> None:
    unit = discover()["pe"]
    params = unit.params(format=name, act=name, arch="lmul", core="dot", lanes=1)
    text, manifest = emit(unit, params)
    (tmp_path / "pe.v").write_text(text, encoding="utf-8")
    netlist = Netlist.read([tmp_path / "pe.v"], "pe", tmp_path)
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(1), 1 << 13)
    due = golden_of(manifest).run(manifest["parameters"], beats)
    found = netlist.evaluate({key: beats[key][:, 0] for key in "aw"})
    for row, (total, flag) in enumerate(zip(due["p"], due["nan"], strict=True)):
        bits = found["p"][row].tolist()
        value = sum(int(b) << k for k, b in enumerate(bits)) - (int(bits[-1]) << len(bits))
        assert value == total and found["nan"][row, 0] == flag


CASES = {
    "lanes": {"format": "e4m3", "act": "e4m3", "lanes": 3, "max_k": 16},
    "stages": {"format": "e5m2", "act": "e5m2", "lanes": 2, "pipeline": 2, "target": "xcup"},
    "accumulate": {"format": "e2m1", "act": "e2m1", "pipeline": 1, "core": "accumulate"},
    "dot": {"format": "e3m2", "act": "e3m2", "lanes": 4, "core": "dot"},
}


@pytest.mark.parametrize("name", CASES)
def test_traffic(name: str, tmp_path: Path) -> None:
    passes = [Pass("none", "none")] if "core" in CASES[name] else PASSES
    report = run({"arch": "lmul", **CASES[name]}, tmp_path, passes=passes)
    assert report.passed, (report.fault, report.mismatch)


def test_the_contract_states_the_unit_of_the_codes() -> None:
    unit = discover()["pe"]
    _, manifest = emit(unit, unit.params(format="e4m3", act="e4m3", arch="lmul", max_k=16))
    assert manifest["contract"] == {"lam": -9, "acc_bits": 23, "max_k": 16}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "e4m3", "act": "e5m2"}, "act must be as format with arch lmul, 'e4m3', not"),
        ({"format": "int8"}, "format must be a signed minifloat of at least 2 exponent bits with"),
        ({"format": "e1m2", "act": "e1m2"}, "such as e4m3, not 'e1m2'"),
        ({"format": "ue4m3", "act": "ue4m3"}, "such as e4m3, not 'ue4m3'"),
        ({"format": "razer+5", "act": "razer+5"}, r"such as e4m3, not 'razer\+5'"),
        ({"format": "fp16", "act": "fp16", "window": "-8:8"}, "window must not be given with arch"),
        ({"format": "e4m3", "act": "e4m3", "pipeline": 3}, "pipeline must be 0, 1 or 2 with arch"),
        ({"format": "e4m3", "act": "e4m3", "columns": 2}, "columns must not be given with arch"),
    ],
)
def test_refusals(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PEParams(arch="lmul", **wrong)
