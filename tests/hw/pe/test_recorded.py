# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/recorded.py``: the choice, and that the record is not stale."""

from collections.abc import Mapping, Sequence

import pytest

from benchmarks.areas import ARCHS, PATH, measure, pairs, size, takers
from hw.coprocessor.pe_node import PEAxiParams
from hw.pe import recorded
from hw.pe.arch import NAMES
from hw.pe.params import CORES, PEParams
from hw.pe.pe import build
from hw.pe.recorded import areas, smallest

#: A record in which every architecture that is tried first has something to refuse.
RECORD: Mapping[str, Mapping[str, Sequence[float]]] = {
    "int2 int8 gates": {
        "multiply": [310.0, 50.4],
        "shift-add": [300.0, 60.2],
        "booth": [300.0, 61.0],
        "vector": [290.0, 55.0],
        "product-lut": [280.0, 40.0],
    },
    "e2m1 int8 gates": {"multiply": [300.0, 50.0], "shift-add": [310.0, 50.0]},
    "e2m1 e2m1 gates": {
        "multiply": [200.0, 9.0],
        "shift-add": [300.0, 9.0],
        "product-lut": [100.0, 9.0],
    },
    "int4 int8 xcup": {"multiply": [87], "shift-add": [40], "booth": [41], "vector": [50]},
}


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "areas", lambda: RECORD)


def _facade(arch: str, core: str, act: str) -> tuple[object, ...] | None:
    """Return all that a user of the component meets; None where the architecture refuses."""
    try:
        params = PEParams(format="e2m1" if act == "e2m1" else "int4", act=act, arch=arch, core=core)
    except ValueError:
        return None
    built = build(params)
    built._MustUse__used = True  # type: ignore[attr-defined]  # or Amaranth would complain
    words = ("latency", "beats_per_cycle", "combinational_paths", "contract", "number_formats")
    facts = tuple(getattr(built, word, None) for word in (*words, "golden"))
    return dict(built.signature.members.items()), *facts


@pytest.mark.parametrize("core", CORES)
def test_what_auto_chooses_from_can_stand_for_each_other(core: str) -> None:
    """And nothing else can: csa takes a cycle more, others have other ports, rates or sums."""
    plain = {act: _facade("shift-add", core, act) for act in ("int4", "e2m1")}
    alike = {name for name in NAMES for act in plain if _facade(name, core, act) == plain[act]}
    assert alike == set(ARCHS)


def test_the_record_is_complete() -> None:
    """Only booth is left out of some pairs: where it is the same netlist as shift-add."""
    assert areas().keys() == {" ".join(pair) for pair in pairs()}
    for key, found in areas().items():
        weight, act, target = key.split()
        taken = takers((weight, act, target)).keys()
        assert taken - {"booth"} <= found.keys() <= taken
        for entry in found.values():
            assert len(entry) == (2 if target == "gates" else 1) and min(entry) > 0
    assert PATH.stat().st_size < 60_000


def test_one_netlist_under_two_names_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.areas.size", lambda parameters, target: [1])
    assert set(measure(("int4", "int8", "ice40"))) == {"shift-add", "multiply", "vector"}
    assert set(measure(("e2m1", "int8", "ice40"))) == {"shift-add", "multiply", "booth"}


@pytest.mark.parametrize(
    "point",
    [
        ("int4", "int8", "gates", "multiply"),
        ("int4", "int8", "gates", "shift-add"),
        ("e2m1", "int8", "xcup", "shift-add"),
        ("nf4", "int8", "ecp5", "multiply"),
        ("nf4", "int8", "ecp5", "shift-add"),
        ("int8", "int8", "ice40", "vector"),
        ("e2m1", "e2m1", "gates", "product-lut"),
        ("e2m1", "e2m1", "xcup", "booth"),
    ],
    ids=" ".join,
)
def test_the_record_is_what_is_measured_today(point: tuple[str, str, str, str]) -> None:
    weight, act, target, arch = point
    found = areas()[f"{weight} {act} {target}"][arch]
    measured = size(takers((weight, act, target))[arch], target, use_cache=False)
    assert measured == found, "run `python -m benchmarks areas`"


def test_the_smallest_that_takes_the_parameters_is_chosen() -> None:
    for key, found in areas().items():
        weight, act, target = key.split()
        params = PEParams(format=weight, act=act, target=target)
        arch, reason = params.chosen_arch
        assert found[arch][0] == min(entry[0] for entry in found.values())
        assert f"one lane of {weight} x {act}: {found[arch][0]:g} " in reason


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize(
    ("parameters", "arch", "reason"),
    [
        (
            {"format": "int2"},
            "product-lut",
            "smallest on record for one lane of int2 x int8: 280 GE @ 40 NAND2 delays; "
            "vector 290 GE @ 55 NAND2 delays",
        ),
        (
            {"format": "int2", "pipeline": 3},
            "shift-add",
            "smallest on record for one lane of int2 x int8: 300 GE @ 60 NAND2 delays; "
            "booth 300 GE @ 61 NAND2 delays; product-lut is smaller, but "
            "pipeline must be 0, 1 or 2 with arch product-lut, not 3",
        ),
        (
            {"format": "int4", "target": "xcup"},
            "shift-add",
            "smallest on record for one lane of int4 x int8: 40 LUT; booth 41 LUT",
        ),
        (
            {"format": "e2m1", "act": "int4"},
            "multiply",
            "smallest on record for one lane of e2m1 x int8: 300 GE @ 50 NAND2 delays; "
            "shift-add 310 GE @ 50 NAND2 delays (e2m1 x int4 is not on record)",
        ),
        ({"format": "uint1"}, "shift-add", "by rule, as this weight is not on record"),
        (
            {"format": "e2m1", "act": "e2m1", "core": "dot"},
            "product-lut",
            "smallest on record for one lane of e2m1 x e2m1: 100 GE @ 9 NAND2 delays; "
            "multiply 200 GE @ 9 NAND2 delays",
        ),
    ],
)
def test_the_choice_and_its_reason(parameters: dict[str, object], arch: str, reason: str) -> None:
    params = PEParams(**parameters)  # type: ignore[arg-type]
    assert params.chosen_arch == (arch, reason)
    assert params.resolved["arch"] == arch
    assert params.notes[-1] == f"--arch auto: {arch} for {params.target}, {reason}"


@pytest.mark.usefixtures("record")
def test_more_columns_leave_out_what_has_only_one() -> None:
    chosen, reason = PEParams(format="int4", target="xcup", columns=2).chosen_arch
    assert chosen == "vector"
    assert "50 LUT; " in reason and "shift-add is smaller, but columns must not be" in reason


@pytest.mark.usefixtures("record")
def test_a_unit_that_takes_fewer_architectures_chooses_among_those() -> None:
    assert PEAxiParams(format="int2").chosen_arch[0] == "shift-add"


@pytest.mark.usefixtures("record")
def test_parameters_that_nothing_takes_are_refused_as_without_auto() -> None:
    for wrong in ({"lanes": 0}, {"sparsity": "2:4"}, {"acc_bits": 3}):
        with pytest.raises(ValueError) as asked:
            PEParams(format="int2", arch="shift-add", **wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError) as auto:
            PEParams(format="int2", **wrong)  # type: ignore[arg-type]
        assert str(auto.value) == str(asked.value)


@pytest.mark.usefixtures("record")
def test_without_parameters_only_those_for_every_pair_are_chosen() -> None:
    assert smallest("int2", "int8", "gates")[0] == "shift-add"
    assert smallest("e2m1", "bf16", "gates")[0] == "multiply"
