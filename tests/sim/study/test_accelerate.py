# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``sim/study/accelerate.py``: what is multiplied in the place of a layer."""

import numpy as np
import pytest

from hw.spec.formats import parse
from sim.golden.formats import decode_float
from sim.study.accelerate import load
from sim.study.quantize import quantize
from tests.sim.study.files import write


@pytest.mark.parametrize("scale", ["fp16", "bf16"])
@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("turned", [False, True])
def test_codes_scales_and_factors_stand_for_the_layer(tmp_path, scale, size, turned):
    """However small or large the weights, and with a group of zeros."""
    weights = (np.random.default_rng(3).standard_normal((20, 40)) * size).astype("<f4")
    weights[2, 16:32] = 0
    stored = np.ascontiguousarray(weights.T) if turned else weights
    path = write(tmp_path / "m.safetensors", {"w": stored})
    task = load(path, "w", ("e2m1", "int8", scale), 16, 3, transpose=turned)
    np.testing.assert_array_equal(task.weights, weights.T.astype(float))
    np.testing.assert_array_equal(task.exact, task.acts @ task.weights)
    assert task.w.scales.shape == (3, 20) and task.factors.shape == (3, 1)
    due = quantize(parse("e2m1"), weights.astype(float), 16)
    np.testing.assert_array_equal(task.w.codes.T, due.codes)
    a = quantize(parse("int8"), task.acts, 40)
    power = task.factors / a.scales
    assert (np.frexp(power)[0] == 0.5).all() and (power == power[0]).all()
    codes = decode_float(parse("e2m1"), task.w.codes)
    found = codes * np.repeat(task.w.scales, 16, axis=0)[:40] * power[0]
    # Half a unit in the last of 11 or 8 bits of a scale.
    room = {"fp16": 2.0**-11, "bf16": 2.0**-8}[scale]
    np.testing.assert_allclose(found, due.values().T, rtol=1.01 * room, atol=0)


def test_channels_are_spread(tmp_path):
    weights = np.arange(20 * 40, dtype="<f4").reshape(20, 40)
    path = write(tmp_path / "m.safetensors", {"w": weights})
    task = load(path, None, ("int4", "int8", "fp16"), 8, 1, channels=3)
    np.testing.assert_array_equal(task.weights.T, weights[[0, 9, 19]])
    assert task.outputs == 20 and task.chosen
