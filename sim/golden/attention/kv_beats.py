# SPDX-License-Identifier: Apache-2.0
"""Beats of the key-value cache's streams, as numbers."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention.rows import codes, row_slices, signed

__all__ = ["Answer", "Beats", "Inputs", "Integers", "Parameters", "last_of"]

Integers = NDArray[Any]
Beats = Mapping[str, Any]
Parameters = Mapping[str, Any]

#: Answer to a packet: fields of (beats,) or (beats, lanes).
Answer = dict[str, Integers]


class Inputs:
    """The beats as numbers."""

    def __init__(self, parameters: Parameters, beats: Beats):
        self.beats, self.lanes = beats, int(parameters["lanes"])
        self.bits, self.x_bits = int(parameters["bits"]), int(parameters["x_bits"] or 16)

    def lanes_of(self, name: str, bits: int, sign: bool = True) -> Integers:
        """Return a field of several lanes, (beats, lanes)."""
        given = np.asarray(self.beats[name]).reshape(-1, self.lanes)
        return signed(given, bits) if sign else codes(given, bits)

    def flat(self, name: str, bits: int, sign: bool = False) -> Integers:
        """Return a field of one number, (beats,)."""
        return signed(self.beats[name], bits) if sign else codes(self.beats[name], bits)

    def packets(self) -> Iterator[slice]:
        """Yield the beats of each packet."""
        return row_slices(np.asarray(self.beats["last"]))


def last_of(count: int) -> Integers:
    """Return what ends a packet of so many beats."""
    return (np.arange(count) == count - 1).astype(np.int64)
