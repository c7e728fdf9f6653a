# SPDX-License-Identifier: Apache-2.0
"""Driver of a processing element behind registers."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpga.driver.transport import DeviceError, Transport
from hw.coprocessor.pe_registers import registers_of
from hw.pe.params import PEParams
from hw.spec.formats import FloatFormat, Format, IntFormat, PositFormat, PowerFormat, TableFormat
from hw.spec.pe_registers import ERROR_FLAGS, PE_MAGIC
from hw.spec.registers import WORD

__all__ = ["PEDriver", "pack", "zero_code"]

POLLS = 1000  #: Reads of a status before a device counts as stuck.
ATTEMPTS = 3  #: Times a dot product is tried before its errors are reported.
PATTERN = 0x5AA5_C33C


def pack(codes: NDArray[np.int64], bits: int) -> NDArray[np.uint32]:
    """Return rows of codes of ``bits`` bits as rows of words; the first code is lowest."""
    spread = (codes[:, :, None] >> np.arange(bits)) & 1
    spread = spread.reshape(len(codes), -1).astype(np.uint8)
    spread = np.pad(spread, ((0, 0), (0, -spread.shape[1] % WORD)))
    return np.packbits(spread, axis=1, bitorder="little").view("<u4")


def zero_code(fmt: Format) -> int | None:
    """Return a code of ``fmt`` that stands for zero, or None if there is none."""
    match fmt:
        case IntFormat(encoding="bipolar"):
            return None
        case IntFormat(encoding="offset"):
            return 1
        case IntFormat() | FloatFormat() | PositFormat():
            return 0
        case PowerFormat():
            return 0 if fmt.has_zero else None
        case TableFormat():
            return fmt.table.index(0) if 0 in fmt.table else None
    raise ValueError(f"format {fmt.name!r} has no known code of zero")


def _flags(errors: int) -> str:
    raised = [flag for k, flag in enumerate(ERROR_FLAGS.items()) if errors >> k & 1]
    return "; ".join(f"{name}: {meaning}" for name, meaning in raised)


class PEDriver:
    """Dot products on a device that ``pe-uart`` or ``pe-axi`` has generated.

    Raises ``ValueError`` if the device was generated with other parameters than ``params``,
    :class:`DeviceError` if it is no such device or does not work.
    """

    def __init__(self, transport: Transport, params: PEParams) -> None:
        self.transport = transport
        self.params = params
        self.registers = registers_of(params)
        self._beats = 0
        self.identify()
        self.reset()

    def identify(self) -> dict[str, int]:
        """Return the identification registers by name, after comparing them with ``params``."""
        constants = [r for r in self.registers.registers if r.constant]
        words = self.transport.read(constants[0].offset, len(constants))
        found = {r.name: word for r, word in zip(constants, words, strict=True)}
        if found["ID"] != PE_MAGIC:
            raise DeviceError(
                f"the device is no processing element: its ID is {found['ID']:#010x}, "
                f"not {PE_MAGIC:#010x}"
            )
        major = found["VERSION"] >> 24
        if major != self.registers["VERSION"].reset >> 24:
            raise DeviceError(f"the device has version {major} of the registers, which is unknown")
        if found["BUILD"] != self.registers["BUILD"].reset:
            raise ValueError(f"the device was generated with other parameters: {self._why(found)}")
        scratch = self.registers["SCRATCH"].offset
        for word in (PATTERN, ~PATTERN & 0xFFFF_FFFF):
            self.transport.write(scratch, [word])
            if self.transport.read(scratch, 1) != [word]:
                raise DeviceError("the device does not keep what is written to SCRATCH")
        return found

    def _why(self, found: dict[str, int]) -> str:
        differences = []
        for register in self.registers.registers:
            if not register.name.startswith("CAP"):
                continue
            for field in register.fields:
                have = register.get(found[register.name], field.name)
                want = register.get(register.reset, field.name)
                if have != want:
                    differences.append(f"{field.name} {have}, not {want}")
        return ", ".join(differences) or "number formats of the same widths, but not the same"

    def reset(self) -> None:
        """Drop whatever the device was doing and clear its errors."""
        control = self.registers["CTRL"]
        self.transport.write(control.offset, [control.make(RESET=1)])
        status = self.registers["STATUS"]
        for _ in range(POLLS):
            if status.get(self.transport.read(status.offset, 1)[0], "IDLE"):
                break
        else:
            raise DeviceError("the device does not become idle")
        self.transport.write(self.registers["ERROR"].offset, [self.registers["ERROR"].mask])
        self._beats = 0

    def run(self, a: ArrayLike, w: ArrayLike, last: ArrayLike) -> dict[str, NDArray[Any]]:
        """Send beats and return the finished dot products, as the golden model does.

        ``a`` and ``w`` are codes of shape ``(beats, lanes)``, ``last`` has shape ``(beats,)`` and
        ends with True. The result has ``acc``, exact integers (as objects) in units of
        ``2**params.lam``, and, if a format has non-finite codes, ``nan``.
        """
        acts = self._codes("a", a, self.params.act_format)
        weights = self._codes("w", w, self.params.weight_format)
        ends = np.asarray(last, dtype=bool)
        if not acts.shape == weights.shape == (len(ends), self.params.lanes):
            raise ValueError(
                f"a and w must have shape (beats, {self.params.lanes}) and last (beats,), "
                f"not {acts.shape}, {weights.shape} and {ends.shape}"
            )
        if len(ends) and not ends[-1]:
            raise ValueError("the last beat must close its dot product")
        bits = (self.params.act_format.bits, self.params.weight_format.bits)
        words = np.hstack([pack(acts, bits[0]), pack(weights, bits[1])])
        groups = np.split(words, np.flatnonzero(ends) + 1)[:-1]
        results = [self._one(group) for group in groups]
        sums = np.empty(len(results), dtype=object)
        sums[:] = [value for value, _ in results]
        answer = {"acc": sums}
        if self.params.has_nan:
            answer["nan"] = np.array([nan for _, nan in results], dtype=bool)
        return answer

    def dot(self, a: ArrayLike, w: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return the dot products of rows of codes, of shape ``(rows, k)``, as :meth:`run` does."""
        return self.run(**self.beats(a, w))

    def beats(self, a: ArrayLike, w: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return rows of codes, of shape ``(rows, k)``, as the arguments of :meth:`run`.

        Lanes that are left over in the last beat of a row are filled with zeros. Raises
        ``ValueError`` if neither format has any.
        """
        acts = self._codes("a", a, self.params.act_format)
        weights = self._codes("w", w, self.params.weight_format)
        if acts.ndim != 2 or acts.shape != weights.shape or not 1 <= acts.shape[1]:
            raise ValueError(
                f"a and w must have one shape (rows, k), not {acts.shape} and {weights.shape}"
            )
        rows, k = acts.shape
        if k > self.params.max_k:
            raise ValueError(f"k must be at most max_k, {self.params.max_k}, not {k}")
        short = -k % self.params.lanes
        if short:
            zero, legal = zero_code(self.params.act_format), zero_code(self.params.weight_format)
            if zero is None and legal is None:
                raise ValueError(
                    f"k must be a multiple of lanes, {self.params.lanes}, not {k}: "
                    "neither format has a zero to fill the last beat with"
                )
            margin = ((0, 0), (0, short))
            acts = np.pad(acts, margin, constant_values=zero or 0)
            weights = np.pad(weights, margin, constant_values=legal or 0)
        beats = (k + short) // self.params.lanes
        shape = (rows * beats, self.params.lanes)
        last = np.arange(rows * beats) % beats == beats - 1
        return {"a": acts.reshape(shape), "w": weights.reshape(shape), "last": last}

    def _codes(self, name: str, codes: ArrayLike, fmt: Format) -> NDArray[np.int64]:
        array = np.asarray(codes, dtype=np.int64)
        if array.size and not 0 <= array.min() <= array.max() < 1 << fmt.bits:
            raise ValueError(f"codes {name} of {fmt.name} must be from 0 to {(1 << fmt.bits) - 1}")
        return array

    def _one(self, words: NDArray[np.uint32]) -> tuple[int, bool]:
        """Return result and flag of the dot product of these beats."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self._try(words)
            except DeviceError:
                self.reset()
        return self._try(words)

    def _try(self, words: NDArray[np.uint32]) -> tuple[int, bool]:
        names, transport = self.registers, self.transport
        if len(words) > 1:
            transport.write(names["FEED"].offset, words[:-1].ravel().tolist(), fixed=True)
        push = names["PUSH"].make(LAST=1)
        transport.write(names["A0"].offset, [*words[-1].tolist(), push])
        self._beats = self._beats + len(words) & 0xFFFF

        first, acc = names["ERROR"], names.vector("ACC")
        count = (acc[-1].offset - first.offset) // 4 + 1
        for _ in range(POLLS):
            errors, counts, result, *sums = transport.read(first.offset, count)
            if errors:
                raise DeviceError(f"the device reports {_flags(errors)}")
            if names["RESULT"].get(result, "VALID"):
                break
        else:
            raise DeviceError("no result comes")
        beats = names["COUNT"].get(counts, "BEATS")
        if beats != self._beats:
            raise DeviceError(f"{beats} beats have arrived, not {self._beats} (modulo 65536)")
        transport.write(names["POP"].offset, [1])
        value = sum(word << WORD * k for k, word in enumerate(sums))
        sign = 1 << WORD * len(sums) - 1
        return (value ^ sign) - sign, bool(names["RESULT"].get(result, "NAN"))
