# SPDX-License-Identifier: Apache-2.0
"""One row through a softmax, as the tests of all kinds use it."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sim.golden.attention import softmax
from sim.golden.attention.rows import scale_of

LOGARITHMIC = ("log2", "log-sqrt2", "adalog")
PUBLISHED = ("ita", "ibert", "ivit")
STEP = 1 / 16  # of the logits, natural units


def parameters(kind: str, **chosen: Any) -> dict[str, Any]:
    """Return parameters as the unit states them."""
    base = {"kind": kind, "lanes": 16 if kind == "ita" else 4, "in_bits": 8, "max_len": 4096}
    base["exp_bits"] = 12 if kind in ("safe", "online") else None
    base["out_bits"] = None if kind in LOGARITHMIC else 8
    base["code_bits"] = 4 if kind in LOGARITHMIC else None
    base["shift"] = 0 if kind == "ita" else None
    base["scale"] = "1/16" if kind in ("ibert", "ivit") else None
    base["base"] = 22 if kind == "adalog" else None
    return base | chosen


def beats(q: ArrayLike, lanes: int, keep: ArrayLike | None = None) -> dict[str, Any]:
    """Return the beats of a row of logits; the last one is filled up with absent elements."""
    q = np.asarray(q)
    there = np.ones(len(q), dtype=bool) if keep is None else np.asarray(keep, dtype=bool)
    rest = -len(q) % lanes
    x = np.pad(q, (0, rest), constant_values=127).reshape(-1, lanes)
    last = np.arange(len(x)) == len(x) - 1
    m, sh = scale_of(STEP * np.log2(np.e))
    found = {"x": x, "keep": np.pad(there, (0, rest)).reshape(-1, lanes), "last": last}
    return found | {"m": np.full(len(x), m), "sh": np.full(len(x), sh)}


def row(kind: str, q: ArrayLike, keep: ArrayLike | None = None, **chosen: Any) -> dict[str, Any]:
    """Return the fields of a row's elements, and ``l``."""
    p = parameters(kind, **chosen)
    found = softmax.run(p, beats(q, p["lanes"], keep))
    assert not found["err"].any()
    return {
        name: column.ravel()[: len(np.asarray(q))] if column.ndim == 2 else column
        for name, column in found.items()
    }


def probabilities(kind: str, q: ArrayLike, **chosen: Any) -> np.ndarray:
    """Return what comes out, as numbers from 0 to 1 (of the logarithmic kinds: over their sum)."""
    from sim.golden.attention.softmax_log import values, weights

    p, found = parameters(kind, **chosen), row(kind, q, **chosen)
    if kind not in LOGARITHMIC:
        one = {"ita": 255, "ivit": 128}.get(kind, 1 << p["out_bits"])
        return found["p"] / one
    numbers = values(kind, p["code_bits"], p["base"])[found["p"]] * ~found["zero"].astype(bool)
    return numbers * weights(kind, p["code_bits"], p["base"])[0] / found["l"][-1]


def exact(q: ArrayLike, step: float = STEP) -> np.ndarray:
    """Return the softmax in float64."""
    e = np.exp(step * (np.asarray(q) - np.max(q)))
    return e / e.sum()
