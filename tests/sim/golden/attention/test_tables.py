# SPDX-License-Identifier: Apache-2.0
"""Tables and scalar functions: the numbers of the specification, and errors over all inputs."""

import numpy as np
import pytest

from sim.golden.attention import tables
from sim.golden.attention.tables import FUNCTIONS, exp2, exp2n, recip, rhu, rsqrt, table
from sim.golden.attention.tables import log2 as log2_of

#: Worst errors in units of 2**-16 for 5, 6, 7 and 8 index bits, as the specification prints them.
WORST = {
    "exp2n": ("4.44", "1.65", "1.15", "0.98"),
    "exp2": ("7.91", "2.56", "1.34", "1.05"),
    "recip": ("15.7", "4.52", "1.67", "1.10"),
    "rsqrt": ("6.1", "2.00", "1.21", "1.02"),
    "rsqrt2": ("4.4", "1.51", "1.18", "0.99"),
    "log2": ("11.9", "3.48", "1.57", "1.01"),
    "sigmoid": ("49", "12.8", "3.8", "1.5"),
    "sin": ("20", "5.8", "2.1", "1.2"),
}

#: Bits of the largest difference, with its sign, where the specification says.
WIDTHS = {("exp2n", 5): 12, ("exp2n", 6): 11, ("exp2", 6): 12, ("recip", 6): 11}


@pytest.mark.parametrize("name", WORST)
def test_worst_error_over_all_inputs(name):
    for bits, due in zip((5, 6, 7, 8), WORST[name], strict=True):
        places = len(due.partition(".")[2])
        assert f"{tables.table_error(name, bits):.{places}f}" == due, bits


def test_widths_of_the_differences():
    for (name, bits), due in WIDTHS.items():
        assert int(np.abs(table(name, bits).d).max()).bit_length() + 1 == due


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("bits", [4, 6, 8])
def test_interpolation_is_monotone_and_exact_where_segments_begin(name, bits):
    found = table(name, bits)
    whole = tables.look_up(found, np.arange(1 << 16))
    steps = np.diff(whole)
    assert (steps >= 0).all() or (steps <= 0).all()
    assert (whole[:: 1 << 16 - bits] == found.a).all()
    function, low, high = FUNCTIONS[name]
    points = low + (high - low) * np.arange((1 << bits) + 1) / (1 << bits)
    scaled = function(points) * 65536
    assert np.abs(np.append(found.a, found.a[-1] + found.d[-1]) - scaled).max() <= 0.5
    # No entry is so near a tie that another library might round it the other way.
    rest = np.abs(scaled % 1 - 0.5)
    assert rest[rest > 0].min() > 1e-7


def test_entries_of_the_specification():
    falling, reciprocal = table("exp2n"), table("recip")
    some = [0, 1, 2, 31, 32, 63]
    assert falling.a[some].tolist() == [65536, 64830, 64132, 46846, 46341, 33125]
    assert falling.d[some].tolist() == [-706, -698, -691, -505, -499, -357]
    assert (falling.a.sum(), falling.d.sum()) == (3041964, -32768)
    assert reciprocal.a[:3].tolist() == [65536, 64528, 63550]
    assert reciprocal.d[:3].tolist() == [-1008, -978, -948]
    assert reciprocal.a.sum() == 2923720
    assert (table("rsqrt").a.sum(), table("rsqrt2").a.sum()) == (3484300, 2463774)


def test_exp2n_of_the_specification():
    d = [0, 1, 63, 64, 2048, 4095, 4096, 10000, 50000, 65536, 69631, 70000]
    due = [65536, 65525, 64841, 64830, 46341, 32774, 32768, 12066, 14, 1, 1, 0]
    assert exp2n(d, 16).tolist() == due
    d = [0, 1, 2048, 4096, 32768, 36863, 36864, 40000]
    assert np.minimum(exp2n(d, 8), 255).tolist() == [255, 255, 181, 128, 1, 1, 1, 0]


@pytest.mark.parametrize("out_bits", range(8, 17))
def test_exp2n_everywhere(out_bits):
    d = np.arange(0, 70 << 12)
    found = exp2n(d, out_bits)
    assert (np.diff(found) <= 0).all()
    error = np.abs(found - 2.0**out_bits * np.exp2(-d / 4096))
    assert error.max() <= 0.5 + 1.7 * 2.0 ** (out_bits - 16) * 1.01
    assert exp2n([64 << 12, 1 << 50], out_bits).tolist() == [0, 0]


def test_exp2_meets_the_next_octave_from_below():
    found = exp2(np.arange(4096))
    assert found[0] == 65536 and found[-1] < 131072
    assert np.abs(found - 65536 * np.exp2(np.arange(4096) / 4096)).max() < 2.6


def test_recip_of_the_specification():
    k, y = recip([1, 3, 255, 65535, 1000003])
    assert k.tolist() == [0, 1, 7, 15, 19]
    assert y.tolist() == [1073741824, 715827883, 538976288, 536879104, 562948264]
    found = recip([1, 3, 255, 65535, 1000003], newton=False)[1].tolist()
    assert found == [65536, 43691, 32897, 32769, 34360]


def mantissas() -> np.ndarray:
    """Every input of the table, at the start and the end of what is cut from it."""
    u = np.arange(1 << 16) << 7
    return (1 << 23) + np.concatenate([u, u + 127])


def test_recip_of_every_mantissa():
    v = mantissas()
    for newton, ones, bound in ((False, 39, 8.5e-5), (True, 53, 8.2e-9)):
        k, y = recip(v, newton=newton)
        assert (k == 23).all()
        error = y * v.astype(np.float64) / 2.0**ones - 1
        assert np.abs(error).max() < bound
    assert (y >= 1 << 29).all() and (y <= 1 << 30).all()


def test_rsqrt_of_the_specification():
    v = [2, 3, 20, 5000, 10**12]
    h, y = rsqrt(v)
    assert tables.msb(v).tolist() == [1, 1, 4, 12, 39]
    assert h.tolist() == [0, 0, 2, 6, 19]
    assert y.tolist() == [759250125, 619925131, 960383884, 971840160, 562949955]
    assert rsqrt(v, newton=False)[1].tolist() == [46341, 37837, 58617, 59317, 34360]


def test_rsqrt_of_every_mantissa():
    for odd in (0, 1):
        v = mantissas() << odd
        for newton, ones, bound in ((False, 16, 4.2e-5), (True, 30, 3.05e-9)):
            h, y = rsqrt(v, newton=newton)
            error = y * np.sqrt(v) / 2.0**ones / 2.0**h - 1
            assert np.abs(error).max() < bound


def test_scalars_of_the_longest_numbers():
    v = np.array([(1 << 64) - 1, 1 << 63, 1], dtype=np.uint64)
    h, y = rsqrt(v)
    assert h.tolist() == [31, 31, 0]
    assert np.allclose(y * 2.0 ** (-30 - h), np.asarray(v, dtype=np.float64) ** -0.5, rtol=2e-7)
    assert tables.msb(v).tolist() == [63, 63, 0]
    assert log2_of(v).tolist() == [(64 << 16) - 1, 63 << 16, 0]


def test_log2_of_every_mantissa():
    v = mantissas()
    assert np.abs(log2_of(v) / 65536 - np.log2(v)).max() < 3.6 / 65536 + 2e-5
    assert log2_of([1, 2, 1 << 40]).tolist() == [0, 65536, 40 << 16]


def test_sigmoid_of_every_number():
    x = np.arange(-32768, 32768)
    found = tables.sigmoid(x)
    assert (np.diff(found) >= 0).all()
    assert (found[1:] + found[:0:-1] == 65536).all()
    assert np.abs(found - 65536 / (1 + np.exp(-x / 4096))).max() < 14


def test_rounding_half_up():
    assert rhu([5, -5, 6, -6, 7], 1).tolist() == [3, -2, 3, -3, 4]
    assert rhu([5, -5], 0).tolist() == [5, -5]
    assert rhu([1 << 40, -1 << 40], [200, 200]).tolist() == [0, 0]
    assert rhu(np.array([-3 << 99], dtype=object), 100).tolist() == [-1]
