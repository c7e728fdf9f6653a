# SPDX-License-Identifier: Apache-2.0
"""Numpy arrays as the bytes that the co-processor reads, and back.

Values are exact: a number that the operand's format does not have is refused, never rounded. What
comes quantized already is a :class:`Quantized`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import Format, parse
from sim.golden.coprocessor.contract import Contract
from sim.golden.encode import encode
from sim.golden.formats import check_codes, decode_float
from sim.golden.mpgemm import sparse
from sim.golden.mpgemm.epilogue import numbers as number_parts
from sim.golden.mpgemm.unit import weight_format
from sim.golden.pe.operands import activations

__all__ = ["MOST", "Operands", "Quantized"]

MOST = 65535  #: Bytes from row to row of A.


@dataclass(frozen=True)
class Quantized:
    """Codes of ``format``, and the values of scales (groups, N or M) and zero points that go along.

    For engines that take integers as weights, the codes are these.
    """

    codes: NDArray[Any]
    scales: NDArray[Any] | None = None
    zeros: NDArray[Any] | None = None
    format: str | None = None


@dataclass(frozen=True)
class Operands:
    """What a co-processor with this contract takes and gives."""

    contract: Contract

    @property
    def c_type(self) -> np.dtype[Any]:
        """The type of C."""
        size = self.contract["c_bytes"]
        if self.contract.is_float:
            return np.dtype("<f4")
        return np.dtype(f"<{'i' if self.contract.fields['c_signed'] else 'u'}{size}")

    @property
    def lam(self) -> int:
        """Exponent of the unit of integers in C: they count multiples of ``2**lam``."""
        unit, p = self.contract.unit, self.contract.parameters
        if p.get("requant") or self.contract.is_float or unit.name == "pq":
            return 0
        book = weight_format(unit)
        lam = activations(p).lam + (0 if book is None else parse(book).lam)
        if p.get("scale"):
            lam += sum(parse(name).lam for name in (p["scale"], p["act_scale"]) if name)
        return lam

    def a_codes(self, a: NDArray[Any] | Quantized) -> NDArray[np.int64]:
        """Return the codes (M, K) of A. Raises ``ValueError`` where it is no such matrix."""
        codes = _codes(parse(str(self.contract.parameters["act"])), a, "a")
        m, k = _matrix(codes, "a")
        most = self.contract.most
        if m > most:
            raise ValueError(f"a must have at most {most} rows, not {m}")
        if k > self.contract.unit.engine.max_k:
            raise ValueError(f"K must be at most {self.contract.unit.engine.max_k}, not {k}")
        return codes

    def a_bytes(self, codes: NDArray[np.int64]) -> tuple[bytes, int]:
        """Return the bytes of A and the stride of its rows."""
        slot, bus = self.contract["act_slot"], self.contract["data_width"] // 8
        bits = (codes[:, :, None] >> np.arange(slot) & 1).astype(np.uint8)
        rows = np.packbits(bits.reshape(len(codes), -1), axis=1, bitorder="little")
        size = rows.shape[1]
        stride = -(-size // bus) * bus
        stride = stride if stride <= MOST else size
        if len(codes) > 1 and stride > MOST:
            raise ValueError(f"a row of A must have at most {MOST} bytes, not {size}")
        data = np.pad(rows, ((0, 0), (0, stride - size))).tobytes()
        return data[: len(data) - (stride - size)], min(stride, MOST)

    def w_codes(
        self, w: NDArray[Any] | Quantized, bits: int = 0, prune: bool = False
    ) -> NDArray[Any]:
        """Return W as the engine's packer takes it: (K, N), for tables (S, c, N)."""
        unit = self.contract.unit
        name = weight_format(unit)
        if name is not None:
            codes = _codes(parse(name), w, "w")
        else:
            codes = _integers(w.codes if isinstance(w, Quantized) else w, "w")
        if codes.ndim != (3 if unit.name == "pq" else 2) or 0 in codes.shape:
            raise ValueError(f"w must be a matrix of K rows and N columns, not {codes.shape}")
        most = self.contract.most
        if codes.shape[-1] > most:
            raise ValueError(f"w must have at most {most} columns, not {codes.shape[-1]}")
        if unit.name == "pq":
            return codes
        if codes.shape[0] > unit.engine.max_k:
            raise ValueError(f"K must be at most {unit.engine.max_k}, not {codes.shape[0]}")
        if not 0 <= bits <= (unit.engine.planes if self.contract.has_planes else 0):
            planes = unit.engine.planes if self.contract.has_planes else 0
            raise ValueError(f"bits must be 0 to {planes} with this engine, not {bits}")
        lost = 0
        if unit.parameters.get("sparsity") and not prune:
            lost = sparse.dropped(unit.parameters, codes)
        if lost:
            raise ValueError(
                f"w has {lost} weights more than {unit.parameters['sparsity']} allows; "
                "prune=True keeps the largest"
            )
        return codes

    def w_bytes(self, codes: NDArray[Any], bits: int) -> bytes:
        """Return the panels of all column tiles."""
        slot, unit = self.contract["w_slot"], self.contract.unit
        parts = []
        for left in range(0, codes.shape[-1], self.contract["columns"]):
            tile = codes[..., left : left + self.contract["columns"]]
            try:
                words = unit.weights(tile, 1, bits)
            except ValueError as error:
                raise ValueError(f"w: {error}") from None
            parts += [word.to_bytes(slot, "little") for word in words]
        return b"".join(parts)

    def s_given(
        self, sizes: tuple[int, int, int], given: Mapping[str, Any], *, now: bool = True
    ) -> Any:
        """Return what the engine's packer of scales takes, checked; ``None`` where it takes none.

        ``sizes`` are M, N and K; ``given`` has ``scales``, ``zeros``, ``act_scales`` and
        ``numbers``. Those of A may come later, if not ``now``.
        """
        p, unit = self.contract.parameters, self.contract.unit
        wanted = {
            "scales": bool(p["scale"]) or unit.name == "pq",
            "zeros": bool(p["scale"] and p["zero_point"]),
            "act_scales": bool(p["act_scale"]),
            "numbers": bool(p.get("requant")),
        }
        for name, wants in wanted.items():
            has = given.get(name) is not None
            if has and not wants:
                raise ValueError(f"{name} are not taken by this engine")
            if wants and not has and (now or name != "act_scales"):
                raise ValueError(f"{name} are needed by this engine")
        if not any(wanted.values()):
            return None
        m, n, k = sizes
        if unit.name == "pq":
            width = int(p["subvector"])
            shape = -(-k // width), int(p["centroids"]), width
            return _codes(parse(str(p["act"])), _shaped(given["scales"], shape, "scales"), "scales")
        groups = -(-k // int(p["group"] or k))
        s = z = t = None
        if wanted["scales"]:
            s = _codes(parse(p["scale"]), _shaped(given["scales"], (groups, n), "scales"), "scales")
        if wanted["zeros"]:
            z = _integers(_shaped(given["zeros"], (groups, n), "zeros"), "zeros")
            if z.min() < -128 or z.max() > 127:
                raise ValueError(f"zeros must be -128 to 127, not {z.min()} to {z.max()}")
        if wanted["act_scales"] and now:
            array = _shaped(given["act_scales"], (groups, m), "act_scales")
            t = _codes(parse(p["act_scale"]), array, "act_scales")
        if not wanted["numbers"]:
            return s, z, t
        return s, z, t, self._numbers(given["numbers"], n)

    def _numbers(self, given: Mapping[str, Any], n: int) -> dict[str, NDArray[np.int64]]:
        parts = {part.name: part for part in number_parts(self.contract.parameters)}
        if set(given) != set(parts):
            raise ValueError(f"numbers must be {', '.join(parts)}, not {', '.join(given)}")
        found = {}
        for name, part in parts.items():
            array = _integers(_shaped(given[name], (n,), f"numbers[{name!r}]"), name)
            low, high = part.limits
            if array.min() < low or array.max() > high:
                raise ValueError(
                    f"numbers[{name!r}] must be {low} to {high}, not {array.min()} to {array.max()}"
                )
            found[name] = array
        return found

    def s_bytes(self, given: Any, m: int, n: int) -> bytes:
        """Return the beats of scales of all column tiles, for ``m`` rows of A."""
        slot, unit, step = self.contract["s_slot"], self.contract.unit, self.contract["columns"]
        rows, parts = m if self.contract.parameters["act_scale"] else 1, []
        for left in range(0, n, step):
            own = slice(left, min(left + step, n))
            if unit.name == "pq":
                tile: Any = given
            else:
                s, z, t, *rest = given
                tile = (
                    _cut(s, own),
                    _cut(z, own),
                    t,
                    *({k: v[own] for k, v in r.items()} for r in rest),
                )
            words = unit.scales(tile, rows, own.stop - own.start)
            parts += [word.to_bytes(slot, "little") for word in words]
        return b"".join(parts)

    def c_stride(self, n: int) -> int:
        """Return the stride of rows of C in bytes: whole bus words where the field has room."""
        size, bus = n * self.contract["c_bytes"], self.contract["data_width"] // 8
        stride = -(-size // max(bus, 4)) * max(bus, 4)
        return stride if stride <= 4 * MOST else -(-size // 4) * 4

    def c_bytes(self, c: Any, m: int, n: int, stride: int) -> bytes:
        """Return the bytes of C (M, N) for a product to be added to."""
        array, limits = _integers(_shaped(c, (m, n), "add"), "add"), np.iinfo(self.c_type)
        if array.min() < limits.min or array.max() > limits.max:
            raise ValueError(
                f"add must be {limits.min} to {limits.max}, not {array.min()} to {array.max()}"
            )
        rows = array.astype(self.c_type).view(np.uint8).reshape(m, -1)
        size = rows.shape[1]
        return np.pad(rows, ((0, 0), (0, stride - size))).tobytes()[: (m - 1) * stride + size]

    def c_array(self, data: bytes, m: int, n: int, stride: int) -> NDArray[Any]:
        """Return C (M, N) of its bytes."""
        size = n * self.contract["c_bytes"]
        rows = np.frombuffer(data.ljust(m * stride, b"\0"), dtype=np.uint8).reshape(m, stride)
        values = np.ascontiguousarray(rows[:, :size])
        if self.contract.is_float and self.contract["c_bytes"] > 4:
            # Beside engines of wider results the sign is repeated above.
            return np.ascontiguousarray(values.view("<u8").astype("<u4")).view("<f4")
        return values.view(self.c_type)


def _cut(matrix: NDArray[Any] | None, columns: slice) -> NDArray[Any] | None:
    return None if matrix is None else matrix[:, columns]


def _matrix(array: NDArray[Any], what: str) -> tuple[int, int]:
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{what} must be a matrix with rows and columns, not {array.shape}")
    return array.shape[0], array.shape[1]


def _shaped(values: Any, shape: tuple[int, ...], what: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(f"{what} must have shape {shape}, not {array.shape}")
    return array


def _numeric(values: Any, what: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} must hold numbers, not {array.dtype}")
    return array


def _integers(values: Any, what: str) -> NDArray[np.int64]:
    array = _numeric(values, what)
    whole = np.isfinite(array).all() and (array == np.rint(array)).all()
    if not whole or (array.size and (abs(array.astype(np.float64)) >= 2.0**62).any()):
        raise ValueError(f"{what} must hold integers")
    return array.astype(np.int64)


def _codes(fmt: Format, given: NDArray[Any] | Quantized, what: str) -> NDArray[np.int64]:
    """Return codes of ``fmt``. Raises ``ValueError`` naming the first value that it lacks."""
    if isinstance(given, Quantized):
        if given.format is not None and parse(given.format).name != fmt.name:
            raise ValueError(f"{what} must be of format {fmt.name}, not {given.format}")
        codes = _integers(given.codes, what)
        try:
            return check_codes(fmt, codes)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
    reals = _numeric(given, what).astype(np.float64)
    found = np.zeros(reals.shape, dtype=np.int64)
    bad = ~np.isfinite(reals)
    if not bad.all():
        found[~bad] = encode(fmt, reals[~bad])
        bad[~bad] = decode_float(fmt, found[~bad]) != reals[~bad]
    if bad.any():
        at = tuple(np.argwhere(bad)[0].tolist())
        place = ", ".join(str(index) for index in at)
        raise ValueError(
            f"{what}[{place}] is {np.asarray(given)[at]}, which {fmt.name} does not have: "
            "quantize it first"
        )
    return found
