# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``kv-cache``; ``docs/nonlinear.md`` has the contract.

The arithmetic is in :mod:`sim.golden.attention.kv_codes` and :mod:`sim.golden.attention.kv_dot`;
here are the packets of every ``op`` and ``scheme``.
"""

from collections.abc import Callable, Iterator

import numpy as np

from sim.golden.attention import kv_book, kv_codes, kv_dot, kv_stimulus
from sim.golden.attention.kv_beats import Answer, Beats, Inputs, Integers, Parameters, last_of
from sim.golden.attention.tables import saturate

__all__ = ["kind_of", "run", "vectors"]

vectors = kv_stimulus.vectors
kind_of = kv_stimulus.kind_of


def _kivi(parameters: Parameters, beats: Beats) -> Iterator[Answer]:
    given, token = Inputs(parameters, beats), parameters["axis"] == "token"
    bits, group = given.bits, int(parameters["group"])
    words, whole = group * bits // 32, group if token else group // given.lanes
    quantises = parameters["op"] == "quantize"
    if quantises:
        x = given.lanes_of("x", given.x_bits)
    elif token:
        w = given.lanes_of("w", 32, sign=False)
        least, spread = given.lanes_of("mn", given.x_bits), given.lanes_of("r", given.x_bits, False)
    else:
        w = given.flat("w", 32)
        least, spread = given.flat("mn", given.x_bits, True), given.flat("r", given.x_bits)
    shape = (given.lanes,) if token else ()
    for part in given.packets():
        count = part.stop - part.start
        error = count != (whole if quantises else words)
        beats_out = 1 if error else words if quantises else whole
        found = {"last": last_of(beats_out), "err": np.full(beats_out, int(error), dtype=np.int64)}
        if quantises:
            fields = {
                name: np.zeros((beats_out, *shape), dtype=np.int64) for name in ("w", "mn", "r")
            }
            if not error:
                rows = x[part].T if token else x[part].reshape(1, -1)
                c, mn, r = kv_codes.kivi_codes(rows, bits)
                fields["w"] = kv_codes.pack(c, bits).T.reshape(words, *shape)
                for name, value in (("mn", mn), ("r", r)):
                    fields[name] = np.repeat(value[np.newaxis], words, 0).reshape(words, *shape)
            yield fields | found
            continue
        values = np.zeros((beats_out, given.lanes), dtype=np.int64)
        if not error:
            c = kv_codes.unpack(w[part].T, bits)
            mn, r = least[part.start], spread[part.start]
            if token:
                values = kv_codes.kivi_values(c, mn[:, np.newaxis], r[:, np.newaxis], bits).T
            else:
                values = kv_codes.kivi_values(c, mn, r, bits).reshape(whole, -1)
        yield {"x": saturate(values, given.x_bits)} | found


def _kv4_quantize(parameters: Parameters, beats: Beats) -> Iterator[Answer]:
    given = Inputs(parameters, beats)
    x, most = given.lanes_of("x", given.x_bits), -(-int(parameters["max_len"]) // given.lanes)
    keep = given.lanes_of("keep", 1, sign=False).astype(bool)
    for part in given.packets():
        count = part.stop - part.start
        error = count > most
        words, zero, spread = np.zeros(1, dtype=np.int64), 0, 0
        if not error:
            there = keep[part]
            c = np.zeros(-(-there.size // 8) * 8, dtype=np.int64)
            found, zero, spread = kv_codes.kv4_codes(x[part][there])
            c[: there.size][there.ravel()] = found
            words = kv_codes.pack(c, 4)
        shared = {"z": zero, "r": spread, "err": int(error)}
        same = {name: np.full(len(words), value, dtype=np.int64) for name, value in shared.items()}
        yield {"w": words, **same, "last": last_of(len(words))}


def _kv4_dequantize(parameters: Parameters, beats: Beats) -> Iterator[Answer]:
    given = Inputs(parameters, beats)
    w, z, r = given.flat("w", 32), given.flat("z", 4), given.flat("r", given.x_bits)
    for part in given.packets():
        scales = int(z[part.start]), int(r[part.start])
        values = kv_codes.kv4_values(kv_codes.unpack(w[part], 4), *scales, given.x_bits)
        x = values.reshape(-1, given.lanes)
        yield {"x": x, "last": last_of(len(x))}


def _dot_token(parameters: Parameters, beats: Beats) -> Iterator[Answer]:
    given = Inputs(parameters, beats)
    most = -(-int(parameters["max_len"]) // given.lanes)
    q, r, mn = (given.lanes_of(name, given.x_bits, name != "r") for name in ("q", "r", "mn"))
    c = given.lanes_of("c", given.bits, sign=False)
    head = given.flat("head", 1)
    for part in given.packets():
        columns = head[part], q[part], r[part], mn[part], c[part]
        answers = [*kv_dot.token_answers(*columns, given.bits, most)]
        y, last, err = (np.array(column, dtype=np.int64) for column in zip(*answers, strict=True))
        yield {"y": y, "last": last, "err": err}


def _dot_channel(parameters: Parameters, beats: Beats) -> Iterator[Answer]:
    given = Inputs(parameters, beats)
    p, r, mn = (
        given.flat("p", 16),
        given.flat("r", given.x_bits),
        given.flat("mn", given.x_bits, True),
    )
    c = given.lanes_of("c", given.bits, sign=False)
    for part in given.packets():
        y = kv_dot.outputs(p[part], r[part], mn[part], c[part], given.bits)
        yield {"y": kv_dot.wrapped(y)[np.newaxis], "last": np.ones(1, dtype=np.int64)}


def _counted(beats: Beats) -> Integers:
    """Return the number of each token since the latest start, from 0."""
    start = np.asarray(beats["start"]).astype(bool)
    index = np.arange(len(start))
    return index - np.maximum.accumulate(np.where(start, index, 0))


def _ring(parameters: Parameters, beats: Beats) -> Iterator[Answer]:
    sinks, span = int(parameters["sinks"]), int(parameters["span"])
    token = _counted(beats)
    evict = token - sinks >= span
    yield {
        "slot": kv_codes.ring_slot(token, sinks, span),
        "evict": evict.astype(np.int64),
        "old": np.where(evict, token - span, 0),
        "count": np.minimum(token + 1, sinks + span),
    }


def _window(parameters: Parameters, beats: Beats) -> Iterator[Answer]:
    yield kv_codes.window(_counted(beats) + 1, int(parameters["residual"]))


_KINDS: dict[str, Callable[[Parameters, Beats], Iterator[Answer]]] = {
    "quantize-kivi": _kivi,
    "dequantize-kivi": _kivi,
    "quantize-kv4": _kv4_quantize,
    "dequantize-kv4": _kv4_dequantize,
    "quantize-kvquant": kv_book.quantize,
    "dequantize-kvquant": kv_book.dequantize,
    "dot-token": _dot_token,
    "dot-channel": _dot_channel,
    "ring": _ring,
    "window": _window,
}


def run(parameters: Parameters, beats: Beats) -> dict[str, Integers]:
    """Return the answers to ``beats``, fields as the contract names them, without prefix.

    Raises ``ValueError`` if no packet has an answer.
    """
    answers = [*_KINDS[kind_of(parameters)](parameters, beats)]
    if not answers:
        raise ValueError("no packet of the stimulus has an answer")
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
