# SPDX-License-Identifier: Apache-2.0
"""Golden model of a processing element behind registers: what every access does, in order.

Time is not part of it: a beat that can be taken is taken, and a result is there, before the next
access.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hw.spec.pe_registers import ERROR_FLAGS, pe_map
from hw.spec.registers import WORD, Register
from sim.golden.pe.operands import acc_bits, operands
from sim.golden.pe.pe import dot

__all__ = ["Device"]


class Device:
    """The registers of the unit with these parameters, as a manifest states them."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.weight, self.act = operands(parameters)
        self.lanes = int(parameters["lanes"])
        self.acc_bits = acc_bits(parameters, self.weight, self.act)
        self.has_nan = (
            self.weight.fmt.nonfinite or self.act.fmt.nonfinite or self.act.window is not None
        )
        self.map = pe_map(
            parameters,
            act_bits=self.act.fmt.bits,
            weight_bits=self.weight.fmt.bits,
            lanes=self.lanes,
            acc_bits=self.acc_bits,
            max_k=int(parameters["max_k"]),
            lam=self.weight.lam + self.act.lam,
            nan=self.has_nan,
        )
        self.operands = [*self.map.vector("A"), *self.map.vector("W")]
        self.kept = {r.name: r.reset for r in self.map.registers if r.access == "RW"}
        self.errors = 0
        self._restart()

    def _restart(self) -> None:
        self.turn = self.beats = self.popped = 0
        self.waiting_beat: tuple[dict[str, int], bool] | None = None
        self.result: tuple[int, bool] | None = None
        self.total, self.nan = 0, False

    def flag(self, name: str) -> None:
        """Raise a sticky error."""
        self.errors |= 1 << list(ERROR_FLAGS).index(name)

    def read(self, address: int) -> tuple[int, bool]:
        """Return the word at a byte address, and whether the access is refused."""
        register = self.map.at(address)
        if register is None:
            self.flag("ACCESS")
            return 0, True
        return self._value(register) & register.mask, False

    def write(self, address: int, data: int, strobe: int = 0b1111) -> bool:
        """Write the bytes of a word that ``strobe`` enables; return whether that is refused."""
        register = self.map.at(address)
        if register is None or register.access == "RO":
            self.flag("ACCESS")
            return True
        target = self.operands[self.turn] if register.name == "FEED" else register
        if target.guarded and self.waiting_beat:
            self.flag("ACCESS")
            self.flag("BUSY")
            return True
        enabled = sum(0xFF << 8 * k for k in range(4) if strobe >> k & 1)
        data &= enabled & target.mask
        if target.access == "RW":
            self.kept[target.name] = self.kept[target.name] & ~enabled | data
        if register.access == "W1C":
            self.errors &= ~data
        if register.access == "WO" and enabled:
            self._command(register, data)
        return False

    def _value(self, register: Register) -> int:
        if register.constant:
            return register.reset
        if register.access == "RW":
            return self.kept[register.name]
        if register.access == "WO":
            return 0
        value, nan = self.result or (0, False)
        busy, waits = self.waiting_beat is not None, self.result is not None
        match register.name:
            case "ERROR":
                return self.errors
            case "STATUS":
                return register.make(
                    IDLE=not busy and not waits, BUSY=busy, RESULT=waits, ERROR=self.errors != 0
                )
            case "COUNT":
                return register.make(BEATS=self.beats % 65536, RESULTS=self.popped % 65536)
            case "RESULT":
                return register.make(VALID=waits, NAN=nan)
        word = self.map.vector("ACC").index(register)
        return value >> WORD * word & 0xFFFF_FFFF

    def _command(self, register: Register, data: int) -> None:
        match register.name:
            case "CTRL" if register.get(data, "RESET"):
                self._restart()
            case "POP" if self.result is None:
                self.flag("EMPTY")
            case "POP":
                self.result = None
                self.popped += 1
                if self.waiting_beat:
                    (words, last), self.waiting_beat = self.waiting_beat, None
                    self._take(words, last)
            case "PUSH":
                self.turn = 0
                self._push(bool(register.get(data, "LAST")))
            case "FEED":
                self.turn = (self.turn + 1) % len(self.operands)
                if not self.turn:
                    self._push(False)

    def _push(self, last: bool) -> None:
        if self.result is None:
            self._take(self.kept, last)
        else:
            self.waiting_beat = dict(self.kept), last

    def _take(self, words: dict[str, int], last: bool) -> None:
        a = self._codes("A", words, self.act.fmt.bits)
        w = self._codes("W", words, self.weight.fmt.bits)
        total, nan = dot(self.weight, self.act, a, w)
        self.beats += 1
        self.total, self.nan = self.total + int(total), self.nan or bool(nan)
        if last:
            half = 1 << self.acc_bits - 1
            wrapped = (self.total + half) % (2 * half) - half
            self.result = wrapped, self.nan and self.has_nan
            self.total, self.nan = 0, False

    def _codes(self, stem: str, words: dict[str, int], bits: int) -> np.ndarray[Any, Any]:
        vector = self.map.vector(stem)
        value = sum(words[r.name] << WORD * k for k, r in enumerate(vector))
        mask = (1 << bits) - 1
        return np.array([value >> bits * lane & mask for lane in range(self.lanes)])
