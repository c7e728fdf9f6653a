# SPDX-License-Identifier: Apache-2.0
"""What the control has to know of the engine and of the bus."""

from dataclasses import dataclass, replace

from amaranth.lib import data, stream
from amaranth.utils import bits_for

from hw.coprocessor.engine_facts import EngineFacts
from hw.coprocessor.job import job_signature
from hw.coprocessor.params import CoprocessorParams

__all__ = ["ControlFacts", "facts_of"]


@dataclass(frozen=True)
class ControlFacts:
    """Sizes and numbers by which descriptors are judged.

    Raises ``ValueError`` for sizes that no descriptor could fit.
    """

    addr_bits: int  #: Of an address on the bus.
    data_width: int  #: Bits of the data bus.
    max_k: int  #: Longest sum.
    rows: int  #: Of a tile.
    columns: int  #: Of a tile.
    depth: int  #: Products of a step of K.
    act_slot: int  #: Bits that a code of A takes in memory, a power of two.
    c_bytes: int  #: Bytes of an element of C, a power of two.
    w_slot: int  #: Bytes that a beat of W takes in memory.
    w_beats: int = 1  #: Beats of W in a step, of all planes.
    planes: tuple[int, ...] = ()  #: Bit planes that a job may choose besides all.
    planes_per_beat: int = 1  #: Planes in a beat of W, where jobs choose.
    s_slot: int = 0  #: Bytes that a beat of S takes in memory; 0: there is no S.
    s_beats: int = 1  #: Beats of S for a group.
    s_group: int = 0  #: Products of K for which there is one group of S; 0: all.
    s_rows: bool = False  #: Whether each tile of rows has beats of S of its own.
    group: int = 0  #: What G may be, apart from 0.
    a_fmt: int = 0  #: Number of the format of A, apart from 0.
    w_fmt: int = 0  #: Number of the format of W, apart from 0.
    layout: int = 0  #: Number of the layout of W, apart from 0.
    integer: bool = True  #: Whether results are integers, so that they can be clamped.
    bias: bool = False  #: Whether the flag "bias" is accepted.
    zero_point: bool = False  #: Whether the flag "zero point" is accepted.
    accumulate: bool = False  #: Whether the flag "accumulate" is accepted.
    macs_bits: int = 1  #: Width of the count of products of a cycle.
    lookups_bits: int = 1  #: Width of the count of lookups of a cycle.
    size_bits: int = 16  #: That M and N may have.
    copies: bool = True  #: Whether there is the op "copy".
    others: tuple["ControlFacts", ...] = ()  #: Of further engines, where they differ.

    def __post_init__(self) -> None:
        for name in ("data_width", "act_slot", "c_bytes"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two, not {value}")
        if self.data_width < 32:
            raise ValueError(f"data_width must be at least 32, not {self.data_width}")
        bounds = {"addr_bits": (12, 64), "max_k": (1, 65535), "size_bits": (8, 16)}
        bounds |= dict.fromkeys(("rows", "columns", "depth", "w_slot"), (1, 1 << 16))
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} must be in {least} ... {most}, not {value}")

    @property
    def engines(self) -> tuple["ControlFacts", ...]:
        """Those of each engine, in order of their numbers."""
        return (self, *self.others)

    @property
    def job_signature(self) -> stream.Signature:
        """The stream of jobs."""
        return job_signature(
            self.addr_bits,
            len(self.engines),
            self.size_bits,
            bits_for(max(one.max_k for one in self.engines)),
        )

    @property
    def job_layout(self) -> data.StructLayout:
        """The payload of the same."""
        layout: data.StructLayout = self.job_signature.members["payload"].shape
        return layout

    @property
    def step_bytes(self) -> list[int]:
        """Bytes of W in a step of K, by the number of planes of the job, 0 meaning all."""
        most = self.w_slot * self.w_beats
        some = range(1, 1 + max(self.planes, default=0))
        return [most, *(self.w_slot * -(-planes // self.planes_per_beat) for planes in some)]


def facts_of(params: CoprocessorParams) -> ControlFacts:
    """Return what the control of a co-processor with these parameters has to know."""
    first, *others = (_facts_of(params, part) for part in params.parts)
    return replace(first, others=tuple(others))


def _facts_of(params: CoprocessorParams, part: EngineFacts) -> ControlFacts:
    groups = part.group_steps * part.depth
    return ControlFacts(
        addr_bits=params.addr_bits,
        data_width=params.data_width,
        max_k=part.max_k,
        rows=params.rows,
        columns=params.columns,
        depth=part.depth,
        act_slot=part.act_slot,
        c_bytes=params.c_bytes,
        w_slot=part.w_slot,
        w_beats=part.beats,
        planes=part.plane_counts,
        planes_per_beat=part.shape.planes_per_beat,
        s_slot=part.s_slot,
        s_group=groups,
        s_rows=part.act_scale,
        group=part.group,
        a_fmt=part.a_format,
        w_fmt=part.w_format,
        layout=part.layout,
        integer=not part.result_float,
        bias=part.has_bias,
        zero_point=part.has_zero_point,
        accumulate=params.accumulate and part.sums,
        macs_bits=bits_for(max(one.macs_per_step for one in params.parts)),
        lookups_bits=bits_for(max(one.lookups_per_beat for one in params.parts)),
        size_bits=params.size_bits,
        copies=params.copies,
    )
