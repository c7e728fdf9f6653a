# SPDX-License-Identifier: Apache-2.0
"""The published latency model gives the published figures."""

import pytest

from sim.golden.butterfly.banks import compute_cycles
from sim.golden.butterfly.latency import Memory, layer_cycles, milliseconds, power_of_two

DDR3 = Memory(64, 64, 128)


@pytest.mark.parametrize(
    ("engines", "memory", "length", "base", "large"),
    [
        (120, Memory(), 128, 2.00, 3.99),
        (120, Memory(), 256, 3.20, 6.40),
        (120, Memory(), 512, 5.60, 11.2),
        (120, Memory(), 1024, 10.4, 20.8),
        (20, DDR3, 128, 27.1, 54.2),
        (20, DDR3, 512, 111.5, 223),
        (20, DDR3, 1024, 227, 454),
    ],
)
def test_networks_of_the_sheet(engines, memory, length, base, large):
    for model, due in (("base", base), ("large", large)):
        assert milliseconds(model, length, engines, memory=memory) == pytest.approx(due, rel=3e-3)


def test_one_layer_on_forty_engines_takes_the_published_2_4_ms():
    cycles = layer_cycles("base", 1024, 40, memory=Memory(weights=2048))
    assert cycles / 200e3 / 0.85 == pytest.approx(2.39, abs=0.005)
    with pytest.raises(ValueError, match="model must be one of base, large, not 'tiny'"):
        layer_cycles("tiny", 1, 1)


def test_sizes_and_cycles_are_those_of_the_engine():
    assert [power_of_two(n) for n in (1, 2, 3, 768, 1024, 3072)] == [1, 2, 4, 1024, 1024, 4096]
    # One pass of one row, memory for nothing: load n, compute.
    wide = Memory(1 << 20, 1 << 20, 1 << 20)
    mixing = 2 * (1024 + compute_cycles({"lanes": 8, "scaling": "half"}, 1, 10, 0))
    linear = 1024 + 1280 + 2 * 1280 + 4096 + 6144
    assert layer_cycles("base", 1, 1, memory=wide) == mixing + linear
