# SPDX-License-Identifier: Apache-2.0
"""Emitted Verilog as gates and registers, simulated many times side by side, each with a fault.

Yosys turns the text into AND gates, inverters and flip-flops (AIGER); each gate is an operation on
integers that have a bit for each copy of the machine. Copy k may hold one :class:`Fault`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpga import tools

__all__ = ["KINDS", "Copies", "Fault", "Machine", "bits_of"]

_Evaluate = Callable[[list[int], int], list[int]]

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
abc -g AND{script}
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
    def read(cls, verilog: str, top: str, folder: Path, script: Sequence[str] = ()) -> "Machine":
        """Return the module ``top`` of the text ``verilog``; ``folder`` receives files.

        ``script`` holds the commands with which ABC optimises, instead of those of Yosys.
        """
        steps = f" -script +{';'.join(command.replace(' ', ',') for command in script)}"
        steps = steps if script else ""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "machine.v").write_text(verilog, encoding="utf-8")
        (folder / "machine.ys").write_text(_SCRIPT.format(top=top, script=steps), encoding="utf-8")
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
            port, _, bit = symbol.split()[0].partition("[")  # others are names inside
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

    The gates become the lines of a Python function, whose integers have a bit for each copy.

    Parameters
    ----------
    machine : :class:`Machine`
    faults : sequence of :class:`Fault` or None
        The fault of each copy.
    """

    def __init__(self, machine: Machine, faults: Sequence[Fault | None]):
        self.machine, self.count = machine, len(faults)
        self._all, self._octets = (1 << self.count) - 1, -(-self.count // 8)
        self._state = [0] * machine.variables
        self._was = self._state.copy()
        self._free = [v for bits in machine.inputs.values() for v in bits]
        self._free += machine.latches[:, 0].tolist()
        self._gates = machine.gates[:, 0].tolist()
        first = self._gates[0] if self._gates else 0
        self._in_a_row = self._gates == [*range(first, first + len(self._gates))] != []
        self._next = [(v, n >> 1, -(n & 1) & self._all) for v, n in machine.latches.tolist()]
        self._evaluate = _compiled(machine, self._free, faults)

    def toggles(self) -> int:
        """Return how many gates and registers of all copies differ from the last call."""
        was, self._was = self._was, self._state.copy()
        return sum((old ^ new).bit_count() for old, new in zip(was, self._state, strict=True))

    def reset(self) -> None:
        """Put every register at its start."""
        self._state = [0] * self.machine.variables

    def drive(self, port: str, bits: NDArray[np.bool_]) -> None:
        """Set an input: ``bits`` of shape ``(width,)`` for all copies or ``(copies, width)``."""
        variables = self.machine.inputs.get(port)
        if variables is None:  # nothing depends on it
            return
        if bits.ndim == 1:
            for variable, bit in zip(variables, bits.tolist(), strict=True):
                self._state[variable] = -bit & self._all
            return
        full = np.broadcast_to(bits, (self.count, len(variables)))
        rows = np.packbits(full.T, axis=1, bitorder="little")
        for variable, row in zip(variables, rows, strict=True):
            self._state[variable] = int.from_bytes(row.tobytes(), "little")

    def settle(self) -> None:
        """Let the inputs through to the outputs."""
        state = self._state
        values = self._evaluate([state[v] for v in self._free], self._all)
        if self._in_a_row:
            state[self._gates[0] : self._gates[-1] + 1] = values
            return
        for variable, value in zip(self._gates, values, strict=True):
            state[variable] = value

    def clock(self) -> None:
        """Take over the next state. The outputs settle with the next :meth:`settle`."""
        state = self._state
        after = [state[source] ^ flip for _, source, flip in self._next]
        for (variable, _, _), value in zip(self._next, after, strict=True):
            state[variable] = value

    def read(self, port: str) -> NDArray[np.bool_]:
        """Return an output, shape ``(copies, width)``, bit 0 first."""
        literals = self.machine.outputs[port]
        words = [self._state[bit >> 1] ^ (-(bit & 1) & self._all) for bit in literals]
        octets = b"".join(word.to_bytes(self._octets, "little") for word in words)
        rows = np.frombuffer(octets, dtype=np.uint8).reshape(len(words), -1)
        return np.unpackbits(rows, axis=1, bitorder="little")[:, : self.count].T.astype(bool)


def _compiled(machine: Machine, free: Sequence[int], faults: Sequence[Fault | None]) -> _Evaluate:
    """Return the function from the values of ``free`` and all ones to the values of the gates."""
    masks: dict[int, dict[str, int]] = {}
    for copy, fault in enumerate(faults):
        if fault is not None:
            kinds = masks.setdefault(fault.gate, dict.fromkeys(KINDS, 0))
            kinds[fault.kind] |= 1 << copy
    lines = ["def evaluate(free, ones):", " v0 = 0"]
    if free:
        lines.append(f" {''.join(f'v{variable},' for variable in free)} = free")
    for gate, (variable, left, right) in enumerate(machine.gates.tolist()):
        sides = [
            f"(v{side >> 1} ^ ones)" if side & 1 else f"v{side >> 1}" for side in (left, right)
        ]
        text = " & ".join(sides)
        if gate in masks:
            turned_left, turned_right, turned, low, high = masks[gate].values()
            text = f"({sides[0]} ^ {turned_left:#x}) & ({sides[1]} ^ {turned_right:#x})"
            text = f"((({text}) ^ {turned:#x}) | {high:#x}) & (ones ^ {low:#x})"
        elif left & right & 1:
            text = f"(v{left >> 1} | v{right >> 1}) ^ ones"
        lines.append(f" v{variable} = {text}")
    lines.append(f" return [{', '.join(f'v{v}' for v in machine.gates[:, 0].tolist())}]")
    names: dict[str, _Evaluate] = {}
    exec("\n".join(lines), names)
    return names["evaluate"]


def bits_of(words: Sequence[int], width: int) -> NDArray[np.bool_]:
    """Return the bits of each of ``words``, shape ``(n, width)``, bit 0 first."""
    octets = b"".join(word.to_bytes(-(-width // 8), "little") for word in words)
    table = np.frombuffer(octets, dtype=np.uint8).reshape(len(words), -1)
    return np.unpackbits(table, axis=1, bitorder="little")[:, :width].astype(bool)
