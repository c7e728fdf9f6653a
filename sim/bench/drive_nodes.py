# SPDX-License-Identifier: Apache-2.0
"""Accesses to the registers of many copies of a unit behind AXI4-Lite, and which of them err."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpga.synth.machine import Copies, bits_of
from sim.bench.drive import PATIENCE, Bits

__all__ = ["axi"]

_PREFIX = "s_axi_ctrl_"
_REST = 10  #: Cycles after a write, in which what it started comes to its end.
_REQUESTS = {"aw": {"awaddr": "address"}, "w": {"wdata": "data", "wstrb": "strobe"}}
_REQUESTS |= {"ar": {"araddr": "address"}}
_WIDTHS = {"address": 12, "data": 32, "strobe": 4}


def axi(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Mapping[str, Any],
    due: Mapping[str, Any],
    pattern: str,
    rng: np.random.Generator,
) -> Bits:
    """One access after the other, each copy at its own pace."""
    write = np.asarray(vectors["write"]).astype(bool)
    rows = {n: bits_of(np.asarray(vectors[n]).tolist(), width) for n, width in _WIDTHS.items()}
    refused = np.where(np.asarray(due["error"]).astype(bool), 2, 0).tolist()
    answers = {"b": bits_of(refused, 2)}
    values = bits_of(np.asarray(due["value"]).tolist(), 32)
    answers["r"] = np.concatenate([answers["b"], values], axis=1)
    fields = {"b": ("bresp",), "r": ("rresp", "rdata")}
    no = np.zeros(copies.count, dtype=bool)
    sent, offered = ({name: no.copy() for name in _REQUESTS} for _ in range(2))
    waiting = {name: no.copy() for name in answers}
    at, pause, idle = (np.zeros(copies.count, dtype=np.int64) for _ in range(3))
    wrong = _reset(copies, manifest["clock"])
    cycle = 0
    while ((at < len(write)) & ~wrong).any():
        will = _willing(pattern, rng, cycle)
        cycle += 1
        now = np.minimum(at, len(write) - 1)
        active, writes = (at < len(write)) & (pause == 0), write[now]
        for name, ports in _REQUESTS.items():
            mine = active & (writes if name in ("aw", "w") else ~writes)
            offered[name] = mine & ~sent[name] & (offered[name] | will[name])
            copies.drive(f"{_PREFIX}{name}valid", offered[name][:, np.newaxis])
            for port, column in ports.items():
                copies.drive(_PREFIX + port, rows[column][now])
        taking = {"b": active & writes & will["b"], "r": active & ~writes & will["r"]}
        for name, ready in taking.items():
            copies.drive(f"{_PREFIX}{name}ready", ready[:, np.newaxis])
        copies.settle()
        moved = no.copy()
        owed = {"b": sent["aw"] & sent["w"], "r": sent["ar"].copy()}
        for name in _REQUESTS:
            taken = offered[name] & copies.read(f"{_PREFIX}{name}ready")[:, 0]
            sent[name] |= taken
            offered[name] &= ~taken
            moved |= taken
        done = no.copy()
        for name, table in answers.items():
            valid = copies.read(f"{_PREFIX}{name}valid")[:, 0]
            shown = np.concatenate([copies.read(_PREFIX + f) for f in fields[name]], axis=1)
            wrong |= waiting[name] & ~valid
            wrong |= valid & (~owed[name] | (shown != table[now]).any(axis=1))
            done |= valid & taking[name]
            waiting[name] = valid & ~taking[name]
        copies.clock()
        at += done
        for name in _REQUESTS:
            sent[name] &= ~done
        pause = np.where(done & writes, _REST, np.maximum(pause - 1, 0))
        idle = np.where(moved | done | (pause > 0) | (at == len(write)), 0, idle + 1)
        wrong |= idle > PATIENCE
    return wrong


def _reset(copies: Copies, clock: Mapping[str, Any]) -> Bits:
    """Hold the reset for three cycles; return which copies answer meanwhile."""
    active = clock.get("reset_active") != "low"
    for port in copies.machine.inputs:
        copies.drive(port, np.zeros((copies.count, len(copies.machine.inputs[port])), dtype=bool))
    wrong = np.zeros(copies.count, dtype=bool)
    copies.drive(clock["reset"], np.array([active]))
    for cycle in range(3):
        copies.settle()
        for name in ("bvalid", "rvalid") if cycle else ():
            wrong |= copies.read(_PREFIX + name)[:, 0]
        copies.clock()
    copies.drive(clock["reset"], np.array([not active]))
    return wrong


def _willing(pattern: str, rng: np.random.Generator, cycle: int) -> dict[str, bool]:
    """Return for each channel whether its sender or taker wants a transfer."""
    if pattern == "random":
        return dict(zip(("aw", "w", "ar", "b", "r"), (rng.random(5) < 0.5).tolist(), strict=True))
    source = {name: pattern != "slow source" or cycle % 5 == k for k, name in enumerate(_REQUESTS)}
    sink = pattern != "slow sink" or cycle % 3 == 0
    return {**source, "b": sink, "r": sink}
