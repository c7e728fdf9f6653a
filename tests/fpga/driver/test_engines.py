# SPDX-License-Identifier: Apache-2.0
"""Several engines behind one driver: which one takes a product, and what is refused."""

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator, Quantized
from fpga.driver.golden import GoldenTransport
from fpga.products import manifest_of
from hw.coprocessor.params import CoprocessorParams

CUBE = "array --dataflow cube --rows 2 --columns 3"
ENGINES = (
    f"{CUBE} --lanes 4 --format int4",
    f"{CUBE} --lanes 2 --format posit8_0 --act posit8_0",
    f"{CUBE} --lanes 2 --format int4 --act int16 --group 4 --scale e8m0",
    "mpgemm --engine ternary-add --lanes 4 --rows 2 --columns 3",
)
RNG = np.random.default_rng(2)
A, W = RNG.integers(-128, 128, (5, 20)), RNG.integers(-8, 8, (20, 7))


@pytest.fixture
def device():
    manifest = manifest_of(CoprocessorParams(engine=" ; ".join(ENGINES)))
    with Accelerator(GoldenTransport(manifest), manifest, queue=4) as found:
        yield found


def test_the_format_chooses(device):
    assert (device.gemm(A, W) == A @ W).all()
    trits = np.sign(W)
    for given in ({"format": "ternary"}, {"engine": 3}, {"engine": 3, "format": "ternary"}):
        ticket = device.submit(A, trits, **given)
        assert ticket.engine == 3 and (device.wait(ticket) == A @ trits).all()
    a, w = RNG.integers(-2, 3, (3, 6)) / 2, RNG.integers(-2, 3, (6, 4)) / 4
    c = device.gemm(a, w, format="posit8_0")
    assert c.dtype == np.int64 and (np.ldexp(c, device.engines[1].lam) == a @ w).all()
    assert device.lam == device.engines[0].lam == 0


def test_what_is_quantized_chooses_by_itself(device):
    for act, engine in (("int8", 0), ("int16", 2)):
        scales = np.ones((5, 7)) if engine else None
        ticket = device.submit(
            Quantized(A & 127, format=act), Quantized(W & 15, scales, format="int4")
        )
        c = device.wait(ticket)
        assert ticket.engine == engine and (c == (A & 127) @ W).all()
    assert c.dtype == np.float32  # of 32 bits in places of 64


def test_loaded_weights_know_their_engine(device):
    loaded = device.load_weights(np.sign(W), format="ternary")
    assert (device.gemm(A, loaded) == A @ np.sign(W)).all()
    with pytest.raises(ValueError, match="the weights are loaded for engine 3, not 0"):
        device.gemm(A, loaded, engine=0)


def test_results_of_another_engine_go_to_out(device):
    out = np.zeros((5, 7), dtype=np.float32)
    device.gemm(A, W, scales=np.ones((5, 7)), engine=2, out=out)
    assert (out == A @ W).all()
    with pytest.raises(ValueError, match=r"out must be .* int64, not .* float32"):
        device.gemm(A, W, out=out)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"engine": 4}, "engine must be 0 to 3, not 4"),
        ({"engine": -1}, "engine must be 0 to 3, not -1"),
        ({"format": "int8"}, "format must be int4, posit8_0, ternary, not 'int8'"),
        ({"format": "x"}, "format must be int4, posit8_0, ternary, not 'x'"),
        ({"format": "int4"}, r"engines 0 \(act int8\), 2 \(act int16\): give engine"),
        ({"engine": 3, "format": "int4"}, "format of engine 3 is ternary, not int4"),
        ({"engine": 2, "clamp": (0, 5), "scales": np.ones((5, 7))}, "its results are float32"),
        ({"engine": 0, "scales": np.ones((5, 7))}, "scales are not taken by this engine"),
    ],
)
def test_refusals(device, given, told):
    with pytest.raises(ValueError, match=told):
        device.gemm(A, W, **given)


def test_self_test_runs_on_all(device):
    assert device.self_test(3) == 12
