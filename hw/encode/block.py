# SPDX-License-Identifier: Apache-2.0
"""Blocks of numbers to element codes and what the block shares."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.cell import Cell
from hw.encode import mx, nvfp4, olive, special
from hw.encode.source import IntSource, Source, parse_source
from hw.spec.formats import Format, parse
from hw.spec.rounding import ROUNDINGS

__all__ = ["BLOCKS", "Block", "BlockQuantize", "BlockQuantizeParams", "build"]

_POWER = mx.blocks()

BLOCKS = (*_POWER, "nvfp4", *olive.OLIVE, *special.SPECIAL)


@dataclass(frozen=True)
class BlockQuantizeParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    block: str = "mxfp4"  #: One of :data:`BLOCKS`.
    source: str | None = None  #: fp16 (default), bf16 or fp32.
    size: int | None = None  #: Elements of a block; by default that of the format.
    scale_rule: str | None = None  #: How the scale is chosen; by default the format's own way.
    rounding: str | None = None  #: A name of :data:`hw.spec.rounding.ROUNDINGS`; ``rne``.
    tensor_scale: bool = False

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise ValueError(f"block must be one of {', '.join(BLOCKS)}, not {self.block!r}")
        if self.size is not None and (
            not isinstance(self.size, int)
            or isinstance(self.size, bool)
            or not 1 <= self.size <= 1024
        ):
            raise ValueError(f"size must be an integer from 1 to 1024, not {self.size!r}")
        if self.block in _POWER:
            self._one_of("scale_rule", mx.RULES)
        elif self.block == "nvfp4":
            self._one_of("scale_rule", nvfp4.RULES)
        else:
            self._refuse("scale_rule", None)
        if self.block != "nvfp4":
            self._refuse("tensor_scale", False)
        if self.takes_integers:
            self._refuse("rounding", None)
            self._check_integers()
            return
        self._one_of("rounding", tuple(ROUNDINGS))
        self._one_of("source", ("fp16", "bf16", "fp32"))

    def _check_integers(self) -> None:
        paired = self.block in olive.OLIVE
        if paired and self.elements % 2:
            raise ValueError(f"size must be even with block {self.block}, not {self.size}")
        least = olive.OLIVE[self.block].bits + 1 if paired else 2
        wrong = self.resolved["source"] in ("fp16", "bf16", "fp32")
        if wrong or parse_source(self.resolved["source"]).bits < least:
            raise ValueError(
                f"source must be int{least} to int64 with block {self.block}, not {self.source!r}"
            )

    @property
    def takes_integers(self) -> bool:
        """Whether the block is one of integers."""
        return self.block in olive.OLIVE or self.block in special.SPECIAL

    def _refuse(self, name: str, default: Any) -> None:
        if getattr(self, name) != default:
            raise ValueError(f"{name} must not be given with block {self.block}")

    def _one_of(self, name: str, allowed: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value is not None and value not in allowed:
            text = ", ".join(allowed)
            raise ValueError(f"{name} must be one of {text} with block {self.block}, not {value!r}")

    @cached_property
    def source_format(self) -> Source:
        """The source, taken apart."""
        return parse_source(self.resolved["source"])

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        chosen = asdict(self)
        defaults: dict[str, Any] = {"source": "fp16", "size": 16, "rounding": "rne"}
        if self.takes_integers:
            size = 2 if self.block in olive.OLIVE else special.SPECIAL[self.block].size
            defaults = {"source": "int16", "size": size}
        if self.block in _POWER:
            defaults |= {"size": _POWER[self.block].size, "scale_rule": "floor"}
        chosen.update((k, v) for k, v in defaults.items() if chosen[k] is None)
        return chosen

    @property
    def fields(self) -> dict[str, int]:
        """Widths of the results."""
        codes = {"q": self.elements * self.element_bits}
        return codes if self.block in olive.OLIVE else {**codes, "s": 8}

    @property
    def element(self) -> Format | None:
        """Format of the elements, where all mean the same."""
        if self.takes_integers:
            return None
        return _POWER[self.block].element if self.block in _POWER else parse("e2m1")

    @property
    def element_bits(self) -> int:
        """Bits of an element."""
        if self.block in special.SPECIAL:
            return special.SPECIAL[self.block].bits
        return self.element.bits if self.element else olive.OLIVE[self.block].bits

    @property
    def elements(self) -> int:
        """Elements of a block."""
        return int(self.resolved["size"])


class Block(Cell):
    """Round one block.

    Parameters
    ----------
    params : :class:`BlockQuantizeParams`

    Members
    -------
    x : ``In(size * source bits)``
    g : ``In(32)``
        With ``tensor_scale``: the tensor's scale, a positive and finite fp32 code.
    q : ``Out(size * element bits)``
    s : ``Out(8)``
        Codes, element 0 in the low bits, and the scale that they share. Pairs have none.

    Timing
    ------
    Combinational.
    """

    def __init__(self, params: BlockQuantizeParams):
        self.params = params
        self.latency = 0
        chosen = params.resolved
        words = [chosen[n] for n in ("block", "source", "size", "scale_rule", "rounding")]
        words += ["tensor"] if params.tensor_scale else []
        self.label = "_".join(str(w) for w in words if w is not None).replace("-", "_")
        inputs = {"x": In(params.elements * params.source_format.bits)}
        if params.tensor_scale:
            inputs["g"] = In(32)
        super().__init__({**inputs, **{name: Out(w) for name, w in params.fields.items()}})

    def body(self, platform: Any) -> Module:
        m, chosen, source = Module(), self.params.resolved, self.params.source_format
        if isinstance(source, IntSource):
            self._pairs(m, chosen["block"], source.bits)
            return m
        codes = [self.x.word_select(k, source.bits) for k in range(self.params.elements)]
        name, rounding = chosen["source"], chosen["rounding"]
        if chosen["block"] in _POWER:
            block, rule = _POWER[chosen["block"]], chosen["scale_rule"]
            q, s = mx.power_block(m, block, source, name, rule, rounding, codes)
        else:
            tensor = self.g if self.params.tensor_scale else None
            q, s = nvfp4.nvfp4_block(m, source, name, rounding, codes, tensor, chosen["scale_rule"])
        m.d.comb += [self.q.eq(Cat(*q)), self.s.eq(s)]
        return m

    def _pairs(self, m: Module, name: str, bits: int) -> None:
        for k in range(self.params.elements // 2):
            m.submodules[f"pair{k}"] = cell = olive.Pair(name, bits)
            m.d.comb += [
                cell.x.eq(self.x.word_select(k, 2 * bits)),
                self.q.word_select(k, len(cell.q)).eq(cell.q),
            ]


class BlockQuantize(wiring.Component):
    """Round a stream of blocks.

    Parameters
    ----------
    params : :class:`BlockQuantizeParams`

    Members
    -------
    i : ``In(stream.Signature({x: size source codes[, g: 32]}))``
        ``g``, with ``tensor_scale``: the tensor's scale, a positive and finite fp32 code.
    o : ``Out(stream.Signature({q: size element codes, s: 8}))``
        Codes, element 0 in the low bits, and the scale that they share.

    Timing
    ------
    One block per cycle; ``o`` is valid the cycle after a block is accepted. ``i.ready`` follows
    ``o.ready`` combinationally while a result waits.
    """

    latency = 1
    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: BlockQuantizeParams):
        self.params = params
        beat = {"x": unsigned(params.elements * params.source_format.bits)}
        if params.tensor_scale:
            beat["g"] = unsigned(32)
        result = {name: unsigned(width) for name, width in params.fields.items()}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(result))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        m.submodules.block = cell = Block(params)
        moving = Signal()
        m.d.comb += [
            moving.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(moving),
            cell.x.eq(self.i.payload.x),
        ]
        if params.tensor_scale:
            m.d.comb += cell.g.eq(self.i.payload.g)
        with m.If(moving):
            m.d.sync += self.o.valid.eq(self.i.valid)
        for name, width in params.fields.items():
            held = Signal(width, name=f"held_{name}", reset_less=True)
            m.d.comb += self.o.payload[name].eq(held)
            with m.If(moving & self.i.valid):
                m.d.sync += held.eq(getattr(cell, name))
        return m


def build(params: BlockQuantizeParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    size, source = params.elements, params.source_format
    serial = params.block in special.SPECIAL
    component: Any = (
        special.SpecialBlock(params.block, source.bits, size) if serial else BlockQuantize(params)
    )
    name = params.element.name if params.element else params.block
    element = {"format": name, "lanes": size}
    scale = f"uint{source.bits}" if serial else "e8m0" if params.block in _POWER else "ue4m3"
    if params.block in _POWER and _POWER[params.block].fraction:
        element["lam"] = -_POWER[params.block].fraction
    component.number_formats = {
        "i_x": {"format": params.resolved["source"], "lanes": size},
        "i_g": {"format": "fp32"},
        "o_q": element,
        "o_s": {"format": scale},
    }
    return component
