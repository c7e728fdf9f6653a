# SPDX-License-Identifier: Apache-2.0
"""Parameters of the iterator over tiles of keys."""

from dataclasses import dataclass

from amaranth.hdl import Const, unsigned
from amaranth.lib import data

from hw.quant.params import within

__all__ = ["AttentionTilesParams"]

_PAGES = 1024  #: Most bits of a bitmap.


@dataclass(frozen=True)
class AttentionTilesParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    tile: int = 16  #: Keys of a tile.
    max_len: int = 4096  #: Most keys of a row.
    page: int | None = None  #: Keys that a bit of the bitmap stands for; None: no bitmap.
    head_bits: int = 8  #: Width of the number of a head.

    def __post_init__(self) -> None:
        within("tile", self.tile, 1, 64)
        within("max_len", self.max_len, 1, 65536)
        within("head_bits", self.head_bits, 1, 16)
        if self.page is None:
            return
        within("page", self.page, self.tile, 65536)
        if self.page % self.tile:
            raise ValueError(f"page must be a multiple of tile, {self.tile}, not {self.page}")
        if self.pages > _PAGES:
            least = -(-self.max_len // _PAGES)
            least = -(-least // self.tile) * self.tile
            raise ValueError(
                f"page must be at least {least} for a bitmap of at most {_PAGES} bits, "
                f"not {self.page}"
            )

    @property
    def max_beats(self) -> int:
        """Tiles of the longest row."""
        return -(-self.max_len // self.tile)

    @property
    def pages(self) -> int:
        """Bits of the bitmap; without one the whole row is a page."""
        return -(-self.max_len // self.page) if self.page else 1

    @property
    def n_bits(self) -> int:
        """Width of positions and lengths."""
        return self.max_len.bit_length() + 1

    @property
    def tile_bits(self) -> int:
        """Width of the number of a tile."""
        return (self.max_beats - 1).bit_length() or 1

    @property
    def place_bits(self) -> int:
        """Width of positions inside, for :attr:`far` to lie beyond every tile and page."""
        return max(self.max_beats * self.tile, self.pages * (self.page or 1)).bit_length() + 1

    @property
    def far(self) -> Const:
        """A position beyond all keys."""
        return Const((1 << self.place_bits) - 1, self.place_bits)

    @property
    def beat(self) -> data.StructLayout:
        """A descriptor."""
        n = unsigned(self.n_bits)
        names = ("query", "length", "window", "sink")
        fields = {"head": unsigned(self.head_bits), **dict.fromkeys(names, n), "causal": 1}
        return data.StructLayout(fields | ({"bitmap": unsigned(self.pages)} if self.page else {}))

    @property
    def result(self) -> data.StructLayout:
        """A tile of a row."""
        return data.StructLayout(
            {
                "head": unsigned(self.head_bits),
                "tile": unsigned(self.tile_bits),
                "keep": unsigned(self.tile),
                "first": 1,
                "last": 1,
                "err": 1,
            }
        )
