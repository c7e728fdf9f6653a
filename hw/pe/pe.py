# SPDX-License-Identifier: Apache-2.0
"""Exact dot-product processing element for any pair of number formats."""

from dataclasses import dataclass, field
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Array, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.formats import Format, IntFormat, exact_width, parse, resolve

__all__ = ["PE", "PEParams"]


@dataclass(frozen=True)
class PEParams:
    """What a user chooses. Every derived width is a property, never a second parameter."""

    format: str | None = field(default=None, metadata={"always": True})
    bits: int | None = None
    act: str = field(default="int8", metadata={"always": True})
    arch: str = "auto"
    lanes: int = 1
    max_k: int = 256
    acc_bits: int | None = None
    pipeline: int = 0
    core: str = "stream"
    target: str = "gates"

    def __post_init__(self) -> None:
        weight = resolve(self.format, self.bits, "int4")
        object.__setattr__(self, "format", weight.name)
        object.__setattr__(self, "bits", None)
        for name in ("lanes", "max_k"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        object.__setattr__(self, "act", resolve(self.act, None, "int8").name)

    @property
    def weight_format(self) -> Format:
        return parse(self.format)

    @property
    def act_format(self) -> Format:
        return parse(self.act)

    @property
    def acc_width(self) -> int:
        return self.acc_bits or exact_width(self.weight_format, self.act_format, self.max_k)


class PE(wiring.Component):
    def __init__(self, params: PEParams):
        self.params = params
        self.latency = 1
        self.beats_per_cycle = 1
        w, a = params.weight_format, params.act_format
        beat = data.StructLayout(
            {
                "a": data.ArrayLayout(unsigned(a.bits), params.lanes),
                "w": data.ArrayLayout(unsigned(w.bits), params.lanes),
                "last": 1,
            }
        )
        nan = a.nonfinite or w.nonfinite
        result = data.StructLayout(
            {"acc": signed(params.acc_width), **({"nan": unsigned(1)} if nan else {})}
        )
        self.number_formats = {
            "i_a": {"format": a.name, "lanes": params.lanes},
            "i_w": {"format": w.name, "lanes": params.lanes},
            "o_acc": {"format": f"int{params.acc_width}", "lam": a.lam + w.lam},
        }
        self.contract = {"lam": a.lam + w.lam, "acc_bits": params.acc_width, "max_k": params.max_k}
        super().__init__({"i": In(stream.Signature(beat)), "o": Out(stream.Signature(result))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        p = self.params
        assert isinstance(p.weight_format, IntFormat) and isinstance(p.act_format, IntFormat)
        total = sum(
            self.i.payload.a[k].as_signed() * self.i.payload.w[k].as_signed()
            for k in range(p.lanes)
        )
        first = Signal(init=1)
        acc = Signal(signed(p.acc_width))
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            self.o.payload.acc.eq(acc),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                acc.eq(Mux(first, 0, acc) + total),
                first.eq(self.i.payload.last),
                self.o.valid.eq(self.i.payload.last),
            ]
        return m
