# SPDX-License-Identifier: Apache-2.0
"""How much of a processing element switches while it works on real weights: a proxy for energy.

The unit's gates and registers are simulated without delay, so glitches and wires do not count; what
comes out compares datapaths with each other and is no energy in joules.
"""

import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpga.synth.machine import Copies, Machine
from hw.spec.formats import parse
from sim.golden.groups import quantize_groups

__all__ = ["sample_weights", "toggles"]

_SEED = 1


def sample_weights() -> NDArray[np.float64]:
    """Return 64 x 64 weights of a real model.

    They are the upper left corner of ``encoder.layer.2.attention.self.query.weight`` of
    all-MiniLM-L6-v2 (Apache-2.0), as float16.
    """
    with resources.as_file(resources.files("fpga") / "weights.npy") as path:
        return np.asarray(np.load(path), dtype=np.float64)


def toggles(
    verilog: str, manifest: Mapping[str, Any], weights: NDArray[np.float64]
) -> float | None:
    """Return how many gates and registers change for each product, on average.

    ``weights`` of shape (N, K) are quantised row by row, and normally distributed activations with
    them. Every row is one dot product of a copy of the unit of its own. None for a unit whose beats
    are not plain codes of both operands.
    """
    ports = {port["name"] for port in manifest["ports"] if port["role"] == "payload"}
    if not {"i_a", "i_w", "i_last"} == {name for name in ports if name.startswith("i_")}:
        return None
    beats = _beats(manifest["parameters"], weights)
    widths = {port["name"]: port["width"] for port in manifest["ports"]}
    if any(bits.shape[2] != widths[f"i_{name}"] for name, bits in beats.items()):
        return None
    with tempfile.TemporaryDirectory(prefix="bitloom-") as folder:
        machine = Machine.read(verilog, manifest["module"], Path(folder))
    count, steps = len(weights), beats["last"].shape[1]
    copies = Copies(machine, [None] * count)
    copies.drive("o_ready", np.ones(1, dtype=bool))
    sent, total = np.zeros(count, dtype=np.int64), 0
    limit = (steps + 4) * int(np.ceil(1 / (manifest["beats_per_cycle"] or 1))) + manifest["latency"]
    for cycle in range(2 + limit):
        copies.drive("rst", np.array([cycle < 2]))
        copies.drive("i_valid", ((sent < steps) & (cycle >= 2))[:, np.newaxis])
        for name, bits in beats.items():
            copies.drive(f"i_{name}", bits[np.arange(count), np.minimum(sent, steps - 1)])
        copies.settle()
        changed = copies.toggles()
        if cycle >= 2:
            total += changed if cycle > 2 else 0  # not what the reset changed
            sent += copies.read("i_ready")[:, 0] & (sent < steps)
        copies.clock()
    products = weights.size * int(manifest["parameters"].get("columns") or 1)
    return total / products


def _beats(
    parameters: Mapping[str, Any], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.bool_]]:
    """Return the bits of ``a``, ``w`` and ``last`` of each row's beats: (rows, beats, width)."""
    rng = np.random.default_rng(_SEED)
    lanes, columns = int(parameters["lanes"]), int(parameters.get("columns") or 1)
    steps = weights.shape[1] // lanes
    codes = {}
    for name, fmt, reals in (
        ("a", parse(parameters["act"]), rng.standard_normal(weights.shape)),
        ("w", parse(parameters["format"]), weights),
    ):
        found = quantize_groups(fmt, reals).codes[:, : steps * lanes]
        table = found.reshape(len(weights), steps, lanes)
        if name == "w" and columns > 1:  # the other columns are the rows that follow
            table = np.concatenate([np.roll(table, -c, axis=0) for c in range(columns)], axis=2)
        places = np.arange(fmt.bits)
        bits = table[..., np.newaxis] >> places & 1
        codes[name] = bits.reshape(len(weights), steps, -1).astype(bool)
    last = np.arange(steps) == steps - 1
    codes["last"] = np.broadcast_to(last[:, np.newaxis], (len(weights), steps, 1))
    return codes
