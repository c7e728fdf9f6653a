# SPDX-License-Identifier: Apache-2.0
"""Commands of several clients into one splitter."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal

from hw.axi.round_robin import RoundRobin
from hw.axi.splitter import BurstSplitter

__all__ = ["admit"]


def admit(m: Module, commands: Sequence[Any], splitter: BurstSplitter) -> Signal:
    """Let the clients' ``commands`` into ``splitter``, in turns.

    Returns the number of the client whose bursts it gives.
    """
    m.submodules.turns = turns = RoundRobin(len(commands))
    owner = Signal(range(len(commands)))
    m.d.comb += [
        splitter.i.valid.eq(turns.grant.any()),
        turns.take.eq(splitter.i.valid & splitter.i.ready),
    ]
    for k, asked in enumerate(commands):
        m.d.comb += [
            turns.requests[k].eq(asked.valid),
            asked.ready.eq(turns.grant[k] & splitter.i.ready),
        ]
        with m.If(turns.grant[k]):
            m.d.comb += splitter.i.payload.eq(asked.payload)
            with m.If(splitter.i.ready):
                m.d.sync += owner.eq(k)
    return owner
