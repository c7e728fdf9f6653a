# SPDX-License-Identifier: Apache-2.0
"""Dataflows of the arrays: one module each, found by its name. To add one, add a module."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from amaranth.lib import wiring

if TYPE_CHECKING:
    from hw.mpgemm.array_params import ArrayParams

__all__ = ["NAMES", "Dataflow", "dataflow"]


@dataclass(frozen=True)
class Dataflow:
    """What a user and the tools know of one dataflow. Its module defines one as ``DATAFLOW``."""

    name: str  #: As in ``--dataflow``.
    summary: str  #: What stays and what moves, in one line.
    source: str  #: Paper or public RTL that it follows.
    cycles: str  #: Its promise, in words.
    when: str  #: When to choose it.
    #: Raises ``ValueError`` for parameters that the dataflow does not take.
    check: "Callable[[ArrayParams], None]"
    build: "Callable[[ArrayParams], wiring.Component]"
    core: str = "accumulate"  #: Core of the PE that is its cell: ``accumulate`` or ``dot``.
    stationary: bool = False  #: Whether one operand stays in the array, not the sums.
    switched: bool = False  #: Whether each job says which of the two.
    cases: tuple[dict[str, Any], ...] = ()  #: Small parameter sets for rules and proofs.

    @property
    def batched(self) -> bool:
        """Whether an operand can stay, for a batch of rows of results whose sums are kept."""
        return self.stationary or self.switched


def _name(module: str) -> str:
    return module.rstrip("_").replace("_", "-")


#: Every dataflow, in order of name: the module ``os_ws`` defines ``os-ws``. A module's name may end
#: in ``_``, for Python's keywords.
NAMES = tuple(sorted(_name(info.name) for info in pkgutil.iter_modules(__path__)))


@cache
def dataflow(name: str) -> Dataflow:
    """Return the dataflow called ``name``. Raises ``TypeError`` for a module without one."""
    found = {_name(info.name): info.name for info in pkgutil.iter_modules(__path__)}
    module = importlib.import_module(f"hw.mpgemm.dataflow.{found[name]}")
    flow = getattr(module, "DATAFLOW", None)
    if not isinstance(flow, Dataflow) or flow.name != name:
        raise TypeError(f"{module.__name__} must define DATAFLOW = Dataflow(name={name!r}, ...)")
    return flow
