# SPDX-License-Identifier: Apache-2.0
"""Parameters of the matrix co-processor, and the sizes that follow from its engine."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from types import MappingProxyType
from typing import Any

from amaranth.lib import stream
from amaranth.utils import bits_for

from hw.coprocessor.engine_facts import EngineFacts, OneEngine, power
from hw.coprocessor.engine_text import resolved_engine
from hw.coprocessor.job import job_signature
from hw.mpgemm.array_params import ArrayParams
from hw.spec.coprocessor import (
    DESCRIPTOR_BYTES,
    FEATURES,
    MAX_ENGINES,
    RECORD_BYTES,
    coprocessor_map,
)
from hw.spec.registers import RegisterMap, build_id

__all__ = ["DEFAULTS", "PRESETS", "PROTECTIONS", "CoprocessorParams"]

PROTECTIONS = ("none", "secded")

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "engine": "array --dataflow cube --rows 4 --columns 4 --lanes 4 --format int4",
        "data_width": 64,
        "addr_bits": 32,
        "act_kib": 8,
        "wgt_kib": 8,
        "max_burst": 16,
        "outstanding": 8,
        "perf": True,
        "queue": True,
        "copies": True,
        "watchdog": True,
        "slices": True,
        "size_bits": 16,
        "protect": "none",
        "accumulate": False,
    }
)

#: What a preset sets, where no option says otherwise.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "tiny": {  # iCEBreaker: as little as computes
            "engine": "array --dataflow tree --rows 1 --columns 2 --lanes 4 --format int4 "
            "--max-k 1024 --target ice40",
            "data_width": 32,
            "addr_bits": 17,
            "act_kib": 1,
            "wgt_kib": 1,
            "max_burst": 8,
            "outstanding": 1,
            "perf": False,
            "queue": False,
            "copies": False,
            "watchdog": False,
            "slices": False,
            "size_bits": 10,
        },
        "small": {  # ULX3S 85F, Tang Nano 20K
            "engine": "array --dataflow cube --rows 2 --columns 4 --lanes 4 --format int4",
            "data_width": 64,
            "act_kib": 4,
            "wgt_kib": 4,
            "outstanding": 4,
        },
        "ultra96": {  # A of 256 x 256 stays, and a panel of W of K up to 512
            "engine": "array --dataflow os --rows 16 --columns 16 --format int8 --target xcup",
            "data_width": 128,
            "addr_bits": 40,
            "act_kib": 64,
            "wgt_kib": 16,
        },
        "kv260": {
            "engine": "array --dataflow cube --rows 16 --columns 16 --lanes 4 --format int8 "
            "--target xcup",
            "data_width": 128,
            "addr_bits": 40,
            "act_kib": 128,
            "wgt_kib": 64,
            "outstanding": 16,
        },
    }
)

_RANGES = (
    ("addr_bits", 16, 64),
    ("act_kib", 1, 4096),
    ("wgt_kib", 1, 4096),
    ("max_burst", 1, 256),
    ("outstanding", 1, 64),
    ("size_bits", 8, 16),
)

#: Stands for "as the preset has it, or DEFAULTS".
_UNSET: Any = None


@dataclass(frozen=True)
class CoprocessorParams(EngineFacts):
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right.

    Of several engines side by side the properties of :class:`EngineFacts` are those of the first;
    :attr:`parts` has them all.
    """

    #: As after ``python -m gen``: ``array ...`` or ``mpgemm ...``, several with ``;`` between.
    engine: str = _UNSET
    data_width: int = _UNSET  #: Bits of the data bus.
    addr_bits: int = _UNSET  #: Bits of an address on the bus.
    act_kib: int = _UNSET  #: Buffer for A.
    wgt_kib: int = _UNSET  #: Buffer for W.
    max_burst: int = _UNSET  #: Beats of the longest burst.
    outstanding: int = _UNSET  #: Bursts that may be under way, each direction.
    perf: bool = _UNSET  #: Whether there are counters.
    queue: bool = _UNSET  #: Whether descriptors can come from a ring in memory.
    copies: bool = _UNSET  #: Whether there is the op "copy".
    watchdog: bool = _UNSET  #: Whether a bus that stands still is noticed.
    slices: bool = _UNSET  #: Whether register slices part engine and buffers.
    size_bits: int = _UNSET  #: Bits of M and N.
    protect: str = _UNSET  #: Of buffers, descriptors and registers: one of :data:`PROTECTIONS`.
    accumulate: bool = _UNSET  #: Whether products may be added to what C holds.
    preset: str | None = None  #: One of :data:`PRESETS`.

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {self.preset!r}")
        given = {**DEFAULTS, **(PRESETS[self.preset] if self.preset else {})}
        for name, value in given.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.data_width not in (32, 64, 128, 256):
            raise ValueError(f"data_width must be 32, 64, 128 or 256, not {self.data_width!r}")
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise ValueError(f"{name} must be an integer from {least} to {most}, not {value!r}")
        if self.max_burst & (self.max_burst - 1):
            raise ValueError(f"max_burst must be a power of two, not {self.max_burst}")
        for name in ("perf", "queue", "copies", "watchdog", "slices", "accumulate"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.protect not in PROTECTIONS:
            raise ValueError(f"protect must be none or secded, not {self.protect!r}")
        if self.max_burst * self.bus_bytes > 4096:
            raise ValueError(
                f"max_burst must be at most {4096 // self.bus_bytes} with data_width "
                f"{self.data_width}, as no burst crosses 4 KiB, not {self.max_burst}"
            )
        self._check_engines()
        for name, words, room in (
            ("act_kib", 2 * self.rows * self.act_word // 8, self.act_kib),
            ("wgt_kib", 2 * self.wgt_word // 8, self.wgt_kib),
        ):
            if words > room << 10:
                raise ValueError(
                    f"{name} must be at least {-(-words // 1024)} for two beats of the engine "
                    f"and data_width {self.data_width}, not {room}"
                )
        _ = self.registers

    def _check_engines(self) -> None:
        """Refuse engines that do not fit the contract, or each other."""
        if len(self.parts) > MAX_ENGINES:
            raise ValueError(
                f"engine must name at most {MAX_ENGINES} engines, not {len(self.parts)}"
            )
        for part in self.parts:
            self._check_engine(part)
            if (part.rows, part.columns) != (self.rows, self.columns):
                raise ValueError(
                    "engines behind one co-processor must have tiles of the same size, "
                    f"{self.rows} x {self.columns} as the first, not {part.rows} x {part.columns} "
                    f"of {part.text!r}"
                )
        if self.c_bytes > 8:
            raise ValueError(
                f"results must have at most 64 bits behind a co-processor, not {8 * self.c_bytes}"
            )
        if self.accumulate and not any(part.sums for part in self.parts):
            raise ValueError(
                "accumulate must not be given where no engine gives sums of integers, "
                f"as with {self.text!r}"
            )
        if self.accumulate and 8 * self.c_bytes > self.data_width:
            raise ValueError(
                f"data_width must be at least {8 * self.c_bytes}, the bits of a result, with "
                f"accumulate, not {self.data_width}"
            )

    def _check_engine(self, part: EngineFacts) -> None:
        """Refuse an engine whose beats do not fit the contract."""
        params, shape = part.engine_params, part.shape
        if isinstance(params, ArrayParams):
            if params.swapped:
                raise ValueError(
                    "dataflow must be one that gives rows of C behind a co-processor, broadcast, "
                    f"cube, os, os-ws, tree or ws, not {params.dataflow!r}, which gives columns"
                )
            if params.flow.stationary and params.batch != 1:
                raise ValueError(
                    "depth must be 1 with dataflow ws behind a co-processor, which sends the "
                    f"weights again for each row of A, not {params.batch}"
                )
        elif shape.act_masked:
            raise ValueError(
                "table_source must be builder behind a co-processor, as A comes as a matrix, "
                "not 'port'"
            )
        if shape.books:
            raise ValueError(
                "book must be a table format behind a co-processor, not 'rows', "
                f"which brings {shape.books} beats before each tile"
            )
        if shape.group_steps and not shape.scale_bits:
            raise ValueError(
                f"groups must have a scale behind a co-processor, as C has one result for each "
                f"row and column, but {part.group} products leave by themselves"
            )
        if shape.depth & (shape.depth - 1):
            raise ValueError(
                "products of a step must be a power of two behind a co-processor, as rows of A are "
                f"read in words of {part.act_slot} bits a code, not {shape.depth}"
            )
        for name, value in (("rows", part.rows), ("columns", part.columns), ("depth", part.depth)):
            if value > 255:
                raise ValueError(f"{name} must be at most 255 behind a co-processor, not {value}")
        if part.act_slot > self.data_width:
            raise ValueError(
                f"data_width must be at least {part.act_slot}, the bits of a code of A in memory, "
                f"not {self.data_width}"
            )

    @property
    def text(self) -> str:
        """The first engine, as after ``python -m gen``."""
        return self.parts[0].text

    @cached_property
    def parts(self) -> tuple[OneEngine, ...]:
        """The engines, in order of the numbers by which descriptors choose them."""
        if not isinstance(self.engine, str):
            raise ValueError(f"engine must be a text, not {self.engine!r}")
        texts = [text.strip() for text in self.engine.split(";")]
        if len(texts) > 1 and not all(texts):
            raise ValueError(
                f"engine must have an engine before and after each ;, not {self.engine!r}"
            )
        return tuple(OneEngine(text) for text in texts)

    @property
    def scaled(self) -> tuple[OneEngine, ...]:
        """Those of the engines that take S."""
        return tuple(part for part in self.parts if part.has_scale)

    # Memory.

    @property
    def bus_bytes(self) -> int:
        """Bytes of a beat on the bus."""
        return self.data_width // 8

    @property
    def c_bytes(self) -> int:
        """Bytes that a result takes in memory, the same for all engines."""
        return max(part.result.out_bits for part in self.parts) // 8

    @property
    def protected(self) -> bool:
        """Whether words of buffers have check bits, descriptors and registers parity."""
        return self.protect == "secded"

    @property
    def w_align(self) -> int:
        """Multiple of bytes at which every read of W begins."""
        return min(16, *(part.w_slot for part in self.parts))

    @property
    def s_align(self) -> int:
        """Multiple of bytes at which every read of S begins, 0 without scales."""
        return min((16, *(part.s_slot for part in self.scaled))) if self.scaled else 0

    # Sizes.

    @property
    def k_bits(self) -> int:
        """Bits of K."""
        return bits_for(max(part.max_k for part in self.parts))

    @property
    def count_bits(self) -> int:
        """Bits that hold the slots of a panel: K steps of up to 16 beats."""
        beats = max(part.beats for part in self.parts)
        return self.k_bits + bits_for(beats - 1) if beats > 1 else self.k_bits

    @property
    def job_signature(self) -> stream.Signature:
        """The stream of jobs for the datapath."""
        return job_signature(self.addr_bits, len(self.parts), self.size_bits, self.k_bits)

    @property
    def features(self) -> dict[str, bool]:
        """What of :data:`hw.spec.coprocessor.FEATURES` is there."""
        return {
            "queue": self.queue,
            "copy": self.copies,
            "timeout": self.watchdog,
            "counters": self.perf,
            "protection": self.protected,
        }

    # Buffers.

    @property
    def act_word(self) -> int:
        """Bits of a word of a bank of the buffer of A."""
        return max(self.data_width, *(part.act_item for part in self.parts))

    @property
    def wgt_word(self) -> int:
        """Bits of a word of the buffer of W."""
        return max(self.data_width, *(8 * part.w_slot for part in self.parts))

    @property
    def scale_word(self) -> int:
        """Bits of a word of the buffer of S, 0 without scales."""
        if not self.scaled:
            return 0
        return max(self.data_width, *(8 * part.s_slot for part in self.scaled))

    @property
    def act_depth(self) -> int:
        """Words of a bank of the buffer of A, a power of two."""
        return _fits(self.act_kib, self.rows * self.act_word)

    @property
    def wgt_depth(self) -> int:
        """Words of the buffer of W, a power of two."""
        return _fits(self.wgt_kib, self.wgt_word)

    @property
    def scale_depth(self) -> int:
        """Words of the buffer of S, a power of two: scales of as many steps as W has room for."""
        bits = [0]
        for part in self.scaled:
            steps = self.wgt_depth * self.wgt_word // (8 * part.w_slot)
            bits.append(-(-steps // (part.group_steps or steps)) * 8 * part.s_slot)
        return max(4, power(-(-max(bits) // self.scale_word))) if self.scaled else 0

    @property
    def max_read(self) -> int:
        """Bytes of the longest read, none longer than a burst or a word of a buffer."""
        words = (self.act_word, self.wgt_word, self.scale_word)
        return max(DESCRIPTOR_BYTES, self.max_burst * self.bus_bytes, max(words) // 8)

    @property
    def max_write(self) -> int:
        """Bytes of the longest write: a row of a tile, a piece of a copy, a record."""
        row = self.columns * self.c_bytes
        return max(RECORD_BYTES, self.max_burst * self.bus_bytes, row)

    def chunk(self, word: int, depth: int) -> int:
        """Words of a read: a burst, or half of what a buffer of ``depth`` words holds."""
        return max(1, min(self.max_burst * self.data_width // word, depth // 2))

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default and choice made explicit."""
        each = [resolved_engine(part.text) for part in self.parts]
        return {
            **dataclasses.asdict(self),
            "engine_parameters": each[0] if len(each) == 1 else each,
        }

    @cached_property
    def registers(self) -> RegisterMap:
        """The registers. Raises ``ValueError`` where a size does not fit them."""
        reached = {name: getattr(self, name) for name in ("data_width", "addr_bits")}
        how = ("target", "pipeline", "skew")
        each = [
            {k: v for k, v in resolved_engine(part.text).items() if k not in how}
            for part in self.parts
        ]
        computed: dict[str, Any] = each[0] if len(each) == 1 else {"engines": each}
        if self.accumulate:
            computed = {**computed, "accumulate": True}
        acc_bits = [part.shape.acc_bits for part in self.parts]
        bits = self.rows * self.act_depth * self.act_word
        bits += self.wgt_depth * self.wgt_word + self.scale_depth * self.scale_word
        return coprocessor_map(
            engines=reduce(or_, (part.engines for part in self.parts)),
            max_bits=max(part.weight_bits for part in self.parts),
            act_bits=max(part.shape.lane_bits for part in self.parts),
            acc_bits=max(acc_bits),
            rows=self.rows,
            columns=self.columns,
            depth=max(part.depth for part in self.parts),
            group=max(part.table_group for part in self.parts),
            buffer_kib=-(-bits // 8192),
            acc_kib=-(-self.rows * self.columns * sum(acc_bits) // 8192),
            log2_bytes=self.bus_bytes.bit_length() - 1,
            max_burst=self.max_burst,
            outstanding=self.outstanding,
            addr_bits=self.addr_bits,
            features=sum(1 << FEATURES[name] for name, there in self.features.items() if there),
            size_bits=self.size_bits,
            build=build_id({**computed, **reached}),
            numbers=[part.numbers for part in self.parts],
        )


def _floor(value: int) -> int:
    """Return the largest power of two that is at most ``value``."""
    return 1 << value.bit_length() - 1


def _fits(kib: int, bits: int) -> int:
    """Return the words of ``bits`` bits that fit, a power of two."""
    return _floor((kib << 13) // bits)
