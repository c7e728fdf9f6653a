# SPDX-License-Identifier: Apache-2.0
"""The engine of a co-processor, made one for the numbers of a layer."""

import shlex
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

__all__ = ["engine_for"]

#: What the options of the numbers are called, by engine.
_NAMES = {
    "array": {"weights": "format", "act": "act", "group": "group", "scale": "scale"},
    "shift-add": {"weights": "format", "act": "act", "group": "group-size", "scale": "scale"},
    "codebook": {"weights": "book", "act": "act", "group": "group-size", "scale": "scale"},
}


def engine_for(text: str, numbers: Mapping[str, Any]) -> str:
    """Return the engine ``text`` with ``numbers`` (weights, act, group, scale) for its own.

    Those that are ``None`` stay as they are. Raises ``ValueError`` for an engine whose weights have
    no format of their own.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"engine must be a command line, not {text!r}: {error}") from None
    kind = words[0] if words[:1] == ["array"] else _option(words, "engine")
    if kind not in _NAMES:
        raise ValueError(
            f"engine must be array, or mpgemm with --engine shift-add or codebook, for weights of "
            f"a format, not {text!r}"
        )
    for name, option in _NAMES[kind].items():
        if numbers.get(name) is not None:
            words = [*_without(words, option), f"--{option}", str(numbers[name])]
    return shlex.join(words)


def _option(words: list[str], name: str) -> str | None:
    for word, following in pairwise([*words, ""]):
        if word == f"--{name}":
            return following
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


def _without(words: list[str], name: str) -> list[str]:
    """Return the words without an option and its value."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word != f"--{name}" and not word.startswith(f"--{name}="):
            kept.append(word)
        skip = not skip and word == f"--{name}"
    return kept
