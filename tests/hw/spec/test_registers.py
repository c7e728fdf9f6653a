# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/spec/registers.py`` and ``hw/spec/pe_registers.py``."""

import pytest

from hw.spec.pe_registers import ERROR_FLAGS, FUNCTION, pe_map
from hw.spec.registers import WINDOW, Field, Register, RegisterMap, build_id

CHOSEN = dict.fromkeys(FUNCTION)


def small_map(**widths):
    sizes = {"act_bits": 8, "weight_bits": 4, "lanes": 4, "acc_bits": 20, "max_k": 256, "lam": -3}
    return pe_map(CHOSEN, **{**sizes, "nan": True, **widths})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Field("F", 30, 3, ""), "field 'F' does not fit a word of 32 bits"),
        (lambda: Field("F", 0, 2, "", 4), "field 'F' of 2 bits cannot be 4"),
        (lambda: Register("R", 2, "RW", "", ()), "offset of R must be a multiple of 4 below 4096"),
        (lambda: Register("R", 4096, "RW", "", ()), "offset of R must be a multiple of 4"),
        (lambda: Register("R", 0, "XX", "", ()), "access of R must be one of"),
        (
            lambda: Register("R", 0, "RW", "", (Field("A", 0, 2, ""), Field("B", 1, 2, ""))),
            "fields of R overlap",
        ),
        (
            lambda: RegisterMap("m", (Register("R", 0, "RW", "", ()),) * 2),
            "two registers of m have the same name",
        ),
        (
            lambda: RegisterMap(
                "m", (Register("R", 0, "RW", "", ()), Register("S", 0, "RW", "", ()))
            ),
            "two registers of m have the same offset",
        ),
        (lambda: small_map()["CTRL"].make(RESET=2), "CTRL.RESET has 1 bits, not room for 2"),
    ],
)
def test_bad_maps(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_fields_of_a_word():
    cap = small_map()["CAP0"]
    assert cap.reset == 0x0004_0408
    assert [cap.get(cap.reset, n) for n in ("ACT_BITS", "WEIGHT_BITS", "LANES")] == [8, 4, 4]
    assert cap.make(LANES=3, ACT_BITS=2) == 0x0003_0002
    assert cap.mask == 0xFFFF_FFFF


def test_what_every_device_has_where():
    """These addresses are a promise to hosts that were written before this device."""
    names = small_map()
    places = {"ID": 0, "VERSION": 4, "BUILD": 0x18, "SCRATCH": 0x1C, "CTRL": 0x20, "STATUS": 0x24}
    assert {name: names[name].offset for name in places} == places
    assert names["ID"].reset.to_bytes(4, "little") == b"BLPE"
    assert names["CAP3"].reset == 0xFFFD
    assert names["BUILD"].reset == build_id(CHOSEN) != build_id({**CHOSEN, "lanes": 1})


def test_one_burst_reads_a_result_and_one_writes_a_beat():
    names = small_map(act_bits=16, acc_bits=40)
    read = ["ERROR", "COUNT", "RESULT", "ACC0", "ACC1"]
    assert [names[n].offset for n in read] == [0x80 + 4 * k for k in range(5)]
    write = ["A0", "A1", "W0", "PUSH"]
    assert [names[n].offset for n in write] == [0x100 + 4 * k for k in range(4)]
    assert [names[n].mask for n in write] == [0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF, 1]
    assert names.feed == 3
    assert [r.name for r in names.vector("A")] == ["A0", "A1"]
    assert names.at(0x104) is names["A1"]
    assert names.at(0x105) is names.at(0x030) is None
    with pytest.raises(KeyError):
        names["A2"]


def test_every_error_has_a_flag():
    fields = small_map()["ERROR"].fields
    assert [f.name for f in fields] == list(ERROR_FLAGS)
    assert [f.lsb for f in fields] == list(range(len(fields)))


def test_the_largest_beat_and_result_that_fit():
    assert small_map(lanes=2556)["PUSH"].offset == WINDOW - 4
    with pytest.raises(ValueError, match="lanes must be at most 2556 behind registers, not 2557"):
        small_map(lanes=2557)
    assert small_map(acc_bits=928)["ACC28"].offset == 0xFC
    with pytest.raises(ValueError, match="acc_bits must be at most 928 behind registers, not 929"):
        small_map(acc_bits=929)


def test_plain_data_for_the_manifest():
    rows = {row["name"]: row for row in small_map().describe()}
    assert rows["STATUS"]["fields"][0]["name"] == "IDLE"
    assert rows["PUSH"]["access"] == "WO"
    assert all(row["doc"] for row in rows.values())
