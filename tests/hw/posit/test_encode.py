# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/posit/encode.py``: exponents far beyond both ends, every fraction, both signs."""

from fractions import Fraction

import pytest

from hw.posit.encode import encoded
from hw.spec.formats import parse
from sim.golden.encode import encode
from tests.hw.arith.tables import table


@pytest.mark.parametrize(("name", "fraction"), [("posit6_1", 5), ("posit5_0", 2), ("posit4_2", 4)])
def test_every_number(name, fraction):
    fmt = parse(name)

    def logic(m, sign, exponent, bits):
        return [encoded(m, fmt, sign, exponent.as_signed(), bits)]

    for (sign, exponent, bits), (code,) in table((1, 6, fraction), logic):
        power = exponent - 64 if exponent >= 32 else exponent
        value = (1 - 3 * sign + Fraction(bits, 1 << fraction)) * Fraction(2) ** power
        assert code == encode(fmt, float(value)), value
