# SPDX-License-Identifier: Apache-2.0
"""The co-processor with all of ``FAULTS`` in one text: SCRATCH chooses which one is there.

Lines of components are changed while the Verilog is emitted. With 0 in SCRATCH the unit is healthy.
"""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from amaranth.hdl import Signal

from gen.emit import emit
from gen.unit import discover
from hw.coprocessor.control_registers import ControlRegisters
from tests.sim.coprocessor_faults import FAULTS, LONG, Scene
from tests.sim.coprocessor_twin import Twin, params

__all__ = ["choose", "damaged", "faulty"]

#: Of the memory; slow enough that all bursts are in flight that may be.
MOOD = {"seed": 1, "stalls": 30, "shy": True, "read_latency": 12, "write_latency": 30}

_CHOOSES = (ControlRegisters, 'self.error.eq(status["ERROR"]),', "FAULT.eq(file.scratch),")


@cache
def faulty(name: str) -> tuple[str, Any]:
    """Return Verilog and manifest of an engine of ``ENGINES`` with all the faults in it."""
    unit = discover()["coprocessor"]
    with _planted(Signal(range(len(FAULTS) + 1), name="fault")):
        return emit(unit, params(name))


def damaged(name: str = "", scene: Scene | None = None) -> Twin:
    """Return a device with a fault, or none, beside its healthy golden model."""
    mood = {"read_latency": 1, "write_latency": 1} if scene in LONG else MOOD
    made = Twin("cube", build=faulty, bound=20_000, **mood)
    choose(made, name)
    return made


def choose(twin: Twin, name: str = "") -> None:
    """Let a fault be there, or none."""
    twin.write("SCRATCH", 1 + list(FAULTS).index(name) if name else 0)


@contextmanager
def _planted(fault: Signal) -> Iterator[None]:
    """Change the components."""
    changes: dict[type, list[tuple[str, str]]] = {}
    part, line, more = _CHOOSES
    changes[part] = [(line, f"{line} {more}")]
    for number, each in enumerate(FAULTS.values(), 1):
        becomes = each.becomes.replace("BAD", f"(FAULT == {number})")
        changes.setdefault(each.part, []).append((each.line, becomes))
    kept: list[tuple[type, str, Any]] = []
    try:
        for part, lines in changes.items():
            for name, method in _changed(part, lines, fault):
                kept.append((part, name, vars(part)[name]))
                setattr(part, name, method)
        yield
    finally:
        for part, name, method in reversed(kept):
            setattr(part, name, method)


def _changed(part: type, lines: list[tuple[str, str]], fault: Signal) -> list[tuple[str, Any]]:
    """Return the methods of a class with other lines."""
    source = textwrap.dedent(inspect.getsource(part))
    for line, becomes in lines:
        assert source.count(line) == 1, (part.__name__, line)
        source = source.replace(line, becomes)
    space = {**vars(sys.modules[part.__module__]), "FAULT": fault}
    exec(compile(source, part.__module__, "exec"), space)
    found = vars(space[part.__name__])
    return [(n, f) for n, f in found.items() if inspect.isfunction(f) and n != "__init__"]
