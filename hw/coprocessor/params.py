# SPDX-License-Identifier: Apache-2.0
"""Parameters of the matrix co-processor, and the sizes that follow from its engine."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from amaranth.lib import stream
from amaranth.utils import bits_for

from hw.coprocessor.engine_facts import EngineFacts
from hw.coprocessor.engine_text import resolved_engine
from hw.coprocessor.job import job_signature
from hw.mpgemm.array_params import ArrayParams
from hw.spec.coprocessor import DESCRIPTOR_BYTES, FEATURES, RECORD_BYTES, coprocessor_map
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
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    engine: str = _UNSET  #: As after ``python -m gen``: ``array ...`` or ``mpgemm ...``.
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
        for name in ("perf", "queue", "copies", "watchdog", "slices"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.protect not in PROTECTIONS:
            raise ValueError(f"protect must be none or secded, not {self.protect!r}")
        if self.max_burst * self.bus_bytes > 4096:
            raise ValueError(
                f"max_burst must be at most {4096 // self.bus_bytes} with data_width "
                f"{self.data_width}, as no burst crosses 4 KiB, not {self.max_burst}"
            )
        self._check_engine()
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

    def _check_engine(self) -> None:
        """Refuse engines whose beats do not fit the contract."""
        params, shape = self.engine_params, self.shape
        if isinstance(params, ArrayParams):
            if params.flow.batched:
                raise ValueError(
                    "dataflow must be one whose sums stay in place behind a co-processor, "
                    f"broadcast, cube, os or tree, not {params.dataflow!r}"
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
                f"row and column, but {self.group} products leave by themselves"
            )
        if shape.depth & (shape.depth - 1):
            raise ValueError(
                "products of a step must be a power of two behind a co-processor, as rows of A are "
                f"read in words of {self.act_slot} bits a code, not {shape.depth}"
            )
        for name, value in (("rows", self.rows), ("columns", self.columns), ("depth", self.depth)):
            if value > 255:
                raise ValueError(f"{name} must be at most 255 behind a co-processor, not {value}")
        if self.c_bytes > 8:
            raise ValueError(
                f"results must have at most 64 bits behind a co-processor, not {8 * self.c_bytes}"
            )
        if self.act_slot > self.data_width:
            raise ValueError(
                f"data_width must be at least {self.act_slot}, the bits of a code of A in memory, "
                f"not {self.data_width}"
            )

    # Memory.

    @property
    def bus_bytes(self) -> int:
        """Bytes of a beat on the bus."""
        return self.data_width // 8

    @property
    def act_slot(self) -> int:
        """Bits that a code of A takes in memory."""
        return _power(self.shape.lane_bits)

    @property
    def w_slot(self) -> int:
        """Bytes that a beat of weights takes in memory."""
        return _power(-(-self.shape.wgt_bits // 8))

    @property
    def s_slot(self) -> int:
        """Bytes that a beat of scales takes in memory, 0 without scales."""
        return _power(-(-self.shape.scale_bits // 8)) if self.has_scale else 0

    @property
    def c_bytes(self) -> int:
        """Bytes that a result takes in memory."""
        return self.result.out_bits // 8

    @property
    def protected(self) -> bool:
        """Whether words of buffers have check bits, descriptors and registers parity."""
        return self.protect == "secded"

    @property
    def w_align(self) -> int:
        """Multiple of bytes at which every read of W begins."""
        return min(16, self.w_slot)

    @property
    def s_align(self) -> int:
        """Multiple of bytes at which every read of S begins, 0 without scales."""
        return min(16, self.s_slot)

    # Sizes.

    @property
    def k_bits(self) -> int:
        """Bits of K."""
        return bits_for(self.max_k)

    @property
    def count_bits(self) -> int:
        """Bits that hold the slots of a panel: K steps of up to 16 beats."""
        return self.k_bits + bits_for(self.beats - 1) if self.beats > 1 else self.k_bits

    @property
    def job_signature(self) -> stream.Signature:
        """The stream of jobs for the datapath."""
        return job_signature(self.addr_bits, self.size_bits, self.k_bits)

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
        return max(self.data_width, self.shape.depth * self.act_slot)

    @property
    def wgt_word(self) -> int:
        """Bits of a word of the buffer of W."""
        return max(self.data_width, 8 * self.w_slot)

    @property
    def scale_word(self) -> int:
        """Bits of a word of the buffer of S, 0 without scales."""
        return max(self.data_width, 8 * self.s_slot) if self.has_scale else 0

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
        if not self.has_scale:
            return 0
        steps = self.wgt_depth * self.wgt_word // (8 * self.w_slot)
        slots = -(-steps // (self.group_steps or steps))
        return max(4, _power(-(-slots * 8 * self.s_slot // self.scale_word)))

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
        return {**dataclasses.asdict(self), "engine_parameters": resolved_engine(self.engine)}

    @cached_property
    def registers(self) -> RegisterMap:
        """The registers. Raises ``ValueError`` where a size does not fit them."""
        reached = {name: getattr(self, name) for name in ("data_width", "addr_bits")}
        how = ("target", "pipeline", "skew")
        computed = {k: v for k, v in resolved_engine(self.engine).items() if k not in how}
        bits = self.rows * self.act_depth * self.act_word
        bits += self.wgt_depth * self.wgt_word + self.scale_depth * self.scale_word
        return coprocessor_map(
            engines=self.engines,
            max_bits=self.weight_bits,
            act_bits=self.shape.lane_bits,
            acc_bits=self.shape.acc_bits,
            rows=self.rows,
            columns=self.columns,
            depth=self.depth,
            group=self.table_group,
            buffer_kib=-(-bits // 8192),
            acc_kib=-(-self.rows * self.columns * self.shape.acc_bits // 8192),
            log2_bytes=self.bus_bytes.bit_length() - 1,
            max_burst=self.max_burst,
            outstanding=self.outstanding,
            addr_bits=self.addr_bits,
            features=sum(1 << FEATURES[name] for name, there in self.features.items() if there),
            size_bits=self.size_bits,
            build=build_id({**computed, **reached}),
        )


def _power(value: int) -> int:
    """Return the least power of two that is at least ``value``."""
    return 1 << (value - 1).bit_length()


def _floor(value: int) -> int:
    """Return the largest power of two that is at most ``value``."""
    return 1 << value.bit_length() - 1


def _fits(kib: int, bits: int) -> int:
    """Return the words of ``bits`` bits that fit, a power of two."""
    return _floor((kib << 13) // bits)
