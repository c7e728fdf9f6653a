# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/recorded.py``: the choice, and that the record is not stale."""

import pytest

from benchmarks.areas import PLACES, WEIGHTS, measure
from hw.pe.recorded import areas, smallest


def test_the_record_is_complete():
    keys = {f"{weight} {act} {target}" for weight in WEIGHTS for act, target in PLACES}
    assert areas().keys() == keys
    for found in areas().values():
        assert {"multiply", "shift-add"} <= found.keys()
        assert all(area > 0 for area in found.values())


@pytest.mark.parametrize(
    ("weight", "target"), [("int4", "gates"), ("e2m1", "xcup"), ("nf4", "ecp5"), ("int8", "ice40")]
)
@pytest.mark.parametrize("arch", ["multiply", "shift-add"])
def test_the_record_is_what_is_measured_today(weight, target, arch):
    recorded = areas()[f"{weight} int8 {target}"][arch]
    measured = measure((weight, ("int8", target), arch), use_cache=False)
    assert measured == recorded, "run `python -m benchmarks areas`"


def test_the_smallest_is_chosen():
    for key, found in areas().items():
        arch, reason = smallest(*key.split())
        assert found[arch] == min(found.values())
        assert f"{found[arch]:g} " in reason and "on record with" in reason


def test_pairs_without_a_record():
    arch, reason = smallest("e2m1", "bf16", "gates")
    beside_int8 = areas()["e2m1 int8 gates"]
    assert arch == min(("shift-add", "multiply"), key=lambda name: beside_int8[name])
    assert "one lane of e2m1 x int8 is on record" in reason
    assert smallest("uint1", "int8", "gates") == (
        "shift-add",
        "by rule, as this weight is not on record",
    )
