# SPDX-License-Identifier: Apache-2.0
"""Rounded tables of engine lut: widths, and messages."""

from typing import Any

import pytest

from hw.mpgemm.params import MpGemmParams

_PORT = {"table_source": "port", "table_bits": 8}


def test_widths() -> None:
    """T-MAC: 8 bits an entry where exact ones of int8 take 11; sums of tables, not of products."""
    params = MpGemmParams(rows=1, columns=1, bits=2, max_k=9, tables=2, **_PORT)
    assert params.shape.act_bits == 2 * 8 * 8
    assert params.acc_width == 1 + (2 * 2 * 2 << 8).bit_length()  # two steps of two tables
    exact = MpGemmParams(rows=1, columns=1, bits=2, max_k=9, tables=2, table_source="port")
    assert exact.shape.act_bits == 2 * 8 * 11
    assert exact.resolved["table_bits"] is None
    assert exact.resolved["aggregate"] == "sum"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"table_bits": 8},
            "table_bits must not be given with table_source builder, but is 8; port takes it",
        ),
        ({**_PORT, "table_bits": 12}, "table_bits must be an integer from 2 to 11, not 12"),
        ({**_PORT, "table_bits": 1}, "table_bits must be an integer from 2 to 11, not 1"),
        (
            {"table_source": "port", "aggregate": "average"},
            "table_bits must be given with aggregate average, such as 8",
        ),
        (
            {**_PORT, "aggregate": "average"},
            "tables must be a power of two from 2 to 64 with aggregate average, not 1",
        ),
        (
            {**_PORT, "aggregate": "average", "tables": 6},
            "tables must be a power of two from 2 to 64 with aggregate average, not 6",
        ),
        ({**_PORT, "aggregate": "mean"}, "aggregate must be sum or average, not 'mean'"),
        (
            {"engine": "lut-ternary", "table_bits": 8},
            "table_bits must not be given with engine lut-ternary, but is 8; these take it: lut",
        ),
        (
            {**_PORT, "group_size": 8, "scale": "int8", "zero_points": True},
            "zero_points must not be given with table_source port, whose beats have no "
            "activations to add up, but is True",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        MpGemmParams(**given)
    assert str(error.value) == message
