# SPDX-License-Identifier: Apache-2.0
"""Numbers to codes of any format, with a named rounding and a named overflow rule."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.encode import codebook, integer, minifloat, posit, power
from hw.encode.source import FloatSource, Source, parse_source
from hw.pe.decode import label_of
from hw.spec.formats import FloatFormat, Format, IntFormat, PositFormat, PowerFormat, parse
from hw.spec.rounding import OVERFLOWS, ROUNDINGS

__all__ = ["CORES", "Encode", "Quantize", "QuantizeCell", "QuantizeParams", "build"]

CORES = ("stream", "cell")


@dataclass(frozen=True)
class QuantizeParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    source: str = "int32"  #: ``int2`` to ``int64``, ``fp16``, ``bf16`` or ``fp32``.
    lam: int = 0  #: Exponent of the unit of an integer source.
    format: str = "e4m3"  #: Target format.
    rounding: str = "rne"  #: A name of :data:`hw.spec.rounding.ROUNDINGS`.
    overflow: str = "sat"  #: A name of :data:`hw.spec.rounding.OVERFLOWS`.
    lanes: int = 1  #: Numbers per beat.
    pipeline: int = 0  #: Register stages before that of the output, 0 to 2.
    core: str = "stream"  #: One of :data:`CORES`.

    def __post_init__(self) -> None:
        choices = {"rounding": ROUNDINGS, "overflow": OVERFLOWS, "core": CORES}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                text = ", ".join(allowed)
                raise ValueError(f"{name} must be one of {text}, not {getattr(self, name)!r}")
        for name, least, most in (("lanes", 1, 1024), ("pipeline", 0, 2)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise ValueError(f"{name} must be an integer from {least} to {most}, not {value!r}")
        if not isinstance(self.format, str):
            raise ValueError(f"format must be a text, not {self.format!r}")
        if self.format.startswith("codebook:"):
            object.__setattr__(self, "format", parse(self.format).name)
        if self.target.bits > 16:
            raise ValueError(f"format must have at most 16 bits, not {self.format!r}")
        if self.core == "cell" and self.pipeline:
            raise ValueError(f"pipeline must be 0 where core is cell, not {self.pipeline}")
        _ = self.source_format

    @cached_property
    def source_format(self) -> Source:
        """The source, taken apart."""
        return parse_source(self.source, self.lam)

    @cached_property
    def target(self) -> Format:
        """The target format."""
        return parse(self.format)

    @property
    def label(self) -> str:
        """Verilog identifier of all that decides the logic of one number."""
        lam = f"_u{self.lam}".replace("-", "m") if self.lam else ""
        rounding = self.rounding.replace("-", "_")
        return f"{self.source}{lam}_{label_of(self.target)}_{rounding}_{self.overflow}"


class Encode(Cell):
    """Round one number.

    Parameters
    ----------
    params : :class:`QuantizeParams`
        ``pipeline`` stages lie inside: 1 registers what is to be rounded, 2 also the input.

    Members
    -------
    en : ``In(pipeline)``
        Bit k lets the number into stage k. Absent without stages.
    x : ``In(source bits)``
    q : ``Out(target bits)``

    Timing
    ------
    Combinational after the last stage.
    """

    def __init__(self, params: QuantizeParams):
        self.params = params
        stages = params.pipeline
        self.label = f"encode_{params.label}{f'_p{stages}' if stages else ''}"
        members = {"x": In(params.source_format.bits), "q": Out(params.target.bits)}
        super().__init__({**({"en": In(stages)} if stages else {}), **members})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        code: Value = self.x
        if params.pipeline == 2:
            code = self._register(m, code, 0)
        keep: Callable[[Any], Any] = lambda record: record  # noqa: E731
        if params.pipeline:
            keep = lambda record: self._held(m, record, params.pipeline - 1)  # noqa: E731
        m.d.comb += self.q.eq(_encode(m, params, code, keep))
        return m

    def _register(self, m: Module, value: Value, stage: int) -> Signal:
        """Return ``value`` as it was when the number entered ``stage``."""
        held = Signal(value.shape(), reset_less=True, name=f"stage{stage}")
        with m.If(self.en[stage]):
            m.d.sync += held.eq(value)
        return held

    def _held(self, m: Module, record: Any, stage: int) -> Any:
        """Return a record with a register for every field that is no constant."""
        kept = {}
        for field in fields(record):
            value = getattr(record, field.name)
            if not isinstance(value, Const):
                kept[field.name] = self._register(m, value, stage)
        return replace(record, **kept)


@dataclass(frozen=True)
class _Place:
    """A number as its place in the order of the source."""

    key: Value
    nan: Value


def _encode(m: Module, params: QuantizeParams, code: Value, keep: Callable[[Any], Any]) -> Value:
    """Return the target code of a source code; ``keep`` holds what is to be rounded."""
    fmt, source, rounding = params.target, params.source_format, params.rounding
    if isinstance(fmt, PositFormat):
        return posit.finish(m, fmt, keep(posit.cut_source(m, fmt, source, code)), rounding)
    if isinstance(fmt, PowerFormat):
        scaled = keep(power.scaled_source(m, fmt, source, code))
        return power.finish(m, fmt, scaled, rounding, params.overflow)
    if isinstance(fmt, FloatFormat) and minifloat.is_regular(fmt):
        cut = keep(minifloat.cut_source(m, fmt, source, code))
        return minifloat.finish(m, fmt, cut, rounding, params.overflow)
    if isinstance(fmt, IntFormat) and integer.is_plain(fmt):
        number = keep(integer.fixed_source(m, fmt, source, code))
        return integer.finish(m, fmt, number, rounding)
    nan: Value = Const(0, 1)
    if isinstance(source, FloatSource):
        nan = source.pieces(m, code).nan
    place = keep(_Place(wire(m, source.key(code), "place"), nan))
    keys = codebook.first_keys(fmt, source, rounding)
    words = [word for _, word in codebook.values_of(fmt)]
    result = codebook.select(m, place.key, keys, words, fmt.bits)
    if isinstance(source, FloatSource):
        of_zero = words[sum(first <= source.keys // 2 for first in keys)]
        result = Mux(place.nan, of_zero, result)
    return result


class QuantizeCell(Cell):
    """Round the numbers of one beat.

    Parameters
    ----------
    params : :class:`QuantizeParams`

    Members
    -------
    x : ``In(lanes * source bits)``
    q : ``Out(lanes * target bits)``
        Codes, lane 0 in the low bits. NaN becomes 0 in formats without NaN.

    Timing
    ------
    Combinational.
    """

    def __init__(self, params: QuantizeParams):
        self.params = params
        self.latency = 0
        self.label = f"quantize_{params.label}_l{params.lanes}"
        bits, width = params.source_format.bits, params.target.bits
        super().__init__({"x": In(params.lanes * bits), "q": Out(params.lanes * width)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        bits = params.source_format.bits
        codes = []
        for lane in range(params.lanes):
            m.submodules[f"encode{lane}"] = cell = Encode(params)
            m.d.comb += cell.x.eq(self.x.word_select(lane, bits))
            codes.append(cell.q)
        m.d.comb += self.q.eq(Cat(*codes))
        return m


class Quantize(wiring.Component):
    """Round a stream of numbers.

    Parameters
    ----------
    params : :class:`QuantizeParams`

    Members
    -------
    i : ``In(stream.Signature({x: lanes source codes}))``
    o : ``Out(stream.Signature({q: lanes target codes}))``
        NaN becomes 0 in formats without NaN.

    Timing
    ------
    One beat per cycle; ``o`` is valid :attr:`latency` cycles after a beat is accepted. ``i.ready``
    follows ``o.ready`` combinationally while a result waits.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: QuantizeParams):
        self.params = params
        self.latency = params.pipeline + 1
        beat = {"x": unsigned(params.lanes * params.source_format.bits)}
        result = {"q": unsigned(params.lanes * params.target.bits)}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(result))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        bits = params.source_format.bits
        moving = Signal()
        m.d.comb += [moving.eq(~self.o.valid | self.o.ready), self.i.ready.eq(moving)]
        valid = self.i.valid
        enables = []
        for stage in range(params.pipeline):
            enables.append(wire(m, moving & valid, f"enter{stage}"))
            later = Signal(name=f"valid{stage}")
            with m.If(moving):
                m.d.sync += later.eq(valid)
            valid = later
        codes = []
        for lane in range(params.lanes):
            m.submodules[f"encode{lane}"] = cell = Encode(params)
            m.d.comb += cell.x.eq(self.i.payload.x.word_select(lane, bits))
            if params.pipeline:
                m.d.comb += cell.en.eq(Cat(*enables))
            codes.append(cell.q)
        held = Signal(params.lanes * params.target.bits, reset_less=True)
        m.d.comb += self.o.payload.q.eq(held)
        with m.If(moving):
            m.d.sync += self.o.valid.eq(valid)
            with m.If(valid):
                m.d.sync += held.eq(Cat(*codes))
        return m


def build(params: QuantizeParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = QuantizeCell(params) if params.core == "cell" else Quantize(params)
    before, after = ("", "") if params.core == "cell" else ("i_", "o_")
    source = {"format": params.source, "lanes": params.lanes}
    if params.lam:
        source["lam"] = params.lam
    component.number_formats = {
        f"{before}x": source,
        f"{after}q": {"format": params.target.name, "lanes": params.lanes},
    }
    component.contract = {"rounding": params.rounding, "overflow": params.overflow}
    return component
