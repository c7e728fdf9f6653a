# SPDX-License-Identifier: Apache-2.0
"""Elastic register stages: each holds one item and passes it on when the next one is free."""

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.hdl import Module, Signal, Value

__all__ = ["Hop", "hop"]


@dataclass(frozen=True)
class Hop:
    """An item on offer: where ``valid`` and ``ready`` are both 1, it moves."""

    valid: Value
    ready: Signal  #: Whoever takes the item drives it.
    data: Mapping[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.data[name]


def hop(m: Module, name: str, before: Hop, fields: Mapping[str, Value]) -> Hop:
    """Return a stage that holds ``fields``, functions of the item ``before`` offers.

    It takes that item whenever it holds none or passes its own on.
    """
    after = Hop(
        Signal(name=f"{name}_valid"),
        Signal(name=f"{name}_ready"),
        {
            key: Signal(value.shape(), reset_less=True, name=f"{name}_{key}")
            for key, value in ((key, Value.cast(value)) for key, value in fields.items())
        },
    )
    m.d.comb += before.ready.eq(~after.valid | after.ready)
    with m.If(before.ready):
        m.d.sync += after.valid.eq(before.valid)
        with m.If(before.valid):
            m.d.sync += [register.eq(fields[key]) for key, register in after.data.items()]
    return after
