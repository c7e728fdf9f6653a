# SPDX-License-Identifier: Apache-2.0
"""Engines of the unit ``mpgemm``: one module each, found by its name.

The module ``lut_ternary`` defines the engine ``lut-ternary`` as ``ENGINE``. To add one, add a
module; nothing lists them.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from amaranth.lib import wiring

if TYPE_CHECKING:
    from hw.mpgemm.params import MpGemmParams
    from hw.mpgemm.shape import Shape

__all__ = ["NAMES", "EngineKind", "engine_kind"]


@dataclass(frozen=True)
class EngineKind:
    """What a user and the tools know of one engine."""

    name: str  #: As in ``--engine``.
    summary: str  #: What the datapath does, in one line.
    source: str  #: Paper or public RTL that it follows.
    cycles: str  #: Its promise, in words.
    when: str  #: When to choose it, in one or two sentences.
    golden: str  #: Module of the golden model.
    #: Fields of the parameters that only some engines take, with this engine's defaults.
    options: Mapping[str, Any]
    #: Raises ``ValueError`` for parameters that the engine does not take.
    check: "Callable[[MpGemmParams], None]"
    #: Largest magnitude of one product, in units of the result.
    max_product: "Callable[[MpGemmParams], int]"
    shape: "Callable[[MpGemmParams], Shape]"
    #: What the manifest says of the weights of a beat: ``format`` and ``lanes``.
    weights: "Callable[[MpGemmParams], dict[str, Any]]"
    build: "Callable[[MpGemmParams], wiring.Component]"
    #: Products of the longest sum, where not ``max_k``.
    longest: "Callable[[MpGemmParams], int] | None" = None
    #: Choices that follow from others, as the manifest states them.
    resolved: "Callable[[MpGemmParams], dict[str, Any]] | None" = None
    #: What the manifest's contract says besides.
    contract: "Callable[[MpGemmParams], dict[str, Any]] | None" = None
    #: Parameters of the cells that the engine leaves no choice of.
    fixed: Mapping[str, Any] = field(default_factory=dict)
    #: Small parameter sets on which the house rules and the formal proofs are run.
    cases: tuple[dict[str, Any], ...] = ()


#: Every engine, in order of name.
NAMES = tuple(sorted(info.name.replace("_", "-") for info in pkgutil.iter_modules(__path__)))


@cache
def engine_kind(name: str) -> EngineKind:
    """Return the engine called ``name``. Raises ``TypeError`` for a module without one."""
    module = importlib.import_module(f"hw.mpgemm.engines.{name.replace('-', '_')}")
    kind = getattr(module, "ENGINE", None)
    if not isinstance(kind, EngineKind) or kind.name != name:
        raise TypeError(f"{module.__name__} must define ENGINE = EngineKind(name={name!r}, ...)")
    return kind
