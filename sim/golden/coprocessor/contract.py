# SPDX-License-Identifier: Apache-2.0
"""What a manifest says of a matrix co-processor, and what follows for the memory it touches.

Everything here is from ``docs/coprocessor.md``: how operands lie, how many bytes of them are read,
when a descriptor is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.coprocessor import (
    ACTIVATIONS,
    DESCRIPTOR_MAGIC,
    DESCRIPTOR_VERSION,
    ERROR_CODES,
    FLAGS,
    OPS,
    Descriptor,
)
from hw.spec.formats import parse
from sim.golden.mpgemm.epilogue import numbers
from sim.golden.mpgemm.jobs import Job
from sim.golden.mpgemm.scale_beats import array_names
from sim.golden.mpgemm.scaled import mode_of
from sim.golden.mpgemm.two_flows import of_flow
from sim.golden.mpgemm.unit import PLANED, Unit

__all__ = ["Contract", "Extent"]

_ALIGN = 16  #: Bytes to a multiple of which W and S lie.


@dataclass(frozen=True)
class Extent:
    """Bytes that an operand has: ``rows`` of ``size`` bytes, ``stride`` bytes apart."""

    address: int
    size: int
    rows: int = 1
    stride: int = 0

    @property
    def end(self) -> int:
        """The first address behind the last byte."""
        return self.address + (self.rows - 1) * self.stride + self.size

    def addresses(self) -> NDArray[np.int64]:
        """Return the address (rows, size) of every byte."""
        tops = self.address + np.arange(self.rows, dtype=np.int64) * self.stride
        return tops[:, None] + np.arange(self.size, dtype=np.int64)


@dataclass(frozen=True)
class Contract:
    """The key ``contract`` of a manifest, and the engine that it names, the first of several."""

    fields: Mapping[str, Any]
    unit: Unit

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Contract":
        """Take a manifest. Raises ``ValueError`` where it is that of another unit."""
        fields = manifest.get("contract", {})
        if "engine" not in fields:
            raise ValueError(f"{manifest.get('unit')!r} is the manifest of no matrix co-processor")
        return cls(fields, Unit.of(fields["engine"]))

    def __getitem__(self, name: str) -> int:
        return int(self.fields[name])

    @cached_property
    def engines(self) -> tuple["Contract", ...]:
        """What holds for each engine alone."""
        shared = {name: value for name, value in self.fields.items() if name != "engines"}
        parts = self.fields.get("engines") or [{"engine": self.fields["engine"]}]
        return tuple(Contract({**shared, **part}, Unit.of(part["engine"])) for part in parts)

    def chosen(self, number: int) -> "Contract":
        """Return what holds for an engine; one that is alone counts as any."""
        return self.engines[number] if "engines" in self.fields else self

    @property
    def parameters(self) -> dict[str, Any]:
        """The engine's parameters, as an array has them."""
        return array_names(self.unit.parameters)

    @property
    def act_bits(self) -> int:
        """Bits of a code of A."""
        return parse(str(self.parameters["act"])).bits

    @property
    def is_float(self) -> bool:
        """Whether results are binary32."""
        return mode_of(self.parameters) == "fp32-seq" and not self.parameters.get("requant")

    @property
    def accumulates(self) -> bool:
        """Whether results may be added to what C holds: sums of integers, where it was built."""
        sums = not self.is_float and not self.parameters.get("requant")
        return bool(self.fields.get("accumulate")) and sums

    @property
    def has_planes(self) -> bool:
        """Whether a job may have fewer bit planes than the engine."""
        return self.unit.name in PLANED

    @property
    def switched(self) -> bool:
        """Whether a product with a vector is computed with weights that stay."""
        return bool(self.parameters.get("dataflow") == "os-ws")

    def stays(self, d: Descriptor) -> bool:
        """Whether the weights of a descriptor's product stay in the array."""
        return self.switched and d.op == OPS["gemv"]

    def unit_of(self, d: Descriptor) -> Unit:
        """Return the model of the engine as it computes a descriptor."""
        if not self.switched:
            return self.unit
        return replace(self.unit, parameters=of_flow(self.unit.parameters, self.stays(d)))

    def bits(self, w_fmt: int) -> int:
        """Return the ``bits`` of a job."""
        return w_fmt if self.has_planes else 0

    # Sizes.

    @property
    def most(self) -> int:
        """Most rows or columns of C."""
        return (1 << self["size_bits"]) - 1

    def tiles(self, n: int) -> list[int]:
        """Return the columns of each column tile."""
        step = self["columns"]
        return [min(step, n - left) for left in range(0, n, step)]

    def row_tiles(self, m: int) -> int:
        """Return how many tiles of rows there are."""
        return -(-m // self["rows"])

    def beats(self, name: str, k: int, bits: int) -> int:
        """Return the beats of ``wgt`` or ``scale`` of one tile."""
        return self.unit.engine.schedule(Job(1, 1, k, bits)).beats[name]

    def w_panel(self, k: int, w_fmt: int) -> int:
        """Return the bytes of W of a column tile."""
        return self.beats("wgt", k, self.bits(w_fmt)) * self["w_slot"]

    def s_panel(self, m: int, k: int) -> int:
        """Return the bytes of S of a column tile; 0 where the engine takes none."""
        if not self["s_slot"]:
            return 0
        times = self.row_tiles(m) if self.parameters["act_scale"] else 1
        return times * self.beats("scale", k, 0) * self["s_slot"]

    def extents(self, d: Descriptor) -> dict[str, Extent]:
        """Return where the operands of a descriptor lie, by ``a``, ``w``, ``s`` and ``c``."""
        return self.chosen(d.engine)._extents(d)

    def _extents(self, d: Descriptor) -> dict[str, Extent]:
        if d.op == OPS["fence"]:
            return {}
        c_stride = d.c_stride * 4
        if d.op == OPS["copy"]:
            return {
                "a": Extent(d.a, d.n, d.m, d.a_stride),
                "c": Extent(d.c, d.n, d.m, c_stride),
            }
        tiles, w_size = len(self.tiles(d.n)), self.w_panel(d.k, d.w_fmt)
        found = {
            "a": Extent(d.a, -(-d.k * self["act_slot"] // 8), d.m, d.a_stride),
            "w": Extent(d.w, w_size, tiles, d.w_stride * 16 or w_size),
            "c": Extent(d.c, d.n * self["c_bytes"], d.m, c_stride),
        }
        if self["s_slot"]:
            size = self.s_panel(d.m, d.k)
            found["s"] = Extent(d.s, size, tiles, size)
        return found

    # Refusals.

    def refusal(self, words: Sequence[int]) -> int:
        """Return the error code of a descriptor, 0 where it is fine; the lowest of several."""
        d = Descriptor.unpack(words)
        if d.magic != DESCRIPTOR_MAGIC or d.version != DESCRIPTOR_VERSION:
            return ERROR_CODES["descriptor"]
        if d.engine >= len(self.engines) or self.chosen(d.engine)._unsupported(d):
            return ERROR_CODES["unsupported"]
        if d.op == OPS["fence"]:
            return ERROR_CODES["none"]
        if self.chosen(d.engine)._size(d):
            return ERROR_CODES["size"]
        reach = 1 << self["addr_bits"]
        if any(extent.end > reach for extent in self.extents(d).values()):
            return ERROR_CODES["address"]
        return ERROR_CODES["none"]

    def _unsupported(self, d: Descriptor) -> bool:
        copies = self.fields["features"]["copy"]
        if d.op not in OPS.values() or (d.op == OPS["copy"] and not copies):
            return True
        formats, p = self.fields["formats"], self.parameters
        allowed = (1 << FLAGS["irq"]) | (1 << FLAGS["last"])
        names = [number.name for number in numbers(p)]
        if "add" in names:
            allowed |= 1 << FLAGS["bias"]
        if "z" in names or p["zero_point"]:
            allowed |= 1 << FLAGS["zero_point"]
        if self.accumulates:
            allowed |= 1 << FLAGS["accumulate"]
        if self.has_planes:
            weights_fit = d.w_fmt <= self.unit.engine.planes
        else:
            weights_fit = d.w_fmt in (0, int(formats["w_fmt"]))
        activations = {ACTIVATIONS["none"], ACTIVATIONS["relu"]}
        if not self.is_float:
            activations.add(ACTIVATIONS["clamp"])
        return (
            bool(d.flags & ~allowed)
            or d.a_fmt not in (0, int(formats["a_fmt"]))
            or not weights_fit
            or d.w_layout not in (0, self["layout"])
            or d.activation not in activations
            or any((d.c_fmt, d.round_mode, d.scale_mode))
            or d.g not in (0, int(p["group"] or 0))
        )

    def _size(self, d: Descriptor) -> bool:
        if 0 in (d.m, d.n, d.k) or (d.op == OPS["gemv"] and d.m > 1):
            return True
        if max(d.m, d.n) > self.most:
            return True
        if d.k > (1 if d.op == OPS["copy"] else self.unit.engine.max_k):
            return True
        found = self._extents(d)
        if any(found[name].address % _ALIGN for name in "ws" if name in found):
            return True
        return d.m > 1 and any(found[name].stride < found[name].size for name in "ac")
