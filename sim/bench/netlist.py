# SPDX-License-Identifier: Apache-2.0
"""Evaluate combinational Verilog on arrays: 64 vectors in every machine word.

Yosys turns the text into a network of two-input AND gates and inverters (AIGER); numpy evaluates
it level by level. One PE on all 65 536 operand pairs takes milliseconds, after about a second in
Yosys and without a compiler.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpga import tools

__all__ = ["Netlist", "run_yosys"]

_TIMEOUT = 3600.0  #: Seconds; the largest spaces take minutes.

_SCRIPT = """\
read_verilog {files}
hierarchy -check -top {top}
proc
flatten
opt_expr
opt_clean
techmap
aigmap
opt_clean
write_aiger -ascii -symbols netlist.aag
"""


def run_yosys(script: str, folder: Path) -> None:
    """Run a script of commands in ``folder``, where all its files must lie.

    Raises :class:`fpga.tools.ToolError` if Yosys is missing, fails or takes too long.
    """
    (folder / "run.ys").write_text(script, encoding="utf-8")
    tools.run("yosys", ["-q", "-s", "run.ys"], folder, timeout=_TIMEOUT)


@dataclass(frozen=True)
class Netlist:
    """A combinational module as AND gates.

    Literal ``2 * v`` stands for variable v, ``2 * v + 1`` for its inverse.
    """

    inputs: dict[str, list[int]]  #: Port -> variable of each bit, from bit 0.
    outputs: dict[str, list[int]]  #: Port -> literal of each bit.
    levels: list[NDArray[np.int64]]  #: (n, 3) rows: variable, literal, literal. In order.
    variables: int

    @classmethod
    def read(cls, sources: Sequence[Path], top: str, folder: Path) -> "Netlist":
        """Return the module ``top`` of ``sources``, which lie in ``folder``, as a netlist."""
        files = " ".join(path.name for path in sources)
        run_yosys(_SCRIPT.format(files=files, top=top), folder)
        return cls.parse((folder / "netlist.aag").read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> "Netlist":
        """Return the netlist in ASCII AIGER with symbols. Raises ``ValueError`` for registers."""
        lines = text.splitlines()
        most, ins, latches, outs, ands = (int(word) for word in lines[0].split()[1:6])
        if latches:
            raise ValueError("the module has registers; only combinational ones can be evaluated")
        body = lines[1:]
        literals = [int(line) for line in body[: ins + outs]]
        gates = np.array(
            [line.split() for line in body[ins + outs : ins + outs + ands]], dtype=np.int64
        ).reshape(-1, 3)
        names: dict[str, dict[int, int]] = {}
        inputs: dict[str, list[int]] = {}
        outputs: dict[str, list[int]] = {}
        for line in body[ins + outs + ands :]:
            if line == "c":
                break
            key, symbol = line.split(" ", 1)
            port, _, bit = symbol.partition("[")
            index = int(key[1:]) + (ins if key[0] == "o" else 0)
            names.setdefault(key[0] + port, {})[int(bit.rstrip("]") or 0)] = literals[index]
        for name, bits in names.items():
            ordered = [bits[bit] for bit in sorted(bits)]
            if name[0] == "i":
                inputs[name[1:]] = [literal >> 1 for literal in ordered]
            else:
                outputs[name[1:]] = ordered
        return cls(inputs, outputs, _levels(gates, most), most + 1)

    def evaluate(self, vectors: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.uint8]]:
        """Return the bits of every output, shape ``(vectors, width)``, bit 0 first.

        ``vectors`` holds an integer array of shape ``(vectors,)`` for every input.
        """
        count = len(next(iter(vectors.values())))
        state = np.zeros((self.variables, -(-count // 64)), dtype=np.uint64)
        for name, variables in self.inputs.items():
            for bit, variable in enumerate(variables):
                state[variable] = _words(vectors[name] >> bit & 1, count)
        for level in self.levels:
            left, right = (self._literals(state, level[:, k]) for k in (1, 2))
            state[level[:, 0]] = left & right
        found = {}
        for name, literals in self.outputs.items():
            rows = self._literals(state, np.array(literals, dtype=np.int64))
            octets = np.ascontiguousarray(rows).view(np.uint8)
            found[name] = np.unpackbits(octets, axis=1, bitorder="little")[:, :count].T
        return found

    @staticmethod
    def _literals(state: NDArray[np.uint64], literals: NDArray[np.int64]) -> NDArray[np.uint64]:
        flip = np.where(literals & 1, np.uint64(2**64 - 1), np.uint64(0))
        return state[literals >> 1] ^ flip[:, np.newaxis]


def _words(bits: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    padded = np.zeros(-(-count // 64) * 64, dtype=np.uint8)
    padded[:count] = bits
    return np.packbits(padded, bitorder="little").view(np.uint64)


def _levels(gates: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
    """Group gates by their depth, so that numpy can take each group in one step."""
    depth = [0] * (most + 1)
    for gate, left, right in gates.tolist():
        depth[gate >> 1] = 1 + max(depth[left >> 1], depth[right >> 1])
    if not len(gates):
        return []
    variables = gates[:, 0] >> 1
    order = np.array(depth)[variables]
    table = np.column_stack([variables, gates[:, 1:]])
    return [table[order == level] for level in range(1, int(order.max()) + 1)]
