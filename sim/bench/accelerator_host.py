# SPDX-License-Identifier: Apache-2.0
"""A host of a matrix co-processor that writes down what it does and what it must find.

The golden model goes along and says what every access must find. The memory of the device is two
windows that move, so that every bit of an address is in use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hw.spec.coprocessor import OPS, Descriptor
from sim.bench.drive_memory import ANY, Script
from sim.golden.coprocessor.accelerator import GoldenAccelerator

__all__ = ["HALF", "LIMIT", "MOODS", "QUARTER", "RESPONSES", "RING", "Host"]

HALF = 1 << 15  #: Bytes of memory in each of two windows, which move.
QUARTER = HALF // 2
RING = QUARTER - 2048  #: Of the first window.
LIMIT = 30_000  #: Cycles after which a device that is still busy hangs.
_SHORT = ("STATUS", "IRQ_STATUS", "CTRL", "ERR_CODE", "ERR_DESC", "ERR_ADDR_LO", "ERR_ADDR_HI")
RESPONSES = {"SLVERR": 2, "DECERR": 3}

#: Latency of reads and writes, beats in 1024 cycles, AWREADY after WVALID, percent of stalls.
MOODS = (
    (1, 1, 1024, 0, 0),
    (40, 30, 1024, 0, 0),
    (4, 4, 1024, 1, 30),
    (2, 2, 256, 0, 10),
    (1, 1, 1024, 1, 70),
)


class Host:
    """Does the same to the golden model and, in the script, to the device."""

    def __init__(self, manifest: Mapping[str, Any], rng: np.random.Generator) -> None:
        self.rng, self.reach = rng, 1 << min(32, int(manifest["contract"]["addr_bits"]))
        # All that can be addressed, of which the system gives only what is touched.
        self.golden = GoldenAccelerator(manifest, base=0, size=self.reach)
        self.map, self.contract = self.golden.map, self.golden.contract
        self.script = Script(2 * HALF)
        self.script.add("reset", 16)
        self.fresh = False  # whether the device's memory is that of the golden model
        self.move()

    # Memory.

    def move(self, first: int | None = None, second: int | None = None) -> None:
        """Put the windows somewhere else, with other bytes."""
        pages = (self.reach - HALF) // 4096
        one = 4096 * int(self.rng.integers(pages)) if first is None else first
        two = second
        while two is None or abs(one - two) < HALF:
            two = 4096 * int(self.rng.integers(1, pages))
        self.windows = (one, two)
        self.script.add("windows", *self.windows)
        self.fill()

    def at(self, quarter: int) -> int:
        """Return where a quarter of the memory begins."""
        return self.windows[quarter // 2] + QUARTER * (quarter % 2)

    def image(self) -> bytes:
        memory = self.golden.memory
        return b"".join(memory[at : at + HALF].tobytes() for at in self.windows)

    def hand_over(self) -> None:
        """Give the device the memory of the golden model before it begins."""
        if not self.fresh:
            self.script.add("fill", self.script.image(self.image()))
            self.fresh = True

    def put(self, address: int, data: Any) -> None:
        self.golden.memory[address : address + len(data)] = data
        self.fresh = False

    def fill(self) -> None:
        """Put random bytes everywhere, now and then only those of the largest codes."""
        ends = np.array([0x77, 0x88, 0x7F, 0x80, 0x78], dtype=np.uint8)
        some = ends[: 1 + int(self.rng.integers(5))] if self.rng.random() < 0.3 else None
        for at in self.windows:
            if some is None:
                self.put(at, self.rng.integers(0, 256, HALF, dtype=np.uint8))
            else:
                self.put(at, self.rng.choice(some, HALF))

    def mood(self, number: int) -> None:
        self.script.add("mood", *MOODS[number])

    def answer(self, address: int, size: int, response: str, reads: bool, writes: bool) -> None:
        self.hand_over()
        self.golden.fail(address, size, response, reads=reads, writes=writes)
        self.script.add("answer", address, size, reads, writes, RESPONSES[response])

    def heal(self) -> None:
        self.golden.heal()
        self.script.add("heal")

    # Registers.

    def write(self, name: str, word: int = 0, strobes: int = 15, **fields: int) -> None:
        register = self.map[name]
        if fields.get("SOFT_RESET"):
            self.script.add("attributes", ANY)
        self.access(register.offset, register.make(**fields) if fields else word, strobes)
        if name == "AXI_ATTR":
            self.script.add("attributes", self.golden.read32(register.offset)[0])

    def access(self, offset: int, word: int, strobes: int = 15) -> None:
        self.hand_over()
        refused = self.golden.write32(offset, word, strobes)
        self.script.add("write", offset, word, strobes, 2 * refused)

    def expect(self, offset: int, mask: int = 0xFFFF_FFFF) -> None:
        """Read a register as the golden model has it."""
        word, refused = self.golden.read32(offset)
        self.script.add("read", offset, mask, word & mask, 2 * refused)

    def expect_all(self, *names: str) -> None:
        for name in names:
            self.expect(self.map[name].offset)

    def value(self, name: str) -> int:
        return self.golden.read32(self.map[name].offset)[0]

    def rest(self, limit: int = LIMIT) -> None:
        status = self.map["STATUS"]
        self.script.add("poll", status.offset, status.field("BUSY").mask, 0, 0, limit)
        self.script.add("attributes", self.value("AXI_ATTR"))

    def compare(self, records: Sequence[int] = (), quick: bool = False) -> None:
        """Insist that memory, registers and interrupt are equal, but for cycles in records."""
        self.hand_over()
        mask = np.full(2 * HALF, 255, dtype=np.uint8)
        for at in records:
            half = at - self.windows[0] if at - self.windows[0] in range(HALF) else HALF
            half = at - self.windows[1] + HALF if half == HALF else half
            mask[half + 8 : half + 10] = 0  # of cycles all but the low 16 bits must be 0
            self.fresh = False
        first = self.script.image(self.image())
        self.script.add("compare", first, self.script.image(mask.tobytes()))
        for register in self.map.registers:
            known = register.access != "WO" and not register.name.startswith("PERF")
            if known and (not quick or register.name in _SHORT):
                self.expect(register.offset)
        self.script.add("interrupt", int(self.golden.interrupt))

    def load(self, descriptor: Descriptor) -> None:
        for number, word in enumerate(descriptor.pack()):
            self.write(f"DIRECT{number}", word)

    def direct(self, descriptor: Descriptor, limit: int = LIMIT, **fields: int) -> None:
        """Run a descriptor from the registers, and see what it did."""
        self.load(descriptor)
        self.write("CTRL", START=1, **fields)
        self.rest(limit)
        self.compare(quick=True)
        self.write("IRQ_STATUS", 15)

    def broken_off(self, descriptor: Descriptor, wait: int, what: str = "ABORT") -> None:
        """Begin a descriptor that takes longer than ``wait`` cycles, and end it then."""
        self.load(descriptor)
        self.golden.instant = False
        self.write("CTRL", START=1)
        if wait:
            self.script.add("wait", wait)
        self.write("CTRL", **{what: 1})
        self.golden.instant = True
        self.rest()
        self.expect_all("STATUS", "ERR_CODE", "IRQ_STATUS", "CTRL")
        # Until a descriptor is read its tag is not known.
        self.expect(self.map["ERR_DESC"].offset, 0xFFFF_FFFF if wait > 40 else 0xFFFF_0000)
        self.write("IRQ_STATUS", 15)
        self.fill()  # what was written is not known

    def draw(self, most: Sequence[int], **given: Any) -> Descriptor:
        """Return a product of random sizes, places and strides."""
        rng, contract = self.rng, self.contract
        most_k = min(most[2], contract.unit.engine.max_k)
        while True:
            m, n, k = (int(rng.integers(1, x + 1)) for x in (most[0], most[1], most_k))
            bits = int(rng.integers(contract.unit.engine.planes + 1)) if contract.has_planes else 0
            d = Descriptor(
                op=OPS["gemv"] if m == 1 and rng.random() < 0.5 else OPS["gemm"],
                m=m, n=n, k=k, w_fmt=bits,
                a=self.near(0, 1), w=self.near(1, 16), s=self.near(2, 16), c=self.near(3, 1),
                tag=int(rng.integers(65536)), flags=int(rng.integers(2)),
            )  # fmt: skip
            sizes = {name: extent.size for name, extent in contract.extents(d).items()}
            gaps = [int(rng.choice((0, 0, 1, 5, 200))) for _ in range(3)]
            d = replace(
                d,
                a_stride=sizes["a"] + gaps[0] if m > 1 else int(rng.integers(65536)),
                c_stride=-(-sizes["c"] // 4) + gaps[1] if m > 1 else int(rng.integers(65536)),
                w_stride=-(-sizes["w"] // 16) + gaps[2] if gaps[2] else 0,
                activation=int(rng.choice((0, 1) if contract.is_float else (0, 1, 3))),
                clamp_low=-int(rng.integers(129)),
                clamp_high=int(rng.integers(128)),
                **given,
            )
            tops = {name: self.at(at) + QUARTER for at, name in enumerate("awsc")}
            tops["a"] = self.windows[0] + RING
            if all(extent.end <= tops[name] for name, extent in contract.extents(d).items()):
                return d

    def near(self, quarter: int, align: int) -> int:
        """Return an address in a quarter of the memory, often just before or behind 4 KiB."""
        low = self.at(quarter)
        at = int(self.rng.integers(low, low + QUARTER - 2048))
        if self.rng.random() < 0.5:
            at = at // 4096 * 4096 + int(self.rng.integers(-40, 40))
        return max(at, low) // align * align
