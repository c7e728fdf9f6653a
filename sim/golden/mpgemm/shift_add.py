# SPDX-License-Identifier: Apache-2.0
"""Golden model of the engine ``shift-add``: that of an array, whatever its products are made of."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.golden.mpgemm import array
from sim.golden.mpgemm.jobs import Streams
from sim.golden.mpgemm.scale_beats import array_names

__all__ = ["cycles", "faulty", "run", "vectors"]


def run(parameters: Mapping[str, Any], streams: Streams) -> dict[str, dict[str, list[int]]]:
    """Return the beats of ``m_axis_out``: see :func:`sim.golden.mpgemm.array.run`."""
    return array.run(array_names(parameters), streams)


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, count: int
) -> dict[str, dict[str, list[int]]]:
    """Return ``count`` good jobs."""
    return array.vectors(array_names(parameters), rng, count)


def faulty(
    parameters: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, dict[str, list[int]]]:
    """Return jobs with every error between good ones."""
    return array.faulty(array_names(parameters), rng)


def cycles(parameters: Mapping[str, Any], m: int, n: int, k: int) -> int:
    """Return the cycles of a job alone."""
    return array.cycles(array_names(parameters), m, n, k)
