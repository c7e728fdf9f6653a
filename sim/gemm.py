# SPDX-License-Identifier: Apache-2.0
"""One product of matrices from files, as a matrix engine gives it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import parse
from sim.golden.mpgemm import array, codebook
from sim.golden.mpgemm.epilogue import Requant, numbers
from sim.golden.mpgemm.image import MAGIC, pack, unpack
from sim.golden.mpgemm.scale_beats import array_names, scale_formats
from sim.golden.mpgemm.scaled import mode_of
from sim.golden.mpgemm.stimulus import Streams
from sim.golden.mpgemm.unit import Unit, weight_format
from sim.golden.pe.operands import activations, operands
from sim.matrices import codes_of, parse_npy, read_bytes, weights_of

__all__ = ["Product"]


@dataclass(frozen=True)
class Product:
    """A job of (m, n, k) with ``bits`` bit planes for a unit, and its streams."""

    unit: Unit
    sizes: tuple[int, int, int]
    bits: int
    streams: Streams

    @classmethod
    def read(
        cls,
        manifest: Mapping[str, Any],
        files: tuple[str, str],
        scales: tuple[str | None, ...],
        bits: int = 0,
        codes: bool = False,
        prune: bool = False,
    ) -> "Product":
        """Take A and W, the latter as a matrix or a packed image, and scales from files.

        Scales are those of W, zero points, scales of A, and the numbers of requantisation. Raises
        ``ValueError`` where they are not what the unit takes.
        """
        unit = Unit.of(manifest)
        values = parse_npy(files[0], read_bytes(files[0]))
        a = codes_of(unit.parameters["act"], values, codes, "A")
        data = read_bytes(files[1])
        if data[: len(MAGIC)] != MAGIC:
            found = parse_npy(files[1], data, 3 if unit.name == "pq" else 2)
            data = pack(manifest, weights_of(unit, found, codes, bits, prune), bits)
        image = unpack(manifest, data)
        m, k = a.shape
        steps = int(unit.parameters["subvector"]) if unit.name == "pq" else 1
        if -(-k // steps) != -(-image.k // steps):
            raise ValueError(f"A has {k} columns, but W {image.k} rows")
        sizes = m, image.n, k
        streams = unit.job(
            a, image.packet(m), image.n, image.bits, _scales(unit, sizes, scales, codes)
        )
        return cls(unit, sizes, image.bits, streams)

    @cached_property
    def out(self) -> dict[str, list[int]]:
        """The beats of the output by the model."""
        beats: dict[str, list[int]] = self.unit.module.run(self.unit.parameters, self.streams)[
            "m_axis_out"
        ]
        return beats

    def cycles(self) -> int:
        """Return the cycles of the model."""
        planes = {"bits": self.bits} if self.bits else {}
        found: int = self.unit.module.cycles(self.unit.parameters, *self.sizes, **planes)
        return found

    def saved(self) -> tuple[int, int]:
        """Return the multiplications of the model, and of each product on its own."""
        found: tuple[int, int] = codebook.saved(self.unit.parameters, *self.sizes)
        return found

    def c(self) -> NDArray[Any]:
        """Return C: int64, or real numbers where it has any.

        These are float32 as they come out, or the float64 nearest to what does, not a number where
        that is marked.
        """
        c, nan = self.unit.results(*self.sizes, self.out)
        p = self.unit.parameters
        if mode_of(array_names(p)) == "fp32-seq":
            return (c.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
        lam = 0 if p.get("requant") else self._lam()
        small = bool((np.abs(c) < 1 << 63).all())
        if lam == 0 and small and not nan.any():
            return c.astype(np.int64)
        reals = [int(v) << lam if lam > 0 else int(v) / (1 << -lam) for v in c.ravel()]
        return np.where(nan, np.nan, np.array(reals, dtype=np.float64).reshape(c.shape))

    def _lam(self) -> int:
        """The exponent of the unit of C."""
        p = self.unit.parameters
        if self.unit.module is not array:
            book = weight_format(self.unit)
            lam = 0 if self.unit.name == "pq" else activations(p).lam
            lam += 0 if book is None else parse(book).lam
        else:
            lam = sum(operand.lam for operand in operands(p))
        return lam + sum(fmt.lam for fmt in scale_formats(p)) if p.get("scale") else lam


def _scales(
    unit: Unit,
    sizes: tuple[int, int, int],
    files: tuple[str | None, ...],
    codes: bool,
) -> Any:
    """Return the scales of a unit that takes such, ``None`` for others."""
    names = ("scales", "zeros", "act-scales", "numbers")
    if "scale" not in unit.engine.streams:
        _unwanted(files, names)
        return None
    requant = _numbers(unit, sizes[1], files[3])
    if requant and unit.name != "pq" and not array_names(unit.parameters)["scale"]:
        _unwanted(files[:3], names[:3])
        return None, None, None, *requant
    if files[0] is None:
        raise ValueError(f"{unit.name} with these parameters needs --scales")
    p, (m, n, k) = array_names(unit.parameters), sizes
    first = parse_npy(files[0], read_bytes(files[0]), 3 if unit.name == "pq" else 2)
    if not p["scale"]:
        _unwanted(files[1:3], names[1:3])
        if unit.name == "codebook":
            return _shaped(files[0], first, (n, 1 << int(p["bits"])))
        width = int(p["subvector"])
        shape = -(-k // width), int(p["centroids"]), width
        centroids = codes_of(p["act"], _shaped(files[0], first, shape), codes, "centroids")
        return (centroids, *requant) if requant else centroids
    groups = -(-k // int(p["group"]))
    found: list[Any] = [codes_of(p["scale"], _shaped(files[0], first, (groups, n)), codes, "S")]
    wanted = (("zeros", "zero_point", n), ("act-scales", "act_scale", m))
    for path, (name, parameter, size) in zip(files[1:3], wanted, strict=True):
        if not p[parameter]:
            _unwanted((path,), (name,))
            found.append(None)
            continue
        if path is None:
            raise ValueError(f"{unit.name} with these parameters needs --{name}")
        values = _shaped(path, parse_npy(path, read_bytes(path)), (groups, size))
        if parameter == "zero_point":
            if (np.isin(values, np.arange(-128, 128), invert=True)).any():
                raise ValueError(f"{path!r} must hold zero points from -128 to 127")
            found.append(values.astype(np.int64))
        else:
            found.append(codes_of(p[parameter], values, codes, "T"))
    return *found, *requant


def _numbers(unit: Unit, n: int, path: str | None) -> tuple[Requant, ...]:
    """Return the numbers of requantisation, where the unit has it."""
    wanted = numbers(unit.parameters)
    if not wanted:
        _unwanted((path,), ("numbers",))
        return ()
    if path is None:
        raise ValueError(f"{unit.name} with these parameters needs --numbers")
    found = _shaped(path, parse_npy(path, read_bytes(path)), (len(wanted), n))
    if (found != np.rint(found)).any():
        raise ValueError(f"{path!r} must hold integers")
    return ({part.name: row.astype(np.int64) for part, row in zip(wanted, found, strict=True)},)


def _shaped(path: str, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if values.shape != shape:
        raise ValueError(f"{path!r} must have shape {shape}, not {values.shape}")
    return values


def _unwanted(files: tuple[str | None, ...], names: tuple[str, ...]) -> None:
    for path, name in zip(files, names, strict=True):
        if path is not None:
            raise ValueError(f"the unit takes no {name} with these parameters, not {path!r}")
