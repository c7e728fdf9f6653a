# SPDX-License-Identifier: Apache-2.0
"""Instructions to many copies of a unit behind a custom-instruction port, and which of them err."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpga.synth.machine import Copies, bits_of
from hw.spec.cfu import FUNCTIONS, REFUSED, STATUS, function
from sim.bench.drive import PATIENCE, Bits, willing

__all__ = ["instructions"]

_INPUTS = {"function_id": 10, "inputs_0": 32, "inputs_1": 32}
_PUSHES = [FUNCTIONS[name][0] for name in ("act", "wgt", "scale")]
_GIVEN, _STATUS, _EARLY = range(3)  # the next of the list; is there a result?; read it before


def instructions(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Mapping[str, Any],
    due: Mapping[str, Any],
    pattern: str,
    rng: np.random.Generator,
) -> Bits:
    """One instruction after the other, each copy at its own pace.

    A refused operand is given again, after a result was read if one waits; that result is not read
    again in its turn.
    """
    number = np.asarray(vectors["function_id"]).astype(np.int64)
    words = np.asarray(due["outputs_0"]).astype(np.int64)
    result, push = number == function("result"), np.isin(number & 7, _PUSHES)
    rank, results = np.cumsum(result) - result, np.append(words[result], 0)
    extra = np.array([[function("status"), 0, 0], [function("result"), 0, 0]])
    rows = {
        name: bits_of([*np.asarray(vectors[name]).tolist(), *extra[:, k].tolist()], width)
        for k, (name, width) in enumerate(_INPUTS.items())
    }
    last, waiting_bit = len(number) - 1, STATUS["waiting"][0]
    no = np.zeros(copies.count, dtype=bool)
    at, kind, read, idle = (np.zeros(copies.count, dtype=np.int64) for _ in range(4))
    sent, offering, waiting, wrong = no.copy(), no.copy(), no.copy(), _reset(copies, manifest)
    was, cycle = no.astype(np.int64), 0
    while True:
        here = np.minimum(at, last)
        skip = (kind == _GIVEN) & (at <= last) & ~sent & ~offering
        skip &= result[here] & (read > rank[here])
        if skip.any():
            at += skip
            continue
        active = (at <= last) & ~wrong
        if not active.any():
            return wrong
        give, take = willing(pattern, rng, cycle)
        cycle += 1
        offering = active & ~sent & (offering | give)
        row = np.where(kind == _GIVEN, here, last + kind)
        copies.drive("cmd_valid", offering[:, np.newaxis])
        for name, table in rows.items():
            copies.drive(f"cmd_payload_{name}", table[row])
        copies.drive("rsp_ready", np.array([take]))
        copies.settle()
        taken = offering & copies.read("cmd_ready")[:, 0]
        valid = copies.read("rsp_valid")[:, 0]
        octets = np.packbits(copies.read("rsp_payload_outputs_0"), axis=1, bitorder="little")
        word = np.ascontiguousarray(octets).view("<u4")[:, 0].astype(np.int64)
        wrong |= valid & ~sent | waiting & (~valid | (word != was))
        done = valid & sent & take
        waiting, was = valid & (not take), word
        copies.clock()
        refused = done & (kind == _GIVEN) & push[here] & (word == REFUSED) & (words[here] != word)
        told = done & (kind == _GIVEN) & ~refused
        early = done & (kind == _EARLY)
        wrong |= told & (word != words[here])
        wrong |= early & (word != results[np.minimum(read, len(results) - 1)])
        read += early | told & result[here]
        at += told
        asked = done & (kind == _STATUS)
        there = asked & (word >> waiting_bit & 1 == 1)
        kind = np.where(refused, _STATUS, np.where(there, _EARLY, np.where(done, _GIVEN, kind)))
        idle = np.where(told | early, 0, idle + 1)
        wrong |= (idle > 4 * PATIENCE) & (at <= last)
        sent = (sent | taken) & ~done
        offering &= ~taken


def _reset(copies: Copies, manifest: Mapping[str, Any]) -> Bits:
    """Hold the reset while instructions come; return which copies answer."""
    for port, bits in copies.machine.inputs.items():
        copies.drive(port, np.zeros((copies.count, len(bits)), dtype=bool))
    wrong = np.zeros(copies.count, dtype=bool)
    for cycle in range(8):  # traffic that the reset throws away
        copies.drive(manifest["clock"]["reset"], np.array([cycle > 3]))
        copies.drive("cmd_valid", np.array([cycle != 4]))
        copies.drive("cmd_payload_function_id", bits_of([cycle % 6], 10)[0])
        copies.settle()
        if cycle > 4:
            wrong |= copies.read("rsp_valid")[:, 0]
        copies.clock()
    copies.drive(manifest["clock"]["reset"], np.array([False]))
    return wrong
