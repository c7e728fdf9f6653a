# SPDX-License-Identifier: Apache-2.0
"""A matrix engine behind the custom-instruction port of CFU Playground, for RISC-V soft cores."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.axi.axis import whole_bytes
from hw.coprocessor.beat_assembler import BeatAssembler
from hw.coprocessor.engine_text import (
    EngineParams,
    build_engine,
    engine_params_of,
    resolved_engine,
)
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.shape import Shape
from hw.spec.cfu import FUNCTIONS, MODIFIERS, REFUSED

__all__ = ["Cfu", "CfuParams"]

ENGINE = "array --dataflow tree --rows 1 --columns 4 --lanes 4 --format int4"
PORT = "cmd_payload_"


@dataclass(frozen=True)
class CfuParams:
    """What a user chooses: the engine, as after ``python -m gen``."""

    engine: str = ENGINE

    def __post_init__(self) -> None:
        if self.result_bits > 64:
            raise ValueError(
                f"engine must have results of at most 64 bits here, not {self.result_bits}"
            )

    @cached_property
    def engine_params(self) -> EngineParams:
        """Parameters of the engine."""
        return engine_params_of(self.engine)

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default and choice made explicit."""
        return {
            "engine": self.engine,
            "engine_parameters": resolved_engine(self.engine),
            "beat_bits": self.beat_bits,
            "result_bits": self.result_bits,
        }

    @property
    def stationary(self) -> bool:
        """Whether a beat of the output is not a row of a tile of the engine's shape."""
        params = self.engine_params
        return isinstance(params, ArrayParams) and params.flow.stationary

    @property
    def shape(self) -> Shape:
        """Sizes of the engine's beats."""
        params = self.engine_params
        return params.row_shape if self.stationary else params.shape  # type: ignore[union-attr]

    @property
    def beat_bits(self) -> dict[str, int]:
        """Bits of a beat of each stream of operands."""
        shape = self.shape
        bits = {"act": shape.act_bits, "wgt": shape.wgt_bits, "scale": shape.scale_bits}
        return {name: whole_bytes(count) for name, count in bits.items() if count}

    @property
    def result_bits(self) -> int:
        """Bits of a result as it leaves the engine."""
        return self.engine_params.epilogue.result(self.shape).out_bits

    @property
    def columns(self) -> int:
        """Results of a beat."""
        return self.engine_params.columns


class Cfu(wiring.Component):
    """Instructions that feed an engine and read its results word by word.

    Parameters
    ----------
    params : :class:`CfuParams`

    Members
    -------
    cmd_valid, cmd_ready, cmd_payload_function_id, cmd_payload_inputs_0, cmd_payload_inputs_1
        An instruction, see :mod:`hw.spec.cfu`.
    rsp_valid, rsp_ready, rsp_payload_outputs_0
        Its answer, one for each instruction, in order.

    Timing
    ------
    The answer comes one cycle after the instruction, but that of ``result`` when there is a word or
    no product is open any more. Results are words of 32 bits, or two where they have more, column
    by column, those of columns beyond N left out.
    """

    clock_names = ("clk", "reset")

    def __init__(self, params: CfuParams):
        self.params = params
        self.notes = tuple(getattr(params.engine_params, "notes", ()))
        self.contract = {
            "functions": {name: number for name, (number, _) in FUNCTIONS.items()},
            "modifiers": {name: 1 << bit for name, (bit, _) in MODIFIERS.items()},
            "words_per_result": 1 + (params.result_bits > 32),
        }
        super().__init__(
            {
                "cmd_valid": In(1),
                "cmd_ready": Out(1),
                f"{PORT}function_id": In(10),
                f"{PORT}inputs_0": In(32),
                f"{PORT}inputs_1": In(32),
                "rsp_valid": Out(1),
                "rsp_ready": In(1),
                "rsp_payload_outputs_0": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.engine = engine = build_engine(self.params.engine_params)
        given = getattr(self, f"{PORT}function_id")
        words = Cat(getattr(self, f"{PORT}inputs_0"), getattr(self, f"{PORT}inputs_1"))
        kind, answer = given[:3], self.rsp_payload_outputs_0
        modifier = {name: given[3 + bit] for name, (bit, _) in MODIFIERS.items()}

        def means(name: str) -> Value:
            return wire(m, kind == FUNCTIONS[name][0], f"is_{name}")

        waits = Signal()  # a "result" waits for a word
        takes = wire(m, self.cmd_valid & self.cmd_ready, "takes")
        m.d.comb += self.cmd_ready.eq(~waits & (~self.rsp_valid | self.rsp_ready))
        with m.If(self.rsp_ready):
            m.d.sync += self.rsp_valid.eq(0)

        word, there, ended = self._words(m, engine)
        open_, error, nan = Signal(), Signal(4), Signal()
        job: Any = engine.s_axis_job
        begins = wire(m, takes & means("job") & ~open_ & ~job.valid, "begins")
        with m.If(job.ready):
            m.d.sync += job.valid.eq(0)
        with m.If(begins):
            m.d.sync += [open_.eq(1), error.eq(0), nan.eq(0), job.valid.eq(1)]
            m.d.sync += job.payload.tdata.eq(Cat(words[:32], words[32:52]))

        reply = Signal(32)
        status = Cat(error, open_, there, nan)
        m.d.comb += reply.eq(Mux(kind == FUNCTIONS["status"][0], status, REFUSED))
        with m.If(begins):
            m.d.comb += reply.eq(0)
        for name in ("act", "wgt", "scale"):
            sink: Any = getattr(engine, f"s_axis_{name}", None)
            if sink is None:
                continue
            m.submodules[name] = beats = BeatAssembler(len(sink.payload.tdata))
            wiring.connect(m, beats.o, sink)
            pushes = wire(m, takes & means(name) & beats.room, f"pushes_{name}")
            m.d.comb += [
                beats.words.eq(words),
                beats.both.eq(modifier["both"]),
                beats.last.eq(modifier["last"]),
                beats.push.eq(pushes),
            ]
            with m.If(pushes):
                m.d.comb += reply.eq(0)

        asks = wire(m, takes & means("result"), "asks")
        reads = wire(m, (asks | waits) & there, "reads")
        waits_on = wire(m, open_ & ~there & ~modifier["try"], "waits_on")
        m.d.comb += self._read.eq(reads)
        with m.If(takes | waits):
            m.d.sync += [self.rsp_valid.eq(1), answer.eq(reply)]
        with m.If(asks | waits):
            m.d.sync += answer.eq(Mux(there, word, 0))
        with m.If(asks & waits_on | waits & open_ & ~there):
            m.d.sync += [waits.eq(1), self.rsp_valid.eq(0)]
        with m.Else():
            m.d.sync += waits.eq(0)
        with m.If(ended):
            m.d.sync += [open_.eq(0), error.eq(engine.m_axis_out.payload.tuser[:4])]
        if len(engine.m_axis_out.payload.tuser) > 4:
            with m.If(engine.m_axis_out.valid):
                m.d.sync += nan.eq(nan | engine.m_axis_out.payload.tuser[4:].any())
        return m

    def _words(self, m: Module, engine: Any) -> tuple[Value, Value, Value]:
        """Return the word that is next, whether it is there, and whether a product just ended."""
        out, columns, bits = engine.m_axis_out, self.params.columns, self.params.result_bits
        halves = 2 if bits > 32 else 1
        index = Signal(range(columns * halves))
        places = []
        for column in range(columns):
            value = out.payload.tdata.word_select(column, bits).as_signed()
            wide = Signal(32 * halves, name=f"column{column}")
            m.d.comb += wide.eq(value)
            places += [wide[32 * half : 32 * half + 32] for half in range(halves)]
        kept = [out.payload.tkeep[c * bits // 8] for c in range(columns) for _ in range(halves)]
        following = Array([*kept[1:], Const(0, 1)])[index]
        fails = out.payload.tuser[:4].any()
        there = wire(m, out.valid & ~fails, "there")
        self._read = Signal()
        ends = wire(m, self._read & ~following, "ends_row")
        m.d.comb += out.ready.eq(ends | out.valid & fails)
        with m.If(self._read):
            m.d.sync += index.eq(Mux(following, index + 1, 0))
        ended = wire(m, out.valid & out.ready & out.payload.tlast, "ended")
        return Array(places)[index], there, ended
