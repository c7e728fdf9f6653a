# SPDX-License-Identifier: Apache-2.0
"""Faults put into the co-processor on purpose are seen by the bench; the healthy unit passes it."""

import numpy as np
import pytest

from fpga.driver.transport import DeviceError
from tests.sim.coprocessor_faults import FAULTS, LONG, SCENES, damaged


def marks(scene):
    return [pytest.mark.deep] if scene in LONG else []


@pytest.mark.parametrize("scene", [pytest.param(s, marks=marks(s), id=s.__name__) for s in SCENES])
def test_healthy(scene):
    with damaged("", scene) as twin:
        scene(twin, np.random.default_rng(11))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=marks(fault.scene)) for name, fault in FAULTS.items()]
)
def test_fault(name):
    fault = FAULTS[name]
    with (
        damaged(name, fault.scene) as twin,
        pytest.raises((AssertionError, DeviceError), match=fault.message),
    ):
        fault.scene(twin, np.random.default_rng(11))
