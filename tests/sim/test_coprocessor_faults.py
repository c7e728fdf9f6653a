# SPDX-License-Identifier: Apache-2.0
"""Faults put into the co-processor on purpose are seen by the bench; the healthy unit passes it."""

import numpy as np
import pytest

from fpga.driver.transport import DeviceError
from tests.sim.coprocessor_faults import FAULTS, SCENES, damaged


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_healthy(scene):
    with damaged() as twin:
        scene(twin, np.random.default_rng(11))


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name):
    fault = FAULTS[name]
    with (
        damaged(name) as twin,
        pytest.raises((AssertionError, DeviceError), match=fault.message),
    ):
        fault.scene(twin, np.random.default_rng(11))
