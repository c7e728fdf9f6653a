# SPDX-License-Identifier: Apache-2.0
"""From a descriptor of a row to the tiles of keys that its query sees."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.attention_tiles_params import AttentionTilesParams
from hw.attention.hop import Hop, hop
from hw.attention.tile_walk import pages, tiles

__all__ = ["AttentionTiles", "build"]


class AttentionTiles(wiring.Component):
    """Name the tiles that hold a visible key, in ascending order, and mask the other keys.

    A query sees the keys of two spans, ``[0, ends)`` and ``[begins, limit)``: the sinks and the
    window, or all at once.

    Parameters
    ----------
    params : :class:`AttentionTilesParams`

    Members
    -------
    i : ``In(stream.Signature({head, query, length, window, sink, causal[, bitmap]}))``
        A descriptor. Key j is visible if ``j < length``, if ``causal`` ``j <= query``, unless
        ``window`` is 0 ``j < sink`` or ``j + window > query``, and bit ``j // page`` of ``bitmap``.
    o : ``Out(stream.Signature({head, tile, keep, first, last, err}))``
        Tiles with a visible key, those of ``keep``. A row without one is one beat that keeps none;
        with ``err`` where ``length`` exceeds ``max_len``.

    Timing
    ------
    One tile a cycle, the first :attr:`latency` cycles after its descriptor is accepted; rows follow
    without a gap. ``i.ready`` follows ``o.ready`` combinationally.
    """

    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: AttentionTilesParams):
        self.params = params
        self.latency = 5 if params.page is None else 7
        self.beats_per_cycle = 1 / params.max_beats
        super().__init__(
            {"i": In(stream.Signature(params.beat)), "o": Out(stream.Signature(params.result))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        row = self._spans(m)
        if self.params.page is not None:
            row = pages(m, self.params, row)
        tile = tiles(m, self.params, row)
        names = ("head", "tile", "first", "last", "err")
        shown = {name: tile[name] for name in names} | {"keep": self._keep(m, tile)}
        masked = hop(m, "masked", tile, shown)
        m.d.comb += [self.o.valid.eq(masked.valid), masked.ready.eq(self.o.ready)]
        m.d.comb += [self.o.payload[name].eq(value) for name, value in masked.data.items()]
        return m

    def _spans(self, m: Module) -> Hop:
        """Return what a query sees as two spans of positions, and where the second one's tiles
        begin.
        """
        params, given = self.params, self.i.payload
        offered = Hop(self.i.valid, Signal(name="taken"), {})
        m.d.comb += self.i.ready.eq(offered.ready)
        rest = {"bitmap": given.bitmap} if params.page else {}
        after = wire(m, given.query + 1, "after")
        over = wire(m, given.length > params.max_len, "over")
        limit = Mux(given.causal & (after < given.length), after, given.length)
        begins = wire(m, after - given.window, "begins")
        ends = {
            "limit": Mux(over, 0, limit)[: params.n_bits],
            "begins": Mux(begins < 0, 0, begins)[: params.n_bits + 1],
            "windowed": given.window.any(),
            "sink": given.sink,
        }
        limits = hop(m, "limits", offered, {"head": given.head, "err": over, **ends, **rest})
        names = ("head", "err", "limit", *rest)
        limit, begins, windowed = (limits[name] for name in ("limit", "begins", "windowed"))
        recent = wire(m, windowed & (begins < limit), "recent")
        ends = {
            "ends": Mux(windowed & (limits["sink"] < limit), limits["sink"], limit),
            "begins": Mux(recent, begins, params.far)[: params.place_bits],
            "recent": recent,
            "start": Mux(recent, self._quotient(begins), 0)[: params.tile_bits],
        }
        spans = hop(m, "spans", limits, {**{name: limits[name] for name in names}, **ends})
        names = (*names, "ends", "begins", "start")
        base = Mux(spans["recent"], spans["start"] * params.tile, params.far)[: params.place_bits]
        return hop(m, "where", spans, {**{name: spans[name] for name in names}, "base": base})

    def _quotient(self, position: Value) -> Value:
        """Return ``position // tile``."""
        tile = self.params.tile
        if tile & tile - 1 == 0:
            return position >> tile.bit_length() - 1
        shift = len(position) + tile.bit_length()
        return position * -(-(1 << shift) // tile) >> shift

    def _keep(self, m: Module, tile: Hop) -> Value:
        """Return which keys of a tile are visible: those below ``ends``, and of the second span."""
        size = self.params.tile

        def below(name: str) -> Value:
            """Return a bit for each key, 1 below a position."""
            room = wire(m, tile[name] - tile["place"], f"room_{name}")
            low = room[: size.bit_length()]
            reach = ~room[-1] & room[size.bit_length() : -1].any()
            few = Cat(low > key for key in range(size))
            return wire(m, Mux(room[-1], 0, few | reach.replicate(size)), f"below_{name}")

        return below("ends") | (below("limit") & ~below("begins"))


def build(params: AttentionTilesParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = AttentionTiles(params)
    component.contract = {
        "overhead": component.latency,
        "max_beats": params.max_beats,
        "n_bits": params.n_bits,
        "row_ends": "last",
    }
    return component
