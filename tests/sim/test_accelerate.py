# SPDX-License-Identifier: Apache-2.0
"""``python -m sim accelerate``: a layer through a simulated co-processor, up to quantisation."""

import re

import numpy as np
import pytest

from gen.cli import main
from sim.coprocessor import SimTransport
from tests.sim.study.files import write

OUT, K, GROUP = 17, 40, 16  # the last group has 8
ENGINE = "array --dataflow tree --rows 1 --columns 2 --lanes 4 --arch multiply --max-k 64"
HARDWARE = ["--preset", "tiny", "--engine", ENGINE, "--group", str(GROUP)]


@pytest.fixture(scope="module")
def simulators(tmp_path_factory):
    return tmp_path_factory.mktemp("simulators")


@pytest.fixture
def layer(tmp_path, monkeypatch, simulators):
    """A model of one linear layer, without embeddings, and its weights."""
    monkeypatch.setattr("sim.coprocessor.SimTransport.__init__", _cached(simulators))
    weights = np.random.default_rng(7).standard_normal((OUT, K)).astype("<f4") / 800
    path = write(tmp_path / "model.safetensors", {"proj.weight": weights})
    return path, weights.astype(float)


def _cached(folder, init=SimTransport.__init__):
    """One design is compiled once for all tests here."""
    return lambda *words, **options: init(*words, cache=folder, **options)


def run(capsys, *words):
    """Return exit status, lines by label (without repetition), standard error and output."""
    status = main("sim", "", ["accelerate", *map(str, words)])
    out, err = capsys.readouterr()
    return status, dict(re.findall(r"^(\S[^ ]*(?: \S+)?) {2,}(.*)$", out, re.M)), err, out


def grouped(values, group, top):
    """Values by whole numbers to ``top``, with a scale for each group."""
    result = np.empty_like(values)
    for begin in range(0, values.shape[1], group):
        part = values[:, begin : begin + group]
        scale = np.abs(part).max(axis=1, keepdims=True) / top
        result[:, begin : begin + group] = np.rint(part / scale) * scale
    return result


def test_against_a_calculation_in_double_precision(capsys, layer):
    """M, N and K end inside of tiles, steps and groups."""
    path, weights = layer
    acts = np.random.default_rng(11).standard_normal((3, K))
    status, lines, err, out = run(
        capsys, "--model", path, *HARDWARE, "--rows", 3, "--seed", 11, "--latency", 5
    )
    assert status == 0 and err == ""
    assert lines["bit-exact"] == f"yes: {3 * OUT} of {3 * OUT} results as the golden model"
    assert lines["layer"] == f"proj.weight  F32 [{OUT}, {K}] (chosen: no --layer)"
    assert lines["memory"].startswith("5 cycles to the first beat")
    noise = ((acts @ weights.T - grouped(acts, K, 127) @ grouped(weights, GROUP, 7).T) ** 2).sum()
    due = 10 * np.log10(((acts @ weights.T) ** 2).sum() / noise)
    assert float(lines["SQNR"].split()[0]) == pytest.approx(due, abs=0.1)
    # Three rows, nine tiles of columns, ten steps; every row of A, every panel once.
    busy, compute = map(int, re.findall(r"\d+", lines["cycles"]))
    assert compute == 3 * 9 * 10 and compute < busy < 3 * compute
    rate = 100 * 3 * OUT * K / busy / 8
    assert lines["utilisation"].endswith(f": {rate:.1f} %")
    written = 4 * 3 * OUT
    assert re.fullmatch(rf"{written} in \d+ bursts, roofline {written}", lines["written"])
    read, model = re.fullmatch(r"(\d+) in \d+ bursts, roofline (\d+)", lines["bytes read"]).groups()
    assert read == model
    share = float(re.search(r"roofline \d+, bound by \w+: ([\d.]+) %", out)[1])
    assert 30 < share <= 100


def test_some_channels(capsys, layer):
    status, lines, _, _ = run(
        capsys, "--model", layer[0], *HARDWARE, "--rows", 1, "--channels", 4, "--layer",
        "proj.weight",
    )  # fmt: skip
    assert status == 0 and lines["product"] == f"M 1 tokens, K {K}, N 4 of {OUT} output channels"
    assert lines["bit-exact"].startswith("yes: 4 of 4 ")
    assert not lines["layer"].endswith("(chosen: no --layer)")


def test_a_wrong_result_is_seen(capsys, layer, monkeypatch):
    download = SimTransport.download

    def flipped(board, address, size):
        data = bytearray(download(board, address, size))
        data[4] ^= 1
        return bytes(data)

    monkeypatch.setattr(SimTransport, "download", flipped)
    status, lines, _, _ = run(capsys, "--model", layer[0], *HARDWARE, "--rows", 1)
    assert status == 1
    assert lines["bit-exact"] == f"NO: {OUT - 1} of {OUT} results as the golden model"


def test_a_device_that_fails(capsys, layer, monkeypatch):
    alloc = SimTransport.alloc

    def far(board, size, align=64):
        buffer = alloc(board, size, align)
        board.answer(buffer.address, size, "SLVERR", reads=True, writes=True)
        return buffer

    monkeypatch.setattr(SimTransport, "alloc", far)
    status, lines, _, _ = run(capsys, "--model", layer[0], *HARDWARE, "--rows", 1)
    assert status == 1 and lines["FAIL"].startswith("error 1")


def test_list(capsys, layer):
    status, _, err, out = run(capsys, "--model", layer[0], "--list")
    assert (status, err, out) == (0, "", f"proj.weight  F32 [{OUT}, {K}]\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "/nowhere"], "cannot read model '/nowhere': No such file"),
        (["--layer", "pro.weight"], "no tensor 'pro.weight' in the file; close: proj.weight"),
        (["--group", "44"], "group must be at most 40, the inputs of proj.weight, not 44"),
        (["--group", "0"], "group must be an integer from 1 to 9999999, not '0'"),
        (["--group", "18"], "engine: group must be a multiple of lanes"),
        (["--rows", "x"], "rows must be an integer from 1"),
        (["--rows", "999999"], "products; at most 200000000 are simulated"),
        (["--latency", "-1"], "latency must be an integer from 0"),
        (["--weights", "uint4"], "weights 'uint4' has no negative values"),
        (["--weights", "e9"], "engine: unknown format 'e9'"),
        (["--act", "ue4m3"], "act 'ue4m3' has no negative values"),
        (["--scale", "int8"], "scale must be fp16 or bf16, not 'int8'"),
        (["--engine", "mpgemm --engine lut"], "engine must be array, or mpgemm with --engine sh"),
        (["--engine", f"{ENGINE} --rows 1"], "engine must have --rows once"),
        (["--engine", ENGINE.replace("64", "32")], "layer proj.weight has 40 inputs, but --max-k"),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, layer, words, message):
    status, _, err, out = run(capsys, "--model", layer[0], *HARDWARE, *words)
    assert (status, out) == (2, "")
    assert re.match(f"python -m sim accelerate: .*{message}", err) and err.count("\n") == 1


@pytest.mark.deep
@pytest.mark.parametrize(("weights", "low", "high"), [("int4", 16, 23), ("e2m1", 17, 24)])
def test_a_whole_layer_of_a_real_model(capsys, weights, low, high):
    """384 x 384 of all-MiniLM-L6-v2; 20 dB are a tenth of the amplitude."""
    status, lines, _, _ = run(
        capsys, "--model", "minilm", "--weights", weights, "--rows", 4, "--engine",
        "array --dataflow cube --rows 2 --columns 4 --lanes 4 --arch multiply",
    )  # fmt: skip
    assert status == 0
    assert lines["product"] == "M 4 tokens, K 384, N 384 of 384 output channels"
    assert lines["bit-exact"].startswith("yes: 1536 of 1536 ")
    assert low < float(lines["SQNR"].split()[0]) < high
    assert float(lines["utilisation"].split()[-2]) > 80
