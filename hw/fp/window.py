# SPDX-License-Identifier: Apache-2.0
"""Geometry of a fused multiply-add: where product and addend meet, and how many bits are kept.

Bit 0 of the window is the unit of the product where the product has the larger exponent, and bit
``product_bits - 1`` the top bit of the addend where the addend has. The other one is shifted down;
what falls below bit ``-spare`` is remembered as one sticky bit.

Subnormal operands are not normalised, so a product may have leading zeros. Enough bits are spare
that whenever something falls off, either at most one leading bit can cancel and the guard bit of
the result is still kept, or the result is subnormal and its unit lies above the bits lost.
"""

from dataclasses import dataclass
from functools import cached_property

from hw.spec.formats import FloatFormat

__all__ = ["Window"]


@dataclass(frozen=True)
class Window:
    """The widths and constants of ``a * b + c`` for four formats.

    Exponents are those of the fields, where 0 counts as 1.
    """

    a: FloatFormat
    b: FloatFormat
    c: FloatFormat
    y: FloatFormat

    @property
    def product_bits(self) -> int:
        """Width of the product of the significands."""
        return _digits(self.a) + _digits(self.b)

    @property
    def width(self) -> int:
        """Bits of the sum, the carry included."""
        return self.spare + self.product_bits + 1

    @property
    def product_limit(self) -> int:
        """What the sum of the exponents lacks to the limit of the normalising shift.

        The limit is the left shift that brings the top bit of the sum to the exponent field 1.
        """
        scale = self.a.lam + self.b.lam - 2 - self.y.lam - self.y.man_bits
        return scale + self.product_bits

    @property
    def addend_limit(self) -> int:
        """What the exponent of the addend lacks to the limit of the normalising shift."""
        return self.c.lam + self.c.man_bits - self.y.lam - self.y.man_bits

    @property
    def least_limit(self) -> int:
        """The smallest limit that occurs; if it is negative the sum may have to go down."""
        least = 1 + self.addend_limit
        return min(least, 2 + self.product_limit) if self.zero_addend_yields else least

    @property
    def most_limit(self) -> int:
        """The largest limit that occurs."""
        product = _largest(self.a) + _largest(self.b) + self.product_limit
        return max(product, _largest(self.c) + self.addend_limit)

    @cached_property
    def spare(self) -> int:
        """Bits kept below the unit of the product."""
        spare = max(0, _digits(self.c) - self.product_bits)
        while not (self._product_leads(spare) and self._addend_leads(spare)):
            spare += 1
        return spare

    @property
    def zero_addend_yields(self) -> bool:
        """Whether an addend of 0 must count as the smaller exponent.

        Otherwise its exponent holds a small product where the result's subnormals lie.
        """
        unit = self.y.lam - self._addend_unit(1)
        return self.spare < 1 - unit and self._addend_unit(1) - self._least_product > self.spare

    @property
    def _least_product(self) -> int:
        return self.a.lam + self.b.lam

    def _addend_unit(self, exponent: int) -> int:
        """Exponent of bit 0 where the addend leads."""
        return exponent + self.c.lam - 1 - self.product_bits + _digits(self.c)

    def _product_leads(self, spare: int) -> bool:
        """Whether losing bits of the addend is harmless."""
        digits, least = _digits(self.c), self._addend_unit(1)
        for zeros_a in _leading_zeros(self.a):
            for zeros_b in _leading_zeros(self.b):
                top_a = 1 if zeros_a else _largest(self.a)
                top_b = 1 if zeros_b else _largest(self.b)
                most = top_a + top_b - 2 + self._least_product
                farthest = most - least - 1
                if farthest <= self.product_bits - 1 - digits + spare:
                    continue
                lead = self.product_bits - 2 - zeros_a - zeros_b
                if not self._enough(spare, lead, digits - spare, self.y.lam - most):
                    return False
        return True

    def _addend_leads(self, spare: int) -> bool:
        """Whether losing bits of the product is harmless, if the addend is not 0."""
        for zeros in _leading_zeros(self.c):
            unit = self._addend_unit(1 if zeros else _largest(self.c))
            if unit - self._least_product <= spare:
                continue
            lead = self.product_bits - 1 - zeros
            if not self._enough(spare, lead, self.product_bits - spare - 1, self.y.lam - unit):
                return False
        return True

    def _enough(self, spare: int, lead: int, lost_below: int, unit: int) -> bool:
        """Whether a leading bit at ``lead`` and a lossy operand below ``2**lost_below`` do.

        ``unit`` is the bit of the result's smallest unit.
        """
        guard = max(lead - 1 - self.y.man_bits, unit) - 1
        return unit - 1 >= -spare or (lost_below <= lead - 1 and guard >= -spare)


def _digits(fmt: FloatFormat) -> int:
    return fmt.man_bits + 1


def _largest(fmt: FloatFormat) -> int:
    """Largest exponent of a finite value."""
    return max(1, fmt.max_code >> fmt.man_bits)


def _leading_zeros(fmt: FloatFormat) -> tuple[int, ...]:
    """Most leading zeros of the significands of normal and of subnormal values."""
    return (0, fmt.man_bits) if fmt.man_bits else (0,)
