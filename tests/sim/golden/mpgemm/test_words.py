# SPDX-License-Identifier: Apache-2.0
"""Codes in wide words: by hand, both ways, and what lies above them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm.words import pack_codes, stream_bytes, unpack_codes


def test_by_hand():
    assert pack_codes([[1, 2, 3], [7, 0, 7]], 3) == [0b011_010_001, 0b111_000_111]
    assert pack_codes([[0xBEEF, 0xDEAD_F00D]], 32) == [0xDEAD_F00D_0000_BEEF]
    assert unpack_codes([0xFFFF_FE3C], 3, 3).tolist() == [[4, 7, 0]]
    assert [stream_bytes(n) for n in (1, 8, 9, 64)] == [1, 1, 2, 8]


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 13, 16, 32])
@pytest.mark.parametrize("fields", [1, 3, 8, 40])
def test_both_ways(bits, fields):
    rng = np.random.default_rng(bits * fields)
    codes = rng.integers(0, 1 << bits, (50, fields))
    words = pack_codes(codes, bits)
    assert_array_equal(unpack_codes(words, fields, bits), codes)
    assert max(words) < 1 << fields * bits
    dirty = pack_codes(codes, bits, rng)
    assert_array_equal(unpack_codes(dirty, fields, bits), codes)
    assert max(dirty) < 1 << 8 * stream_bytes(fields * bits)
    assert (dirty != words) == bool(fields * bits % 8)


def test_refusal():
    for bad in (16, -1):
        with pytest.raises(ValueError, match="codes must have 4 bits"):
            pack_codes([[bad, 1]], 4)
