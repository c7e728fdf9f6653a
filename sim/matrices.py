# SPDX-License-Identifier: Apache-2.0
"""Matrices of users: read from files, turned into codes, and written."""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import parse
from sim.golden.encode import encode
from sim.golden.formats import check_codes, decode_float
from sim.golden.mpgemm import sparse
from sim.golden.mpgemm.unit import Unit, weight_format

__all__ = [
    "codes_of",
    "npy",
    "parse_npy",
    "read_bytes",
    "weights_of",
    "write_bytes",
]


def read_bytes(path: str) -> bytes:
    """Return the content of a file. Raises ``ValueError`` if there is none."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot read {path!r}: {reason}") from None


def parse_npy(path: str, data: bytes, axes: int = 2) -> NDArray[Any]:
    """Return the array of numbers of a ``.npy`` file.

    Raises ``ValueError`` naming the file where it is none, or has other than ``axes`` axes.
    """
    try:
        found = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # whatever numpy thinks of bytes that are anything
        raise ValueError(f"{path!r} is no array of numpy: {error}") from None
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{path!r} must hold numbers, not {found.dtype}")
    if found.ndim != axes or 0 in found.shape:
        raise ValueError(f"{path!r} must have {axes} axes, none of size 0, not {found.shape}")
    return found


def codes_of(format_name: str, values: NDArray[Any], codes: bool, what: str) -> NDArray[np.int64]:
    """Return the codes of ``values`` that are numbers of a format, or its codes already.

    Raises ``ValueError`` naming the first value that the format does not have exactly.
    """
    fmt = parse(format_name)
    if codes:
        return check_codes(fmt, values)
    reals = values.astype(np.float64)
    found = np.zeros(reals.shape, dtype=np.int64)
    finite = np.isfinite(reals)
    found[finite] = encode(fmt, reals[finite])
    bad = ~finite
    bad[finite] = decode_float(fmt, found[finite]) != reals[finite]
    if bad.any():
        at = tuple(np.argwhere(bad)[0].tolist())
        place = ", ".join(str(index) for index in at)
        raise ValueError(f"{what}[{place}] is {values[at]}, which {fmt.name} does not have")
    return found


def weights_of(
    unit: Unit, values: NDArray[Any], codes: bool, bits: int = 0, prune: bool = False
) -> NDArray[Any]:
    """Return W as the unit's packer takes it.

    Raises ``ValueError`` as :func:`codes_of`, and where N of every M weights cannot stand for W,
    unless ``prune`` or ``bits``, a dense job, say that this is meant.
    """
    found = _weights_of(unit, values, codes)
    sparsity = unit.parameters.get("sparsity")
    lost = sparse.dropped(unit.parameters, found) if sparsity and not bits and not prune else 0
    if lost:
        raise ValueError(
            f"W must have at most {str(sparsity).replace(':', ' weights other than 0 in every ')} "
            f"rows of a column, but {lost} are too many: --prune leaves out the smallest, "
            f"--job-bits {str(sparsity).split(':')[1]} makes the job a dense one"
        )
    return found


def _weights_of(unit: Unit, values: NDArray[Any], codes: bool) -> NDArray[Any]:
    name = weight_format(unit)
    if name is not None:
        # What the books of columns hold is not known here.
        return codes_of(name, values, codes or unit.parameters.get("book") == "rows", "W")
    whole = values.astype(np.int64) if np.isfinite(values).all() else np.zeros(values.shape)
    if (whole != values).any():
        at = tuple(np.argwhere(whole != values)[0].tolist())
        raise ValueError(f"W{list(at)} must be an integer, not {values[at]}")
    return whole


def npy(array: NDArray[Any]) -> bytes:
    """Return the content of a ``.npy`` file."""
    target = io.BytesIO()
    np.lib.format.write_array(target, np.ascontiguousarray(array), allow_pickle=False)
    return target.getvalue()


def write_bytes(path: str, data: bytes) -> None:
    """Write a file, whole or not at all. Raises ``ValueError`` where that is not possible."""
    target = Path(path)
    part = Path(f"{target}.{os.getpid()}.part")
    try:
        if target.is_dir():
            raise IsADirectoryError(21, "it is a directory")
        part.write_bytes(data)
        part.replace(target)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot write {path!r}: {reason}") from None
