# SPDX-License-Identifier: Apache-2.0
"""From the spans of keys that a query sees to the pages and tiles that hold some of them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal

from hw.arith.wires import wire
from hw.attention.attention_tiles_params import AttentionTilesParams
from hw.attention.hop import Hop, hop

__all__ = ["pages", "tiles"]


def _looped(name: str, item: Hop, more: dict[str, Signal]) -> Hop:
    """Return registers for an item that is worked on for several cycles."""
    kept = {k: Signal(v.shape(), reset_less=True, name=f"{name}_{k}") for k, v in item.data.items()}
    return Hop(Signal(name=f"{name}_valid"), Signal(name=f"{name}_ready"), kept | more)


def pages(m: Module, params: AttentionTilesParams, row: Hop) -> Hop:
    """Return the pages of each row that hold a visible key, one a cycle; one empty one for none.

    ``row`` has ``bitmap`` and the spans ``[0, ends)`` and ``[begins, limit)``. A page has besides
    ``index``, ``opens`` and ``closes``.
    """
    size = params.page or 1
    seen = Cat(
        (k * size < row["ends"]) | (k * size + size > row["begins"]) & (k * size < row["limit"])
        for k in range(params.pages)
    )
    opens = Signal(reset_less=True, name="row_opens")
    state = _looped("row", row, {"opens": opens})
    live = state["bitmap"]
    others = wire(m, live & (live - 1)[: params.pages], "others")
    m.d.comb += row.ready.eq(~state.valid | state.ready & ~others.any())
    with m.If(row.ready):
        m.d.sync += [state.valid.eq(row.valid), opens.eq(1)]
        m.d.sync += [state[name].eq(value) for name, value in row.data.items()]
        m.d.sync += live.eq(row["bitmap"] & seen)
    with m.Elif(state.ready):
        m.d.sync += [live.eq(others), opens.eq(0)]
    lowest = wire(m, live & ~others, "lowest")
    index = Cat(
        Cat(lowest[k] for k in range(params.pages) if k >> bit & 1).any()
        for bit in range((params.pages - 1).bit_length())
    )
    none = wire(m, ~live.any(), "none")
    empty = {"ends": 0, "limit": 0, "start": 0, "begins": params.far, "base": params.far}
    fields = {"head": state["head"], "err": state["err"], "opens": opens, "closes": ~others.any()}
    fields |= {k: Mux(none, v, state[k])[: len(state[k])] for k, v in empty.items()}
    return hop(m, "page", state, {**fields, "index": Cat(index, Const(0, 1))})


def tiles(m: Module, params: AttentionTilesParams, page: Hop) -> Hop:
    """Return the tiles of each page, or of each row where there are no pages, one a cycle.

    A page has the spans ``[0, ends)`` and ``[begins, limit)``, and the tile ``start``, at position
    ``base``, where the second begins. A tile has besides ``tile``, ``place``, ``first``, ``last``.
    """
    bits, size = params.place_bits, params.tile
    number = Signal(params.tile_bits, reset_less=True, name="tile_number")
    place = Signal(bits, reset_less=True, name="tile_place")
    first = Signal(reset_less=True, name="tile_first")
    more = {"tile": number, "place": place, "first": first}
    if params.page is not None:
        bound = Signal(bits, reset_less=True, name="tile_bound")
        more["bound"] = bound
    state = _looped("tile", page, more)

    after = wire(m, (place + size)[:bits], "after")
    jump = wire(m, (after >= state["ends"]) & (after < state["base"]), "jump")
    follows = wire(m, Mux(jump, state["base"], after), "follows")
    final = follows >= state["limit"]
    if params.page is not None:
        final = final | (follows >= bound)
    final = wire(m, final, "final")

    m.d.comb += page.ready.eq(~state.valid | state.ready & final)
    with m.If(page.ready):
        m.d.sync += [state.valid.eq(page.valid)]
        m.d.sync += [state[name].eq(value) for name, value in page.data.items()]
        at, at_tile = Const(0, bits), Const(0, 1)
        if params.page is not None:
            at = wire(m, (page["index"] * params.page)[:bits], "at")
            at_tile = page["index"] * (params.page // size)
            m.d.sync += bound.eq(at + params.page)
        outside = (at >= page["ends"]) & (at < page["base"])
        m.d.sync += [
            place.eq(Mux(outside, page["base"], at)),
            number.eq(Mux(outside, page["start"], at_tile)),
            first.eq(page["opens"] if params.page is not None else 1),
        ]
    with m.Elif(state.ready):
        m.d.sync += [
            place.eq(follows),
            number.eq(Mux(jump, state["start"], number + 1)),
            first.eq(0),
        ]
    last = final & state["closes"] if params.page is not None else final
    return Hop(state.valid, state.ready, {**state.data, "last": last})
