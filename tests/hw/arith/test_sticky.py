# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/sticky.py``: every word shifted by every distance."""

import pytest

from hw.arith.sticky import shifted_right
from tests.hw.arith.tables import table


@pytest.mark.parametrize(("width", "by_bits"), [(1, 1), (1, 3), (5, 2), (6, 4), (8, 3)])
def test_every_word(width, by_bits):
    for (word, by), (shifted, lost) in table((width, by_bits), shifted_right):
        assert (shifted, lost) == (word >> by, (word & (1 << by) - 1) != 0)


@pytest.mark.parametrize(("width", "by_bits"), [(3, 2), (5, 3), (6, 3)])
def test_bits_that_may_be_lost(width, by_bits):
    for (word, by, idle), (shifted, lost) in table((width, by_bits, 1), shifted_right):
        if by <= width:
            dropped = (1 << by) - 1
            assert (shifted, lost) == (word >> by, word & dropped != (dropped if idle else 0))
