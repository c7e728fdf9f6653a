# SPDX-License-Identifier: Apache-2.0
"""Inputs on which encoders go wrong, and the groups of formats they are tried on."""

from functools import cache

import numpy as np

from hw.spec.formats import ENUMERABLE, FloatFormat, PositFormat, PowerFormat, parse
from sim.golden.formats import decode, decode_float, legal_codes

__all__ = ["BOOKS", "EXTRA", "LINEAR", "PLAIN", "POSITS", "POWERS"]
__all__ += ["finite_values", "log_uniform", "probes"]

FLOATS = [n for n in ENUMERABLE if isinstance(parse(n), FloatFormat)]
#: Minifloats beyond the catalogue.
EXTRA = ["e3m0_ieee", "e3m0_fn", "e2m2_fnuz", "e5m1_ieee", "e2m4_fn", "e6m1", "ue2m3"]
PLAIN = [n for n in FLOATS if parse(n).special is None] + EXTRA
POSITS = [n for n in ENUMERABLE if isinstance(parse(n), PositFormat)]
POWERS = [n for n in ENUMERABLE if isinstance(parse(n), PowerFormat)]
LINEAR = [n for n in ENUMERABLE if n not in POSITS + POWERS and parse(n).bits <= 8]
#: Free code books, and minifloats at the edges of their family.
BOOKS = [
    "e0m3",
    "e1m6",
    "codebook:0,1,2,5",
    "codebook:7,-3,0.5,100",
    "codebook:3,3,-3,-3,1,-1,0.25,0",
]


@cache
def finite_values(name):
    """Distinct finite values, ascending, and the lowest code of each."""
    fmt = parse(name)
    codes = legal_codes(fmt)
    codes = codes[~decode(fmt, codes)[1]]
    values, first = np.unique(decode_float(fmt, codes), return_index=True)
    return values, codes[first]


def probes(fmt, signs=True):
    """Every value, every midpoint, one float64 step beside each, extremes and specials."""
    values = np.unique(decode_float(fmt, legal_codes(fmt)))
    values = values[np.isfinite(values)]
    top = np.abs(values).max()
    beyond = values[-1] + np.array([0.5, 1]) * (values[-1] - values[-2])
    edges = [top * (1 + 2**-10), top * (1 - 2**-10), 1.5 * top, 2 * top, 4 * top, 1e300]
    tiny = [0.0, 5e-324, 1e-300, 2.0**-1022, 0.5 * 2.0**fmt.lam]
    exact = np.concatenate([values, (values[:-1] + values[1:]) / 2, beyond, edges, tiny])
    x = np.concatenate([exact, np.nextafter(exact, np.inf), np.nextafter(exact, -np.inf)])
    return np.concatenate([x, -x]) if signs else np.abs(x)


def log_uniform(fmt, count, seed=0):
    """Random magnitudes over the range of ``fmt`` and some octaves beyond, of both signs."""
    rng = np.random.default_rng(seed)
    octaves = fmt.lam - 4, fmt.lam + fmt.max_int.bit_length() + 4
    return rng.choice([-1, 1], count) * np.exp2(rng.uniform(*octaves, count))
