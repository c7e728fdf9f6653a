# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``fpga/driver/pe.py``: exact results, and what a device does wrong."""

import numpy as np
import pytest

from fpga.driver.pe import PEDriver, pack, zero_code
from fpga.driver.transport import DeviceError
from hw.pe.params import PEParams
from hw.spec.formats import ENUMERABLE, parse
from sim.golden.formats import decode
from sim.golden.pe import pe as golden
from tests.fpga.driver.golden_board import GoldenTransport

CASES = {
    "int4": {"format": "int4"},
    "lanes": {"format": "int3", "act": "int5", "lanes": 21},
    "nan": {"format": "e4m3", "act": "e5m2", "lanes": 3},
    "window": {"format": "e2m1", "act": "bf16", "lanes": 5},
    "wide": {"format": "ternary", "act": "posit16_1", "lanes": 2, "acc_bits": 100},
}
INT4 = PEParams(**CASES["int4"])
NAMES = PEDriver(GoldenTransport(INT4.resolved), INT4).registers


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_results_are_exact(case):
    params = PEParams(**case)
    beats = golden.vectors(params.resolved, np.random.default_rng(2), 120)
    want = golden.run(params.resolved, beats)
    got = PEDriver(GoldenTransport(params.resolved), params).run(**beats)
    assert {name: values.tolist() for name, values in got.items()} == {
        name: values.tolist() for name, values in want.items()
    }


def test_pack():
    codes = np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [15] * 11])
    assert pack(codes, 3).tolist() == [
        [0b010_001_000_111_110_101_100_011_010_001 | (3 & 3) << 30, 0],
        [0xFFFF_FFFF, 1],
    ]
    assert pack(codes, 16).shape == (2, 6)
    assert pack(codes, 16)[0].tolist()[0] == 0x0002_0001


@pytest.mark.parametrize("name", ENUMERABLE)
def test_zero_code(name):
    fmt = parse(name)
    codes = np.setdiff1d(np.arange(1 << fmt.bits), np.array(fmt.illegal))
    ints, nan = decode(fmt, codes)
    zeros = codes[(ints == 0) & ~nan]
    assert zero_code(fmt) in (zeros.tolist() or [None])


@pytest.mark.parametrize("k", [1, 20, 21, 22, 64])
def test_rows_of_any_length(k):
    params = PEParams(**CASES["lanes"])
    rng = np.random.default_rng(k)
    a, w = rng.integers(32, size=(4, k)), rng.integers(8, size=(4, k))
    got = PEDriver(GoldenTransport(params.resolved), params).dot(a, w)
    want, _ = golden.dot(params.weight_format, params.act_format, a, w)
    assert got["acc"].tolist() == want.tolist()


def test_rows_that_cannot_be_filled():
    params = PEParams(format="binary", act="bipolar4", lanes=4)
    driver = PEDriver(GoldenTransport(params.resolved), params)
    assert driver.dot([[15] * 4], [[1] * 4])["acc"].tolist() == [60]
    with pytest.raises(ValueError, match="k must be a multiple of lanes, 4, not 3: neither format"):
        driver.dot([[15] * 3], [[1] * 3])


@pytest.mark.parametrize(
    ("a", "w", "last", "message"),
    [
        ([[256]], [[0]], [1], "codes a of int8 must be from 0 to 255"),
        ([[0]], [[-1]], [1], "codes w of int4 must be from 0 to 15"),
        ([[0, 0]], [[0, 0]], [1], r"a and w must have shape \(beats, 1\) and last \(beats,\), not"),
        ([[0]], [[0]], [1, 1], r"a and w must have shape \(beats, 1\)"),
        ([[0]], [[0]], [0], "the last beat must close its dot product"),
    ],
)
def test_bad_beats(a, w, last, message):
    driver = PEDriver(GoldenTransport(INT4.resolved), INT4)
    with pytest.raises(ValueError, match=message):
        driver.run(a, w, last)


def test_rows_longer_than_promised():
    driver = PEDriver(GoldenTransport(INT4.resolved), INT4)
    with pytest.raises(ValueError, match="k must be at most max_k, 256, not 257"):
        driver.dot([[0] * 257], [[0] * 257])
    with pytest.raises(ValueError, match=r"a and w must have one shape \(rows, k\), not"):
        driver.dot([[0]], [[0, 0]])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"lanes": 2, "max_k": 512}, "LANES 2, not 1, ACC_BITS 21, not 20, MAX_K 512, not 256"),
        ({"format": "sm4", "acc_bits": 20}, "number formats of the same widths, but not the same"),
    ],
)
def test_a_device_with_other_parameters_is_refused(other, message):
    device = PEParams(**{"format": "int4", **other})
    with pytest.raises(ValueError, match=f"generated with other parameters: {message}"):
        PEDriver(GoldenTransport(device.resolved), INT4)


def test_the_way_it_is_computed_does_not_matter():
    device = PEParams(format="int4", arch="multiply", pipeline=2, target="ecp5")
    PEDriver(GoldenTransport(device.resolved), INT4)


class Constant(GoldenTransport):
    """A device in which one register reads differently."""

    name, word = "", 0

    def read(self, address, words):
        values = super().read(address, words)
        at = (NAMES[self.name].offset - address) // 4
        if 0 <= at < words:
            values[at] = self.word
        return values


@pytest.mark.parametrize(
    ("name", "word", "message"),
    [
        ("ID", 0x4547_504D, "no processing element: its ID is 0x4547504d, not 0x45504c42"),
        ("VERSION", 0x0200_0000, "the device has version 2 of the registers, which is unknown"),
        ("SCRATCH", 0, "the device does not keep what is written to SCRATCH"),
        ("STATUS", 0, "the device does not become idle"),
    ],
)
def test_strange_devices(name, word, message):
    transport = Constant(INT4.resolved)
    transport.name, transport.word = name, word
    with pytest.raises(DeviceError, match=message):
        PEDriver(transport, INT4)


def test_no_result():
    driver = PEDriver(GoldenTransport(INT4.resolved), INT4)
    driver.transport = strange = Constant(INT4.resolved)
    strange.name = "RESULT"
    with pytest.raises(DeviceError, match="no result comes"):
        driver.dot([[1]], [[1]])


def test_a_half_done_dot_product_of_an_earlier_host_is_dropped():
    transport = GoldenTransport(INT4.resolved)
    for _ in range(2):
        transport.write(0x100, [100, 7, 0])
    assert PEDriver(transport, INT4).dot([[1]], [[1]])["acc"].tolist() == [1]


def test_lost_writes_are_noticed_and_made_good():
    """Every seventh write is lost; the counts show it and the dot product is sent again."""
    writes = []

    def spoil(transport, kind, address):
        if kind == "write" and address >= 0x40 and address != NAMES["ERROR"].offset:
            writes.append(address)
            return "lose" if len(writes) % 7 == 0 else None

    driver = PEDriver(GoldenTransport(INT4.resolved, spoil), INT4)
    rows = np.arange(60).reshape(20, 3) % 16
    want, _ = golden.dot(INT4.weight_format, INT4.act_format, rows, rows)
    assert driver.dot(rows, rows)["acc"].tolist() == want.tolist()
    assert len(writes) > 66


def test_errors_that_stay_are_reported():
    def spoil(transport, kind, address):
        if address == NAMES["FEED"].offset:
            transport.device.flag("FRAMING")

    driver = PEDriver(GoldenTransport(INT4.resolved, spoil), INT4)
    with pytest.raises(DeviceError, match="the device reports FRAMING: the UART dropped a byte"):
        driver.dot([[1, 2]], [[1, 2]])
    driver.transport.spoil = lambda *_: None
    driver.reset()
    assert driver.dot([[1, 2]], [[1, 2]])["acc"].tolist() == [5]


def test_a_dot_product_takes_few_accesses():
    """Three words for each beat, four to read, one to pop."""
    transport = GoldenTransport(INT4.resolved)
    driver = PEDriver(transport, INT4)
    transport.accesses = 0
    driver.dot([[1] * 10], [[1] * 10])
    assert transport.accesses == 9 * 2 + 3 + 4 + 1
