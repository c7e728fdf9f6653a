# SPDX-License-Identifier: Apache-2.0
"""Registers and descriptors of the matrix co-processor, without what they are about."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fpga.driver.errors import AcceleratorError
from fpga.driver.memory import Buffer
from fpga.driver.transport import DeviceError, MemoryTransport
from hw.spec.coprocessor import (
    DESCRIPTOR_BYTES,
    ERROR_CODES,
    ERROR_MEANINGS,
    FLAGS,
    MAGIC,
    MAX_QUEUE,
    PERF,
    RECORD_BYTES,
    VERSION,
    Descriptor,
    Record,
)
from hw.spec.registers import RegisterMap

__all__ = ["Device", "Run"]

_PATTERN = 0x5AA5_C33C
_PAUSE = 0.05  #: Longest wait for an interrupt before the status is read, in seconds.
_BREATH = 0.001  #: Pause between two looks at a device without an interrupt.


@dataclass
class Run:
    """A descriptor on its way: ``index`` in the queue, ``None`` for a direct one.

    ``cycles`` are those since it was fetched, which records tell. ``nan``: a sum was not a number,
    here or in another descriptor that was on its way.
    """

    index: int | None
    tag: int
    done: bool = False
    error: AcceleratorError | None = None
    cycles: int | None = None
    nan: bool = False


class Device:
    """The registers ``registers`` behind ``transport``; the arguments are those of the driver."""

    def __init__(
        self, transport: MemoryTransport, registers: RegisterMap, queue: int, timeout: float
    ) -> None:
        if queue and (not 1 <= queue <= MAX_QUEUE or queue & (queue - 1)):
            raise ValueError(f"queue must be 0 or a power of two to {MAX_QUEUE}, not {queue}")
        if queue and "QHEAD" not in registers:
            raise ValueError(f"the device has no queue: queue must be 0, not {queue}")
        self.transport, self.registers = transport, registers
        self.queue, self.timeout = queue, timeout
        self._ring: Buffer | None = None
        self._runs: deque[Run] = deque()
        self._faults: dict[int, tuple[int, int]] = {}
        self._head = self._tag = 0
        self._stopped = True
        self.identify()
        self.reset()

    @property
    def runs(self) -> int:
        """How many descriptors are on their way, as far as is known."""
        return len(self._runs)

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        if len(self._runs) >= max(self.queue, 1):
            self.collect()
        return len(self._runs) >= max(self.queue, 1)

    def identify(self) -> dict[str, int]:
        """Return the constant registers, compared with those that are due."""
        constants = [r for r in self.registers.registers if r.constant]
        # Those of further engines are elsewhere, and not there in a device of other parameters.
        first = [r for r in constants if r.offset <= self.registers["BUILD"].offset]
        words = self.transport.read(first[0].offset, len(first))
        found = {r.name: word for r, word in zip(first, words, strict=True)}
        if found["ID"] != MAGIC:
            raise DeviceError(
                f"the device is no matrix co-processor: its ID is {found['ID']:#010x}, "
                f"not {MAGIC:#010x}"
            )
        if found["VERSION"] >> 24 != VERSION >> 24:
            raise DeviceError(
                f"the device has version {found['VERSION'] >> 24} of the registers, "
                f"this driver knows {VERSION >> 24}"
            )
        found["CAP4"] = self._read("CAP4")
        build, lacks = (self.registers[name].reset for name in ("BUILD", "CAP4"))
        if (found["BUILD"], found["CAP4"]) != (build, lacks):
            raise ValueError(
                "the device was generated with other parameters than the manifest: BUILD "
                f"{found['BUILD']:#010x}, not {build:#010x}; {self._differences(found)}"
            )
        found |= {r.name: self._read(r.name) for r in constants if r.name not in found}
        offset = self.registers["SCRATCH"].offset
        for word in (_PATTERN, ~_PATTERN & 0xFFFF_FFFF):
            self.transport.write(offset, [word])
            if self.transport.read(offset, 1) != [word]:
                raise DeviceError("the device does not keep what is written to SCRATCH")
        return found

    def _differences(self, found: Mapping[str, int]) -> str:
        told = [
            f"{f.name} {r.get(found[r.name], f.name)}, not {r.get(r.reset, f.name)}"
            for r in self.registers.registers
            if r.name.startswith("CAP") and r.name in found
            for f in r.fields
            if r.get(found[r.name], f.name) != r.get(r.reset, f.name)
        ]
        return "; ".join(told) or "the same sizes, but not the same numbers"

    def reset(self) -> None:
        """Reset the device; what was on its way fails as aborted."""
        self._command(SOFT_RESET=1)
        self._quiet()
        self._drop()
        self._head = 0
        self._write("IRQ_ENABLE", self.registers["IRQ_ENABLE"].make(DONE=1, ERROR=1, QUEUE_LOW=1))
        if self.queue:
            size = self.queue * (DESCRIPTOR_BYTES + RECORD_BYTES)
            if self._ring is None:
                self._ring = self.transport.alloc(size, DESCRIPTOR_BYTES)
            self._write("QBASE_LO", self._ring.address & 0xFFFF_FFFF)
            self._write("QBASE_HI", self._ring.address >> 32)
            self._write("QSIZE", self.queue)
        self._go()

    def abort(self) -> None:
        """End what is running; all that is not done by then fails as aborted."""
        self._command(ABORT=1)
        self._quiet()
        self._stopped = True
        self.collect(go_on=False)
        self._drop()
        if self.queue:
            self._head = self._read("QTAIL")
            self._write("QHEAD", self._head)
        self._write("IRQ_STATUS", self.registers["IRQ_STATUS"].mask)
        self._go()

    def close(self) -> None:
        """Reset the device and give the ring back."""
        try:
            self._command(SOFT_RESET=1)
            self._quiet()
        finally:
            self._drop()
            if self._ring is not None:
                self.transport.free(self._ring)
                self._ring = None

    def counters(self) -> dict[str, int]:
        """Return the counters, all of one moment; 0 in a device without."""
        if "PERF_FREEZE" not in self.registers:
            return dict.fromkeys(PERF, 0)
        self._write("PERF_FREEZE", 1)
        words = self.transport.read(self.registers["PERF0_LO"].offset, 2 * len(PERF))
        self._write("PERF_FREEZE", 0)
        return {name: words[2 * k] | words[2 * k + 1] << 32 for k, name in enumerate(PERF)}

    def clear_counters(self) -> None:
        """Zero the counters, if there are any."""
        if "PERF_CLEAR" in self.registers:
            self._write("PERF_CLEAR", 1)

    # Descriptors.

    def start(self, descriptor: Descriptor) -> Run:
        """Hand a descriptor over; there must be room for it."""
        self._tag = (self._tag + 1) % 65536
        flags = descriptor.flags | 1 << FLAGS["irq"]
        words = replace(descriptor, tag=self._tag, flags=flags).pack()
        if self._ring is None:
            run = Run(None, self._tag)
            self._runs.append(run)
            self.transport.write(self.registers["DIRECT0"].offset, words)
            self._command(START=1)
            return run
        run = Run(self._head, self._tag)
        self._runs.append(run)
        data = b"".join(word.to_bytes(4, "little") for word in words)
        at = self._ring.address + DESCRIPTOR_BYTES * (self._head % self.queue)
        self.transport.upload(at, data)
        self._head = (self._head + 1) % 65536
        self._write("QHEAD", self._head)
        if self._stopped:
            self._go()
        return run

    def wait(self, run: Run, timeout: float | None = None) -> None:
        """Wait until a descriptor is done, for ``timeout`` seconds; else :class:`DeviceError`."""
        seconds = self.timeout if timeout is None else timeout
        end = time.monotonic() + seconds
        while True:
            self.collect()
            left = end - time.monotonic()
            if run.done:
                return
            if left <= 0:
                status = self._read("STATUS")
                raise DeviceError(
                    f"no completion within {seconds:g} s; the device says STATUS {status:#010x}"
                )
            started = time.monotonic()
            if (
                not self.transport.wait_interrupt(min(left, _PAUSE))
                and time.monotonic() - started < _BREATH
            ):
                time.sleep(_BREATH)

    def collect(self, *, go_on: bool = True) -> None:
        """Note what is done; a queue that an error has stopped goes on if anything is pending."""
        if self._ring is None:
            self._collect_direct()
            return
        tail = None
        # What comes between the two reads of QTAIL has its event cleared, so it is looked for.
        while tail != (tail := self._read("QTAIL")):
            self._acknowledge()
            while self._runs and 0 < (tail - (self._runs[0].index or 0)) % 65536 <= self.queue:
                self._finish(self._runs.popleft())
        if self._stopped and self._runs and go_on:
            self._go()

    def _collect_direct(self) -> None:
        status = self.registers["STATUS"]
        word = self._read("STATUS")
        if not self._runs or status.get(word, "BUSY"):
            return
        if not status.get(word, "DONE") and not status.get(word, "ERROR"):
            return
        run = self._runs.popleft()
        run.nan, run.done = bool(status.get(word, "NAN")), True
        if status.get(word, "ERROR"):
            run.error = AcceleratorError(self._read("ERR_CODE"), self._error_address())
        self._write("IRQ_STATUS", self.registers["IRQ_STATUS"].mask)

    def _acknowledge(self) -> None:
        """Clear what has happened, after noting errors."""
        register = self.registers["IRQ_STATUS"]
        events = self._read("IRQ_STATUS")
        if self._runs and self.registers["STATUS"].get(self._read("STATUS"), "NAN"):
            for run in self._runs:
                run.nan = True
        if register.get(events, "ERROR"):
            code, address = self._read("ERR_CODE"), self._error_address()
            owner = self.registers["ERR_DESC"].get(self._read("ERR_DESC"), "INDEX")
            self._stopped = True
            self._faults[owner] = code, address
        if events:
            self._write("IRQ_STATUS", events)
        if register.get(events, "ERROR") and code == ERROR_CODES["overflow"]:
            raise DeviceError(f"the queue was driven wrongly: {ERROR_MEANINGS[code]}")

    def _finish(self, run: Run) -> None:
        assert self._ring is not None and run.index is not None
        at = DESCRIPTOR_BYTES * self.queue + RECORD_BYTES * (run.index % self.queue)
        data = self.transport.download(self._ring.address + at, RECORD_BYTES)
        record = Record.unpack(
            int.from_bytes(data[k : k + 4], "little") for k in range(0, RECORD_BYTES, 4)
        )
        run.done = True
        code, address = self._faults.pop(run.index, (record.error, 0))
        if code:
            run.error = AcceleratorError(code, address, run.index)
        elif (record.tag, record.index) != (run.tag, run.index):
            raise DeviceError(
                f"the record of descriptor {run.index} is that of {record.index}, "
                f"tag {record.tag:#06x}, not {run.tag:#06x}"
            )
        run.cycles = record.cycles

    def _drop(self) -> None:
        while self._runs:
            run = self._runs.popleft()
            run.done = True
            run.error = AcceleratorError(ERROR_CODES["aborted"], 0, run.index)
        self._faults.clear()

    # Registers.

    def _read(self, name: str) -> int:
        return self.transport.read(self.registers[name].offset, 1)[0]

    def _write(self, name: str, word: int) -> None:
        self.transport.write(self.registers[name].offset, [word])

    def _error_address(self) -> int:
        return self._read("ERR_ADDR_HI") << 32 | self._read("ERR_ADDR_LO")

    def _command(self, **fields: int) -> None:
        self._write("CTRL", self.registers["CTRL"].make(**{"IRQ_EN": 1, **fields}))

    def _go(self) -> None:
        """Let the interrupt out, and the queue run if there is one."""
        self._command(**{} if self._ring is None else {"QUEUE_EN": 1, "RECORD_EN": 1})
        self._stopped = False

    def _quiet(self) -> None:
        end = time.monotonic() + self.timeout
        while self.registers["STATUS"].get(self._read("STATUS"), "BUSY"):
            if time.monotonic() > end:
                raise DeviceError(f"the device is still busy after {self.timeout:g} s")
