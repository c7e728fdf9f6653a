# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``butterfly``: packets of vectors and of weights, in and out.

``docs/butterfly.md`` has the contract; arithmetic is in :mod:`sim.golden.butterfly.fft` and
:mod:`sim.golden.butterfly.linear`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention.rows import signed
from sim.golden.butterfly import fft, linear
from sim.golden.butterfly.banks import reversed_index

__all__ = ["ERRORS", "OPS", "beats_of", "resolved", "run", "vectors"]

Integers = NDArray[Any]

OPS = ("butterfly", "fft", "inverse", "weights")
ERRORS = ("none", "size", "length", "weights")


class _Sizes(NamedTuple):
    lanes: int
    engines: int
    levels: int  #: log2 of the longest vector.
    data_bits: int
    state_bits: int
    weight_bits: int
    weight_frac: int


def resolved(parameters: Mapping[str, Any]) -> _Sizes:
    """Return the numbers that follow from the parameters."""
    levels = int(parameters["max_size"]).bit_length() - 1
    bits, weight_bits = int(parameters["data_bits"]), int(parameters["weight_bits"])
    frac = parameters.get("weight_frac")
    return _Sizes(
        int(parameters["lanes"]),
        int(parameters["engines"]),
        levels,
        bits,
        bits + (levels + 1 if parameters["scaling"] == "grow" else 0),
        weight_bits,
        weight_bits - 2 if frac is None else int(frac),
    )


def beats_of(op: int, log2n: int, lanes: int) -> int:
    """Return the beats of a packet that comes in."""
    beats = max(1, (1 << log2n) // lanes)
    return beats * (log2n if OPS[op] == "weights" else 1)


class _Engine:
    """The unit between two packets."""

    def __init__(self, parameters: Mapping[str, Any]):
        self.parameters, self.sizes = parameters, resolved(parameters)
        self.weights: Integers | None = None
        self.sigma: list[int] = []

    def answer(
        self, re: Integers, im: Integers, op: int, log2n: int, sigma: int, keep: int
    ) -> dict[str, Integers] | None:
        """Return the beats that answer a packet; those of good weights are none."""
        sizes, loads = self.sizes, OPS[op] == "weights"
        error = "none"
        if not 3 <= log2n <= sizes.levels:
            error = "size"
        elif len(re) != beats_of(op, log2n, sizes.lanes):
            error = "length"
        elif OPS[op] == "butterfly" and (self.weights is None or len(self.weights) != log2n):
            error = "weights"
        if loads:
            self.weights = None if error != "none" else self._weights(re, im)
            self.sigma = [sigma >> 4 * stage & 15 for stage in range(log2n)]
        if error != "none":
            zeros = np.zeros((1, sizes.engines * sizes.lanes), dtype=np.int64)
            return self._beats(zeros, zeros, zeros[:, : sizes.engines], keep, ERRORS.index(error))
        if loads:
            return None
        alive = np.array([keep >> k & 1 for k in range(sizes.engines)])[:, np.newaxis]
        real, imaginary = (self._rows(part, 1 << log2n) * alive for part in (re, im))
        results = self._transformed(op, log2n, real, imaginary)
        return self._beats(*results, keep, 0)

    def _weights(self, re: Integers, im: Integers) -> Integers:
        sizes = self.sizes
        re, im = (signed(part[:, : sizes.lanes], sizes.weight_bits) for part in (re, im))
        return linear.unpack(re, im, sizes.lanes)

    def _rows(self, part: Integers, size: int) -> Integers:
        """Return the vector of each engine."""
        lanes = part.reshape(len(part), self.sizes.engines, self.sizes.lanes)
        return lanes[..., : min(size, self.sizes.lanes)].swapaxes(0, 1).reshape(-1, size)

    def _transformed(
        self, op: int, log2n: int, real: Integers, imaginary: Integers
    ) -> tuple[Integers, Integers, Integers]:
        """Return what leaves the engines: both parts in beats, exponents."""
        sizes = self.sizes
        if OPS[op] == "butterfly":
            assert self.weights is not None
            real = linear.multiply(
                real, self.weights, self.sigma, sizes.weight_frac, sizes.state_bits
            )
            imaginary = np.zeros_like(real)
            exponent = np.full(sizes.engines, sum(self.sigma))
        else:
            inverse = OPS[op] == "inverse"
            real, imaginary, exponent = fft.transform(
                real,
                imaginary,
                scaling=str(self.parameters["scaling"]),
                data_bits=sizes.data_bits,
                twiddle_bits=int(self.parameters["twiddle_bits"]),
                state_bits=sizes.state_bits,
                inverse=inverse,
            )
            exponent = exponent - log2n * inverse
            if self.parameters["order"] == "natural":
                order = reversed_index(log2n)
                real, imaginary = real[:, order], imaginary[:, order]
        beats = beats_of(1, log2n, sizes.lanes)
        exponents = np.broadcast_to(exponent, (beats, sizes.engines))
        return self._lanes(real, beats), self._lanes(imaginary, beats), exponents

    def _lanes(self, rows: Integers, beats: int) -> Integers:
        """Return the beats of the engines' vectors."""
        sizes = self.sizes
        found = np.zeros((beats, sizes.engines, sizes.lanes), dtype=np.int64)
        columns = rows.reshape(sizes.engines, beats, -1).swapaxes(0, 1)
        found[..., : columns.shape[2]] = columns
        return found.reshape(beats, -1)

    def _beats(
        self, re: Integers, im: Integers, exponent: Integers, keep: int, error: int
    ) -> dict[str, Integers]:
        beats = len(re)
        found: dict[str, Integers] = {"re": re, "im": im, "exp": exponent}
        if self.sizes.engines > 1:
            bits = [keep >> k & 1 for k in range(self.sizes.engines)]
            found["keep"] = np.tile(np.array(bits, dtype=np.int64), (beats, 1))
        found["last"] = (np.arange(beats) == beats - 1).astype(np.int64)
        found["err"] = np.full(beats, error, dtype=np.int64)
        return found


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return what the unit answers to ``beats``, in order.

    ``beats`` holds ``re``, ``im`` (n, engines * lanes), ``op``, ``log2n``, ``sigma``, ``last`` (n,)
    and, of more than one engine, ``keep`` (n, engines). Returns ``re``, ``im``, ``exp`` (m,
    engines), ``keep`` likewise, ``last`` and ``err``. A packet without its end has no answer.
    """
    sizes, engine = resolved(parameters), _Engine(parameters)
    width = sizes.engines * sizes.lanes
    re, im = (
        signed(np.asarray(beats[name]).reshape(-1, width), sizes.data_bits) for name in ("re", "im")
    )
    sigma = np.asarray(beats["sigma"], dtype=object)
    keeps = np.ones((len(re), 1), dtype=np.int64)
    if sizes.engines > 1:
        keeps = np.asarray(beats["keep"]).reshape(len(re), -1)
    answers = [_none(parameters)]
    begin = 0
    for end in np.flatnonzero(np.asarray(beats["last"])) + 1:
        part = slice(begin, int(end))
        keep = sum(int(bit) << k for k, bit in enumerate(keeps[begin]))
        op, log2n = int(beats["op"][begin]) & 3, int(beats["log2n"][begin]) & 15
        answer = engine.answer(re[part], im[part], op, log2n, int(sigma[begin]), keep)
        if answer:
            answers.append(answer)
        begin = int(end)
    return {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}


def _none(parameters: Mapping[str, Any]) -> dict[str, Integers]:
    """Return no beats."""
    engine = _Engine(parameters)
    zeros = np.zeros((1, engine.sizes.engines * engine.sizes.lanes), dtype=np.int64)
    found = engine._beats(zeros, zeros, zeros[:, : engine.sizes.engines], 0, 0)
    return {name: column[:0] for name, column in found.items()}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return at least ``beats`` beats of whole packets.

    First a butterfly vector without weights; then in turn weights, butterfly vectors, transforms
    and inverses of every size: impulses, full scale of either sign, a constant, a tone, small and
    large random numbers; among them packets too short, too long, of impossible sizes, and butterfly
    vectors of another size than their weights.
    """
    sizes = resolved(parameters)
    packets: list[dict[str, Integers]] = []
    total = number = 0
    known = 3
    while total < beats:
        kind = number % 8
        op = (0, 3, 0, 1, 2, 1, 0, 1)[kind]
        log2n = 3 + (number // 8 + number) % (sizes.levels - 2)
        if kind in (1, 3) and rng.random() < 0.5:
            log2n = min(log2n, 5, sizes.levels)
        if op == 3:
            known = log2n
        elif op == 0 and rng.random() < 0.8:
            log2n = known
        length = beats_of(op, log2n, sizes.lanes)
        if number % 11 == 7:
            length = max(1, length + (-1, 1, 5)[number // 11 % 3])
        if number % 23 == 19:
            log2n = int(rng.choice([0, 1, 2, *range(sizes.levels + 1, 16)]))
        packets.append(_packet(sizes, rng, op, log2n, length))
        total += length
        number += 1
    return {name: np.concatenate([p[name] for p in packets]) for name in packets[0]}


def _packet(
    sizes: _Sizes, rng: np.random.Generator, op: int, log2n: int, length: int
) -> dict[str, Integers]:
    shape = (length, sizes.engines * sizes.lanes)
    top = 1 << sizes.data_bits - 1
    parts = [rng.integers(-top, top, shape) for _ in range(2)]
    style = int(rng.integers(8))
    if op == 3:  # near orthogonal, or anything
        if style < 6:
            one = 1 << sizes.weight_frac
            limit = (1 << sizes.weight_bits - 1) - 1
            angle = rng.uniform(0, 2 * np.pi, (length, shape[1] // 2))
            for part, sign in zip(parts, (1, -1), strict=True):
                even, odd = (np.cos(angle), np.sin(angle))[:: int(sign)]
                part[:, 0::2] = np.clip(even * one, -limit, limit)
                part[:, 1::2] = np.clip(sign * odd * one, -limit, limit)
    elif style == 0:
        for part in parts:
            part[:] = np.where(rng.random(shape) < 0.5, top - 1, -top)
    elif style == 1:
        for part in parts:
            part[:] = 0
        parts[0][0, 0], parts[1][-1, -1] = top - 1, -top
    elif style == 2:
        parts[0][:], parts[1][:] = top - 1, -top
    elif style == 3:
        phase = 2 * np.pi * rng.random() * np.arange(parts[0].size).reshape(shape)
        for part, f in zip(parts, (np.cos, np.sin), strict=True):
            part[:] = f(phase) * (top - 1)
    elif style < 7:
        spread = 1 << int(rng.integers(1, sizes.data_bits))
        for part in parts:
            part[:] = rng.integers(-spread, spread, shape) // 2
    same = {"op": op, "log2n": log2n}
    sigma = sum(int(rng.integers(0, 2 if style else 16)) << 4 * k for k in range(sizes.levels))
    found: dict[str, Integers] = {"re": parts[0], "im": parts[1]}
    # Fields of the first beat; what stands there on the others must not matter.
    for name, value, most in [*((n, v, 16) for n, v in same.items()), ("sigma", sigma, 1 << 62)]:
        column = np.array([int(rng.integers(most)) for _ in range(length)], dtype=object)
        column %= 1 << {"op": 2, "log2n": 4, "sigma": 4 * sizes.levels}[name]
        column[0] = value
        found[name] = column
    if sizes.engines > 1:
        found["keep"] = rng.integers(0, 2, (length, sizes.engines))
        if style % 3 == 0:
            found["keep"][0] = 1
    found["last"] = (np.arange(length) == length - 1).astype(np.int64)
    return found
