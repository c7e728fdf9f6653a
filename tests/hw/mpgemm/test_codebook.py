# SPDX-License-Identifier: Apache-2.0
"""Books: every code, their factors, cycles, and messages."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.mpgemm.aligned import Activation
from hw.mpgemm.book import Book
from hw.mpgemm.book_products import ProductTable
from hw.mpgemm.books import BookColumn
from hw.mpgemm.params import MpGemmParams
from hw.spec.formats import parse


@pytest.mark.parametrize("chains", [False, True], ids=["gates", "chains"])
def test_every_code(chains: bool) -> None:
    dut = BookColumn(3, 5, 2, chains)

    async def bench(ctx: Any) -> None:
        for entries in (range(8), range(31, 23, -1)):
            ctx.set(dut.load, 1)
            for entry in entries:
                ctx.set(dut.entry, entry)
                await ctx.tick()
            ctx.set(dut.load, 0)
            for code in range(64):
                ctx.set(dut.codes, code)
                await ctx.tick()
                assert ctx.get(dut.values) == entries[code & 7] | entries[code >> 3] << 5

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    "name", ["nf4", "iq4_nl", "e2m1", "uint2", "codebook:0,0", "codebook:3,-3"]
)
def test_codes_name_factors(name: str) -> None:
    book = Book.of(parse(name))
    for value, number in zip(book.values, book.chosen, strict=True):
        factor = book.factors[abs(number) - 1] if number else 0
        assert value == (-factor if number < 0 else factor)
    assert len({abs(factor) for factor in book.factors}) == book.entries


def test_only_magnitudes_with_both_signs_are_negated() -> None:
    assert not Book.of(parse("iq4_nl")).signs
    nf4 = Book.of(parse("nf4"))
    assert [f for e, f in enumerate(nf4.factors) if nf4.both(e)] == [127]
    assert nf4.entries == 14


@pytest.mark.parametrize("act", ["int2", "uint3"])
@pytest.mark.parametrize("name", ["codebook:-3,3,0,5", "codebook:1,-8"])
def test_widths_hold_every_product(act: str, name: str) -> None:
    table = ProductTable(Book.of(parse(name)), Activation(parse(act)))
    acts = range(-2, 2) if act == "int2" else range(8)
    products = [a * factor for a in acts for factor in table.book.factors]
    assert max(map(abs, products)) == table.most
    half = 1 << table.entry_bits - 1
    assert -half <= min(products) and max(products) < half
    assert not (-half // 2 <= min(products) and max(products) < half // 2)


@pytest.mark.parametrize(
    ("given", "drain"),
    [
        ({"book": "nf4"}, {"first": 15, "row": 14, "blocked": 27}),
        ({"book": "codebook:0,1", "rows": 1, "pipeline": 1},
         {"first": 3, "row": 1, "blocked": 0}),
        ({"book": "rows", "bits": 3, "rows": 4}, {"first": 9, "row": 8, "blocked": 31}),
        ({"products": "shared"}, None),
        ({"products": "each"}, None),
    ],
    ids=str,
)  # fmt: skip
def test_the_manifest_tells_the_cycles_of_a_tiles_end(
    given: dict[str, Any], drain: dict[str, int] | None
) -> None:
    params = MpGemmParams(engine="codebook", **{"products": "buckets", **given})
    assert params.kind.contract
    assert params.kind.contract(params).get("drain") == drain


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bits": 4}, "bits must not be given with book nf4, but is 4; rows takes it"),
        ({"entry_bits": 4}, "entry_bits must not be given with book nf4, but is 4; rows takes it"),
        ({"book": "rows", "bits": 9}, "bits must be an integer from 1 to 8, not 9"),
        ({"book": "rows", "entry_bits": 1}, "entry_bits must be an integer from 2 to 16, not 1"),
        ({"book": "rows", "act": "e4m3"}, "act must be a two's complement or unsigned integer"),
        ({"products": "some"}, "products must be each, buckets or shared, not 'some'"),
        ({"book": "rows", "products": "shared"},
         "products must be each or buckets with book rows, whose columns have no values in common"),
        ({"products": "buckets", "act": "e4m3"},
         "act must be a two's complement or unsigned integer with products buckets, such as int8"),
        ({"products": "buckets", "book": "e4m3"},
         "book must have finite codes of at most 8 bits with products buckets, such as nf4, not "),
        ({"products": "shared", "book": "int16"},
         "book must have finite codes of at most 8 bits with products shared, such as nf4, not "),
        ({"products": "buckets", "pipeline": 2}, "pipeline must be an integer from 0 to 1, not 2"),
        ({"engine": "lut", "products": "each"},
         "products must not be given with engine lut, but is 'each'; these take it: codebook"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MpGemmParams(**{"engine": "codebook", **given})
