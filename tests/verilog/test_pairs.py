# SPDX-License-Identifier: Apache-2.0
"""Every pair of codes of every kind of format pair, on the emitted Verilog, in both architectures.

``PYTEST_ADDOPTS="-m deep"`` adds all pairs of the catalogue of at most 16 bits together.
"""

import itertools
from pathlib import Path

import pytest

from hw.spec.formats import CATALOGUE, parse
from sim.bench.exhaustive import ARCHS, Pair, chunks, compare, outputs
from sim.golden.pe.operands import Operand

UP_TO_8 = [name for name in CATALOGUE if parse(name).bits <= 8]
TARGETS = ("gates", "xcup")
LARGE = [("e4m3", "e4m3"), ("e5m2", "e4m3"), ("posit8_0", "posit8_0"), ("int8", "int8")]


def _meaning(name: str) -> tuple[object, ...]:
    operand = Operand(parse(name))
    ints, nan = operand.decode(operand.codes)
    return parse(name).bits, parse(name).lam, *operand.codes.tolist(), *ints.tolist(), *nan.tolist()


def distinct(names: list[str]) -> list[str]:
    """Return the formats without those that mean the same as an earlier one, code for code."""
    return list({_meaning(name): name for name in reversed(names)}.values())[::-1]


def variants(pairs: list[tuple[str, str]]) -> list[Pair]:
    """Each pair in both architectures, one built for gates and one for carry chains, in turns."""
    return [
        Pair(weight, act, arch, TARGETS[(number + turn) % 2])
        for number, (weight, act) in enumerate(pairs)
        for turn, arch in enumerate(ARCHS)
    ]


def small_pairs() -> list[Pair]:
    """Every two formats of at most 4 bits, each one the weight half of the time."""
    names = distinct([name for name in UP_TO_8 if parse(name).bits <= 4])
    found = []
    for (i, one), (j, other) in itertools.combinations_with_replacement(enumerate(names), 2):
        found.append((one, other) if (i + j) % 2 else (other, one))
    return variants(found)


def decoder_pairs() -> list[Pair]:
    """Each format beside one that is 0 or 1: a sign error of both operands cannot cancel."""
    pairs = [(name, "uint1") for name in UP_TO_8] + [("uint1", name) for name in UP_TO_8]
    return variants(pairs)


def wide_pairs() -> list[Pair]:
    """Formats of 5 to 8 bits on either side of small ones, and small weights times int8."""
    wide = [name for name in UP_TO_8 if parse(name).bits > 4]
    pairs = [(name, "e2m1") for name in wide] + [("int3", name) for name in wide]
    pairs += [(name, "int8") for name in distinct(UP_TO_8) if parse(name).bits <= 4]
    return variants(list(dict.fromkeys(pairs)))


def deep_pairs() -> list[Pair]:
    names = distinct([name for name in CATALOGUE if parse(name).bits <= 15])
    pairs = [
        (weight, act)
        for weight, act in itertools.product(names, repeat=2)
        if parse(weight).bits + parse(act).bits <= 16
    ]
    return [Pair(*pair, arch, target) for pair in pairs for arch in ARCHS for target in TARGETS]


def _sets(pairs: list[Pair], size: int) -> list[object]:
    return [
        pytest.param(chunk, id=f"{number}-{chunk[0].weight}-{chunk[0].act}")
        for number, chunk in enumerate(chunks(pairs, size))
    ]


def hold(pairs: list[Pair], folder: Path, engine: str | None = None) -> None:
    compared, wrong = compare(pairs, folder, engine)
    assert not wrong, "\n".join(wrong)
    assert compared >= 2 * len(pairs)


@pytest.mark.parametrize("pairs", _sets(small_pairs(), 72))
def test_up_to_4_bits(pairs: list[Pair], tmp_path: Path) -> None:
    hold(pairs, tmp_path)


@pytest.mark.parametrize("pairs", _sets(decoder_pairs(), 64))
def test_decoders(pairs: list[Pair], tmp_path: Path) -> None:
    hold(pairs, tmp_path)


@pytest.mark.parametrize("pairs", _sets(wide_pairs(), 32))
def test_5_to_8_bits(pairs: list[Pair], tmp_path: Path) -> None:
    hold(pairs, tmp_path)


@pytest.mark.parametrize(("weight", "act"), LARGE)
def test_8_by_8_bits(weight: str, act: str, tmp_path: Path) -> None:
    hold([Pair(weight, act, arch, t) for arch in ARCHS for t in TARGETS], tmp_path)


def test_the_lists_keep_their_promise() -> None:
    """At least 60 pairs, both architectures, and every format in two of them or more."""
    listed = [*small_pairs(), *decoder_pairs(), *wide_pairs()]
    pairs = {(pair.weight, pair.act) for pair in listed} | set(LARGE)
    assert len(pairs) >= 60
    for arch in ARCHS:
        assert {(p.weight, p.act) for p in listed if p.arch == arch} | set(LARGE) == pairs
    for name in UP_TO_8:
        assert sum(name in pair for pair in pairs) >= 2


@pytest.mark.parametrize(
    ("name", "code", "value"),
    [
        ("ternary", 0b10, -2),
        ("ternary_i2s", 0b11, 2),
        # 0x38 is 1.0, which is 2**9 units; the bit above is padding.
        ("ue4m3", 0xB8, 1 << 9),
    ],
)
def test_illegal_codes(name: str, code: int, value: int, tmp_path: Path) -> None:
    """What the sheet (A.2) and the format's description say of them, in the RTL.

    The other operand is 1, in a format with room: sums beyond the width wrap.
    """
    for weight, act in ((name, "int4"), ("int4", name)):
        pairs = [Pair(weight, act, arch, t) for arch in ARCHS for t in TARGETS]
        _, tables = outputs(pairs, tmp_path / weight)
        for pair, table in zip(pairs, tables, strict=True):
            assert table["p"][(code, 1) if weight == name else (1, code)] == value, str(pair)


@pytest.mark.deep
@pytest.mark.parametrize("pairs", _sets(deep_pairs(), 48))
def test_up_to_16_bits(pairs: list[Pair], tmp_path: Path) -> None:
    hold(pairs, tmp_path, "netlist" if sum(pairs[0].bits) > 12 else None)
