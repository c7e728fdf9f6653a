# SPDX-License-Identifier: Apache-2.0
"""Register maps as data: addresses, fields, access rules and reset values, and what they mean.

The hardware decodes them, the host driver names them, the golden model answers by them and the
manifest prints them; none of the four holds a number of its own. Words are 32 bits, addresses are
byte addresses, the window has :data:`WINDOW` bytes.

=======  =================================================================================
access   meaning
=======  =================================================================================
``RO``   reads the value; a write is an error and changes nothing
``RW``   reads what was written, bytes without a strobe keep their value
``W1C``  reads sticky flags; writing 1 to a flag clears it
``WO``   a write acts once; reads 0
=======  =================================================================================

An access that is not aligned, hits no register or breaks a rule of the table reads 0, changes
nothing and is answered with an error.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["WINDOW", "WORD", "Field", "Register", "RegisterMap", "build_id"]

WINDOW = 0x1000  #: Bytes of address space.
WORD = 32  #: Bits of a register.
ACCESSES = ("RO", "RW", "W1C", "WO")


@dataclass(frozen=True)
class Field:
    """Bits ``lsb`` and up of a register. ``reset`` is the value of a constant, or after reset.

    A field that acts ``once`` is a command in a register that else keeps what is written: writing 1
    to it acts, and it reads 0.
    """

    name: str
    lsb: int
    width: int
    doc: str
    reset: int = 0
    once: bool = False

    def __post_init__(self) -> None:
        if self.lsb < 0 or self.width < 1 or self.lsb + self.width > WORD:
            raise ValueError(f"field {self.name!r} does not fit a word of {WORD} bits")
        if not 0 <= self.reset < 1 << self.width:
            raise ValueError(f"field {self.name!r} of {self.width} bits cannot be {self.reset}")

    @property
    def mask(self) -> int:
        """The bits of the word that the field covers."""
        return ((1 << self.width) - 1) << self.lsb


@dataclass(frozen=True)
class Register:
    """One word. A write to a ``guarded`` register is refused while the device says it is busy.

    The value of a ``constant`` register never changes, so that of the others needs a port.
    """

    name: str
    offset: int
    access: str
    doc: str
    fields: tuple[Field, ...]
    constant: bool = False
    guarded: bool = False

    def __post_init__(self) -> None:
        if self.access not in ACCESSES:
            raise ValueError(f"access of {self.name} must be one of {ACCESSES}, not {self.access}")
        if self.offset % 4 or not 0 <= self.offset < WINDOW:
            raise ValueError(f"offset of {self.name} must be a multiple of 4 below {WINDOW}")
        if sum(f.mask for f in self.fields) != self.mask:
            raise ValueError(f"fields of {self.name} overlap")

    @property
    def mask(self) -> int:
        """The bits of the word that are there; the others read 0 and ignore writes."""
        mask = 0
        for field in self.fields:
            mask |= field.mask
        return mask

    @property
    def reset(self) -> int:
        """The whole word after reset."""
        return sum(f.reset << f.lsb for f in self.fields)

    def field(self, name: str) -> Field:
        """Return the field called ``name``. Raises ``KeyError``."""
        return {f.name: f for f in self.fields}[name]

    def get(self, word: int, name: str) -> int:
        """Return the field ``name`` of a word that was read."""
        field = self.field(name)
        return word >> field.lsb & ((1 << field.width) - 1)

    def make(self, **values: int) -> int:
        """Return the word with the named fields set and all others 0."""
        word = 0
        for name, value in values.items():
            field = self.field(name)
            if not 0 <= value < 1 << field.width:
                raise ValueError(f"{self.name}.{name} has {field.width} bits, not room for {value}")
            word |= value << field.lsb
        return word


@dataclass(frozen=True)
class RegisterMap:
    """Registers in order of address. ``feed`` is the number of operand words of one beat."""

    name: str
    registers: tuple[Register, ...]
    feed: int = 0

    def __post_init__(self) -> None:
        for what in ("name", "offset"):
            values = [getattr(r, what) for r in self.registers]
            if len(set(values)) != len(values):
                raise ValueError(f"two registers of {self.name} have the same {what}")

    def __getitem__(self, name: str) -> Register:
        for register in self.registers:
            if register.name == name:
                return register
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(r.name == name for r in self.registers)

    def vector(self, stem: str) -> tuple[Register, ...]:
        """Return the words ``stem`` 0, 1, 2 ... of a number, least significant first."""
        return tuple(r for r in self.registers if re.fullmatch(rf"{stem}\d+", r.name))

    def at(self, address: int) -> Register | None:
        """Return the register at a byte address, or None if there is none."""
        return next((r for r in self.registers if r.offset == address), None)

    def describe(self) -> list[dict[str, Any]]:
        """Return the map as plain data for the manifest."""
        return [
            {
                "name": r.name,
                "offset": r.offset,
                "access": r.access,
                "reset": r.reset,
                "doc": r.doc,
                "fields": [
                    {"name": f.name, "lsb": f.lsb, "width": f.width, "doc": f.doc} for f in r.fields
                ],
            }
            for r in self.registers
        ]


def build_id(parameters: Mapping[str, object]) -> int:
    """Return the 32 bits that tell one set of generator parameters from another."""
    text = json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
