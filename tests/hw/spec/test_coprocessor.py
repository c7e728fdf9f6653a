# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/spec/coprocessor.py``: numbers that hosts rely on, and words of descriptors."""

import pytest

from hw.spec.coprocessor import (
    DESCRIPTOR,
    ERROR_CODES,
    ERROR_MEANINGS,
    FORMAT_NUMBERS,
    PERF,
    Descriptor,
    EngineNumbers,
    Record,
    coprocessor_map,
    format_number,
)
from hw.spec.formats import parse

CAPS = {
    "engines": 1,
    "numbers": [EngineNumbers(1, 2, 2, 0, 4, 24), EngineNumbers(12, 12, 2, 2, 1, 118)],
    "max_bits": 4,
    "act_bits": 8,
    "acc_bits": 24,
    "rows": 2,
    "columns": 16,
    "depth": 4,
    "group": 0,
    "buffer_kib": 300,
    "acc_kib": 5,
    "log2_bytes": 4,
    "max_burst": 256,
    "outstanding": 8,
    "addr_bits": 40,
    "build": 0x12345678,
}


def test_addresses_are_a_promise():
    names = coprocessor_map(**CAPS)
    places = {
        "ID": 0x000, "VERSION": 0x004, "CAP0": 0x008, "CAP1": 0x00C, "CAP2": 0x010, "CAP3": 0x014,
        "BUILD": 0x018, "SCRATCH": 0x01C, "CTRL": 0x020, "STATUS": 0x024, "IRQ_STATUS": 0x028,
        "IRQ_ENABLE": 0x02C, "ERR_CODE": 0x030, "ERR_ADDR_LO": 0x034, "ERR_ADDR_HI": 0x038,
        "ERR_DESC": 0x03C, "QBASE_LO": 0x040, "QBASE_HI": 0x044, "QSIZE": 0x048, "QHEAD": 0x04C,
        "QTAIL": 0x050, "TIMEOUT": 0x054, "AXI_ATTR": 0x058, "DIRECT0": 0x080, "DIRECT15": 0x0BC,
        "PERF0_LO": 0x100, "PERF0_HI": 0x104, "PERF11_LO": 0x158, "PERF11_HI": 0x15C,
        "PERF_FREEZE": 0x178, "PERF_CLEAR": 0x17C, "CAP4": 0x05C, "ENGINE0": 0x0C0,
        "ENGINE1": 0x0C4,
    }  # fmt: skip
    assert {name: names[name].offset for name in places} == places
    assert len(names.registers) == 28 + 16 + 2 + 24
    guarded = {r.name for r in names.registers if r.guarded}
    assert guarded == {"QBASE_LO", "QBASE_HI", "QSIZE", "TIMEOUT", "AXI_ATTR"}


def test_constants():
    names = coprocessor_map(**CAPS)
    words = {r.name: r.reset for r in names.registers if r.constant}
    assert words == {
        "ID": 0x4547504D,
        "VERSION": 0x0101_0000,
        "CAP0": 0x1808_0401,
        "CAP1": 0x0004_1002,
        "CAP2": 0x0005_012C,
        "CAP3": 0x2808_FF04,
        "BUILD": 0x12345678,
        "CAP4": 0x0010_0F02,
        "ENGINE0": 0x1804_0221,
        "ENGINE1": 0x7601_22CC,
    }
    resets = {r.name: r.reset for r in names.registers if r.reset and not r.constant}
    assert resets == {"STATUS": 0x11, "AXI_ATTR": 0x23}
    with pytest.raises(ValueError, match="field 'ROWS' of 8 bits cannot be 256"):
        coprocessor_map(**{**CAPS, "rows": 256})


def test_bits_of_the_registers():
    names = coprocessor_map(**CAPS)
    ctrl = {f.name: (f.lsb, f.once) for f in names["CTRL"].fields}
    assert ctrl == {
        "START": (0, True),
        "SOFT_RESET": (1, True),
        "ABORT": (2, True),
        "QUEUE_EN": (3, False),
        "IRQ_EN": (4, False),
        "RECORD_EN": (5, False),
    }
    status = [f.name for f in names["STATUS"].fields if f.width == 1]
    assert status == ["IDLE", "BUSY", "DONE", "ERROR", "QUEUE_EMPTY", "QUEUE_FULL", "NAN"]
    assert [f.name for f in names["IRQ_STATUS"].fields] == ["DONE", "ERROR", "QUEUE_LOW", "COUNTER"]


def test_every_field_of_a_descriptor_has_bits_of_its_own():
    seen = 0
    for f in DESCRIPTOR:
        mask = ((1 << f.width) - 1) << 32 * f.word + f.lsb
        assert not seen & mask, f.name
        seen |= mask
        words = Descriptor(magic=0, version=0, **{f.name: 1}) if f.word else None
        if words:
            assert words.pack()[f.word] == 1 << f.lsb
    assert sum(1 << 32 * i for i in (14,)) & seen == 0


def test_words_of_a_descriptor():
    words = (
        0x0801_01D5 & 0xFF00_FFFF | 0x02 << 16,
        0x0030_1021,
        0x0007_0003,
        0x0010_0009,
        0x89AB_CDE0,
        0x12,
        0x10,
        0,
        0x1234_5678,
        0xFF,
        0x20,
        1,
        0x0006_0009,
        0x0000_0044,
        0,
        0x807F_BEEF,
    )
    got = Descriptor.unpack(words)
    assert got == Descriptor(
        op=2, flags=8, a_fmt=1, w_fmt=2, w_layout=1, activation=3, m=3, n=7, k=9, g=16,
        a=0x12_89AB_CDE0, w=0x10, c=0xFF_1234_5678, s=0x1_0000_0020, a_stride=9, c_stride=6,
        w_stride=0x44, tag=0xBEEF, clamp_high=127, clamp_low=-128,
    )  # fmt: skip
    assert got.pack() == words
    with pytest.raises(ValueError, match=r"clamp_low must be in -128 \.\.\. 127, not 128"):
        Descriptor(clamp_low=128)
    with pytest.raises(ValueError, match=r"m must be in 0 \.\.\. 65535, not 65536"):
        Descriptor(m=65536)


def test_words_of_a_record():
    record = Record(tag=0xBEEF, index=0x1234, error=9, cycles=0x5_0000_0007)
    assert record.pack() == (0x1234_BEEF, 9, 7, 5)
    assert Record.unpack(record.pack()) == record
    assert Record.unpack(record.pack()).cycles == 0x5_0000_0007


def test_numbers():
    assert list(ERROR_CODES.values()) == list(range(15)) and len(ERROR_MEANINGS) == 15
    assert list(FORMAT_NUMBERS.values()) == list(range(16))
    assert [format_number(parse(n)) for n in ("int8", "e2m1", "posit16_1", "e2m3")] == [
        1,
        5,
        12,
        15,
    ]
    assert all(parse(n).name == n for n in list(FORMAT_NUMBERS)[1:-1])
    assert len(PERF) == 12
