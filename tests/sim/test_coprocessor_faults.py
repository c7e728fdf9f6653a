# SPDX-License-Identifier: Apache-2.0
"""Faults put into the co-processor on purpose are seen by the bench; the healthy unit passes it."""

import numpy as np
import pytest

from fpga.driver.transport import DeviceError
from tests.sim.coprocessor_damaged import damaged
from tests.sim.coprocessor_faults import FAULTS, LONG, SCENES


@pytest.mark.parametrize("scene", [s for s in SCENES if s not in LONG], ids=lambda s: s.__name__)
def test_healthy(scene):
    with damaged() as twin:
        scene(twin, np.random.default_rng(11))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.deep] if fault.scene in LONG else [])
        for name, fault in FAULTS.items()
    ],
)
def test_fault(name):
    fault = FAULTS[name]
    with (
        damaged(name, fault.scene) as twin,
        pytest.raises((AssertionError, DeviceError), match=fault.message),
    ):
        fault.scene(twin, np.random.default_rng(11))
