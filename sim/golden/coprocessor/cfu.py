# SPDX-License-Identifier: Apache-2.0
"""Meaning of the custom instructions: an engine that is done as soon as its operands are there."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw.spec.cfu import FUNCTIONS, MODIFIERS, REFUSED, STATUS, function
from sim.golden.mpgemm.stimulus import Streams
from sim.golden.mpgemm.unit import Unit

__all__ = ["Cfu", "product", "run", "vectors"]

WORD = (1 << 32) - 1
_INPUTS = ("function_id", "inputs_0", "inputs_1")


def _unit(parameters: Mapping[str, Any]) -> Unit:
    """Return the model of the engine."""
    engine = dict(parameters["engine_parameters"])
    return Unit.of({"unit": engine.pop("unit"), "parameters": engine})


class Cfu:
    """The instructions, one after the other, of ``parameters`` of a manifest."""

    def __init__(self, parameters: Mapping[str, Any]):
        self.unit = _unit(parameters)
        self.bits = {f"s_axis_{name}": int(n) for name, n in parameters["beat_bits"].items()}
        self.result_bits = int(parameters["result_bits"])
        self.error = self.nan = 0
        self.open = False
        self._reset()

    def _reset(self) -> None:
        self.streams: Streams = {name: {"tdata": [], "tlast": []} for name in self.bits}
        self.words: dict[str, list[int]] = {name: [] for name in self.bits}
        self.results: list[int] | None = None

    def command(self, number: int, first: int, second: int) -> int:
        """Return the answer to one instruction."""
        kind = next((k for k, (f, _) in FUNCTIONS.items() if f == number & 7), None)
        flags = {m: number >> 3 + bit & 1 for m, (bit, _) in MODIFIERS.items()}
        if kind == "job" and not self.open:
            self._reset()
            self.open, self.error, self.nan = True, 0, 0
            self.job = first | (second & 0xFFFFF) << 32
            return 0
        if kind in ("act", "wgt", "scale") and f"s_axis_{kind}" in self.bits:
            given = [first, second] if flags["both"] else [first]
            self._push(f"s_axis_{kind}", given, flags["last"])
            return 0
        if kind == "result":
            return self._result()
        if kind == "status":
            values = {"error": self.error, "open": int(self.open), "nan": self.nan}
            values["waiting"] = int(bool(self._due()))
            return sum(values[name] << lsb for name, (lsb, _) in STATUS.items())
        return REFUSED

    def _push(self, name: str, given: list[int], last: int) -> None:
        words, count = self.words[name], -(-self.bits[name] // 32)
        words += given
        if len(words) >= count:
            beat = sum(word << 32 * k for k, word in enumerate(words[:count]))
            self.streams[name]["tdata"].append(beat & (1 << self.bits[name]) - 1)
            self.streams[name]["tlast"].append(last)
            words.clear()

    def _due(self) -> list[int]:
        """Return the words of the result that were not read; none before all operands came."""
        ready = all(beats["tlast"] and beats["tlast"][-1] for beats in self.streams.values())
        if self.open and ready and self.results is None:
            streams = {"s_axis_job": {"tdata": [self.job]}, **self.streams}
            out = self.unit.module.run(self.unit.parameters, streams)["m_axis_out"]
            self.results, size = [], self.result_bits
            for data, keep, user in zip(out["tdata"], out["tkeep"], out["tuser"], strict=True):
                self.error, self.nan = user & 15, self.nan | int(user >> 4 > 0)
                for column in range(keep.bit_length() * 8 // size):
                    value = data >> column * size & (1 << size) - 1
                    value -= (value >> size - 1) << size  # the sign fills up the word
                    halves = 2 if size > 32 else 1
                    self.results += [value >> 32 * half & WORD for half in range(halves)]
            self.open = bool(self.results)
        return self.results or []

    def _result(self) -> int:
        due = self._due()
        word = due.pop(0) if due else 0
        self.open = bool(due) or (self.results is None and self.open)
        return word


def product(
    parameters: Mapping[str, Any], a: ArrayLike, w: ArrayLike, bits: int = 0, s: Any = None
) -> list[tuple[int, int, int]]:
    """Return the instructions of one product of codes A and weights W, but for its results.

    Beats of the streams take turns, so that no stream runs ahead of the others.
    """
    unit, n = _unit(parameters), np.shape(w)[-1]
    m = np.shape(a)[0]
    streams = unit.job(a, unit.weights(w, m, bits), n, bits, s)
    (job,) = streams.pop("s_axis_job")["tdata"]
    given = [(function("job"), job & WORD, job >> 32)]
    left = {name: list(zip(*beats.values(), strict=True)) for name, beats in streams.items()}
    steps = max(map(len, left.values()))
    for step in range(steps):
        for name, beats in left.items():
            here = beats[step * len(beats) // steps : (step + 1) * len(beats) // steps]
            for word, last in here:
                given += _beat(name.removeprefix("s_axis_"), word, last, parameters)
    return given


def _beat(
    name: str, word: int, last: int, parameters: Mapping[str, Any]
) -> list[tuple[int, int, int]]:
    """Return the instructions that bring one beat."""
    count = -(-int(parameters["beat_bits"][name]) // 32)
    words = [word >> 32 * k & WORD for k in range(count)]
    found = []
    for at in range(0, count, 2):
        pair = words[at : at + 2]
        flags = [f for f, on in (("both", len(pair) == 2), ("last", last)) if on]
        found.append((function(name, *flags), pair[0], pair[-1]))
    return found


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """Return ``outputs_0``, the answers to instructions ``function_id, inputs_0, inputs_1``.

    The engine takes no time, and there is always room.
    """
    cfu = Cfu(parameters)
    rows = zip(*(np.asarray(beats[n]).tolist() for n in _INPUTS), strict=True)
    return {"outputs_0": np.array([cfu.command(*row) for row in rows], dtype=np.uint32)}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, count: int
) -> dict[str, np.ndarray[Any, Any]]:
    """Return instructions: good products, refused ones, and a packet that ends early."""
    unit, rows = _unit(parameters), list[tuple[int, int, int]]()
    drawn = unit.module.vectors(unit.parameters, rng, count)
    # What the engine's own jobs bring, one after the other.
    packets = {name: _packets(beats) for name, beats in drawn.items() if name != "s_axis_job"}
    for number, job in enumerate(drawn["s_axis_job"]["tdata"]):
        rows.append((function("job"), job & WORD, job >> 32))
        own = {name: all_[number] for name, all_ in packets.items()}
        steps = max(map(len, own.values()))
        for step in range(steps):
            for name, beats in own.items():
                here = beats[step * len(beats) // steps : (step + 1) * len(beats) // steps]
                for word, last in here:
                    rows += _beat(name.removeprefix("s_axis_"), word, last, parameters)
        words = int(np.prod([job >> 16 * k & 0xFFFF for k in range(2)])) % 500
        words *= 1 + (int(parameters["result_bits"]) > 32)
        rows += [(function("result"), 0, 0)] * (words + 1)
        rows.append((function("status"), 0, 0))
    return dict(zip(_INPUTS, np.array(rows, dtype=np.uint32).T, strict=True))


def _packets(beats: Mapping[str, list[int]]) -> list[list[tuple[int, int]]]:
    """Cut a stream after each beat with TLAST."""
    found: list[list[tuple[int, int]]] = [[]]
    for beat in zip(beats["tdata"], beats["tlast"], strict=True):
        found[-1].append(beat)
        if beat[1]:
            found.append([])
    return found
