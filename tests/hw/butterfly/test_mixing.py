# SPDX-License-Identifier: Apache-2.0
"""The unit ``fnet-mixing``: values under stalls, an outside transform, a fault, refusals."""

import re

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.butterfly.mixing_params import MixingParams
from sim.bench.check import Pass, check, passes_for
from sim.golden.butterfly import mixing as golden

UNIT = discover()["fnet-mixing"]

QUICK = {"max_tokens": 8, "max_channels": 16, "lanes": 4, "data_bits": 6, "twiddle_bits": 6}
MORE = [
    {"max_tokens": 64, "max_channels": 16, "lanes": 8},
    {"max_tokens": 8, "max_channels": 32, "lanes": 16},
    {"max_tokens": 32, "max_channels": 8, "lanes": 2, "scaling": "half"},
    {"max_tokens": 8, "max_channels": 8, "lanes": 8, "scaling": "half", "data_bits": 4},
]


def built(folder, **parameters):
    """Write the Verilog of a unit; return its path and manifest."""
    text, manifest = emit(UNIT, MixingParams(**parameters))
    (folder / "dut.v").write_text(text)
    return folder / "dut.v", manifest


def test_values_under_stalls(tmp_path):
    verilog, manifest = built(tmp_path, **QUICK)
    beats = golden.vectors(manifest["parameters"], np.random.default_rng(1), 180)
    passes = [Pass("none", "none"), Pass("random", "random"), Pass("none", "slow")]
    report = check(verilog, manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)


@pytest.mark.deep
@pytest.mark.parametrize("number", range(len(MORE)))
def test_more_values_under_stalls(number, tmp_path):
    verilog, manifest = built(tmp_path, **MORE[number])
    beats = golden.vectors(manifest["parameters"], np.random.default_rng(number), 1000)
    report = check(verilog, manifest, beats, tmp_path / "build", passes=passes_for("all"))
    assert report.passed, (report.fault, report.mismatch)


def tile(manifest, tokens, channels, seed=2):
    """Return the beats of a tile, and the tile."""
    given = manifest["parameters"]
    top = 1 << given["data_bits"] - 1
    x = np.random.default_rng(seed).integers(-top, top, (tokens, channels))
    beats = x.reshape(-1, given["lanes"])
    sizes = {"log2t": tokens, "log2d": channels}
    columns = {name: np.full(len(beats), n.bit_length() - 1) for name, n in sizes.items()}
    return {"x": beats, **columns, "last": np.arange(len(beats)) == len(beats) - 1}, x


def test_an_outside_transform(tmp_path):
    """Section D: at least 55 dB against numpy's, at 16 bits."""
    verilog, manifest = built(tmp_path, max_tokens=8, max_channels=16, lanes=4)
    beats, x = tile(manifest, 8, 16)
    report = check(verilog, manifest, beats, tmp_path / "build")
    assert report.passed, (report.fault, report.mismatch)
    words = [int(word) for word in report.outputs["o_y"]]
    mask, half = (1 << 16) - 1, 1 << 15
    y = np.array([[((w >> k & mask) ^ half) - half for k in range(0, 64, 16)] for w in words])
    got = (y * 2.0 ** report.outputs["o_exp"].astype(float)[:, np.newaxis]).reshape(16, 8).T
    due = np.fft.fft2(x).real
    assert 10 * np.log10((due**2).sum() / ((got - due) ** 2).sum()) > 55


def test_a_token_that_is_not_brought_to_the_common_exponent(tmp_path):
    verilog, manifest = built(tmp_path, **QUICK)
    text, count = re.subn(r"(shift\S* <= )\S+ *- *\S+;", r"\1 0;", verilog.read_text())
    if not count:
        text, count = re.subn(r"(\\?shift\S* <= )[^;]+;", r"\1 0;", text)
    assert count
    verilog.write_text(text)
    beats = golden.vectors(manifest["parameters"], np.random.default_rng(1), 100)
    report = check(verilog, manifest, beats, tmp_path / "build")
    assert not report.passed and report.mismatch is not None


WRONG = [
    ({"max_tokens": 4}, "max_tokens must be a power of two from 8 to 4096, not 4"),
    (
        {"max_tokens": 4096, "max_channels": 128},
        "max_channels must be a power of two from 8 to 64, not 128",
    ),
    ({"lanes": 64}, "lanes must be a power of two from 2 to 32, not 64"),
    ({"scaling": "grow"}, "scaling must be one of half, bfp, not 'grow'"),
    ({"data_bits": 25}, "data_bits must be an integer from 4 to 24, not 25"),
    ({"twiddle_bits": 2}, "twiddle_bits must be an integer from 4 to 24, not 2"),
]


@pytest.mark.parametrize(("parameters", "text"), WRONG)
def test_refusals(parameters, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        MixingParams(**parameters)
