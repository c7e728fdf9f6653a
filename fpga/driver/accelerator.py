# SPDX-License-Identifier: Apache-2.0
"""Driver of the matrix co-processor: numpy arrays in, numpy arrays out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpga.driver.device import Device, Run
from fpga.driver.engines import pick
from fpga.driver.memory import Buffer
from fpga.driver.operands import MOST, Operands, Quantized
from fpga.driver.self_test import compare
from fpga.driver.split import pieces
from fpga.driver.transport import MemoryTransport
from hw.spec.coprocessor import ACTIVATIONS, ERROR_MEANINGS, FLAGS, OPS, Descriptor
from sim.golden.coprocessor.accelerator import registers_of
from sim.golden.coprocessor.contract import Contract

__all__ = ["Accelerator", "Quantized", "Ticket", "Weights"]

_ALIGN = 64  #: Bytes to a multiple of which buffers lie.


@dataclass(frozen=True)
class _Packed:
    """W as bytes, and what its scales are made of."""

    k: int
    n: int
    bits: int
    data: bytes
    given: Mapping[str, Any]
    engine: int


@dataclass(frozen=True, eq=False)
class Weights:
    """W (K, N) in the device's memory; its scales too, if they do not depend on A's."""

    k: int
    n: int
    bits: int
    w: Buffer
    s: Buffer | None
    given: Mapping[str, Any] = field(repr=False)
    engine: int = 0


@dataclass(eq=False)
class Ticket:
    """A product that was submitted; ``run`` tells how far it is, ``engine`` who computes it."""

    engine: int
    shape: tuple[int, int]
    run: Run
    c: Buffer
    stride: int
    out: NDArray[Any] | None = field(repr=False)
    buffers: list[Buffer] = field(repr=False)
    weights: Weights | None = field(repr=False)
    before: "Ticket | None" = field(default=None, repr=False)  #: To whose C it is added.
    taken: bool = field(default=False, repr=False)  #: Whether another one is added to its C.
    result: NDArray[Any] | None = field(default=None, repr=False)

    @property
    def nan(self) -> bool:
        """Whether a sum was not a number, here or in a product on its way at the same time."""
        return self.run.nan or (self.before is not None and self.before.nan)

    @property
    def error(self) -> Exception | None:
        """What went wrong, once it is done, here or in what it is added to."""
        if not self.run.done:
            return None
        return self.run.error or (self.before.error if self.before else None)


class Accelerator:
    """The co-processor behind ``transport``, as ``manifest`` (or a file of it) describes it.

    Parameters
    ----------
    transport
        Registers and memory; it is closed with the accelerator.
    manifest
        What was emitted together with the Verilog.
    queue
        Entries of a ring of descriptors, a power of two; 0: one product at a time, by START.
    timeout
        Seconds after which a device that does not answer is given up.

    Raises ``ValueError`` for a device that was generated with other parameters, naming both, and
    :class:`DeviceError` for one that is none.
    """

    def __init__(
        self,
        transport: MemoryTransport,
        manifest: Mapping[str, Any] | str | Path,
        *,
        queue: int = 0,
        timeout: float = 60.0,
    ) -> None:
        facts: Mapping[str, Any]
        if isinstance(manifest, Mapping):
            facts = manifest
        else:
            facts = json.loads(Path(manifest).read_text(encoding="utf-8"))
        self.transport = transport
        self.contract = Contract.of(facts)
        self.engines = tuple(Operands(contract) for contract in self.contract.engines)
        self._device: Device | None = Device(transport, registers_of(facts), queue, timeout)
        self._weights: list[Weights] = []
        self._tickets: list[Ticket] = []

    @property
    def device(self) -> Device:
        """The registers. Raises ``ValueError`` when the accelerator is closed."""
        if self._device is None:
            raise ValueError("the accelerator is closed")
        return self._device

    @property
    def lam(self) -> int:
        """Exponent of the unit of integers in C: they count multiples of ``2**lam``.

        That of the first engine; ``engines[i].lam`` is that of another one.
        """
        return self.engines[0].lam

    def __enter__(self) -> "Accelerator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the device, give its memory back, and close the transport."""
        if self._device is None:
            return
        device, self._device = self._device, None
        try:
            device.close()
            for ticket in self._tickets:
                self._free(*ticket.buffers)
            for weights in self._weights:
                self._free(weights.w, weights.s)
        finally:
            self._tickets.clear()
            self._weights.clear()
            self.transport.close()

    def reset(self) -> None:
        """Reset the device; products that were on their way fail, loaded weights stay."""
        self.device.reset()
        self._release()

    def abort(self) -> None:
        """End what is running; products that are not done by then fail with code 12."""
        self.device.abort()
        self._release()

    def counters(self) -> dict[str, int]:
        """Return the counters by name, all of one moment."""
        return self.device.counters()

    def clear_counters(self) -> None:
        """Zero the counters."""
        self.device.clear_counters()

    def self_test(self, products: int = 6, seed: int = 1) -> int:
        """Identify the device, compare small products with the golden model; return how many.

        Raises :class:`DeviceError` naming the first element that differs.
        """
        self.device.identify()
        return compare(self, products, seed)

    # Products.

    def gemm(self, a: NDArray[Any] | Quantized, w: Any, **options: Any) -> NDArray[Any]:
        """Return ``a @ w``, exactly as the engine gives it.

        Parameters
        ----------
        a
            Values (M, K) that the format of activations has exactly, or :class:`Quantized` codes.
        w
            Values (K, N), codes, or :class:`Weights`; integers for engines without a format of
            weights; tables (S, c, N) for ``pq``.
        scales, zeros, act_scales
            Values (groups, N), integers (groups, N) and values (groups, M) where the engine takes
            such; centroids (S, c, length) for ``pq``. Those of a :class:`Quantized` count.
        numbers
            What requantises a column, each (N,): ``m``, ``s``, and ``add`` and ``z`` if wanted.
        activation, clamp
            ``none``, ``relu`` or ``clamp``; the last with its two bounds, -128 to 127.
        out
            Where to put the result, else in a new array.
        bits
            Bit planes of w, where the engine may take fewer than it has; 0: all.
        prune
            Keep the largest weights, where an engine with N:M weights cannot hold all.
        add
            Integers (M, N) that are added to the product, before the activation, where the device
            was generated with ``accumulate`` and the engine gives sums of integers.
        engine, format
            Which of several engines: its number, or the format of its weights. Without either that
            of a :class:`Quantized` W counts, else the first.

        Integers count multiples of ``2**lam``; engines that scale in binary32 give float32. Raises
        ``ValueError`` for what does not fit, before the device knows of it, and
        :class:`fpga.driver.errors.AcceleratorError` where the device fails.

        A sum longer than the engine's ``max_k`` is computed piece by piece in the place of C, where
        the device can add, the engine takes no scales and ``w`` is no :class:`Weights`.
        """
        ticket: Ticket | None = None
        parts = [(a, w, options)]
        if not isinstance(w, Weights):
            number = self._engine(options.get("engine"), options.get("format"), a, w)
            parts = pieces(self.engines[number], a, w, options)
        for some_a, some_w, given in parts:
            if ticket is not None:
                if self.device.full:
                    self.device.wait(ticket.run)
                given["onto"] = ticket
            ticket = self.submit(some_a, some_w, **given)
        assert ticket is not None
        return self.wait(ticket)

    def submit(
        self,
        a: NDArray[Any] | Quantized,
        w: Any,
        *,
        scales: NDArray[Any] | None = None,
        zeros: NDArray[Any] | None = None,
        act_scales: NDArray[Any] | None = None,
        numbers: Mapping[str, Any] | None = None,
        activation: str = "none",
        clamp: tuple[int, int] | None = None,
        out: NDArray[Any] | None = None,
        bits: int = 0,
        prune: bool = False,
        engine: int | None = None,
        format: str | None = None,
        add: NDArray[Any] | None = None,
        onto: Ticket | None = None,
    ) -> Ticket:
        """Begin a product and return at once; the arguments are those of :meth:`gemm`.

        Instead of ``add``, ``onto`` is a product of the same size and units that was submitted and
        not fetched, to whose C this one is added where it lies; only this one can be fetched then.
        """
        device = self.device
        number = self._engine(engine, format, a, w)
        operands = self.engines[number]
        chosen = _activation(operands, activation, clamp)
        codes = operands.a_codes(a)
        given = {"scales": scales, "zeros": zeros, "numbers": numbers}
        ready: Weights | _Packed
        if isinstance(w, Weights):
            self._check_loaded(w, {**given, "bits": bits or None, "prune": prune or None})
            ready = w
        else:
            ready = self._pack(number, w, given, bits, prune)
        m, k, n = len(codes), codes.shape[1], ready.n
        if k != ready.k and not _same_steps(operands, k, ready.k):
            raise ValueError(f"a has {k} columns, but w has {ready.k} rows")
        if isinstance(a, Quantized) and act_scales is None:
            act_scales = a.scales
        self._check_out(operands, out, (m, n), a, w)
        found = operands.s_given((m, n, k), {**ready.given, "act_scales": act_scales})
        a_data, a_stride = operands.a_bytes(codes)
        stride = operands.c_stride(n)
        self._check_sums(operands, add, onto, (m, n))
        if onto is not None:
            stride = onto.stride
        parts = {"a": a_data}
        if add is not None:
            parts["c"] = operands.c_bytes(add, m, n, stride)
        if isinstance(ready, _Packed):
            parts["w"] = ready.data
        if found is not None and (isinstance(ready, _Packed) or ready.s is None):
            parts["s"] = operands.s_bytes(found, m, n)
        if device.full:
            raise ValueError(
                f"the queue of {max(device.queue, 1)} is full: wait for a product first"
            )
        sizes = {name: len(data) for name, data in parts.items()}
        if onto is None:
            sizes["c"] = (m - 1) * stride + n * self.contract["c_bytes"]
        places = self._place(sizes)
        try:
            own = {"w": ready.w, "s": ready.s} if isinstance(ready, Weights) else {}
            if onto is not None:
                own["c"] = onto.c
            adds = add is not None or onto is not None
            at = {name: b.address for name, b in (own | places).items() if b is not None}
            descriptor = Descriptor(
                op=OPS["gemv" if m == 1 and operands.contract.switched else "gemm"],
                engine=number,
                flags=adds << FLAGS["accumulate"],
                w_fmt=ready.bits,
                m=m,
                n=n,
                k=k,
                **at,
                a_stride=a_stride,
                c_stride=stride // 4,
                **chosen,
            )
            self._check(descriptor)
            for name, data in parts.items():
                self.transport.upload(places[name].address, data)
            run = device.start(descriptor)
        except BaseException:
            self._free(*places.values())
            raise
        loaded = ready if isinstance(ready, Weights) else None
        buffers = list(places.values())
        c = places["c"] if onto is None else onto.c
        if onto is not None:  # what it has is this one's now
            buffers += onto.buffers
            onto.buffers, onto.taken = [], True
            self._tickets.remove(onto)
        ticket = Ticket(number, (m, n), run, c, stride, out, buffers, loaded, onto)
        self._tickets.append(ticket)
        return ticket

    def wait(self, ticket: Ticket, timeout: float | None = None) -> NDArray[Any]:
        """Return the result of a product when it is done.

        Raises its :class:`fpga.driver.errors.AcceleratorError`, and :class:`DeviceError` if it is
        not done after ``timeout`` seconds.
        """
        if ticket.result is not None:
            return ticket.result
        if not ticket.run.done:
            self.device.wait(ticket.run, timeout)
        if ticket.error:
            self._release()
            raise ticket.error
        if ticket.taken:
            raise ValueError("another product was added to this one: fetch that")
        if ticket not in self._tickets:
            raise ValueError("the accelerator was closed before the product was fetched")
        m, n = ticket.shape
        data = self.transport.download(ticket.c.address, ticket.c.size)
        result = self.engines[ticket.engine].c_array(data, m, n, ticket.stride)
        if ticket.out is not None:
            ticket.out[...] = result
            result = ticket.out
        ticket.result = result
        self._tickets.remove(ticket)
        self._free(*ticket.buffers)
        return result

    def load_weights(
        self,
        w: NDArray[Any] | Quantized,
        *,
        scales: NDArray[Any] | None = None,
        zeros: NDArray[Any] | None = None,
        numbers: Mapping[str, Any] | None = None,
        bits: int = 0,
        prune: bool = False,
        engine: int | None = None,
        format: str | None = None,
    ) -> Weights:
        """Pack W once and keep it in the device's memory until :meth:`free`.

        The arguments are those of :meth:`gemm`.
        """
        _ = self.device
        number = pick(self.engines, engine, format, None, w)
        operands, given = self.engines[number], {"scales": scales, "zeros": zeros}
        packed = self._pack(number, w, {**given, "numbers": numbers}, bits, prune)
        parts = {"w": packed.data}
        if not operands.contract.parameters["act_scale"]:
            found = operands.s_given((1, packed.n, packed.k), packed.given)
            if found is not None:
                parts["s"] = operands.s_bytes(found, 1, packed.n)
        places = self._place({name: len(data) for name, data in parts.items()})
        for name, data in parts.items():
            self.transport.upload(places[name].address, data)
        weights = Weights(
            packed.k, packed.n, packed.bits, places["w"], places.get("s"), packed.given, number
        )
        self._weights.append(weights)
        return weights

    def free(self, weights: Weights) -> None:
        """Give the memory of weights back. Raises ``ValueError`` while a product needs them."""
        if weights not in self._weights:
            raise ValueError("the weights are not loaded here, or were freed already")
        if any(weights in _needed(ticket) for ticket in self._tickets):
            raise ValueError("a product needs the weights: wait for it before freeing them")
        self._weights.remove(weights)
        self._free(weights.w, weights.s)

    def copy(
        self,
        source: int,
        target: int,
        size: int,
        rows: int = 1,
        *,
        source_stride: int | None = None,
        target_stride: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Let the device copy ``rows`` rows of ``size`` bytes within its memory, and wait for it.

        Addresses are the device's, of any byte; strides are bytes from row to row, ``size`` if not
        given, that of the target a multiple of 4. The two must not overlap. Raises as
        :meth:`gemm` does.
        """
        device, most = self.device, self.contract.most
        if not self.contract.fields["features"]["copy"]:
            raise ValueError("the device was built without the op copy")
        strides = [size if s is None else s for s in (source_stride, target_stride)]
        strides = strides if rows > 1 else [0, 0]
        if strides[1] % 4:
            raise ValueError(f"target_stride must be a multiple of 4, not {strides[1]}")
        for name, value in (("size", size), ("rows", rows)):
            if not 1 <= value <= most:
                raise ValueError(f"{name} must be 1 to {most}, not {value}")
        for name, value, step in zip(("source", "target"), strides, (1, 4), strict=True):
            if not 0 <= value <= step * MOST:
                raise ValueError(f"{name}_stride must be at most {step * MOST}, not {value}")
        ends = [at + (rows - 1) * s + size for at, s in zip((source, target), strides, strict=True)]
        if source < ends[1] and target < ends[0]:
            raise ValueError(f"target must not overlap source, but {target:#x} is within")
        if device.full:
            raise ValueError(
                f"the queue of {max(device.queue, 1)} is full: wait for a product first"
            )
        descriptor = Descriptor(
            op=OPS["copy"],
            m=rows,
            n=size,
            k=1,
            a=source,
            c=target,
            a_stride=strides[0],
            c_stride=strides[1] // 4,
        )
        self._check(descriptor)
        run = device.start(descriptor)
        device.wait(run, timeout)
        if run.error:
            self._release()
            raise run.error

    # Parts.

    def _engine(self, engine: int | None, format: str | None, a: Any, w: Any) -> int:
        """Return the number of the engine for a product."""
        if not isinstance(w, Weights):
            return pick(self.engines, engine, format, a, w)
        if engine is None and format is None:
            return w.engine
        number = pick(self.engines, engine, format, a, None)
        if number != w.engine:
            raise ValueError(f"the weights are loaded for engine {w.engine}, not {number}")
        return number

    def _pack(
        self, number: int, w: Any, given: Mapping[str, Any], bits: int, prune: bool
    ) -> _Packed:
        operands = self.engines[number]
        unit = operands.contract.unit
        codes = operands.w_codes(w, bits, prune)
        if isinstance(w, Quantized):
            own = {"scales": w.scales, "zeros": w.zeros}
            given = {name: own.get(name) if v is None else v for name, v in given.items()}
        k, n = codes.shape[0], codes.shape[-1]
        if unit.name == "pq":
            # The last of the subspaces may be one that max_k cuts short.
            k = min(k * int(operands.contract.parameters["subvector"]), unit.engine.max_k)
        operands.s_given((1, n, k), given, now=False)
        return _Packed(k, n, bits, operands.w_bytes(codes, bits), given, number)

    def _check_loaded(self, weights: Weights, given: Mapping[str, Any]) -> None:
        if weights not in self._weights:
            raise ValueError("the weights are not loaded here, or were freed")
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"{name} belong to load_weights where w is loaded")

    def _check_sums(
        self, operands: Operands, add: Any, onto: Ticket | None, shape: tuple[int, int]
    ) -> None:
        """Raise ``ValueError`` where nothing can be added to, or not to that."""
        if add is None and onto is None:
            return
        if not operands.contract.accumulates:
            raise ValueError(
                "add and onto are taken by engines that give sums of integers, in devices "
                "generated with accumulate"
            )
        if onto is None:
            return
        if add is not None:
            raise ValueError("add must not be given with onto")
        if onto not in self._tickets:
            raise ValueError("onto must be a product that was submitted here and not fetched")
        theirs = self.engines[onto.engine]
        if onto.shape != shape or theirs.lam != operands.lam or not theirs.contract.accumulates:
            raise ValueError(
                f"onto must be {shape} in units of 2**{operands.lam}, not {onto.shape} of "
                f"2**{theirs.lam}"
            )

    def _check_out(
        self, operands: Operands, out: Any, shape: tuple[int, int], a: Any, w: Any
    ) -> None:
        if out is None:
            return
        if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != operands.c_type:
            told = f"{out.shape} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
            raise ValueError(f"out must be {shape} {operands.c_type}, not {told}")
        if not out.flags.writeable:
            raise ValueError("out must be writeable")
        for name, other in (("a", a), ("w", w)):
            other = other.codes if isinstance(other, Quantized) else other
            if isinstance(other, np.ndarray) and np.shares_memory(out, other):
                raise ValueError(f"out must not overlap {name}")
        if any(t.out is not None and np.shares_memory(out, t.out) for t in self._tickets):
            raise ValueError("out must not overlap that of a product on its way")

    def _check(self, descriptor: Descriptor) -> None:
        """Raise ``ValueError`` for what the device would refuse."""
        code = self.contract.refusal(descriptor.pack())
        if code:
            raise ValueError(
                f"the device would refuse this with error {code}: {ERROR_MEANINGS[code]}"
            )

    def _place(self, sizes: Mapping[str, int]) -> dict[str, Buffer]:
        """Take a buffer for each name, or none at all."""
        places: dict[str, Buffer] = {}
        try:
            for name, size in sizes.items():
                places[name] = self.transport.alloc(size, _ALIGN)
        except ValueError:
            self._free(*places.values())
            raise
        return places

    def _free(self, *buffers: Buffer | None) -> None:
        for buffer in buffers:
            if buffer is not None:
                self.transport.free(buffer)

    def _release(self) -> None:
        """Give back what belongs to products that failed."""
        for ticket in [t for t in self._tickets if t.error]:
            self._tickets.remove(ticket)
            self._free(*ticket.buffers)


def _needed(ticket: Ticket) -> list[Weights | None]:
    """Return the weights of a product and of those it is added to."""
    found = [ticket.weights]
    return found + (_needed(ticket.before) if ticket.before else [])


def _same_steps(operands: Operands, k: int, tables: int) -> bool:
    """Whether tables of ``pq`` for so many products serve for ``k``."""
    contract = operands.contract
    if contract.unit.name != "pq":
        return False
    width = int(contract.parameters["subvector"])
    return -(-k // width) == -(-tables // width)


def _activation(operands: Operands, name: str, clamp: tuple[int, int] | None) -> dict[str, int]:
    """Return the fields of an activation."""
    if name == "none" and clamp is not None:
        name = "clamp"
    if name not in ACTIVATIONS or (name == "clamp") != (clamp is not None):
        told = f"{name!r} with clamp {clamp}"
        raise ValueError(f"activation must be {', '.join(ACTIVATIONS)}, not {told}")
    if clamp is None:
        return {"activation": ACTIVATIONS[name]}
    if operands.contract.is_float:
        raise ValueError("clamp is not taken by this engine: its results are float32")
    low, high = clamp
    if not -128 <= low <= high <= 127:
        raise ValueError(f"clamp must be two bounds from -128 to 127, not {clamp}")
    return {"activation": ACTIVATIONS[name], "clamp_low": low, "clamp_high": high}
