# SPDX-License-Identifier: Apache-2.0
"""Small products on a device against the golden model of its engine."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fpga.driver.operands import Quantized
from fpga.driver.transport import DeviceError
from hw.spec.coprocessor import Descriptor
from hw.spec.formats import parse
from sim.golden.coprocessor.contract import Contract
from sim.golden.formats import decode_float, legal_codes
from sim.golden.mpgemm.draws import split
from sim.golden.mpgemm.epilogue import draw_requant
from sim.golden.mpgemm.jobs import Job
from sim.golden.mpgemm.scale_beats import array_names
from sim.golden.mpgemm.unit import weight_format
from sim.golden.pe.operands import activations

__all__ = ["compare", "products"]


class _Multiplies(Protocol):
    contract: Contract

    def gemm(self, a: Any, w: Any, **options: Any) -> NDArray[Any]:
        """Return a product."""
        ...


def compare(device: _Multiplies, count: int, seed: int = 1) -> int:
    """Run ``count`` products on each engine, the first of edge sizes; return how many there were.

    Raises :class:`DeviceError` naming the first element that differs from the golden model.
    """
    engines, done = device.contract.engines, 0
    drawn = ((i, *one) for i, own in enumerate(engines) for one in products(own, count, seed))
    for engine, a, w, bits, options, due in drawn:
        found = device.gemm(a, w, bits=bits, engine=engine, **options)
        wrong = np.argwhere(_bits(found) != _bits(due.astype(found.dtype)))
        if len(wrong):
            at = tuple(wrong[0].tolist())
            sizes = "x".join(str(size) for size in (*due.shape, a.codes.shape[1]))
            raise DeviceError(
                f"self-test: product {done}, MxNxK {sizes}, gives {found[at]} at {list(at)}, "
                f"not {due[at]}; {len(wrong)} of {due.size} elements are wrong"
            )
        done += 1
    return done


def products(
    contract: Contract, count: int, seed: int
) -> Iterator[tuple[Quantized, Quantized, int, dict[str, Any], NDArray[Any]]]:
    """Yield A, W, bit planes, further arguments, and the result by the golden model."""
    unit, rng = contract.unit_of(Descriptor()), np.random.default_rng(seed)
    p = array_names(unit.parameters)
    requant = None
    if p.get("requant"):
        requant = draw_requant(unit.parameters, int(unit.parameters["acc_bits"]), rng)
    found = 0
    for word, packets in split(unit.module.vectors(unit.parameters, rng, 4 * count)):
        job = Job.of(word)
        if found == count:
            return
        if job.bits and not contract.has_planes:
            continue  # Dense jobs of N:M weights are none of a co-processor.
        found += 1
        beats = unit.engine.schedule(Job(1, job.n, job.k, job.bits)).beats["wgt"]
        w = unit.unpack_weights(packets["s_axis_wgt"][:beats], job.k, job.n, job.bits)
        act = activations(unit.parameters)
        codes = act.codes[~act.decode(act.codes)[1]]
        a = rng.choice(codes, (job.m, job.k))
        scales, given = _scales(contract, job, rng)
        options = dict(given)
        if requant:
            drawn = requant(job)
            options["numbers"] = {name: row.astype(np.int64) for name, row in drawn.items()}
            scales = (*(scales or (None, None, None)), options["numbers"])
        c, _ = unit.product(a, w, job.bits, scales)
        quantized = Quantized(w, format=weight_format(unit))
        yield Quantized(a), quantized, job.bits, options, _as_typed(contract, c)


def _scales(contract: Contract, job: Job, rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return scales as the golden model takes them, and the arguments that stand for them."""
    p = contract.parameters
    if contract.unit.name == "pq":
        width = int(p["subvector"])
        fmt = parse(str(p["act"]))
        shape = -(-job.k // width), int(p["centroids"]), width
        codes = rng.choice(legal_codes(fmt), shape)
        return codes, {"scales": decode_float(fmt, codes)}
    if not p["scale"]:
        return None, {}
    groups = -(-job.k // int(p["group"]))
    s, given = _drawn(p["scale"], (groups, job.n), rng)
    options: dict[str, Any] = {"scales": given}
    z = t = None
    if p["zero_point"]:
        z = options["zeros"] = rng.integers(-128, 128, (groups, job.n))
    if p["act_scale"]:
        t, options["act_scales"] = _drawn(p["act_scale"], (groups, job.m), rng)
    return (s, z, t), options


def _drawn(
    name: str, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw codes of moderate size, one for each value, and return them and their values."""
    fmt = parse(name)
    codes = legal_codes(fmt)
    values = decode_float(fmt, codes)
    fine = np.isfinite(values) & (np.abs(values) < 2.0**20) & (np.abs(values) > 2.0**-20)
    drawn = rng.choice(codes[fine], shape)
    return drawn, decode_float(fmt, drawn)


def _as_typed(contract: Contract, c: NDArray[Any]) -> NDArray[Any]:
    if contract.is_float:
        return (c.astype(np.int64) & 0xFFFF_FFFF).astype(np.uint32).view(np.float32)
    return c


def _bits(c: NDArray[Any]) -> NDArray[Any]:
    """Return C so that equal elements are equal, numbers or not."""
    return c.view(np.uint32) if c.dtype.kind == "f" else c
