# SPDX-License-Identifier: Apache-2.0
"""Dot products whose groups of products have scales of their own."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.cells import Accumulate
from hw.pe.params import PEParams
from hw.quant.dequant_cell import Dequantize, sum_stages
from hw.quant.dequant_params import DequantParams

__all__ = ["OPTIONS", "GroupPE", "check_group", "dequant_of"]

#: Parameters of an architecture that can be wrapped.
OPTIONS = ("group", "scale", "act_scale", "zero_point", "sum")


def check_group(params: PEParams) -> None:
    """Raise ``ValueError`` for parameters of scaled groups that do not fit together."""
    group = params.group
    if group is None:
        for name in OPTIONS[1:]:
            value = getattr(params, name)
            if value not in (None, False):
                raise ValueError(f"{name} must not be given without group, but is {value!r}")
        return
    if group % params.lanes:
        raise ValueError(f"group must be a multiple of lanes, {params.lanes}, not {group}")
    if params.core != "stream":
        raise ValueError(f"core must be stream where group is given, not {params.core!r}")
    if params.columns > 1:
        raise ValueError(f"columns must be 1 where group is given, not {params.columns}")
    if params.scale is None:
        raise ValueError("scale must be given with group, such as fp16, not None")
    if params.zero_point and params.weight_format.lam:
        raise ValueError(
            "format must be one of integers where zero_point is given, "
            f"not {params.weight_format.name!r}"
        )
    dequant_of(params)


def dequant_of(params: PEParams) -> DequantParams:
    """Return the parameters of the unit ``dequant`` that follows the accumulator."""
    assert params.group is not None and params.scale is not None
    return DequantParams(
        acc_bits=params.acc_width,
        lam=params.lam,
        scale=params.scale,
        act_scale=params.act_scale,
        zero_point=params.zero_point,
        sum=params.sum,
        max_groups=-(-params.max_k // params.group),
        target="fpga" if params.carry_chains else "gates",
    )


class GroupPE(wiring.Component):
    """Dot products of a stream of beats, in groups with scales.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`
        With ``group`` and ``scale``.

    Members
    -------
    i : ``In(stream.Signature({a: lanes codes, w: lanes codes, s[, t][, z], last: 1}))``
        One beat of operands. Every ``group`` products, and ``last``, close a group. With its last
        beat come the code ``s`` of the weights' scale, ``t`` of the activations', and the zero
        point ``z``, an int8 that is taken from every weight of the group.
    o : ``Out(stream.Signature({y[, nan]}))``
        As of the unit ``dequant``: binary32, or an exact integer. A code of an operand that is not
        finite makes a NaN of its group.

    Timing
    ------
    One beat per cycle, however short the groups. ``o`` is valid :attr:`latency` cycles after the
    beat with ``last`` is accepted. A binary32 sum is a loop of one adder in one cycle, which
    bounds the clock. ``i.ready`` follows ``o.ready`` combinationally while a result waits.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)
    golden = "sim.golden.pe.group"

    def __init__(self, params: PEParams):
        assert params.group is not None
        self.params = params
        self.dequant = dequant = dequant_of(params)
        self._beats = params.group // params.lanes
        self._acts = self._ones_params() if params.zero_point else None
        self._cell = Dequantize(
            dequant, params.has_nan, self._acts.acc_width if self._acts else None
        )
        self.latency = params.pipeline + 1 + self._cell.stages
        weight, act = params.weight_format, params.act_format
        shapes = dequant.group_shapes
        self._shared = [name for name in ("s", "t", "z") if name in shapes]
        beat: dict[str, Any] = {
            "a": data.ArrayLayout(unsigned(act.bits), params.lanes),
            "w": data.ArrayLayout(unsigned(weight.bits), params.lanes),
        }
        beat |= {name: unsigned(shapes[name]) for name in self._shared} | {"last": unsigned(1)}
        exact = dequant.mode == "exact"
        result: dict[str, Any] = {"y": dequant.y_shape}
        if exact and self._cell.marks:
            result["nan"] = unsigned(1)
        y: dict[str, Any] = {"format": "fp32"}
        if exact:
            y = {"format": f"int{dequant.exact_bits}", "lam": dequant.y_lam}
        self.number_formats: dict[str, dict[str, Any]] = {
            "i_a": {"format": act.name, "lanes": params.lanes},
            "i_w": {"format": weight.name, "lanes": params.lanes},
            "i_s": {"format": params.scale},
            "o_y": y,
        }
        if params.act_scale is not None:
            self.number_formats["i_t"] = {"format": params.act_scale}
        self.contract: dict[str, Any] = {
            "lam": params.lam,
            "acc_bits": params.acc_width,
            "max_k": params.max_k,
            "group": params.group,
            "sum": dequant.mode,
        }
        if exact:
            self.contract |= {"y_lam": dequant.y_lam, "y_bits": dequant.exact_bits}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(result))),
            }
        )

    def _ones_params(self) -> PEParams:
        """Parameters of a sum of activations: a dot product with ones."""
        params = self.params
        return PEParams(
            format="uint1",
            act=params.act,
            arch="shift-add",
            lanes=params.lanes,
            max_k=params.group or 1,
            pipeline=params.pipeline,
            target=params.target,
            window=params.window,
        )

    def _products(self) -> Any:
        """Return the cell that sums the products of a group."""
        params = self.params
        none: dict[str, Any] = {**dict.fromkeys(OPTIONS), "zero_point": False}
        sums: dict[str, Any] = {"acc_bits": params.acc_width, "max_k": params.group}
        alone = replace(params, core="accumulate", **sums, **none)
        return alone.architecture.build(alone)

    def elaborate(self, platform: Any) -> Module:
        m, params, beat = Module(), self.params, self.i.payload
        m.submodules.cell = cell = self._products()
        m.submodules.dequant = dequant = self._cell
        cells = [cell]
        m.d.comb += [cell.a.eq(beat.a), cell.w.eq(beat.w), dequant.p.eq(cell.acc)]
        if self._acts:
            m.submodules.acts = acts = Accumulate(self._acts)
            m.d.comb += [acts.a.eq(beat.a), acts.w.eq(~0), dequant.sa.eq(acts.acc)]
            cells.append(acts)
        if params.has_nan:
            m.d.comb += dequant.bad.eq(cell.nan)
        moving = Signal()
        m.d.comb += [moving.eq(~self.o.valid | self.o.ready), self.i.ready.eq(moving)]

        valid, last = self.i.valid, beat.last
        closes = last | self._full(m, moving & valid, last)
        shared = [Value.cast(getattr(beat, name)) for name in self._shared]
        first = Signal(init=1)
        for stage in range(params.pipeline + 1):
            enter = Signal(name=f"enter{stage}")
            m.d.comb += enter.eq(moving & valid)
            m.d.comb += [each.en[stage].eq(enter) for each in cells]
            if stage == params.pipeline:
                m.d.comb += [each.clr.eq(first) for each in cells]
                with m.If(enter):
                    m.d.sync += first.eq(closes)
                valid = valid & closes
            held = [Signal(name=f"valid{stage}")]
            values = [last, closes, *shared]
            names = ["last", "closes", *self._shared]
            for name, value in zip(names, values, strict=True):
                held.append(Signal(len(value), reset_less=True, name=f"{name}{stage}"))
            with m.If(moving):
                m.d.sync += [h.eq(v) for h, v in zip(held, [valid, *values], strict=True)]
            valid, last, closes, *shared = held
        m.d.comb += [
            getattr(dequant, name).eq(value)
            for name, value in zip(self._shared, shared, strict=True)
        ]
        sum_stages(m, dequant, moving, valid, last, self.o)
        return m

    def _full(self, m: Module, taken: Value, last: Value) -> Value:
        """Return whether a beat is the last that its group has room for."""
        if self._beats == 1:
            return Const(1, 1)
        count = Signal(range(self._beats))
        full = Signal()
        m.d.comb += full.eq(count == self._beats - 1)
        with m.If(taken):
            m.d.sync += count.eq(Mux(last | full, 0, count + 1))
        return full
