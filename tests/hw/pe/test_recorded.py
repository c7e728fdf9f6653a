# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/recorded.py``: the choice, and that the record is not stale."""

import pytest

from benchmarks.areas import PLACES, WEIGHTS, measure
from hw.pe.recorded import areas, smaller


def test_the_record_is_complete():
    keys = {f"{weight} {act} {target}" for weight in WEIGHTS for act, target in PLACES}
    assert areas().keys() == keys
    assert all(area > 0 for pair in areas().values() for area in pair)


@pytest.mark.parametrize(
    ("weight", "target"), [("int4", "gates"), ("e2m1", "xcup"), ("nf4", "ecp5"), ("int8", "ice40")]
)
@pytest.mark.parametrize("arch", ["multiply", "shift-add"])
def test_the_record_is_what_is_measured_today(weight, target, arch):
    recorded = areas()[f"{weight} int8 {target}"][arch == "shift-add"]
    measured = measure((weight, ("int8", target), arch), use_cache=False)
    assert measured == recorded, "run `python -m benchmarks areas`"


def test_the_smaller_is_chosen():
    for key, (multiply, shift_add) in areas().items():
        arch, reason = smaller(*key.split())
        assert (arch == "multiply") == (multiply < shift_add)
        assert f"{min(multiply, shift_add):g} " in reason and "on record with" in reason


def test_pairs_without_a_record():
    assert smaller("e2m1", "bf16", "gates")[0] == smaller("e2m1", "int8", "gates")[0]
    assert "one lane of e2m1 x int8 is on record" in smaller("e2m1", "bf16", "gates")[1]
    assert smaller("uint1", "int8", "gates") == (
        "shift-add",
        "by rule, as this weight is not on record",
    )
