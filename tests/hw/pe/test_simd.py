# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/simd*.py``: every pair of codes in every place, the rounding, the traffic."""

import numpy as np
import pytest
from amaranth.hdl import Const
from numpy.testing import assert_array_equal

from gen.emit import emit
from gen.units.pe import UNIT
from hw.pe.params import PEParams
from hw.pe.simd import next_state, rounded
from hw.pe.simd_operand import Formats
from hw.spec.formats import parse
from sim.bench.check import Pass, check, golden_of, passes_for
from sim.golden.encode import encode
from sim.golden.fp.mul import posit_code
from sim.golden.pe import simd as golden
from tests.hw.pe.netlists import evaluate, netlist
from tests.sim.golden.oracles import posits

NAMES = ("e2m1", "posit4_1", "posit8_0", "posit16_1")
LAMS = (-2, -8, -12, -56)


@pytest.fixture(scope="module")
def beat(tmp_path_factory):
    """One beat of one lane from empty quires: quire, nar and y."""

    def part(m, s):
        formats = Formats(m, s["fmt"])
        quire, nar = next_state(m, s["a"], s["w"], Const(0, 128), Const(0, 4), formats)
        return {"quire": quire, "nar": nar, "y": rounded(m, quire, nar, formats)}

    return netlist(tmp_path_factory.mktemp("beat"), {"a": 16, "w": 16, "fmt": 2}, part)


def compare(beat, a, w, fmt):
    kinds = np.full(len(a), fmt)
    got = evaluate(beat, {"a": a, "w": w, "fmt": kinds})
    parameters = {"lanes": 1, "core": "accumulate", "max_k": 16}
    starts = np.ones(len(a), dtype=bool)
    due = golden.run(parameters, {"a": a, "w": w, "fmt": kinds, "clr": starts})
    for name, values in due.items():
        assert_array_equal(got[name], values, err_msg=f"{name} of {NAMES[fmt]}")
    return got


@pytest.mark.parametrize("fmt", [0, 1])
def test_every_pair_of_four_bits_in_every_place(beat, fmt):
    rng = np.random.default_rng(fmt)
    pairs = np.tile(np.arange(256), 4)
    for place in range(0, 16, 4):
        a, w = rng.integers(0, 1 << 16, (2, len(pairs)))
        a = a & ~(15 << place) | (pairs & 15) << place
        w = w & ~(15 << place) | pairs >> 4 << place
        compare(beat, a, w, fmt)


def test_every_pair_of_posit8_in_both_places(beat):
    """Also rounded, against SoftPosit's products, which round once as one beat does."""
    pairs = np.arange(1 << 16)
    other = np.random.default_rng(2).integers(0, 256, (2, 1 << 16))
    low = compare(beat, pairs & 255 | other[0] << 8, pairs >> 8 | other[1] << 8, 2)
    compare(beat, other[0] | (pairs & 255) << 8, other[1] | pairs >> 8 << 8, 2)
    values = [posits().posit8(bits=code) for code in range(256)]
    some = pairs[::7]
    due = [(values[p & 255] * values[p >> 8]).v.v & 255 for p in some.tolist()]
    assert_array_equal(low["y"][::7] & 255, due)


def test_posit16(beat):
    """Random pairs, all codes by a few, and the products that SoftPosit gives."""
    rng = np.random.default_rng(3)
    a, w = rng.integers(0, 1 << 16, (2, 12_000))
    corners = np.array([0, 1, 2, 3, 0x4000, 0x7FFF, 0x7FFE, 0x8000, 0x8001, 0x8002, 0xC000, 0xFFFF])
    w[:6000] = rng.choice(corners, 6000)
    a[6000:7000] = rng.choice(corners, 1000)
    # Long regimes, which random codes seldom have.
    short = rng.integers(0, 15, 4000)
    a[8000:] = a[8000:] >> short | (rng.integers(0, 2, 4000) << 15)
    got = compare(beat, a, w, 3)
    kind = posits().posit16
    due = [
        (kind(bits=x) * kind(bits=y)).v.v & 0xFFFF
        for x, y in zip(a[::5].tolist(), w[::5].tolist(), strict=True)
    ]
    assert_array_equal(got["y"][::5], due)


def test_rounding_of_any_sum(tmp_path):
    """Sums of every size, those on and beside every threshold of the small formats."""

    def part(m, s):
        return {"y": rounded(m, s["quire"], s["nar"], Formats(m, s["fmt"]))}

    net = netlist(tmp_path, {"quire": 128, "nar": 4, "fmt": 2}, part)
    rng = np.random.default_rng(4)
    for fmt, name in enumerate(NAMES):
        places = (4, 4, 2, 1)[fmt]
        bits, code_bits = 128 // places, 16 // places
        near = [k << j for k in range(1, 1 << 9) for j in range(0, 14, 2)] if fmt < 3 else []
        sizes = [int(v) for v in rng.integers(1, bits - 1, 2000)]
        sums = [int.from_bytes(rng.bytes(16), "little") >> 128 - size for size in sizes]
        # One bit beside a number of few bits, far below it.
        sums += [(3 << s >> 1) + d for s in range(1, bits - 3) for d in (-1, 0, 1)]
        sums = [v for v in [*range(1 << 9), *near, *sums] if v < 1 << bits - 1]
        sums += [-v for v in sums] + [-1 << bits - 1]
        while len(sums) % places:
            sums.append(0)
        rows = np.array(sums, dtype=object).reshape(-1, places)
        quire = sum((rows[:, k] % (1 << bits)) << bits * k for k in range(places))
        nar = rng.integers(0, 16, len(rows)) * (rng.random(len(rows)) < 0.1)
        y = evaluate(net, {"quire": quire, "nar": nar, "fmt": np.full(len(rows), fmt)})["y"]
        got = np.stack([y >> code_bits * k & (1 << code_bits) - 1 for k in range(places)], axis=1)
        if fmt == 0:
            due = encode(parse(name), rows.astype(np.float64) / 4)
        else:
            due = np.array([posit_code(parse(name), v, LAMS[fmt]) for v in rows.flat])
            due = due.reshape(rows.shape)
            marks = nar[:, None] >> np.arange(places) & 1
            due = np.where(marks == 1, 1 << code_bits - 1, due)
        assert_array_equal(got, due, err_msg=name)


@pytest.mark.parametrize("case", [{"max_k": 64}, {"lanes": 2, "max_k": 16}], ids=str)
def test_stream(case, tmp_path):
    """Formats switch from one dot product to the next, the longest sums are of extremes."""
    text, manifest = emit(UNIT, PEParams(arch="simd", **case))
    (tmp_path / "pe.v").write_text(text, encoding="utf-8")
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(1), 260)
    assert set(beats["fmt"].tolist()) == {0, 1, 2, 3}
    passes = [Pass("none", "none"), Pass("random", "bursty")] if "lanes" in case else None
    report = check(
        tmp_path / "pe.v",
        manifest,
        beats,
        tmp_path / "build",
        passes=passes or [Pass("none", "none"), *passes_for("slow")],
    )
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 20


def test_accumulate(tmp_path):
    text, manifest = emit(UNIT, PEParams(arch="simd", core="accumulate", max_k=64))
    (tmp_path / "pe.v").write_text(text, encoding="utf-8")
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(5), 120)
    report = check(tmp_path / "pe.v", manifest, beats, tmp_path / "build")
    assert report.passed, (report.fault, report.mismatch)


def test_longest_extreme_sums_fit(tmp_path):
    """The last of 32767 products of the largest codes, of different signs."""

    def part(m, s):
        formats = Formats(m, s["fmt"])
        quire, nar = next_state(m, s["a"], s["w"], s["quire"], Const(0, 4), formats)
        return {"next": quire, "marks": nar}

    net = netlist(tmp_path, {"a": 16, "w": 16, "quire": 128, "fmt": 2}, part)
    words = ((0x7777, 0xFFFF), (0x7777, 0x9999), (0x7F7F, 0x8181), (0x7FFF, 0x8001))
    for fmt, (a, w) in enumerate(words):
        places = (4, 4, 2, 1)[fmt]
        bits = 128 // places
        largest = (144, 1 << 16, 1 << 24, 1 << 112)[fmt]
        before = sum((-32766 * largest % (1 << bits)) << bits * k for k in range(places))
        due = sum((-32767 * largest % (1 << bits)) << bits * k for k in range(places))
        vectors = {"a": [a], "w": [w], "quire": [before], "fmt": [fmt]}
        arrays = {name: np.array(v, dtype=object) for name, v in vectors.items()}
        assert evaluate(net, arrays)["next"][0] == due


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"format": "int8"}, "format must not be given with arch simd, but is 'int8'"),
        ({"bits": 4}, "bits must not be given with arch simd, but is 4"),
        ({"act": "fp16"}, "act must not be given with arch simd, but is 'fp16'"),
        ({"acc_bits": 64}, "acc_bits must not be given with arch simd, not 64"),
        ({"pipeline": 1}, "pipeline must be 0 with arch simd, not 1"),
        ({"target": "xcup"}, "target must be gates with arch simd, not 'xcup'"),
        ({"max_k": 32768}, "max_k must be at most 32767 with arch simd, not 32768"),
        ({"core": "dot"}, "core must be stream or accumulate with arch simd, not 'dot'"),
        ({"mode": "both"}, "mode must not be given with arch simd"),
    ],
)
def test_refusals(chosen, message):
    with pytest.raises(ValueError, match=message):
        PEParams(**{"arch": "simd", **chosen})
