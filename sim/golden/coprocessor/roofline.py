# SPDX-License-Identifier: Apache-2.0
"""What a descriptor costs at least: bytes over the bus, and cycles (sheet B.8)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hw.spec.coprocessor import FLAGS, OPS, Descriptor
from sim.golden.coprocessor.contract import Contract, Extent
from sim.golden.mpgemm.scaled import group_steps

__all__ = ["Roofline", "roofline"]


@dataclass(frozen=True)
class Roofline:
    """Bounds of one descriptor.

    Parameters
    ----------
    read_bytes
        Bytes of the bus words read for A, W and S, row by row and panel by panel, however often
        they are read again. Rows of A that begin inside of a bus word may take a word more for each
        chunk in which they are fetched.
    write_bytes
        Bytes of C.
    macs
        M N K.
    compute
        Cycles in which the engine takes steps, or would, were it not for its own rows that leave.
    read, write
        Cycles of beats on the bus.
    fill
        Cycles before the first step and after the last.
    """

    read_bytes: int
    write_bytes: int
    macs: int
    compute: int
    read: int
    write: int
    fill: int

    @property
    def cycles(self) -> int:
        """The least that it may take."""
        return max(self.compute, self.read, self.write) + self.fill

    @property
    def bound(self) -> str:
        """What decides: ``compute``, ``read`` or ``write``."""
        return max(("compute", "read", "write"), key=lambda name: int(getattr(self, name)))


def roofline(
    job: Descriptor, manifest: Mapping[str, Any] | Contract, *, latency: int = 0
) -> Roofline:
    """Return the bounds of a descriptor; ``latency`` is that of the memory's first beat."""
    contract = manifest if isinstance(manifest, Contract) else Contract.of(manifest)
    contract = contract.chosen(job.engine)
    bus, extents = contract["data_width"] // 8, contract.extents(job)
    if job.op == OPS["fence"]:
        return Roofline(0, 0, 0, 0, 0, 0, 0)
    write_bytes = extents["c"].rows * extents["c"].size
    write = _words(extents["c"], bus)
    if job.op == OPS["copy"]:
        read = _words(extents["a"], bus)
        return Roofline(read * bus, write_bytes, 0, 0, read, write, latency)
    columns, rows = len(contract.tiles(job.n)), contract.row_tiles(job.m)
    row_words = -(-job.k * contract["act_slot"] // contract["a_word"])
    stays = rows * row_words <= contract["a_depth"]
    read = _words(extents["a"], bus) * (1 if stays else columns)
    for name in ("w", "s"):
        if name in extents:
            read += _words(extents[name], bus) * _fetches(contract, job, name, rows)
    if job.flags >> FLAGS["accumulate"] & 1:
        # Rows of each column tile are read alone.
        step, size = contract["columns"] * contract["c_bytes"], extents["c"].size
        for left in range(0, size, step):
            part = replace(extents["c"], address=job.c + left, size=min(step, size - left))
            read += _words(part, bus)
    compute, fill = _engine(contract, job)
    macs = job.m * job.n * job.k
    return Roofline(read * bus, write_bytes, macs, compute, read, write, latency + fill)


def _words(extent: Extent, bus: int) -> int:
    """Return the bus words that the rows of an extent touch."""
    starts = (extent.address + row * extent.stride for row in range(extent.rows))
    return sum(-(-(start + extent.size) // bus) - start // bus for start in starts)


def _fetches(contract: Contract, job: Descriptor, name: str, rows: int) -> int:
    """Return how often a panel is fetched: once where it fits its ring."""
    if name == "w":
        slots = contract.w_panel(job.k, job.w_fmt) // contract["w_slot"]
    else:
        slots = contract.s_panel(job.m, job.k) // contract["s_slot"]
        if contract.parameters["act_scale"]:
            return 1  # Each row tile has its own.
    return 1 if slots <= contract[f"{name}_depth"] else rows


def _engine(contract: Contract, job: Descriptor) -> tuple[int, int]:
    """Return the cycles of the engine's steps, and those around them."""
    unit, bits, rows = contract.unit, contract.bits(job.w_fmt), contract.row_tiles(job.m)
    each = contract.beats("wgt", job.k, bits)
    every = max(each, contract["rows"])
    columns = len(contract.tiles(job.n))
    # Rows of a tile leave while the next one is computed; the last tile's are in `fill`.
    compute = (columns * rows - 1) * every + each
    shown = (job.m - 1) % contract["rows"] + 1
    planes = {"bits": bits} if bits else {}
    alone = int(unit.module.cycles(unit.parameters, shown, 1, job.k, **planes))
    steps = group_steps(contract.parameters, job.k, contract["depth"])
    return compute, max(0, alone - max(each, sum(steps)))
