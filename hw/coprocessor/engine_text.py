# SPDX-License-Identifier: Apache-2.0
"""The engine of a co-processor, named by a text such as one gives to ``python -m gen``."""

import dataclasses
import shlex
import types
import typing
from functools import cache
from typing import Any

from amaranth.lib import wiring

from hw.mpgemm import array, mpgemm
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.params import MpGemmParams

__all__ = ["EngineParams", "build_engine", "engine_params_of", "resolved_engine"]

EngineParams = ArrayParams | MpGemmParams

_UNITS: dict[str, type[EngineParams]] = {"array": ArrayParams, "mpgemm": MpGemmParams}


@cache
def engine_params_of(text: str) -> EngineParams:
    """Return the parameters that ``text`` stands for: a unit's name and its options.

    Raises ``ValueError``, in one line, for a text that is none.
    """
    if not isinstance(text, str):
        raise ValueError(f"engine must be a text, not {text!r}")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"engine must be a command line, not {text!r}: {error}") from None
    if not words or words[0] not in _UNITS:
        raise ValueError(f"engine must begin with {' or '.join(_UNITS)}, not {text!r}")
    unit, given, rest = _UNITS[words[0]], dict[str, Any](), words[1:]
    kinds = {"--" + f.name.replace("_", "-"): _kind(f.type) for f in dataclasses.fields(unit)}
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if option not in kinds:
            raise ValueError(f"engine must have options of {words[0]}, not {option!r}")
        name = option[2:].replace("-", "_")
        if name in given:
            raise ValueError(f"engine must have {option} once, not again with {value!r}")
        if kinds[option] is bool:
            if equals:
                raise ValueError(f"{option} of the engine must have no value, not {value!r}")
            given[name] = True
            continue
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ValueError(f"{option} of the engine must have a value, not none in {text!r}")
            value = rest.pop(0)
        given[name] = _integer(option, value) if kinds[option] is int else value
    try:
        return unit(**given)
    except ValueError as error:
        raise ValueError(f"engine: {error}") from None


def resolved_engine(text: str) -> dict[str, Any]:
    """Return the unit and its parameters with every default and choice made explicit."""
    return {"unit": shlex.split(text)[0], **engine_params_of(text).resolved}


def build_engine(params: EngineParams) -> wiring.Component:
    """Return a new engine."""
    return array.build(params) if isinstance(params, ArrayParams) else mpgemm.build(params)


def _kind(annotation: Any) -> Any:
    """Return the type of a parameter, without the None of an optional one."""
    if isinstance(annotation, types.UnionType):
        return next(a for a in typing.get_args(annotation) if a is not types.NoneType)
    return annotation


def _integer(option: str, text: str) -> int:
    try:
        if len(text) > 12:
            raise ValueError
        return int(text)
    except ValueError:
        raise ValueError(f"{option} of the engine must be an integer, not {text[:40]!r}") from None
