# SPDX-License-Identifier: Apache-2.0
"""The front of the attention core: scores of a tile, their maximum, their exponentials."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.attention.attention_params import AttentionParams
from hw.attention.pipe import Beat, Pipe, entered, running
from hw.attention.rescale import UNITY_BITS, shift_by
from hw.attention.weights import Scale, ScaledPower, exponent, power
from hw.pe.cells import Dot
from hw.pe.params import PEParams

__all__ = ["scores", "weights"]


def scores(m: Module, pipe: Pipe, params: AttentionParams, i: Any) -> Beat:
    """Return a beat with the scores ``x`` of its keys, one stage after the beat."""
    given = i.payload
    lasting = ["q", *(["mo", "so"] if params.result == "row" else [])]
    lasting += [] if params.shifts else ["m", "sh"]
    beat = entered(m, pipe, i, lasting, params.max_beats)
    if params.shifts:
        beat |= {"m": given.m, "sh": given.sh}
    q = beat.pop("q")
    bits = params.head_dim * params.qk_bits
    lanes = PEParams(
        format=f"int{params.qk_bits}", act=f"int{params.qk_bits}", arch="shift-add",
        lanes=params.head_dim, core="dot",
    )  # fmt: skip
    beat["x"] = []
    for key in range(params.tile):
        m.submodules[f"score{key}"] = dot = Dot(lanes)
        m.d.comb += [dot.w.eq(q), dot.a.eq(given.k.word_select(key, bits))]
        beat["x"].append(dot.p)
    return pipe.step(beat | {"v": given.v, "keep": given.keep})


def _largest(m: Module, values: list[Value], keep: Value) -> Value:
    """Return the largest of the kept values."""
    least = Const(-1 << len(values[0]) - 1, values[0].shape())
    level = [wire(m, Mux(keep[k], v, least), "kept") for k, v in enumerate(values)]
    while len(level) > 1:
        pairs = [level[k : k + 2] for k in range(0, len(level), 2)]
        level = [
            wire(m, Mux(p[0] > p[-1], p[0], p[-1]), "larger") if p[1:] else p[0] for p in pairs
        ]
    return level[0]


def _raised(m: Module, pipe: Pipe, beat: Beat, values: list[Value]) -> Beat:
    """Return the beat a stage later with the maximum so far, and by how much it rose."""
    peak, some = _largest(m, values, beat["keep"]), wire(m, beat["keep"].any(), "some")
    now, best, known, before = running(m, pipe, beat, peak, some)
    rise = wire(m, Mux(some & before & (peak > best), peak - best, 0), "rise")
    return pipe.step(beat | {"top": now, "rise": rise.as_unsigned(), "any": known})


def weights(m: Module, pipe: Pipe, params: AttentionParams, beat: Beat) -> Beat:
    """Return a beat with the weights ``e`` of its keys and the ``factor`` of the sums so far.

    ``top`` is the maximum so far, and ``any`` says whether there is one.
    """
    return (_octaves if params.shifts else _differences)(m, pipe, params, beat)


def _masked(m: Module, pipe: Pipe, beat: Beat, powers: list[Value]) -> Beat:
    """Return the beat a stage later with its weights, 0 where a key does not count."""
    keep = beat.pop("keep")
    masked = [e & keep[k].replicate(len(e)) for k, e in enumerate(powers)]
    return pipe.step(beat | {"e": masked})


def _differences(m: Module, pipe: Pipe, params: AttentionParams, beat: Beat) -> Beat:
    """Of ``fa-int``: differences of scores are scaled."""
    beat = _raised(m, pipe, beat, beat["x"])
    en = pipe.moving.replicate(3)
    bits = params.x_bits + 2
    distances = [(f"power{k}", beat["top"] - x, params.exp_bits, True)
                 for k, x in enumerate(beat.pop("x"))]  # fmt: skip
    distances.append(("factor", beat.pop("rise"), UNITY_BITS, False))
    later = pipe.of(beat["sh"])
    powers = []
    for name, x, out_bits, clamp in distances:
        m.submodules[name] = cell = ScaledPower(bits, out_bits, clamp)
        m.d.comb += [cell.x.eq(x), cell.m.eq(beat["m"]), cell.sh.eq(later), cell.en.eq(en)]
        powers.append(cell.e)
    beat = pipe.step(beat, 3)
    return _masked(m, pipe, beat | {"factor": powers.pop()}, powers)


def _octaves(m: Module, pipe: Pipe, params: AttentionParams, beat: Beat) -> Beat:
    """Of ``fa-int-p2``: scores are scaled, and the maximum is a whole number of octaves."""
    octaves = []
    factor, later = beat.pop("m"), pipe.of(beat.pop("sh"))
    for key, x in enumerate(beat.pop("x")):
        m.submodules[f"scale{key}"] = cell = Scale(params.x_bits)
        m.d.comb += [
            cell.x.eq(x), cell.m.eq(factor), cell.sh.eq(later), cell.en.eq(pipe.moving),
        ]  # fmt: skip
        octaves.append(cell.y)
    beat = pipe.step(beat)
    beat = pipe.step(beat | {"u": octaves})
    rounded = [wire(m, u + 4095 >> 12, "ceiling") for u in beat["u"]]
    beat = _raised(m, pipe, beat, rounded)
    rise = shift_by(m, beat.pop("rise"), params.o_bits)
    top = Cat(Const(0, 12), beat["top"]).as_signed()
    distances = [exponent(m, (top - u).as_unsigned()) for u in beat.pop("u")]
    en = pipe.moving.replicate(2)
    powers = [power(m, f"power{k}", d, params.exp_bits, True, en) for k, d in enumerate(distances)]
    beat = pipe.step(beat | {"factor": rise}, 2)
    return _masked(m, pipe, beat, powers)
