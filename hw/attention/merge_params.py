# SPDX-License-Identifier: Apache-2.0
"""Parameters of the merger of partial rows of attention."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from hw.attention.attention_params import AttentionParams
from hw.attention.finish_params import FinishParams
from hw.quant.params import among, within

__all__ = ["FORMS", "MergeParams"]

FORMS = ("partial", "lse")

_UNITY = 16  #: Fraction bits of the weight of a normalised row.


@dataclass(frozen=True)
class MergeParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    form: str = "partial"  #: One of :data:`FORMS`.
    kind: str | None = None  #: That of the attention whose partial rows come in; ``fa-int``.
    value_dim: int = 64  #: Channels.
    head_dim: int | None = None  #: As ``kind``; 64.
    qk_bits: int | None = None  #: As ``kind``; 8.
    exp_bits: int | None = None  #: As ``kind``; 12.
    max_len: int | None = None  #: As ``kind``; 4096.
    tile: int | None = None  #: As ``kind``; 16.
    max_parts: int = 16  #: Parts of a row.

    def __post_init__(self) -> None:
        among("form", self.form, FORMS)
        within("value_dim", self.value_dim, 1, 256)
        within("max_parts", self.max_parts, 1, 256)
        if self.form == "lse":
            for name in self._sizes:
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} must not be given with form lse, but is {getattr(self, name)!r}"
                    )
        else:
            _ = self.source

    @property
    def _sizes(self) -> tuple[str, ...]:
        return ("kind", "head_dim", "qk_bits", "exp_bits", "max_len", "tile")

    @cached_property
    def source(self) -> AttentionParams:
        """The attention core whose partial rows come in."""
        given = {name: getattr(self, name) for name in self._sizes}
        chosen = {name: value for name, value in given.items() if value is not None}
        return AttentionParams(value_dim=self.value_dim, result="partial", **chosen)

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        chosen = asdict(self)
        if self.form == "partial":
            chosen |= {name: getattr(self.source, name) for name in self._sizes}
        return chosen

    @property
    def normalised(self) -> bool:
        """Whether normalised rows come in."""
        return self.form == "lse"

    @property
    def shifts(self) -> bool:
        """Whether sums are rescaled by shifts."""
        return not self.normalised and self.source.shifts

    @property
    def m_bits(self) -> int:
        """Width of a maximum, signed."""
        return 18 if self.normalised else self.source.m_bits

    @property
    def part_bits(self) -> tuple[int, int]:
        """Widths of a part's sum of weights and of a channel's sum, signed."""
        if self.normalised:
            return _UNITY + 1, 16 + _UNITY
        return self.source.l_bits, self.source.o_bits

    @property
    def finish(self) -> FinishParams:
        """The end of a row."""
        more = (self.max_parts - 1).bit_length()
        weight, channel = self.part_bits
        scores = "octaves" if self.shifts else "scores"
        return FinishParams(
            channels=self.value_dim,
            l_bits=weight + more,
            o_bits=channel + more,
            m_bits=self.m_bits,
            exp_bits=_UNITY if self.normalised else self.source.exp_bits,
            maximum="log" if self.normalised else scores,
        )

    @property
    def beat(self) -> data.StructLayout:
        """A part of a row."""
        ends = {"mo": unsigned(15), "so": unsigned(6), "last": unsigned(1)}
        if self.normalised:
            return data.StructLayout(
                {"lse": signed(18), "o": unsigned(self.value_dim * 16), **ends}
            )
        weight, channel = self.part_bits
        scale = {} if self.shifts else {"scale": unsigned(15), "sh": unsigned(6)}
        return data.StructLayout(
            {
                "m": signed(self.m_bits),
                "l": unsigned(weight),
                "o": unsigned(self.value_dim * channel),
                **scale,
                **ends,
            }
        )
