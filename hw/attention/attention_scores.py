# SPDX-License-Identifier: Apache-2.0
"""The front of the attention core: scores of a tile, their maximum, their exponentials."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.arith.wires import wire
from hw.attention.attention_params import AttentionParams
from hw.attention.rescale import UNITY_BITS, shift_by
from hw.attention.weights import Scale, ScaledPower, exponent, power
from hw.pe.cells import Dot
from hw.pe.params import PEParams

__all__ = ["Pipe", "scores", "weights"]

Beat = dict[str, Any]


class Pipe:
    """A pipeline that moves as a whole.

    Parameters
    ----------
    m : Module
    moving : Value
        Whether every stage takes what the one before it holds.
    """

    def __init__(self, m: Module, moving: Value):
        self._m, self.moving = m, moving
        self.valid: Value = Const(0, 1)  #: Whether the newest stage holds a beat.

    def of(self, value: Value, stages: int = 1) -> Value:
        """Return ``value`` as it was some stages ago."""
        for _ in range(stages):
            register = Signal(value.shape(), reset_less=True, name="stage")
            with self._m.If(self.moving):
                self._m.d.sync += register.eq(value)
            value = register
        return value

    def step(self, stages: int = 1) -> None:
        """Go on to a later stage."""
        for _ in range(stages):
            register = Signal(name="stage_valid")
            with self._m.If(self.moving):
                self._m.d.sync += register.eq(self.valid)
            self.valid = register

    def all(self, beat: Beat, stages: int = 1) -> Beat:
        """Return a beat some stages later."""
        self.step(stages)
        return {
            name: [self.of(v, stages) for v in value]
            if isinstance(value, list)
            else self.of(value, stages)
            for name, value in beat.items()
        }


def _held(m: Module, name: str, value: Value, load: Value) -> Value:
    """Return ``value`` while ``load`` is 1, and what it was then afterwards."""
    register = Signal(value.shape(), reset_less=True, name=f"held_{name}")
    with m.If(load):
        m.d.sync += register.eq(value)
    return wire(m, Mux(load, value, register), name)


def scores(m: Module, pipe: Pipe, params: AttentionParams, i: Any) -> Beat:
    """Return a beat with the scores ``x`` of its keys, one stage after the beat."""
    given, taken = i.payload, i.valid & pipe.moving
    first, count = Signal(init=1), Signal(range(params.max_beats + 1))
    long = wire(m, ~first & (count == params.max_beats), "long")
    with m.If(taken):
        m.d.sync += first.eq(given.last)
        with m.If(~long):
            m.d.sync += count.eq(Mux(first, 0, count) + 1)
    load = wire(m, taken & first, "load")
    lasting = ["mo", "so"] if params.output == "row" else []
    lasting += [] if params.shifts else ["m", "sh"]
    beat: Beat = {name: _held(m, name, given[name], load) for name in lasting}
    if params.shifts:
        beat |= {"m": given.m, "sh": given.sh}
    q = _held(m, "q", given.q, load)
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
    beat |= {"v": given.v, "keep": given.keep, "last": given.last, "first": first, "long": long}
    pipe.valid = i.valid
    return pipe.all(beat)


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


def _running(m: Module, pipe: Pipe, beat: Beat, peak: Value) -> tuple[Value, Value, Value]:
    """Return the maximum of the row so far, by how much it rose, and whether there is one."""
    seen, best = Signal(), Signal(peak.shape(), reset_less=True)
    some = wire(m, beat["keep"].any(), "some")
    before = wire(m, seen & ~beat["first"], "before")
    higher = wire(m, peak > best, "higher")
    now = wire(m, Mux(some & (~before | higher), peak, best), "now")
    rise = wire(m, Mux(some & before & higher, peak - best, 0), "rise")
    known = wire(m, before | some, "known")
    with m.If(pipe.moving & pipe.valid):
        m.d.sync += [seen.eq(known), best.eq(now)]
    return now, rise.as_unsigned(), known


def weights(m: Module, pipe: Pipe, params: AttentionParams, beat: Beat) -> Beat:
    """Return a beat with the weights ``e`` of its keys and the ``factor`` of the sums so far.

    ``top`` is the maximum so far, and ``any`` says whether there is one.
    """
    return (_octaves if params.shifts else _differences)(m, pipe, params, beat)


def _masked(m: Module, pipe: Pipe, beat: Beat, powers: list[Value]) -> Beat:
    """Return the beat a stage later with its weights, 0 where a key does not count."""
    keep = beat.pop("keep")
    masked = [e & keep[k].replicate(len(e)) for k, e in enumerate(powers)]
    return pipe.all(beat | {"e": masked})


def _differences(m: Module, pipe: Pipe, params: AttentionParams, beat: Beat) -> Beat:
    """Of ``fa-int``: differences of scores are scaled."""
    now, rise, known = _running(m, pipe, beat, _largest(m, beat["x"], beat["keep"]))
    beat = pipe.all(beat | {"top": now, "rise": rise, "any": known})
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
    beat = pipe.all(beat, 3)
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
    beat = pipe.all(beat)
    beat = pipe.all(beat | {"u": octaves})
    rounded = [wire(m, u + 4095 >> 12, "ceiling") for u in beat["u"]]
    now, rise, known = _running(m, pipe, beat, _largest(m, rounded, beat["keep"]))
    beat = pipe.all(beat | {"top": now, "rise": rise, "any": known})
    rise = shift_by(m, beat.pop("rise"), params.o_bits)
    top = Cat(Const(0, 12), beat["top"]).as_signed()
    distances = [exponent(m, (top - u).as_unsigned()) for u in beat.pop("u")]
    en = pipe.moving.replicate(2)
    powers = [power(m, f"power{k}", d, params.exp_bits, True, en) for k, d in enumerate(distances)]
    beat = pipe.all(beat | {"factor": rise}, 2)
    return _masked(m, pipe, beat, powers)
