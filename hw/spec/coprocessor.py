# SPDX-License-Identifier: Apache-2.0
"""The matrix co-processor as data: registers, descriptors, records, error codes, format numbers.

``docs/coprocessor.md`` says what it all does. The first words lie where every device of ours has
them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hw.spec.formats import Format
from hw.spec.registers import Field, Register, RegisterMap

__all__ = [
    "ACTIVATIONS",
    "ATTR_RESET",
    "C_KINDS",
    "DESCRIPTOR",
    "DESCRIPTOR_BYTES",
    "DESCRIPTOR_MAGIC",
    "DESCRIPTOR_VERSION",
    "DESCRIPTOR_WORDS",
    "DIRECT_INDEX",
    "ENGINES",
    "ERROR_CODES",
    "ERROR_MEANINGS",
    "FEATURES",
    "FLAGS",
    "FORMAT_NUMBERS",
    "IRQS",
    "LAYOUTS",
    "MAGIC",
    "MAX_ENGINES",
    "MAX_QUEUE",
    "OPS",
    "PERF",
    "RECORD_BYTES",
    "VERSION",
    "Descriptor",
    "DescriptorField",
    "EngineNumbers",
    "Record",
    "coprocessor_map",
    "features_of",
    "format_number",
    "usual_memory",
]

MAGIC = int.from_bytes(b"MPGE", "little")
VERSION = 0x01_01_0000  #: Version of the map: major, minor, patch.

DESCRIPTOR_WORDS = 16
DESCRIPTOR_BYTES = 64
DESCRIPTOR_MAGIC, DESCRIPTOR_VERSION = 0xD5, 1
RECORD_BYTES = 16
MAX_QUEUE = 32768  #: Most entries of the ring.
MAX_ENGINES = 16  #: Engines side by side, which a descriptor chooses from.
DIRECT_INDEX = 0xFFFF  #: What ERR_DESC gives as the index of a descriptor that came by START.
ATTR_RESET = 0x023  #: Normal, non-cacheable, bufferable; unprivileged, non-secure.

#: Bits of CAP0.ENGINES.
ENGINES = {"mac": 0, "bit-table": 1, "trit-table": 2, "shift-add": 3, "bit-plane": 4, "nm": 5}

OPS = {"gemm": 0, "gemv": 1, "copy": 2, "fence": 255}

#: Bits of a descriptor's flags.
FLAGS = {"irq": 0, "accumulate": 1, "transposed": 2, "last": 3, "bias": 4, "zero_point": 5}

ACTIVATIONS = {"none": 0, "relu": 1, "clamp": 3}

#: Bits of CAP4 from bit 8 on: what a device may lack. Registers of what it lacks are not there.
FEATURES = {"queue": 0, "copy": 1, "timeout": 2, "counters": 3, "protection": 4}

#: How the weights lie; 0 fits every engine.
LAYOUTS = {"as built": 0, "plane-major": 1, "mac": 2, "ternary": 3, "nm": 5}

#: What a descriptor may call a format; 0 fits every engine.
FORMAT_NUMBERS = {
    "as built": 0,
    "int8": 1,
    "int4": 2,
    "int2": 3,
    "ternary": 4,
    "e2m1": 5,
    "e4m3": 6,
    "e5m2": 7,
    "fp16": 8,
    "bf16": 9,
    "posit4_1": 10,
    "posit8_0": 11,
    "posit16_1": 12,
    "nf4": 13,
    "int16": 14,
    "other": 15,
}

ERROR_CODES = {
    "none": 0,
    "read slverr": 1,
    "read decerr": 2,
    "write slverr": 3,
    "write decerr": 4,
    "descriptor": 5,
    "unsupported": 6,
    "size": 7,
    "address": 8,
    "timeout": 9,
    "overflow": 10,
    "engine": 11,
    "aborted": 12,
    "memory": 13,
    "parity": 14,
}

#: What went wrong, by the number in ERR_CODE.
ERROR_MEANINGS = (
    "none",
    "a read was answered with SLVERR",
    "a read was answered with DECERR",
    "a write was answered with SLVERR",
    "a write was answered with DECERR",
    "the descriptor has no magic number or another version",
    "the op, flag, format, layout, engine or mode is not supported",
    "a size is 0 or too large, or an address or stride does not fit",
    "an operand reaches beyond the address bits of the bus",
    "the bus made no progress for as long as TIMEOUT says",
    "more descriptors are pending than the queue holds, or START came while busy",
    "the engine reported an error",
    "aborted",
    "memory: an error that could not be corrected",
    "parity of a descriptor or a register",
)

IRQS = {
    "DONE": "a descriptor that asked for it is done",
    "ERROR": "ERR_CODE has the first error",
    "QUEUE_LOW": "the queue ran empty",
    "COUNTER": "the 64 bits of a counter wrapped",
}

#: Counters, in order of their registers, and what they count.
PERF = {
    "cycles": "cycles",
    "busy": "cycles in which STATUS.BUSY was set",
    "compute": "cycles in which the engine took a step",
    "load_wait": "cycles in which the engine waited for operands",
    "store_wait": "cycles in which results waited for the bus",
    "stall_backpressure": "cycles in which the engine waited for its results to be taken",
    "rd_bytes": "bytes of the beats read",
    "wr_bytes": "bytes written",
    "rd_bursts": "read bursts issued",
    "wr_bursts": "write bursts issued",
    "macs": "products",
    "lookups": "table lookups",
}


@dataclass(frozen=True)
class DescriptorField:
    """Bits ``lsb`` and up of a word of a descriptor; what reaches beyond it is in the next one."""

    name: str
    word: int
    lsb: int
    width: int
    meaning: str


DESCRIPTOR = (
    DescriptorField("magic", 0, 0, 8, "0xD5"),
    DescriptorField("version", 0, 8, 8, "1"),
    DescriptorField("op", 0, 16, 8, "0 GEMM, 1 GEMV, 2 copy, 255 fence"),
    DescriptorField("flags", 0, 24, 8, "by bit: 0 irq, 1 accumulate, 3 last, 4 bias, 5 zero point"),
    DescriptorField("a_fmt", 1, 0, 4, "number of the activations' format, or 0"),
    DescriptorField("w_fmt", 1, 4, 4, "number of the weights' format, or planes, or 0"),
    DescriptorField("c_fmt", 1, 8, 4, "0"),
    DescriptorField("w_layout", 1, 12, 4, "layout of the weights, or 0"),
    DescriptorField("engine", 1, 16, 4, "number of the engine"),
    DescriptorField("activation", 1, 20, 4, "0 none, 1 relu, 3 clamp"),
    DescriptorField("round_mode", 1, 24, 4, "0"),
    DescriptorField("scale_mode", 1, 28, 4, "0"),
    DescriptorField("m", 2, 0, 16, "rows of A and C"),
    DescriptorField("n", 2, 16, 16, "columns of W and C; bytes of a row of a copy"),
    DescriptorField("k", 3, 0, 16, "columns of A, rows of W"),
    DescriptorField("g", 3, 16, 16, "products of a group, or 0"),
    DescriptorField("a", 4, 0, 64, "address of A"),
    DescriptorField("w", 6, 0, 64, "address of W"),
    DescriptorField("c", 8, 0, 64, "address of C"),
    DescriptorField("s", 10, 0, 64, "address of S"),
    DescriptorField("a_stride", 12, 0, 16, "bytes from row to row of A"),
    DescriptorField("c_stride", 12, 16, 16, "from row to row of C, in units of 4 bytes"),
    DescriptorField("w_stride", 13, 0, 16, "from column tile to column tile, in 16 bytes, or 0"),
    DescriptorField("tag", 15, 0, 16, "comes back in ERR_DESC and in the record"),
    DescriptorField("clamp_high", 15, 16, 8, "signed"),
    DescriptorField("clamp_low", 15, 24, 8, "signed"),
)

_SIGNED = ("clamp_high", "clamp_low")


def _words(number: int, count: int) -> tuple[int, ...]:
    return tuple(number >> 32 * i & 0xFFFF_FFFF for i in range(count))


@dataclass(frozen=True)
class Descriptor:
    """One descriptor; what is not given is 0, but for magic and version.

    Raises ``ValueError`` if a value does not fit its field.
    """

    magic: int = DESCRIPTOR_MAGIC
    version: int = DESCRIPTOR_VERSION
    op: int = 0
    flags: int = 0
    a_fmt: int = 0
    w_fmt: int = 0
    c_fmt: int = 0
    w_layout: int = 0
    engine: int = 0
    activation: int = 0
    round_mode: int = 0
    scale_mode: int = 0
    m: int = 0
    n: int = 0
    k: int = 0
    g: int = 0
    a: int = 0
    w: int = 0
    c: int = 0
    s: int = 0
    a_stride: int = 0
    c_stride: int = 0  #: In units of 4 bytes.
    w_stride: int = 0  #: In units of 16 bytes.
    tag: int = 0
    clamp_high: int = 0
    clamp_low: int = 0

    def __post_init__(self) -> None:
        for f in DESCRIPTOR:
            value, half = getattr(self, f.name), 1 << f.width - 1
            least, most = (-half, half - 1) if f.name in _SIGNED else (0, 2 * half - 1)
            if not least <= value <= most:
                raise ValueError(f"{f.name} must be in {least} ... {most}, not {value}")

    def pack(self) -> tuple[int, ...]:
        """Return the 16 words."""
        number = 0
        for f in DESCRIPTOR:
            value = getattr(self, f.name) & (1 << f.width) - 1
            number |= value << 32 * f.word + f.lsb
        return _words(number, DESCRIPTOR_WORDS)

    @classmethod
    def unpack(cls, words: Iterable[int]) -> "Descriptor":
        """Return the descriptor of 16 words; bits that belong to no field are dropped."""
        number, values = sum(word << 32 * i for i, word in enumerate(words)), {}
        for f in DESCRIPTOR:
            value = number >> 32 * f.word + f.lsb & (1 << f.width) - 1
            signed = f.name in _SIGNED and value >> f.width - 1
            values[f.name] = value - (1 << f.width) if signed else value
        return cls(**values)


@dataclass(frozen=True)
class Record:
    """What is written when a queued descriptor is completed."""

    tag: int
    index: int
    error: int
    cycles: int = field(compare=False, default=0)

    def pack(self) -> tuple[int, ...]:
        """Return the 4 words."""
        head = self.tag | self.index << 16 | self.error << 32
        return _words(head | self.cycles << 64, RECORD_BYTES // 4)

    @classmethod
    def unpack(cls, words: Iterable[int]) -> "Record":
        """Return the record of 4 words."""
        head, error, low, high = words
        return cls(head & 0xFFFF, head >> 16, error, high << 32 | low)


#: Kinds of results, as ENGINEi.C_KIND tells them.
C_KINDS = {"signed": 0, "unsigned": 1, "binary32": 2}


@dataclass(frozen=True)
class EngineNumbers:
    """What a register tells of one of the engines; ``c_kind`` is one of :data:`C_KINDS`."""

    a_fmt: int
    w_fmt: int
    layout: int
    c_kind: int
    depth: int
    acc_bits: int


def format_number(form: Format) -> int:
    """Return the number by which a descriptor calls a format."""
    return FORMAT_NUMBERS.get(form.name, FORMAT_NUMBERS["other"])


def features_of(word: int) -> dict[str, bool]:
    """Return which of :data:`FEATURES` a word says are there."""
    return {name: bool(word >> bit & 1) for name, bit in FEATURES.items()}


def usual_memory(addr_bits: int) -> tuple[int, int]:
    """Return base and size of the memory behind a device that is not there, if nobody says."""
    base = min(0x1000_0000, 1 << addr_bits - 1)
    return base, min(1 << 24, base)


def _value(name: str, offset: int, access: str, doc: str, bits: int = 32, **more: bool) -> Register:
    return Register(name, offset, access, doc, (Field("VALUE", 0, bits, doc),), **more)


def _capabilities(cap: Mapping[str, int]) -> list[Register]:
    """Return the constants, from ID to BUILD."""
    rows: tuple[tuple[str, str, tuple[tuple[str, int, int, int, str], ...]], ...] = (
        ("ID", "what this is", (("MAGIC", 0, 32, MAGIC, '"MPGE"'),)),
        (
            "VERSION",
            "of this map",
            (
                ("PATCH", 0, 16, VERSION & 0xFFFF, "fixes"),
                ("MINOR", 16, 8, VERSION >> 16 & 0xFF, "additions"),
                ("MAJOR", 24, 8, VERSION >> 24, "changes that a host must know"),
            ),
        ),
        (
            "CAP0",
            "kind of engine",
            (
                ("ENGINES", 0, 8, cap["engines"], "a bit for each kind"),
                ("MAX_BITS", 8, 8, cap["max_bits"], "most bits of a weight"),
                ("ACT_BITS", 16, 8, cap["act_bits"], "bits of an activation"),
                ("ACC_BITS", 24, 8, cap["acc_bits"], "bits of a sum"),
            ),
        ),
        (
            "CAP1",
            "shape of the engine",
            (
                ("ROWS", 0, 8, cap["rows"], "rows of a tile"),
                ("COLUMNS", 8, 8, cap["columns"], "columns of a tile"),
                ("DEPTH", 16, 8, cap["depth"], "products of a step for each sum"),
                ("GROUP", 24, 8, cap["group"], "activations that share a table, or 0"),
            ),
        ),
        (
            "CAP2",
            "memory inside",
            (
                ("BUFFER_KIB", 0, 16, cap["buffer_kib"], "for operands, rounded up"),
                ("ACC_KIB", 16, 16, cap["acc_kib"], "for sums, rounded up"),
            ),
        ),
        (
            "CAP3",
            "the AXI4 master",
            (
                ("LOG2_BYTES", 0, 8, cap["log2_bytes"], "of the data bus"),
                ("MAX_BURST", 8, 8, cap["max_burst"] - 1, "beats of a burst, less one"),
                ("OUTSTANDING", 16, 8, cap["outstanding"], "bursts at a time, each way"),
                ("ADDR_BITS", 24, 8, cap["addr_bits"], "bits of an address"),
            ),
        ),
        ("BUILD", "which parameters", (("HASH", 0, 32, cap["build"], "of the parameters"),)),
    )
    return [
        Register(
            name,
            4 * i,
            "RO",
            doc,
            tuple(Field(f, lsb, width, text, value) for f, lsb, width, value, text in fields),
            constant=True,
        )
        for i, (name, doc, fields) in enumerate(rows)
    ]


def _there(name: str, features: Mapping[str, bool]) -> bool:
    """Return whether a register is there, or a field of CTRL."""
    if name in ("QBASE_LO", "QBASE_HI", "QSIZE", "QHEAD", "QTAIL", "QUEUE_EN", "RECORD_EN"):
        return features["queue"]
    if name.startswith("PERF"):
        return features["counters"]
    return name != "TIMEOUT" or features["timeout"]


_NUMBERS = (
    ("A_FMT", 0, 4, "number of the activations' format"),
    ("W_FMT", 4, 4, "number of the weights' format, 0 for bit planes"),
    ("LAYOUT", 8, 4, "layout of the weights"),
    ("C_KIND", 12, 4, "results: 0 signed, 1 unsigned, 2 binary32"),
    ("DEPTH", 16, 8, "products of a step for each sum"),
    ("ACC_BITS", 24, 8, "bits of a sum"),
)


def _engine(number: int, told: EngineNumbers) -> Register:
    """Return the constant that tells of an engine."""
    fields = (Field(f, at, bits, doc, getattr(told, f.lower())) for f, at, bits, doc in _NUMBERS)
    offset = 0x0C0 + 4 * number
    return Register(
        f"ENGINE{number}", offset, "RO", f"engine {number}", tuple(fields), constant=True
    )


def coprocessor_map(
    *,
    engines: int,
    max_bits: int,
    act_bits: int,
    acc_bits: int,
    rows: int,
    columns: int,
    depth: int,
    group: int,
    buffer_kib: int,
    acc_kib: int,
    log2_bytes: int,
    max_burst: int,
    outstanding: int,
    addr_bits: int,
    build: int,
    numbers: Sequence[EngineNumbers],
    features: int = 0b01111,
    size_bits: int = 16,
) -> RegisterMap:
    """Return the registers; the arguments are the values of CAP0 to CAP4 and BUILD.

    ``engines`` has a bit for each of :data:`ENGINES`, ``features`` of :data:`FEATURES`;
    ``max_burst`` is in beats, ``numbers`` are those of each engine. Raises ``ValueError`` if a
    value does not fit its field.
    """
    found = features_of(features)
    every = _registers(locals(), found)
    return RegisterMap("coprocessor", tuple(r for r in every if _there(r.name, found)))


def _registers(cap: Mapping[str, Any], features: Mapping[str, bool]) -> tuple[Register, ...]:
    """Return the registers of a device that lacks nothing, but for fields of CTRL."""
    return (
        *_capabilities(cap),
        _value("SCRATCH", 0x01C, "RW", "no effect"),
        Register(
            "CTRL",
            0x020,
            "RW",
            "commands and modes",
            tuple(
                f
                for f in (
                    Field("START", 0, 1, "run the direct descriptor", once=True),
                    Field("SOFT_RESET", 1, 1, "stop, then all registers as after reset", once=True),
                    Field("ABORT", 2, 1, "end the running descriptor with error 12", once=True),
                    Field("QUEUE_EN", 3, 1, "run the descriptors of the queue"),
                    Field("IRQ_EN", 4, 1, "let the interrupt out"),
                    Field("RECORD_EN", 5, 1, "write a record for each queued descriptor"),
                )
                if _there(f.name, features)
            ),
        ),
        Register(
            "STATUS",
            0x024,
            "RO",
            "what goes on",
            (
                Field("IDLE", 0, 1, "no descriptor is being run", 1),
                Field("BUSY", 1, 1, "one is; guarded registers are locked"),
                Field("DONE", 2, 1, "as IRQ_STATUS.DONE"),
                Field("ERROR", 3, 1, "as IRQ_STATUS.ERROR"),
                Field("QUEUE_EMPTY", 4, 1, "QHEAD equals QTAIL", 1),
                Field("QUEUE_FULL", 5, 1, "QSIZE descriptors or more are pending"),
                Field("NAN", 6, 1, "a sum was not a number; cleared with DONE"),
                Field("PENDING", 8, 8, "descriptors in the queue, at most 255"),
                Field("COMPLETED", 16, 16, "descriptors completed, wraps"),
            ),
        ),
        Register(
            "IRQ_STATUS",
            0x028,
            "W1C",
            "events",
            tuple(Field(name, i, 1, doc) for i, (name, doc) in enumerate(IRQS.items())),
        ),
        Register(
            "IRQ_ENABLE",
            0x02C,
            "RW",
            "which events interrupt",
            tuple(Field(name, i, 1, doc) for i, (name, doc) in enumerate(IRQS.items())),
        ),
        _value("ERR_CODE", 0x030, "RO", "first error, until IRQ_STATUS.ERROR is cleared", 8),
        _value("ERR_ADDR_LO", 0x034, "RO", "first faulting address, low word"),
        _value("ERR_ADDR_HI", 0x038, "RO", "first faulting address, high word"),
        Register(
            "ERR_DESC",
            0x03C,
            "RO",
            "descriptor of the first error",
            (
                Field("TAG", 0, 16, "its tag"),
                Field("INDEX", 16, 16, "its index in the queue, 0xFFFF: direct"),
            ),
        ),
        _value("QBASE_LO", 0x040, "RW", "ring of descriptors, low word", guarded=True),
        _value("QBASE_HI", 0x044, "RW", "ring of descriptors, high word", guarded=True),
        _value("QSIZE", 0x048, "RW", "entries of the ring, a power of two", guarded=True),
        _value("QHEAD", 0x04C, "RW", "producer's index, free-running", 16),
        _value("QTAIL", 0x050, "RO", "consumer's index, free-running", 16),
        _value("TIMEOUT", 0x054, "RW", "cycles without progress, 0: off", guarded=True),
        Register(
            "AXI_ATTR",
            0x058,
            "RW",
            "attributes of the AXI4 master",
            (
                Field("CACHE", 0, 4, "AxCACHE", ATTR_RESET & 0xF),
                Field("PROT", 4, 3, "AxPROT", ATTR_RESET >> 4 & 7),
                Field("QOS", 8, 4, "AxQOS", ATTR_RESET >> 8 & 0xF),
            ),
            guarded=True,
        ),
        Register(
            "CAP4",
            0x05C,
            "RO",
            "engines side by side, what is there, the largest matrices",
            (
                Field("ENGINE_COUNT", 0, 8, "how many engines there are", len(cap["numbers"])),
                *(
                    Field(
                        name.upper(), 8 + bit, 1, f"{name}: 1 if there", cap["features"] >> bit & 1
                    )
                    for name, bit in FEATURES.items()
                ),
                Field("SIZE_BITS", 16, 8, "M and N have at most so many bits", cap["size_bits"]),
            ),
            constant=True,
        ),
        _value("MEM_CORRECTED", 0x060, "RO", "reads of buffers with an error corrected"),
        _value("MEM_DETECTED", 0x064, "RO", "reads of buffers with an error not corrected"),
        *(
            _value(f"DIRECT{i}", 0x080 + 4 * i, "RW", f"descriptor, word {i}")
            for i in range(DESCRIPTOR_WORDS)
        ),
        *(_engine(i, told) for i, told in enumerate(cap["numbers"])),
        *(
            _value(f"PERF{i}_{half}", 0x100 + 8 * i + 4 * high, "RO", f"{doc}, {half}")
            for i, doc in enumerate(PERF.values())
            for high, half in enumerate(("LO", "HI"))
        ),
        Register(
            "PERF_FREEZE",
            0x178,
            "RW",
            "hold what the counters show",
            (Field("FREEZE", 0, 1, "show the values of the moment this was set"),),
        ),
        _value("PERF_CLEAR", 0x17C, "WO", "any write zeroes the counters"),
    )
