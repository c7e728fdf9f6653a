# SPDX-License-Identifier: Apache-2.0
"""The emitted co-processor under simulation, with a memory: a transport for the host driver.

``Accelerator(SimTransport(verilog, manifest), manifest)`` runs numpy arrays through the Verilog
itself, compiled, at tens to hundreds of thousands of cycles a second. Time passes only while a
register is accessed and in :meth:`SimTransport.wait_interrupt` and :meth:`SimTransport.step`.
"""

import ctypes
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fpga.driver.memory import Buffer, Heap
from fpga.driver.transport import Bytes, DeviceError
from hw.spec.coprocessor import usual_memory
from sim.bench.cxxrtl import compiled

__all__ = ["CACHE", "RESPONSES", "MemoryModel", "SimTransport"]

CACHE = Path("build/simulators")  #: Where compiled designs stay.
#: What a range of addresses may answer; RLAST: OKAY, but a burst ends there, or is not ended.
RESPONSES = {"SLVERR": 2, "DECERR": 3, "RLAST": 4}

_BENCH = Path(__file__).parent / "bench" / "axi_memory.cc"
_CHUNK = 20_000  #: Cycles between two looks at the clock and the progress.
_CHANNELS = ("ar", "r", "aw", "w", "b", "lite")


@dataclass(frozen=True)
class MemoryModel:
    """How the memory behaves.

    Parameters
    ----------
    base, size
        What it answers to, in bytes; everything else is DECERR. Without a base as
        :func:`hw.spec.coprocessor.usual_memory` has it, and no more than the bus reaches.
    read_latency, write_latency
        Cycles from the address of a burst to its first beat, from its last beat to the response.
    bandwidth
        Beats in a cycle, 0 to 1, each for reads and writes.
    seed, stalls
        Random stalls: percent of cycles in which a channel (``ar``, ``r``, ``aw``, ``w``, ``b``,
        and ``lite``, the master of the registers) does not move; one number stands for all. Without
        a seed there are none.
    shy
        AWREADY waits for WVALID, as the standard allows.
    """

    base: int | None = None
    size: int | None = None
    read_latency: int = 20
    write_latency: int = 8
    bandwidth: float = 1.0
    seed: int | None = None
    stalls: int | Mapping[str, int] = 30
    shy: bool = False

    def __post_init__(self) -> None:
        if not 1 / 1024 <= self.bandwidth <= 1:
            raise ValueError(f"bandwidth must be 1/1024 to 1 beats a cycle, not {self.bandwidth}")
        base, size = self.base or 0, 4096 if self.size is None else self.size
        if size < 1 or base < 0 or base % 4096 or size % 4096:
            raise ValueError(
                f"base and size must be multiples of 4096, not {base:#x} and {size:#x}"
            )
        unknown = set(self.percent) - set(_CHANNELS)
        if unknown:
            raise ValueError(f"stalls must name {', '.join(_CHANNELS)}, not {sorted(unknown)[0]}")
        if not all(0 <= value <= 95 for value in self.percent.values()):
            raise ValueError(f"stalls must be 0 to 95 percent, not {self.stalls}")

    def on(self, addr_bits: int) -> tuple[int, int]:
        """Return base and size on a bus of so many address bits. Raises ``ValueError``."""
        base, size = usual_memory(addr_bits)
        if self.base is None:
            return base, min(base, self.size or size)
        size = self.size or size
        if self.base + size > 1 << addr_bits:
            raise ValueError(
                f"memory to {self.base + size:#x} is beyond the bus, {1 << addr_bits:#x}"
            )
        return self.base, size

    @property
    def percent(self) -> dict[str, int]:
        """Percent of stalls by channel."""
        if self.seed is None:
            return {}
        if isinstance(self.stalls, Mapping):
            return dict(self.stalls)
        return dict.fromkeys(_CHANNELS, self.stalls)


class _Config(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("base", "size", "seed")),
        *(
            (name, ctypes.c_uint32)
            for name in (
                "read_latency",
                "write_latency",
                "bandwidth",
                "max_burst",
                "outstanding",
                "shy",
            )
        ),
        ("stall", ctypes.c_uint32 * len(_CHANNELS)),
    )


_COUNTS = (
    "cycles",
    "read_bursts",
    "read_beats",
    "write_bursts",
    "write_beats",
    "write_bytes",
    "interrupts",
)


class _Statistics(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in _COUNTS)


def _library(path: Path) -> ctypes.CDLL:
    found = ctypes.CDLL(str(path))
    pointer, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    found.bench_create.restype = pointer
    found.bench_create.argtypes = [pointer, ctypes.POINTER(_Config)]
    found.bench_destroy.argtypes = found.bench_reset.argtypes = [pointer]
    found.bench_run.argtypes = [pointer, u64, ctypes.c_int]
    found.bench_access.argtypes = [pointer, ctypes.c_int, u32, u32, u32, ctypes.POINTER(u32)]
    found.bench_answer.argtypes = [pointer, u64, u64, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    found.bench_statistics.argtypes = [pointer, ctypes.POINTER(_Statistics)]
    found.bench_forget.argtypes = found.bench_interrupt.argtypes = [pointer]
    found.bench_fault.argtypes, found.bench_fault.restype = [pointer], ctypes.c_char_p
    return found


class SimTransport:
    """Verilog with ports ``s_axi_ctrl_*``, ``m_axi_*``, ``aclk``, ``aresetn`` and ``interrupt``.

    Parameters
    ----------
    verilog
        Its text, or a file of it.
    manifest
        With ``module`` and ``contract``: ``max_burst`` and ``outstanding`` are held against it.
    model
        How the memory behaves.
    cache
        Folder of compiled designs.
    flatten
        Flatten the design first: several times the time to compile, for long runs.

    A rule of the bus that the design breaks is a :class:`DeviceError` from then on. Raises
    :class:`fpga.tools.ToolError` where Yosys or the compiler is missing.
    """

    def __init__(
        self,
        verilog: str | Path,
        manifest: Mapping[str, Any],
        model: MemoryModel | None = None,
        *,
        cache: Path = CACHE,
        flatten: bool = False,
    ) -> None:
        self.model = model or MemoryModel()
        text = verilog.read_text(encoding="utf-8") if isinstance(verilog, Path) else verilog
        contract = manifest.get("contract", {})
        self.base, size = self.model.on(int(contract.get("addr_bits", 64)))
        self.memory = np.zeros(size, dtype=np.uint8)
        self._heap = Heap(self.base, size)
        self._started = time.monotonic()
        self._say(f"compiling {manifest['module']}")
        path = compiled(text, str(manifest["module"]), _BENCH, cache, flatten=flatten)
        self._lib = _library(path)
        percent, seed = self.model.percent, self.model.seed or 0
        config = _Config(
            base=self.base,
            size=size,
            seed=seed,
            read_latency=self.model.read_latency,
            write_latency=self.model.write_latency,
            bandwidth=round(self.model.bandwidth * 1024),
            max_burst=int(contract.get("max_burst", 0)),
            outstanding=int(contract.get("outstanding", 0)),
            shy=self.model.shy,
            stall=tuple(percent.get(name, 0) for name in _CHANNELS),
        )
        where = self.memory.ctypes.data_as(ctypes.c_void_p)
        self._bench: int | None = self._lib.bench_create(where, ctypes.byref(config))
        self._say("")

    def __enter__(self) -> "SimTransport":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the simulation up."""
        if self._bench is not None:
            self._lib.bench_destroy(self._bench)
            self._bench = None

    def access(
        self, address: int, data: int | None = None, strobes: int = 0b1111
    ) -> tuple[int, int]:
        """Read a register, or write ``data``; return the word and the response (0: OKAY)."""
        found = ctypes.c_uint32()
        write, word = (0, 0) if data is None else (1, data)
        bench = self._alive()
        response = self._lib.bench_access(bench, write, address, word, strobes, ctypes.byref(found))
        self._judge(response)
        return found.value, int(response)

    def read(self, address: int, words: int) -> list[int]:
        """Return registers. Raises :class:`DeviceError` where one refuses."""
        values = []
        for place in range(address, address + 4 * words, 4):
            value, response = self.access(place)
            if response:
                raise DeviceError(f"a read of the register at {place:#05x} was refused")
            values.append(value)
        return values

    def write(self, address: int, words: Sequence[int], *, fixed: bool = False) -> None:
        """Write registers. Raises :class:`DeviceError` where one refuses."""
        for number, word in enumerate(words):
            place = address if fixed else address + 4 * number
            if self.access(place, word)[1]:
                raise DeviceError(f"a write to the register at {place:#05x} was refused")

    def alloc(self, size: int, align: int = 64) -> Buffer:
        """Take memory. Raises ``ValueError`` where none is left."""
        return self._heap.alloc(size, align)

    def free(self, buffer: Buffer) -> None:
        """Give memory back."""
        self._heap.free(buffer)

    def upload(self, address: int, data: Bytes) -> None:
        """Copy bytes into the memory."""
        at = self._heap.check(address, len(data))
        self.memory[at : at + len(data)] = np.frombuffer(data, dtype=np.uint8)

    def download(self, address: int, size: int) -> bytes:
        """Return bytes of the memory."""
        at = self._heap.check(address, size)
        return self.memory[at : at + size].tobytes()

    def wait_interrupt(self, timeout: float) -> bool:
        """Let cycles pass until the interrupt is up, for ``timeout`` seconds by the clock."""
        end = time.monotonic() + timeout
        self._started, self._told = time.monotonic(), 0.0
        try:
            while not self._run(_CHUNK, True):
                if time.monotonic() >= end:
                    return False
                self._progress()
            return True
        finally:
            if self._told:
                self._say("")

    def step(self, cycles: int) -> bool:
        """Let cycles pass; return whether the interrupt is up then."""
        for start in range(0, cycles, _CHUNK):
            self._run(min(_CHUNK, cycles - start), False)
        return bool(self._lib.bench_interrupt(self._alive()))

    def reset(self) -> None:
        """Hold the design in reset for 16 cycles. The memory keeps its content."""
        self._lib.bench_reset(self._alive())
        self._judge(-1 if self._lib.bench_fault(self._alive()) else 0)

    def answer(self, address: int, size: int, response: str, *, reads: bool, writes: bool) -> None:
        """Let a range of addresses give one of :data:`RESPONSES`; nothing is written there.

        A wrong ``RLAST`` is for reads only.
        """
        if response not in RESPONSES:
            raise ValueError(f"response must be {', '.join(RESPONSES)}, not {response!r}")
        if response == "RLAST" and writes:
            raise ValueError("writes must be False with RLAST")
        code = RESPONSES[response]
        self._lib.bench_answer(self._alive(), address, address + size, reads, writes, code)

    def heal(self) -> None:
        """Let every address answer OKAY again."""
        self._lib.bench_forget(self._alive())

    def statistics(self) -> dict[str, int]:
        """Return cycles, bursts, beats and bytes as the memory has counted them.

        ``interrupts`` are cycles in which the interrupt was up.
        """
        found = _Statistics()
        self._lib.bench_statistics(self._alive(), ctypes.byref(found))
        return {name: int(getattr(found, name)) for name in _COUNTS}

    def _run(self, cycles: int, until_interrupt: bool) -> bool:
        return self._judge(self._lib.bench_run(self._alive(), cycles, until_interrupt)) == 1

    def _alive(self) -> int:
        if self._bench is None:
            raise ValueError("the simulation is closed")
        return self._bench

    def _judge(self, result: int) -> int:
        if result < 0:
            fault = self._lib.bench_fault(self._alive()).decode()
            raise DeviceError(f"the design breaks a rule of its bus: {fault}")
        return result

    _told = 0.0

    def _progress(self) -> None:
        now = time.monotonic()
        if now - max(self._told, self._started) > 0.5:
            self._told = now
            self._say(f"{self.statistics()['cycles']:,} cycles, {now - self._started:.0f} s")

    @staticmethod
    def _say(text: str) -> None:
        """Show one line on a terminal, over the one before."""
        if sys.stderr.isatty():
            print(f"\r{text:<60}", end="" if text else "\r", file=sys.stderr, flush=True)
