# SPDX-License-Identifier: Apache-2.0
"""What the drivers of many copies of a unit share.

A driver is ``drive(copies, manifest, vectors, due, pattern, rng)``: it puts ``vectors`` through
every copy under one pattern of stalls, and returns which copies did not answer ``due`` or broke a
rule of transfer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpga.synth.machine import bits_of
from sim.bench.pack import pack

__all__ = ["PATIENCE", "PATTERNS", "Bits", "table", "willing"]

Bits = NDArray[np.bool_]

#: Willingness of source and sink, by cycle: always, at random, and each much slower than the other.
PATTERNS = ("none", "random", "slow source", "slow sink")

PATIENCE = 64  #: Cycles without a transfer, beyond the latency, that count as a deadlock.


def table(port: Mapping[str, Any], columns: Mapping[str, Any]) -> Bits:
    """Return the bits of a port, shape ``(n, width)``, for every row of its column."""
    short = port["name"].removeprefix(f"{port.get('stream')}_")
    values = columns.get(port["name"], columns.get(short))
    if values is None:
        raise ValueError(f"nothing is known of the port {port['name']!r}")
    return bits_of(pack(np.asarray(values), port["width"]), port["width"])


def willing(pattern: str, rng: np.random.Generator, cycle: int) -> tuple[bool, bool]:
    """Return whether source and sink want a transfer in this cycle."""
    if pattern == "random":
        source, sink = rng.random(2) < 0.5
        return bool(source), bool(sink)
    return pattern != "slow source" or cycle % 3 == 0, pattern != "slow sink" or cycle % 3 == 0
