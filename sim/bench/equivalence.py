# SPDX-License-Identifier: Apache-2.0
"""Which gates and faults change nothing: proofs about all that a machine does from reset on."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fpga import tools
from fpga.synth.machine import Fault, Machine

__all__ = ["equivalent", "reduced"]

# ABC's commands need a network of Yosys to come and go with; this gate is it.
_CARRIER = "module carrier(input a, input b, output y); assign y = a & b; endmodule\n"

_REDUCE = """\
backup
read_aiger whole.aig
strash
ifraig
scorr
dc2
scorr
dc2
strash
write_aiger reduced.aig
restore
"""

_REDUCE_SECONDS = 120.0

_STEPS = """\
read_aiger miter{number}.aig
strash
scorr
{prove}print_stats
print_status
"""

_BATCH = 16  #: Mutants of one call of ABC.

# Nothing left after induction is a constant 0; otherwise it is for pdr to say.
_VERDICT = re.compile(r"lat = +(\d+) .*?and = +(\d+).*?^Status = (-?\d)", re.M | re.S)


def equivalent(
    machine: Machine,
    faults: Sequence[Fault],
    folder: Path,
    *,
    enough: int | None = None,
    seconds: int = 2,
) -> list[bool]:
    """Return for each fault whether it is proved to change no output, from reset on, ever.

    All are tried by induction. Those that it leaves get ``seconds`` of search each, until
    ``enough`` are proved. ``folder`` receives files.
    """
    if not faults:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    for number, fault in enumerate(faults):
        data = _aiger(_miter(machine, machine.with_fault(fault)))
        (folder / f"miter{number}.aig").write_bytes(data)
    (folder / "carrier.v").write_text(_CARRIER, encoding="utf-8")
    proved = [False] * len(faults)
    enough = len(faults) if enough is None else enough
    for search in ("", f"pdr -T {seconds}\n"):
        open_ = [number for number, same in enumerate(proved) if not same]
        for start in range(0, len(open_), _BATCH):
            if search and sum(proved) >= enough:
                break
            batch = open_[start : start + _BATCH]
            for number, same in zip(batch, _proved(batch, folder, search, seconds), strict=True):
                proved[number] = same
    return proved


def reduced(machine: Machine, folder: Path, *, seconds: float = _REDUCE_SECONDS) -> Machine:
    """Return the machine without gates and registers that are constant, or equal to others.

    Only states that can be reached from 0 count. Where that takes more than ``seconds`` the machine
    stays as it is. ``folder`` receives files.
    """
    (folder / "whole.aig").write_bytes(_aiger(machine))
    (folder / "reduce.abc").write_text(_REDUCE, encoding="utf-8")
    (folder / "carrier.v").write_text(_CARRIER, encoding="utf-8")
    script = "read_verilog carrier.v\ntechmap\nabc -script reduce.abc\n"
    (folder / "reduce.ys").write_text(script, encoding="utf-8")
    try:
        tools.run("yosys", ["-q", "-s", "reduce.ys"], folder, timeout=seconds)
    except tools.ToolTimeout:
        return machine
    return _parsed((folder / "reduced.aig").read_bytes(), machine)


def _proved(numbers: Sequence[int], folder: Path, search: str, seconds: int) -> list[bool]:
    """Return for each miter whether it was proved, in halves if all together take too long."""
    steps = "".join(_STEPS.format(number=n, prove=search) for n in numbers)
    (folder / "pdr.abc").write_text(
        f"backup\nset abcout proofs.log\n{steps}unset abcout\nrestore\n", encoding="utf-8"
    )
    (folder / "proofs.log").unlink(missing_ok=True)
    script = "read_verilog carrier.v\ntechmap\nabc -script pdr.abc\n"
    (folder / "proofs.ys").write_text(script, encoding="utf-8")
    try:
        limit = 10 + 2 * seconds * len(numbers)
        tools.run("yosys", ["-q", "-s", "proofs.ys"], folder, timeout=limit)
    except tools.ToolTimeout:
        if len(numbers) == 1:
            return [False]
        half = len(numbers) // 2
        parts = (numbers[:half], numbers[half:])
        return [same for part in parts for same in _proved(part, folder, search, seconds)]
    text = (folder / "proofs.log").read_text(encoding="utf-8", errors="replace")
    found = [list(map(int, verdict)) for verdict in _VERDICT.findall(text)]
    if len(found) != len(numbers):
        raise ValueError(f"ABC gave {len(found)} verdicts on {len(numbers)} mutants")
    return [latches + gates == 0 or status == 1 for latches, gates, status in found]


def _miter(good: Machine, bad: Machine) -> Machine:
    """Return both machines on the same inputs, and whether their outputs differ."""
    inputs = {variable for bits in good.inputs.values() for variable in bits}
    shift = good.variables

    def moved(literal: int) -> int:
        return literal if literal >> 1 in inputs or literal < 2 else literal + 2 * shift

    gates = [list(map(int, row)) for row in good.gates]
    latches = [list(map(int, row)) for row in good.latches]
    gates += [[moved(2 * int(v)) >> 1, moved(int(a)), moved(int(b))] for v, a, b in bad.gates]
    latches += [[moved(2 * int(v)) >> 1, moved(int(n))] for v, n in bad.latches]
    free = 2 * shift
    same = 1
    for name, bits in good.outputs.items():
        for mine, other in zip(bits, map(moved, bad.outputs[name]), strict=True):
            # mine == other: not (mine and not other) and not (other and not mine)
            gates += [[free, mine, other ^ 1], [free + 1, mine ^ 1, other]]
            gates += [[free + 2, 2 * free + 1, 2 * free + 3], [free + 3, same, 2 * free + 4]]
            same = 2 * (free + 3)
            free += 4
    # Registered, because ABC's pdr gives no verdict on a network without registers.
    latches.append([free, same ^ 1])
    table = np.array(gates, dtype=np.int64).reshape(-1, 3)
    states = np.array(latches, dtype=np.int64).reshape(-1, 2)
    return Machine(good.inputs, {"differed": [2 * free]}, states, table, free + 1)


def _aiger(machine: Machine) -> bytes:
    """Return the machine as binary AIGER."""
    number = {0: 0}
    for variable in (v for bits in machine.inputs.values() for v in bits):
        number[variable] = len(number)
    for variable, _ in machine.latches.tolist():
        number[variable] = len(number)
    first = len(number)
    for variable, _, _ in machine.gates.tolist():
        number[variable] = len(number)

    def literal(old: int) -> int:
        return 2 * number[old >> 1] + (old & 1)

    outputs = [bit for bits in machine.outputs.values() for bit in bits]
    ins = first - 1 - len(machine.latches)
    head = (len(number) - 1, ins, len(machine.latches), len(outputs), len(machine.gates))
    lines = [f"aig {' '.join(map(str, head))}"]
    lines += [str(literal(after)) for _, after in machine.latches.tolist()]
    lines += [str(literal(bit)) for bit in outputs]
    body = bytearray()
    for variable, left, right in machine.gates.tolist():
        high, low = sorted((literal(left), literal(right)), reverse=True)
        for delta in (2 * number[variable] - high, high - low):
            while delta > 127:
                body.append(delta & 127 | 128)
                delta >>= 7
            body.append(delta)
    return "\n".join(lines).encode() + b"\n" + bytes(body)


def _parsed(data: bytes, like: Machine) -> Machine:
    """Return the machine in binary AIGER whose ports are those of ``like``, in the same order."""
    head, _, rest = data.partition(b"\n")
    most, ins, states, outs, ands = (int(word) for word in head.split()[1:6])
    lines = rest.split(b"\n", states + outs)
    numbers = [int(line.split()[0]) for line in lines[: states + outs]]
    body = iter(lines[states + outs])

    def delta() -> int:
        value = shift = 0
        while (byte := next(body)) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    gates = []
    for variable in range(ins + states + 1, most + 1):
        left = 2 * variable - delta()
        gates.append([variable, left, left - delta()])
    assert len(gates) == ands
    free, due = iter(range(1, ins + 1)), iter(numbers[states:])
    inputs = {name: [next(free) for _ in bits] for name, bits in like.inputs.items()}
    outputs = {name: [next(due) for _ in bits] for name, bits in like.outputs.items()}
    latches = [[ins + 1 + k, after] for k, after in enumerate(numbers[:states])]
    return Machine(
        inputs,
        outputs,
        np.array(latches, dtype=np.int64).reshape(-1, 2),
        np.array(gates, dtype=np.int64).reshape(-1, 3),
        most + 1,
    )
