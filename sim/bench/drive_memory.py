# SPDX-License-Identifier: Apache-2.0
"""Many copies of a unit with an AXI4 master, each before its own memory, and which of them err.

A :class:`Script` says what a host does to the registers and the memory and what it must find; every
copy follows it at its own pace, judged by the rules of the bus in ``axi_memory.cc``.
"""

import ctypes
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpga import tools
from fpga.synth.cut import Memory
from fpga.synth.machine import KINDS, Fault, Machine
from sim.coprocessor import _Config as Config

__all__ = ["ANY", "COPIES", "Script", "run"]

COPIES = 512  #: Copies that run side by side.

_PORTS = ("aclk", "aresetn", "s_axi_ctrl_", "m_axi_", "interrupt")
_HERE = Path(__file__).parent
_STEPS = tuple(
    "write read poll wait reset fill compare answer heal mood interrupt windows attributes".split()
)
ANY = 1 << 16  #: Attributes of bursts that are not looked at.
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-w")

_VALUE = """\
#include <cstddef>
#include <cstdint>
namespace cxxrtl {
template <size_t N> struct value {
    static constexpr size_t bits = N, chunks = (N + 31) / 32;
    uint32_t data[chunks];
    void set(bool bit) { data[0] = bit; }
};
template <size_t N> struct wire { value<N> curr; };
}
"""


@dataclass
class Script:
    """What is done to a device, and what must be found; each copy has ``size`` bytes of memory."""

    size: int
    steps: list[tuple[int, ...]] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)

    def add(self, kind: str, *words: int) -> None:
        """Append a step: a name of ``_STEPS`` and what it takes."""
        self.steps.append((_STEPS.index(kind), *words, *[0] * (5 - len(words))))

    def image(self, data: bytes) -> int:
        """Return the number of what memory holds."""
        if not self.images or self.images[-1] != data:
            self.images.append(data)
        return len(self.images) - 1


def run(
    machine: Machine,
    memories: Sequence[Memory],
    faults: Sequence[Fault | None],
    script: Script,
    cache: Path,
    *,
    max_burst: int,
    outstanding: int,
    seed: int = 1,
) -> tuple[NDArray[np.int32], int]:
    """Return the step at which each copy erred, -1 for none, and the cycles of the first copy.

    ``faults`` holds the fault of each copy, at most :data:`COPIES`; the compiled bench stays in
    ``cache``. Raises :class:`fpga.tools.ToolError` where no compiler is.
    """
    ports = [name for name in machine.inputs if name.startswith(_PORTS)]
    answers = [name for name in machine.outputs if name.startswith(_PORTS)]
    library = ctypes.CDLL(str(_compiled(machine, ports, answers, cache)))
    bits: list[int] = []

    def place(literals: Sequence[int]) -> tuple[int, int]:
        bits.extend(literals)
        return len(bits) - len(literals), len(literals)

    into = _image([[2 * bit for bit in machine.inputs[name]] for name in ports])
    out = _image([machine.outputs[name] for name in answers])
    sizes_in, sizes_out = place(into), place(out)
    reads, writes = [], []
    for number, memory in enumerate(memories):
        for at, data in memory.reads:
            word = [2 * bit for bit in machine.inputs[data]]
            reads.append((number, *place(machine.outputs[at]), *place(word)))
        for write in memory.writes:
            places = [place(machine.outputs[name]) for name in write]
            writes.append((number, *(x for pair in places for x in pair)))
    every, shown = _ordered(machine, memories, answers)
    marks = [
        (int(machine.gates[fault.gate, 0]), KINDS.index(fault.kind), copy)
        for copy, fault in enumerate(faults)
        if fault is not None
    ]
    tables = [
        np.array(rows, dtype=np.int32).reshape(-1, width)
        for rows, width in (
            (every, 3), (shown, 3), (machine.latches, 2), ([[b] for b in bits], 1), (reads, 5),
            (writes, 7), ([(m.words, m.width) for m in memories], 2), (marks, 3),
        )
    ]  # fmt: skip
    steps = np.array(script.steps, dtype=np.uint32)
    counts = [machine.variables, *map(len, tables), len(steps), *sizes_in, *sizes_out, len(faults)]
    images = np.frombuffer(b"".join(script.images), dtype=np.uint8)
    config = Config(
        base=0, size=script.size, seed=seed, read_latency=1, write_latency=1,
        bandwidth=1024, max_burst=max_burst, outstanding=outstanding,
    )  # fmt: skip
    died = np.full(COPIES, -1, dtype=np.int32)
    spent, text = ctypes.c_uint64(), ctypes.create_string_buffer(200)
    numbers = np.array(counts, dtype=np.int32)
    arrays: list[NDArray[Any]] = [numbers, *tables, steps, images]
    library.copies_run(
        *(array.ctypes.data_as(ctypes.c_void_p) for array in arrays),
        ctypes.byref(config),
        died.ctypes.data_as(ctypes.c_void_p),
        ctypes.byref(spent),
        text,
    )
    if text.value and faults[0] is None:
        raise ValueError(f"the healthy unit breaks a rule of its bus: {text.value.decode()}")
    return died[: len(faults)], spent.value


def _image(ports: Sequence[Sequence[int]]) -> list[int]:
    """Return the bits of ports as the bench has them: in chunks of 32, an even number of these."""
    found: list[int] = []
    for bits in ports:
        found += [*bits, *[-1] * (-len(bits) % 32)]
    return found + [-1] * (-len(found) % 64)


def _ordered(
    machine: Machine, memories: Sequence[Memory], shown: Sequence[str]
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """Return gates and reads in an order in which they can be evaluated: all, those of outputs."""
    reads = [(machine.outputs[at], machine.inputs[data]) for m in memories for at, data in m.reads]
    stage = np.zeros(machine.variables, dtype=np.int64)
    gates: list[tuple[int, int, int]] = [
        (at, left, right) for at, left, right in machine.gates.tolist()
    ]
    changed = True
    while changed:  # as often as one memory's word is another one's address
        for at, left, right in gates:
            stage[at] = max(stage[left >> 1], stage[right >> 1])
        changed = False
        for address, data in reads:
            level = 1 + max(stage[bit >> 1] for bit in address)
            changed |= bool(level > stage[data[0]])
            stage[data] = level
    keyed = [((2 * int(stage[gate[0]]), k), gate) for k, gate in enumerate(gates)]
    keyed += [((2 * int(stage[data[0]]) - 1, k), (~k, 0, 0)) for k, (_, data) in enumerate(reads)]
    every = [row for _, row in sorted(keyed)]
    wanted = np.zeros(machine.variables, dtype=bool)
    wanted[[bit >> 1 for name in shown for bit in machine.outputs[name]]] = True
    some = []
    for at, left, right in reversed(every):
        if at >= 0 and wanted[at]:
            wanted[[left >> 1, right >> 1]] = True
        elif at < 0 and wanted[reads[~at][1]].any():
            wanted[[bit >> 1 for bit in reads[~at][0]]] = True
        else:
            continue
        some.append((at, left, right))
    return every, some[::-1]


def _compiled(machine: Machine, inputs: Sequence[str], outputs: Sequence[str], cache: Path) -> Path:
    """Return the bench for a unit with these ports, as a shared object."""
    lines = [_VALUE, "struct DUT {"]
    for names, bits in ((inputs, machine.inputs), (outputs, machine.outputs)):
        chunks = 0
        for name in names:
            width = len(bits[name])
            lines.append(f"    cxxrtl::value<{width}> p_{name.replace('_', '__')};")
            chunks += -(-width // 32)
        if chunks % 2:
            lines.append(f"    uint32_t even{len(names)}_{bits is machine.outputs:d};")
    lines += ["    void step() {}", "};"]
    sources = [(_HERE / name).read_text(encoding="utf-8") for name in _SOURCES]
    text = "\n".join([*lines, *sources])
    key = hashlib.sha256("\0".join((text, *_FLAGS)).encode()).hexdigest()[:20]
    target = (cache / f"copies-{key}.so").resolve()
    if target.exists():
        return target
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise tools.ToolError("g++ (compiles simulations) is not installed: apt-get install g++")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".copies-", dir=cache) as name:
        folder = Path(name)
        (folder / "bench.cc").write_text(text, encoding="utf-8")
        status, told = tools.call([compiler, *_FLAGS, "bench.cc", "-o", "bench.so"], folder, 600)
        if status:
            raise tools.ToolError(f"{compiler}: {told[-1500:]}")
        (folder / "bench.so").replace(target)
    return target


_SOURCES = ("axi_memory.cc", "axi_copies.cc")
