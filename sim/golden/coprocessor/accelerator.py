# SPDX-License-Identifier: Apache-2.0
"""Golden model of the matrix co-processor: what memory and registers hold after every access.

Time is not part of it: a descriptor is completed before the next access, or, with ``instant``
False, whenever :meth:`GoldenAccelerator.step` is called, and until then the device is busy. The
memory is an array of bytes; addresses outside of it answer DECERR.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.coprocessor import (
    DESCRIPTOR_BYTES,
    DESCRIPTOR_WORDS,
    DIRECT_INDEX,
    ERROR_CODES,
    FEATURES,
    FLAGS,
    IRQS,
    MAX_QUEUE,
    OPS,
    PERF,
    RECORD_BYTES,
    Descriptor,
    EngineNumbers,
    Record,
    coprocessor_map,
    usual_memory,
)
from hw.spec.registers import Register, RegisterMap
from sim.golden.coprocessor.contract import Contract, Extent
from sim.golden.coprocessor.product import multiply
from sim.golden.coprocessor.roofline import roofline
from sim.golden.mpgemm.scaled import group_steps

__all__ = ["BusError", "GoldenAccelerator", "registers_of"]

_IRQ = {name: 1 << bit for bit, name in enumerate(IRQS)}
_RESPONSES = {"SLVERR": 0, "DECERR": 1}


class BusError(Exception):
    """The memory refused: an error code and the address."""

    def __init__(self, code: int, address: int) -> None:
        super().__init__(f"error {code} at {address:#x}")
        self.code, self.address = code, address


@dataclass(frozen=True)
class _Range:
    address: int
    size: int
    response: str
    reads: bool
    writes: bool


@dataclass(frozen=True)
class _Running:
    """A descriptor on its way; ``address`` is where it was fetched, 0 for the direct one."""

    queued: bool
    words: Sequence[int]
    tag: int
    index: int
    address: int
    error: tuple[int, int] | None = None  #: Code and address of what went wrong already.


def registers_of(manifest: Mapping[str, Any]) -> RegisterMap:
    """Return the registers that a manifest describes."""
    found = {
        f"{r['name']}.{f['name']}": int(r["reset"]) >> f["lsb"] & (1 << f["width"]) - 1
        for r in manifest["contract"]["registers"]
        for f in r["fields"]
    }
    names = {
        "CAP0": ("engines", "max_bits", "act_bits", "acc_bits"),
        "CAP1": ("rows", "columns", "depth", "group"),
        "CAP2": ("buffer_kib", "acc_kib"),
        "CAP3": ("log2_bytes", "max_burst", "outstanding", "addr_bits"),
        "CAP4": ("size_bits",),
    }
    values = {field: found[f"{r}.{field.upper()}"] for r, all_ in names.items() for field in all_}
    values["max_burst"] += 1
    features = sum(found[f"CAP4.{name.upper()}"] << bit for name, bit in FEATURES.items())
    numbers = [
        EngineNumbers(
            **{f.name: found[f"ENGINE{i}.{f.name.upper()}"] for f in fields(EngineNumbers)}
        )
        for i in range(found["CAP4.ENGINE_COUNT"])
    ]
    return coprocessor_map(**values, features=features, build=found["BUILD.HASH"], numbers=numbers)


class GoldenAccelerator:
    """The device that a manifest describes, with ``size`` bytes of memory from ``base`` on.

    Without them they are those of :func:`hw.spec.coprocessor.usual_memory`.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        *,
        base: int | None = None,
        size: int | None = None,
        instant: bool = True,
    ) -> None:
        self.contract = Contract.of(manifest)
        self.map = registers_of(manifest)
        usual = usual_memory(self.contract["addr_bits"])
        self.base, self.instant = usual[0] if base is None else base, instant
        self.memory: NDArray[np.uint8] = np.zeros(
            usual[1] if size is None else size, dtype=np.uint8
        )
        self._ranges: list[_Range] = []
        self._running: _Running | None = None
        self._restart()

    def _restart(self) -> None:
        self._kept = {r.name: r.reset for r in self.map.registers if r.access == "RW"}
        self._tail = self._completed = self._irq = self._error = 0
        self._error_address = self._error_desc = 0
        self._nan = False
        self._counters = dict.fromkeys(PERF, 0)
        self._shown = dict(self._counters)

    # The bus of the registers.

    def read32(self, address: int) -> tuple[int, bool]:
        """Return the word at a byte address, and whether the access is refused."""
        register = self.map.at(address)
        if register is None:
            return 0, True
        return self._value(register) & register.mask, False

    def write32(self, address: int, word: int, strobes: int = 0b1111) -> bool:
        """Write the bytes of a word that ``strobes`` enables; return whether that is refused."""
        register = self.map.at(address)
        if register is None or register.access == "RO" or (register.guarded and self.busy):
            return True
        enabled = sum(0xFF << 8 * k for k in range(4) if strobes >> k & 1)
        word &= enabled & register.mask
        if register.access == "W1C":
            self._clear(word)
        elif register.access == "RW":
            once = sum(f.mask for f in register.fields if f.once)
            before = self._kept[register.name]
            self._kept[register.name] = before & ~enabled | word & ~once
            self._written(register, before, word)
        elif register.name == "PERF_CLEAR":
            self._counters = dict.fromkeys(PERF, 0)
        return False

    @property
    def busy(self) -> bool:
        """Whether a descriptor is being run."""
        return self._running is not None

    @property
    def interrupt(self) -> bool:
        """The interrupt's level."""
        return bool(self._control("IRQ_EN") and self._irq & self._kept["IRQ_ENABLE"])

    # The memory.

    def fail(
        self, address: int, size: int, response: str, *, reads: bool = True, writes: bool = True
    ) -> None:
        """Let a range of addresses answer ``SLVERR`` or ``DECERR``."""
        if response not in _RESPONSES:
            raise ValueError(f"response must be SLVERR or DECERR, not {response!r}")
        self._ranges.append(_Range(address, size, response, reads, writes))

    def heal(self) -> None:
        """Let all of the memory answer OKAY again."""
        self._ranges.clear()

    def _check(self, extent: Extent, write: bool) -> NDArray[np.int64]:
        """Return the offsets of an extent's bytes. Raises :class:`BusError`."""
        places = extent.addresses()
        refused: list[tuple[int, int]] = []
        outside = (places < self.base) | (places >= self.base + len(self.memory))
        if outside.any():
            refused.append((int(places[outside][0]), _RESPONSES["DECERR"]))
        bus = self.contract["data_width"] // 8
        for each in self._ranges:
            if not (each.writes if write else each.reads):
                continue
            low, high = each.address // bus * bus, -(-(each.address + each.size) // bus) * bus
            hit = (places >= low) & (places < high)
            if hit.any():
                refused.append((int(places[hit][0]), _RESPONSES[each.response]))
        if refused:
            address, kind = min(refused)
            first = "write slverr" if write else "read slverr"
            raise BusError(ERROR_CODES[first] + kind, address)
        return places - self.base

    def _load(self, extent: Extent) -> NDArray[np.uint8]:
        return self.memory[self._check(extent, write=False)]

    def _store(self, extent: Extent, data: NDArray[np.uint8]) -> None:
        self.memory[self._check(extent, write=True)] = data

    # Registers.

    def _control(self, name: str) -> int:
        """Return a mode; one that the device lacks is never on."""
        register = self.map["CTRL"]
        there = any(f.name == name for f in register.fields)
        return register.get(self._kept["CTRL"], name) if there else 0

    def _stop_queue(self) -> None:
        if "QHEAD" in self.map:
            self._kept["CTRL"] &= ~self.map["CTRL"].field("QUEUE_EN").mask

    @property
    def _pending(self) -> int:
        return (self._kept.get("QHEAD", 0) - self._tail) % 65536

    def _value(self, register: Register) -> int:
        name = register.name
        if register.constant:
            return register.reset
        if name in self._kept:
            return self._kept[name]
        if name.startswith("PERF") and register.access == "RO":
            number, half = name.removeprefix("PERF").split("_")
            shown = self._shown if self._kept["PERF_FREEZE"] else self._counters
            return shown[list(PERF)[int(number)]] >> (32 if half == "HI" else 0) & 0xFFFF_FFFF
        if name == "STATUS":
            return self._status(register)
        return {
            "IRQ_STATUS": self._irq,
            "ERR_CODE": self._error,
            "ERR_ADDR_LO": self._error_address & 0xFFFF_FFFF,
            "ERR_ADDR_HI": self._error_address >> 32,
            "ERR_DESC": self._error_desc,
            "QTAIL": self._tail,
        }.get(name, 0)

    def _status(self, register: Register) -> int:
        pending = self._pending
        return register.make(
            IDLE=not self.busy,
            BUSY=self.busy,
            DONE=bool(self._irq & _IRQ["DONE"]),
            ERROR=bool(self._irq & _IRQ["ERROR"]),
            QUEUE_EMPTY=pending == 0,
            QUEUE_FULL=0 < pending >= self._kept.get("QSIZE", 0),
            NAN=self._nan,
            PENDING=min(pending, 255),
            COMPLETED=self._completed,
        )

    def _clear(self, word: int) -> None:
        self._irq &= ~word
        if word & _IRQ["ERROR"]:
            self._error = self._error_address = self._error_desc = 0
        if word & _IRQ["DONE"]:
            self._nan = False

    def _written(self, register: Register, before: int, word: int) -> None:
        """Do what a write of a register sets off."""
        if register.name == "PERF_FREEZE" and word and not before:
            self._shown = dict(self._counters)
        if register.name == "CTRL":
            self._commanded(before, {f.name: register.get(word, f.name) for f in register.fields})
        if register.name == "QHEAD":
            self._go_on()

    def _commanded(self, before: int, asked: Mapping[str, int]) -> None:
        if asked["SOFT_RESET"]:
            self._running = None
            self._restart()
            return
        if asked["ABORT"]:
            self._stop_queue()
            if self._running:
                self._complete(self._running, (ERROR_CODES["aborted"], 0))
            return
        if asked["START"]:
            words = [self._kept[f"DIRECT{k}"] for k in range(DESCRIPTOR_WORDS)]
            direct = _Running(False, words, Descriptor.unpack(words).tag, DIRECT_INDEX, 0)
            if self.busy:
                self._report(ERROR_CODES["overflow"], 0, direct)
            else:
                self._begin(direct)
        if asked.get("QUEUE_EN") and not self.map["CTRL"].get(before, "QUEUE_EN"):
            size, low = self._kept["QSIZE"], self._kept["QBASE_LO"]
            if low % DESCRIPTOR_BYTES or not 0 < size <= MAX_QUEUE or size & (size - 1):
                self._report(ERROR_CODES["size"], 0, _Running(True, (), 0, self._tail, 0))
        self._go_on()

    def _report(self, code: int, address: int, owner: _Running) -> None:
        """Raise an error; only the first one is kept."""
        self._stop_queue()
        if not self._irq & _IRQ["ERROR"]:
            self._error, self._error_address = code, address
            self._error_desc = owner.index << 16 | owner.tag
        self._irq |= _IRQ["ERROR"]

    # Descriptors.

    @property
    def _ring(self) -> int:
        return self._kept["QBASE_HI"] << 32 | self._kept["QBASE_LO"]

    def _go_on(self) -> None:
        """Begin with what is pending."""
        while not self.busy and self._control("QUEUE_EN") and self._pending:
            if self._pending > self._kept["QSIZE"]:
                self._report(ERROR_CODES["overflow"], 0, _Running(True, (), 0, self._tail, 0))
                return
            self._begin(self._fetch())

    def _fetch(self) -> _Running:
        index = self._tail
        address = self._ring + DESCRIPTOR_BYTES * (index % self._kept["QSIZE"])
        try:
            data = self._load(Extent(address, DESCRIPTOR_BYTES))
        except BusError as error:
            return _Running(True, (), 0, index, address, (error.code, error.address))
        words = data.reshape(-1).view("<u4").tolist()
        return _Running(True, words, Descriptor.unpack(words).tag, index, address)

    def _begin(self, running: _Running) -> None:
        self._running = running
        if self.instant:
            self.step()

    def step(self) -> None:
        """Complete the descriptor that is being run, and begin the next one."""
        running = self._running
        if running is None:
            return
        fault = running.error
        if fault is None:
            code = self.contract.refusal(running.words)
            fault = (code, running.address) if code else None
        if fault is None:
            try:
                self._run(Descriptor.unpack(running.words))
            except BusError as error:
                fault = error.code, error.address
        self._complete(running, fault)
        self._go_on()

    def _run(self, d: Descriptor) -> None:
        if d.op == OPS["fence"]:
            return
        if d.op == OPS["copy"]:
            extents = self.contract.extents(d)
            self._store(extents["c"], self._load(extents["a"]))
            self._count(d)
            return
        result = multiply(self.contract, d, self._load)
        self._store(self.contract.extents(d)["c"], result.c)
        self._nan |= result.nan
        self._count(d)

    def _count(self, d: Descriptor) -> None:
        """Count bytes of operands, and products where the engine multiplies; no lookups.

        Cycles are those of the roofline, products those of whole tiles and steps.
        """
        found, c = roofline(d, self.contract), self.contract.chosen(d.engine)
        multiplies = c.unit.name not in ("lut", "lut-ternary", "pq") and d.op != OPS["copy"]
        tiles = len(c.tiles(d.n)) * c.row_tiles(d.m) * c["rows"] * c["columns"]
        steps = sum(group_steps(c.parameters, d.k, c["depth"]))
        if multiplies and c.stays(d):
            steps = -(-steps // c["rows"])
        for name, value in {
            "cycles": found.cycles,
            "busy": found.cycles,
            "compute": found.compute,
            "rd_bytes": found.read_bytes,
            "wr_bytes": found.write_bytes,
            "macs": tiles * steps * c["depth"] * multiplies,
        }.items():
            self._counters[name] += value

    def _complete(self, running: _Running, fault: tuple[int, int] | None) -> None:
        queued = running.queued
        if queued and self._control("RECORD_EN"):
            fault = self._record(running, fault)
        self._running = None
        self._completed = (self._completed + 1) % 65536
        if queued:
            self._tail = (self._tail + 1) % 65536
            if not self._pending:
                self._irq |= _IRQ["QUEUE_LOW"]
        if fault:
            self._report(*fault, running)
            return
        flags = Descriptor.unpack(running.words).flags
        if flags >> FLAGS["irq"] & 1 or not queued:
            self._irq |= _IRQ["DONE"]
        if flags >> FLAGS["last"] & 1 and queued:
            self._stop_queue()

    def _record(self, running: _Running, fault: tuple[int, int] | None) -> tuple[int, int] | None:
        size = self._kept["QSIZE"]
        at = self._ring + DESCRIPTOR_BYTES * size + RECORD_BYTES * (running.index % size)
        words = Record(running.tag, running.index, fault[0] if fault else 0).pack()
        try:
            self._store(Extent(at, RECORD_BYTES), np.array(words, dtype="<u4").view(np.uint8))
        except BusError as error:
            return fault or (error.code, error.address)
        return fault
