# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/rounding.py``: every magnitude of three low bits."""

from fractions import Fraction
from math import floor

import pytest

from hw.arith.rounding import increment, incremented
from hw.spec.rounding import ROUNDINGS
from tests.hw.arith.tables import table


def rounded(rounding, value, negative):
    """``value`` as an integer by the definition of the mode."""
    low = floor(value)
    half = value - low - Fraction(1, 2)
    if rounding == "rtz" or half < 0:
        return low
    ties = {"rne": low % 2, "rha": 1, "ties-down": negative, "ties-to-zero": 0}
    return low + 1 if half > 0 else low + ties[rounding]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_case(rounding):
    def logic(m, word, sticky, negative, carry):
        rest = (word[:2] ^ carry.replicate(2)).any()
        return [increment(rounding, word[3], word[2], rest, sticky, negative, carry)]

    for (word, sticky, negative, carry), (grows,) in table((5, 1, 1, 1), logic):
        if not (sticky and carry):
            value = Fraction(4 * word + sticky + 4 * carry, 4 * 8)
            assert (word >> 3) + grows == rounded(rounding, value, negative)


@pytest.mark.parametrize("width", [1, 4, 5, 9])
def test_incremented(width):
    def logic(m, word, by):
        return [incremented(m, word, by)]

    for (word, by), (total,) in table((width, 1), logic):
        assert total == (word + by) % (1 << width)
