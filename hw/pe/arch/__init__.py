# SPDX-License-Identifier: Apache-2.0
"""Architectures of the processing element: one module each, found by its name.

The module ``sparse_digit`` defines the architecture ``sparse-digit`` as ``ARCH``. To add one, add
a module; nothing lists them.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from amaranth.lib import wiring

if TYPE_CHECKING:
    from hw.pe.params import PEParams

__all__ = ["NAMES", "Arch", "architecture"]


@dataclass(frozen=True)
class Arch:
    """What a user and the tools know of one architecture."""

    name: str  #: As in ``--arch``.
    summary: str  #: What the datapath does, in one line.
    source: str  #: Paper, standard or public RTL that it follows.
    cycles: str  #: Its promise, in words.
    when: str  #: When to choose it, in one or two sentences.
    #: Raises ``ValueError`` for parameters that the architecture does not take.
    check: "Callable[[PEParams], None]"
    build: "Callable[[PEParams], wiring.Component]"
    #: Layers of boxes from input to output, for the picture of the documentation. A ``*`` at the
    #: end of a box marks a register, a ``@`` an accumulator that feeds itself.
    flow: tuple[tuple[str, ...], ...] = ()
    options: tuple[str, ...] = ()  #: Fields of the parameters that only some architectures take.
    cores: tuple[str, ...] = ("stream", "accumulate", "dot")
    golden: str | None = None  #: Module of the golden model where it is not the exact dot product.
    #: Largest magnitude of one product, where not that of the two formats.
    max_product: "Callable[[PEParams], int] | None" = None
    wide_floats: bool = False  #: Whether bf16 is exact: as weights too, and without a window.
    #: What ``fpga compare`` adds to the formats: lanes, columns and the like of a typical use.
    typical: dict[str, Any] = field(default_factory=dict)
    #: Small parameter sets on which the house rules and the formal proofs are run.
    cases: tuple[dict[str, Any], ...] = field(default=())


#: Every architecture, in order of name.
NAMES = tuple(sorted(info.name.replace("_", "-") for info in pkgutil.iter_modules(__path__)))


@cache
def architecture(name: str) -> Arch:
    """Return the architecture called ``name``. Raises ``TypeError`` for a module without one."""
    module = importlib.import_module(f"hw.pe.arch.{name.replace('-', '_')}")
    arch = getattr(module, "ARCH", None)
    if not isinstance(arch, Arch) or arch.name != name:
        raise TypeError(f"{module.__name__} must define ARCH = Arch(name={name!r}, ...)")
    return arch
