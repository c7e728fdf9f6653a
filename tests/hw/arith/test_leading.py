# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/leading.py``: every word with every limit."""

import pytest

from hw.arith.leading import normalized_to_limit
from tests.hw.arith.tables import table


@pytest.mark.parametrize(("width", "limit_bits"), [(1, 1), (3, 2), (4, 4), (5, 2), (6, 5), (7, 3)])
def test_every_word(width, limit_bits):
    mask = (1 << width) - 1
    inputs = (width, limit_bits, 1)
    for (word, limit, fill), (shifted, amount) in table(inputs, normalized_to_limit):
        zeros = width - word.bit_length()
        if word == 0 and not fill:
            assert shifted == 0
            assert amount == min(limit, (1 << width.bit_length()) - 1)
            continue
        due = min(zeros, limit)
        assert amount == due
        assert shifted == (word << due | (1 << due) - 1 if fill else word << due) & mask
