# SPDX-License-Identifier: Apache-2.0
"""The unit ``butterfly``: values under stalls, cycles, an outside transform, faults, refusals."""

import re

import numpy as np
import pytest

from gen.__main__ import main
from gen.emit import emit
from gen.unit import discover
from hw.butterfly import factors, issue
from hw.butterfly.params import ButterflyParams
from sim.bench.check import Pass, check, passes_for
from sim.golden.butterfly import engine as golden
from sim.golden.butterfly.banks import compute_cycles

UNIT = discover()["butterfly"]

QUICK = [
    ({"max_size": 64, "lanes": 8}, 260),
    ({"max_size": 32, "lanes": 2, "scaling": "half", "data_bits": 6, "twiddle_bits": 6,
      "weight_bits": 5}, 260),
    ({"max_size": 32, "lanes": 4, "scaling": "grow", "banks": "popcount", "engines": 2,
      "data_bits": 5, "weight_bits": 4, "weight_frac": 1, "twiddle_bits": 7}, 160),
]  # fmt: skip
MORE = [
    {"lanes": 4, "scaling": "half"},
    {"lanes": 32, "weight_frac": 0, "data_bits": 8, "twiddle_bits": 10},
    {"lanes": 16, "scaling": "grow", "order": "reversed"},
    {"lanes": 16, "scaling": "half", "banks": "parity", "max_size": 32},
    {"lanes": 8, "order": "reversed", "banks": "popcount", "engines": 3},
    {"lanes": 8, "banks": "parity", "max_size": 8},
    {"lanes": 2, "banks": "popcount", "data_bits": 24, "twiddle_bits": 24, "weight_bits": 24},
    {"lanes": 4, "scaling": "half", "data_bits": 4, "twiddle_bits": 4, "weight_bits": 4,
     "weight_frac": 3, "engines": 2},
    {"lanes": 8, "max_size": 1024},
]  # fmt: skip


def built(folder, **parameters):
    """Write the Verilog of a unit; return its path and manifest."""
    text, manifest = emit(UNIT, ButterflyParams(**parameters))
    (folder / "dut.v").write_text(text)
    return folder / "dut.v", manifest


def beats_of(manifest, packets, seed=1, full=1.0):
    """Return random packets: (op, log2n, beats of each)."""
    given, rng = manifest["parameters"], np.random.default_rng(seed)
    count = sum(length for _, _, length in packets)
    top = int(full * (1 << given["data_bits"] - 1))
    shape = count, given["engines"] * given["lanes"]
    sizes = given["max_size"].bit_length() - 1
    return {
        "re": rng.integers(-top, top, shape),
        "im": rng.integers(-top, top, shape),
        "op": np.repeat([op for op, _, _ in packets], [n for *_, n in packets]),
        "log2n": np.repeat([size for _, size, _ in packets], [n for *_, n in packets]),
        "sigma": np.full(count, sum(1 << 4 * k for k in range(sizes)), dtype=object),
        "last": np.concatenate([[0] * (n - 1) + [1] for *_, n in packets]),
    }


def packet(manifest, op, size):
    """Return a packet of the right length."""
    length = max(1, (1 << size) // manifest["parameters"]["lanes"])
    return op, size, length * (size if op == 3 else 1)


def lanes_of(manifest, words, field):
    """Return what the lanes of an output port held, signed."""
    port = next(p for p in manifest["ports"] if p["name"] == field)
    bits = manifest["contract"]["state_bits"] if field != "o_exp" else port["width"]
    mask, half = (1 << bits) - 1, 1 << bits - 1
    return np.array(
        [
            [((int(w) >> k & mask) ^ half) - half for k in range(0, port["width"], bits)]
            for w in words
        ]
    )


@pytest.mark.parametrize(("parameters", "count"), QUICK)
def test_values_under_stalls(parameters, count, tmp_path):
    verilog, manifest = built(tmp_path, **parameters)
    beats = golden.vectors(manifest["parameters"], np.random.default_rng(3), count)
    passes = [*passes_for("all")[:3], Pass("none", "slow")]
    report = check(verilog, manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > count // 4


@pytest.mark.deep
@pytest.mark.parametrize("number", range(len(MORE)))
def test_more_values_under_stalls(number, tmp_path):
    verilog, manifest = built(tmp_path, **{"max_size": 64, **MORE[number]})
    beats = golden.vectors(manifest["parameters"], np.random.default_rng(number), 1500)
    report = check(verilog, manifest, beats, tmp_path / "build", passes=passes_for("all"))
    assert report.passed, (report.fault, report.mismatch)


def test_weights_come_while_others_are_used(tmp_path):
    """Sets of weights in quick succession, behind vectors that wait for those before."""
    verilog, manifest = built(tmp_path, max_size=16, lanes=4, data_bits=8, scaling="half")
    one = [packet(manifest, op, 4) for op in (0, 3, 0, 0, 3, 0, 3, 3, 0, 0, 0, 3, 0)]
    short = [(3, 4, 7), packet(manifest, 0, 4), (3, 2, 1), packet(manifest, 0, 4)]
    small = [packet(manifest, op, size) for op, size in ((3, 3), (0, 3), (0, 4), (1, 4), (0, 3))]
    beats = beats_of(manifest, one + short + one + small + [(0, 4, 9), *one])
    due = golden.run(manifest["parameters"], beats)
    assert set(due["err"].tolist()) == {0, 1, 2, 3}
    passes = [Pass("none", "none"), Pass("none", "slow"), Pass("slow", "none")]
    report = check(verilog, manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)


CYCLES = [
    ({"max_size": 64, "lanes": 8}, 1, 6, 5),
    ({"max_size": 64, "lanes": 8}, 0, 4, 5),
    ({"max_size": 8, "lanes": 8, "scaling": "half"}, 2, 3, 5),
    ({"max_size": 16, "lanes": 2, "scaling": "half"}, 1, 4, 5),
    ({"max_size": 16, "lanes": 2, "scaling": "half"}, 1, 4, 1),
]
MORE_CYCLES = [
    ({"max_size": 256, "lanes": lanes, "scaling": scaling}, op, size, count)
    for lanes in (2, 8, 32)
    for scaling in ("half", "bfp")
    for op in (0, 1)
    for size in (3, 5, 8)
    for count in (1, 4)
]


@pytest.mark.parametrize(
    ("parameters", "op", "size", "count"),
    [*CYCLES, *(pytest.param(*case, marks=pytest.mark.deep) for case in MORE_CYCLES)],
)
def test_cycles(parameters, op, size, count, tmp_path):
    """Exactly those of the contract: of one packet alone, or of packets that follow each other."""
    verilog, manifest = built(tmp_path, data_bits=8, twiddle_bits=8, weight_bits=4, **parameters)
    first = [packet(manifest, 3, size)] if op == 0 else []
    packets = first + [packet(manifest, op, size)] * count
    report = check(verilog, manifest, beats_of(manifest, packets), tmp_path / "build")
    assert report.passed, (report.fault, report.mismatch)
    contract = manifest["contract"]
    stages = compute_cycles(manifest["parameters"], op, size, contract["pipeline"])
    begins = sum(length + 1 for *_, length in packets[: len(first) + 1])
    due = begins + stages + contract["overhead"] + packets[-1][2] - 1
    assert report.passes[0].cycles == due + (count - 1) * (stages + contract["gap"])


def test_published_cycles(tmp_path):
    """The sheet's figure: (n / P) * log2(n) and nothing else, of rows longer than the pipeline."""
    given = {"lanes": 8, "scaling": "half"}
    sheet = {256: 256, 512: 576, 1024: 1280, 4096: 6144}
    for size, cycles in sheet.items():
        assert compute_cycles(given, 1, size.bit_length() - 1, issue.PIPELINE) == cycles


def test_an_outside_transform(tmp_path):
    verilog, manifest = built(tmp_path, max_size=32, lanes=4, scaling="grow", twiddle_bits=20)
    packets = [packet(manifest, op, size) for size in (3, 4, 5) for op in (1, 2)]
    beats = beats_of(manifest, packets)
    report = check(verilog, manifest, beats, tmp_path / "build")
    assert report.passed, (report.fault, report.mismatch)
    real, imaginary = (lanes_of(manifest, report.outputs[n], n) for n in ("o_re", "o_im"))
    exp = lanes_of(manifest, report.outputs["o_exp"], "o_exp")
    begin = 0
    for op, _, length in packets:
        part = slice(begin, begin + length)
        given = (beats["re"][part] + 1j * beats["im"][part]).ravel()
        due = np.fft.fft(given) if op == 1 else np.fft.ifft(given)
        got = ((real[part] + 1j * imaginary[part]) * 2.0 ** exp[part]).ravel()
        assert np.abs(got - due).max() < 4 * 2.0 ** exp[begin, 0], (op, length)
        assert np.abs(due).max() > 1000
        begin += length


FAULTS = ("row of the odd banks", "a wait less", "sign of a twiddle", "weights too soon")


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault, tmp_path, monkeypatch):
    """The values of the model show each of them."""
    right = factors.twiddle
    if fault == "a wait less":
        monkeypatch.setattr(issue, "PIPELINE", issue.PIPELINE - 1)
    if fault == "sign of a twiddle":
        wrong = {2: -1}

        def twiddle(frac, block):
            x, y = right(frac, block)
            return x, y * wrong.get(block, 1)

        monkeypatch.setattr(factors, "twiddle", twiddle)
    verilog, manifest = built(tmp_path, max_size=16, lanes=4, data_bits=8, scaling="half")
    text = verilog.read_text()
    if fault == "row of the odd banks":
        start = text.index("module butterfly_work_walk(")
        even = re.search(r"even <= (.*);", text[start:])[1].replace("\\", "\\\\")
        text = text[:start] + re.sub(r"odd <= .*;", f"odd <= {even};", text[start:], count=1)
    if fault == "weights too soon":
        text, count = re.subn(r"(\.in_use\()[^)]*\)", r"\g<1>2'h0)", text)
        assert count == 1
    verilog.write_text(text)
    packets = [packet(manifest, op, 4) for op in (3, 0, 0, 3, 3, 1, 2, 0)]
    beats = beats_of(manifest, packets)
    report = check(verilog, manifest, beats, tmp_path / "build", passes=[Pass("none", "slow")])
    assert not report.passed and report.mismatch is not None


WRONG = [
    ({"max_size": 24}, "max_size must be a power of two from 8 to 4096, not 24"),
    ({"lanes": 16, "max_size": 8}, "lanes must be a power of two from 2 to 8, not 16"),
    ({"engines": 0}, "engines must be an integer from 1 to 64, not 0"),
    ({"scaling": "float"}, "scaling must be one of half, bfp, grow, not 'float'"),
    ({"data_bits": 3}, "data_bits must be an integer from 4 to 24, not 3"),
    ({"twiddle_bits": 25}, "twiddle_bits must be an integer from 4 to 24, not 25"),
    ({"weight_bits": 17}, "weight_bits must be an integer from 2 to 16, not 17"),
    ({"weight_frac": 8}, "weight_frac must be an integer from 0 to 7, not 8"),
    ({"order": "up"}, "order must be one of natural, reversed, not 'up'"),
    ({"banks": "one"}, "banks must be one of parity, popcount, xor, not 'one'"),
]


@pytest.mark.parametrize(("parameters", "text"), WRONG)
def test_refusals(parameters, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        ButterflyParams(**parameters)


def test_refusal_for_a_person(capsys):
    assert main(["butterfly", "--lanes", "3"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert "lanes must be a power of two from 2 to 32, not 3" in told.err
