# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/posit/decode.py``: the fields of every code give its value."""

from fractions import Fraction

import pytest

from hw.posit.decode import fraction_bits, split
from hw.spec.formats import parse
from sim.golden.formats import decode
from tests.hw.arith.tables import table


@pytest.mark.parametrize("name", ["posit8_0", "posit8_2", "posit7_3", "posit4_1", "posit3_2"])
def test_every_code(name):
    fmt = parse(name)

    def logic(m, code):
        x = split(m, fmt, code)
        return [x.sign, x.fraction, x.exponent, x.zero, x.nar]

    for (code,), (sign, fraction, exponent, zero, nar) in table((fmt.bits,), logic):
        ints, nan = decode(fmt, [code])
        assert nar == nan[0]
        assert zero == (ints[0] == 0 and not nan[0])
        if not (zero or nar):
            significand = 1 - 3 * sign + Fraction(fraction, 1 << fraction_bits(fmt))
            value = significand * Fraction(2) ** exponent
            assert value == int(ints[0]) * Fraction(2) ** fmt.lam
