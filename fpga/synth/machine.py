# SPDX-License-Identifier: Apache-2.0
"""Emitted Verilog as gates and registers, simulated many times side by side, each with a fault.

Yosys turns the text into AND gates, inverters and flip-flops (AIGER); numpy evaluates them level by
level, a bit of a word for each copy of the machine. Copy k may hold one :class:`Fault`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpga import tools

__all__ = ["KINDS", "Copies", "Fault", "Machine", "bits_of"]

Words = NDArray[np.uint64]
#: Variables, and what to add to each modulo 2.
_Side = tuple[NDArray[np.int64], Words]
#: Variables of the gates, both inputs, and for each kind of fault its rows and copies.
_Level = tuple[NDArray[np.int64], tuple[_Side, _Side], dict[str, tuple[NDArray[np.int64], Words]]]

#: What a fault does to a gate: invert an input, invert the output, or hold it.
KINDS = ("left inverted", "right inverted", "inverted", "stuck at 0", "stuck at 1")

_TIMEOUT = 600.0  #: Seconds that Yosys may take.

_SCRIPT = """\
read_verilog machine.v
hierarchy -check -top {top}
proc
flatten
opt_expr
opt_clean
memory_map
opt_clean
async2sync
opt -full
techmap
dffunmap
opt_clean
setundef -zero
abc -g AND
aigmap
opt_clean
write_aiger -ascii -symbols -zinit machine.aag
"""


@dataclass(frozen=True, order=True)
class Fault:
    """One fault of one gate."""

    gate: int  #: Index into the gates of the machine.
    kind: str  #: One of :data:`KINDS`.


@dataclass(frozen=True)
class Machine:
    """Gates and registers that all start at 0.

    Literal ``2 * v`` stands for variable v, ``2 * v + 1`` for its inverse.
    """

    inputs: dict[str, list[int]]  #: Port -> variable of each bit, from bit 0.
    outputs: dict[str, list[int]]  #: Port -> literal of each bit.
    latches: NDArray[np.int64]  #: (n, 2) rows: variable, literal of the next state.
    gates: NDArray[np.int64]  #: (n, 3) rows: variable, literal, literal. In order.
    variables: int

    @classmethod
    def read(cls, verilog: str, top: str, folder: Path) -> "Machine":
        """Return the module ``top`` of the text ``verilog``; ``folder`` receives files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "machine.v").write_text(verilog, encoding="utf-8")
        (folder / "machine.ys").write_text(_SCRIPT.format(top=top), encoding="utf-8")
        tools.run("yosys", ["-q", "-s", "machine.ys"], folder, timeout=_TIMEOUT)
        return cls.parse((folder / "machine.aag").read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> "Machine":
        """Return the machine in ASCII AIGER with symbols."""
        lines = text.splitlines()
        most, ins, states, outs, ands = (int(word) for word in lines[0].split()[1:6])
        rows = [[int(word) for word in line.split()] for line in lines[1 : 1 + ins + states]]
        outputs = [int(line) for line in lines[1 + ins + states : 1 + ins + states + outs]]
        at = 1 + ins + states + outs
        gates = np.array([line.split() for line in lines[at : at + ands]], dtype=np.int64)
        gates = gates.reshape(-1, 3)
        gates[:, 0] >>= 1
        names: dict[str, dict[str, dict[int, int]]] = {"i": {}, "o": {}}
        for line in lines[at + ands :]:
            if line == "c":
                break
            key, symbol = line.split(" ", 1)
            if key[0] not in names:
                continue
            port, _, bit = symbol.partition("[")
            index = int(key[1:])
            literal = rows[index][0] >> 1 if key[0] == "i" else outputs[index]
            names[key[0]].setdefault(port, {})[int(bit.rstrip("]") or 0)] = literal
        ports = {
            side: {name: [bits[bit] for bit in sorted(bits)] for name, bits in found.items()}
            for side, found in names.items()
        }
        latches = np.array([row[:2] for row in rows[ins:]], dtype=np.int64).reshape(-1, 2)
        latches[:, 0] >>= 1
        return cls(ports["i"], ports["o"], latches, gates, most + 1)

    def faults(self) -> list[Fault]:
        """Return every fault of every gate."""
        return [Fault(gate, kind) for gate in range(len(self.gates)) for kind in KINDS]

    def with_fault(self, fault: Fault) -> "Machine":
        """Return the machine that has ``fault`` in its gates."""
        gates, outputs = self.gates.copy(), {k: list(v) for k, v in self.outputs.items()}
        latches, (variable, _, _) = self.latches.copy(), gates[fault.gate]
        if fault.kind in ("left inverted", "right inverted"):
            gates[fault.gate, 1 + KINDS.index(fault.kind)] ^= 1
            return Machine(self.inputs, outputs, latches, gates, self.variables)

        def follow(literal: int) -> int:
            if literal >> 1 != variable:
                return literal
            if fault.kind == "inverted":
                return literal ^ 1
            return (fault.kind == "stuck at 1") ^ (literal & 1)

        for row in gates:
            row[1], row[2] = follow(row[1]), follow(row[2])
        for row in latches:
            row[1] = follow(row[1])
        outputs = {name: [follow(bit) for bit in bits] for name, bits in outputs.items()}
        return Machine(self.inputs, outputs, latches, gates, self.variables)


class Copies:
    """Copies of a machine that run in step, each with its own fault, or with none.

    Parameters
    ----------
    machine : :class:`Machine`
    faults : sequence of :class:`Fault` or None
        The fault of each copy.
    """

    def __init__(self, machine: Machine, faults: Sequence[Fault | None]):
        self.machine, self.count = machine, len(faults)
        self._words = -(-self.count // 64)
        self._state = np.zeros((machine.variables, self._words), dtype=np.uint64)
        self._levels = self._prepare(faults)
        self._next = _split(machine.latches[:, 1])
        self._was = self._state.copy()

    def toggles(self) -> int:
        """Return how many gates and registers of all copies differ from the last call."""
        changed = self._state ^ self._was
        self._was = self._state.copy()
        return int(np.unpackbits(changed.view(np.uint8)).sum())

    def _prepare(self, faults: Sequence[Fault | None]) -> list[_Level]:
        """Return the gates level by level, with their faults."""
        gates = self.machine.gates
        depth = np.zeros(self.machine.variables, dtype=np.int64)
        for variable, left, right in gates.tolist():
            depth[variable] = 1 + max(depth[left >> 1], depth[right >> 1])
        places: dict[int, dict[str, dict[int, Words]]] = {}
        order = depth[gates[:, 0]] if len(gates) else np.zeros(0, dtype=np.int64)
        row_of = np.zeros(len(gates), dtype=np.int64)
        levels = []
        for level in range(1, int(order.max(initial=0)) + 1):
            rows = np.flatnonzero(order == level)
            row_of[rows] = np.arange(len(rows))
            levels.append(gates[rows])
        for copy, fault in enumerate(faults):
            if fault is None:
                continue
            kinds = places.setdefault(int(order[fault.gate]), {}).setdefault(fault.kind, {})
            row = int(row_of[fault.gate])
            mask = kinds.setdefault(row, np.zeros(self._words, dtype=np.uint64))
            mask[copy // 64] |= np.uint64(1 << copy % 64)
        return [
            (
                table[:, 0],
                (_split(table[:, 1]), _split(table[:, 2])),
                {
                    kind: (np.array(list(rows)), np.array(list(rows.values())))
                    for kind, rows in places.get(level, {}).items()
                },
            )
            for level, table in enumerate(levels, 1)
        ]

    def reset(self) -> None:
        """Put every register at its start."""
        self._state[:] = 0

    def drive(self, port: str, bits: NDArray[np.bool_]) -> None:
        """Set an input: ``bits`` of shape ``(width,)`` for all copies or ``(copies, width)``."""
        variables = self.machine.inputs.get(port)
        if variables is None:  # nothing depends on it
            return
        if bits.ndim == 1:
            full = np.uint64(2**64 - 1)
            self._state[variables] = np.where(bits, full, np.uint64(0))[:, np.newaxis]
            return
        padded = np.zeros((len(variables), self._words * 64), dtype=np.uint8)
        padded[:, : self.count] = bits.T
        octets = np.packbits(padded, axis=1, bitorder="little")
        self._state[variables] = octets.view(np.uint64)

    def settle(self) -> None:
        """Let the inputs through to the outputs."""
        state = self._state
        for target, sides, faults in self._levels:
            left, right = (state[variables] ^ flip for variables, flip in sides)
            for side, kind in ((left, "left inverted"), (right, "right inverted")):
                if kind in faults:
                    rows, masks = faults[kind]
                    side[rows] ^= masks
            value = left & right
            for kind, change in (("inverted", np.bitwise_xor), ("stuck at 1", np.bitwise_or)):
                if kind in faults:
                    rows, masks = faults[kind]
                    value[rows] = change(value[rows], masks)
            if "stuck at 0" in faults:
                rows, masks = faults["stuck at 0"]
                value[rows] &= ~masks
            state[target] = value

    def clock(self) -> None:
        """Take over the next state. The outputs settle with the next :meth:`settle`."""
        variables, flip = self._next
        self._state[self.machine.latches[:, 0]] = self._state[variables] ^ flip

    def read(self, port: str) -> NDArray[np.bool_]:
        """Return an output, shape ``(copies, width)``, bit 0 first."""
        variables, flip = _split(np.array(self.machine.outputs[port], dtype=np.int64))
        rows = self._state[variables] ^ flip
        octets = np.ascontiguousarray(rows).view(np.uint8)
        return np.unpackbits(octets, axis=1, bitorder="little")[:, : self.count].T.astype(bool)


def _split(literals: NDArray[np.int64]) -> _Side:
    flip = np.where(literals & 1, np.uint64(2**64 - 1), np.uint64(0))
    return literals >> 1, flip[:, np.newaxis]


def bits_of(words: Sequence[int], width: int) -> NDArray[np.bool_]:
    """Return the bits of each of ``words``, shape ``(n, width)``, bit 0 first."""
    octets = b"".join(word.to_bytes(-(-width // 8), "little") for word in words)
    table = np.frombuffer(octets, dtype=np.uint8).reshape(len(words), -1)
    return np.unpackbits(table, axis=1, bitorder="little")[:, :width].astype(bool)
