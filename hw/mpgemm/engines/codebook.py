# SPDX-License-Identifier: Apache-2.0
"""Weights that are indices into a book of values.

**Order of beats.** For each tile of ``rows`` rows of A, for each tile of ``columns`` columns of W,
for each step of ``lanes`` products: one beat of activations, row ``r``, product ``l`` at code
``r * lanes + l``, and one of weights, column ``c``, product ``l`` at code ``c * lanes + l``.

**A book for each column.** With ``book`` ``rows`` a code has ``bits`` bits and names one of the
signed entries of its column, of ``entry_bits``. They come on ``s_axis_scale`` before the first step
of each tile, a beat for each entry, entry 0 first: column ``c``'s is number ``c`` of the beat.

**Products.** With ``products`` ``each`` every weight is multiplied with its activation. With
``shared`` each activation is multiplied with all that the book has, once for all columns. With
``buckets`` every cell adds up the activations of the weights of one value, E sums where a book of
all columns has E magnitudes but 0, or one for each code; at a tile's end they are multiplied, one
in each column and cycle. This takes ``E * rows`` cycles, in all but the last of which no step of
the next tile is taken. The manifest's ``contract`` says so as ``drain``: a tile's first row leaves
the core ``first`` cycles after its last step was taken, each further one, also beyond M, ``row``
cycles later; in ``blocked`` cycles after the last step no step and no entry of a book is taken. A
group of products that has a scale is to all this a tile.

**Result.** ``sum(a * w)``, exact, in units of the book.
"""

from typing import Any

from hw.mpgemm import array, cells
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.book import Book
from hw.mpgemm.book_drain import BookSums
from hw.mpgemm.book_products import ProductLookup, ProductRows, ProductTable
from hw.mpgemm.book_sums import SumsShape
from hw.mpgemm.books import Books, book_shape
from hw.mpgemm.decoded import Decoded
from hw.mpgemm.engine import Engine
from hw.mpgemm.engines import EngineKind
from hw.mpgemm.epilogue import OPTIONS
from hw.mpgemm.params import MpGemmParams, within
from hw.mpgemm.shape import Shape
from hw.spec.formats import IntFormat

#: What ``bits`` and ``entry_bits`` are where books are loaded, unless they are given.
_BITS, _ENTRY_BITS = 4, 8


def _loaded(params: MpGemmParams) -> bool:
    return params.option("book") == "rows"


def _bits(params: MpGemmParams) -> int:
    return _BITS if params.bits is None else params.bits


def _entry_bits(params: MpGemmParams) -> int:
    return _ENTRY_BITS if params.entry_bits is None else params.entry_bits


def _cube(params: MpGemmParams) -> ArrayParams:
    """Return the cube that multiplies with what the codes stand for."""
    if not _loaded(params):
        return cells.cube(params)
    return cells.cube(params, format=f"int{_entry_bits(params)}")


def _check(params: MpGemmParams) -> None:
    if params.zero_points:
        raise ValueError(
            "zero_points must not be given with engine codebook, whose codes are no integers to "
            "take one from, but is True"
        )
    if not _loaded(params):
        for name in ("bits", "entry_bits"):
            if getattr(params, name) is not None:
                raise ValueError(
                    f"{name} must not be given with book {params.option('book')}, but is "
                    f"{getattr(params, name)!r}; rows takes it"
                )
        cells.check(params)
        _check_products(params)
        return
    for name in OPTIONS:
        if getattr(params, name) not in (None, False):
            raise ValueError(
                f"{name} must not be given with book rows, whose books come where scales would, "
                f"but is {getattr(params, name)!r}"
            )
    fmt = params.act_format
    if not isinstance(fmt, IntFormat) or fmt.encoding not in ("twos", "unsigned"):
        raise ValueError(
            f"act must be a two's complement or unsigned integer with book rows, such as int8, "
            f"not {fmt.name!r}"
        )
    if params.window is not None:
        raise ValueError(f"window must not be given with book rows, but is {params.window!r}")
    within("bits", _bits(params), 1, 8)
    within("entry_bits", _entry_bits(params), 2, 16)
    _cube(params)
    _check_products(params)


def _check_products(params: MpGemmParams) -> None:
    products, loaded = params.option("products"), _loaded(params)
    if products == "each":
        return
    if products not in ("buckets", "shared"):
        raise ValueError(f"products must be each, buckets or shared, not {products!r}")
    if loaded and products == "shared":
        raise ValueError(
            "products must be each or buckets with book rows, whose columns have no values in "
            "common, not 'shared'"
        )
    if products == "buckets" and not params.activation.plain:
        raise ValueError(
            f"act must be a two's complement or unsigned integer with products buckets, such as "
            f"int8, not {params.act_format.name!r}"
        )
    book = _cube(params).cell.weight_format
    if not loaded and (book.nonfinite or book.bits > 8):
        raise ValueError(
            f"book must have finite codes of at most 8 bits with products {products}, such as nf4, "
            f"not {book.name!r}"
        )
    within("pipeline", params.pipeline, 0, 1)


def _frame(params: MpGemmParams) -> Shape:
    return book_shape(_cube(params), _bits(params)) if _loaded(params) else cells.shape(params)


def _weights(params: MpGemmParams) -> dict[str, Any]:
    if not _loaded(params):
        return cells.weights(params)
    return {"format": f"uint{_bits(params)}", "lanes": params.columns * params.option("lanes")}


def _resolved(params: MpGemmParams) -> dict[str, Any]:
    if not _loaded(params):
        return cells.resolved(params)
    return {"bits": _bits(params), "entry_bits": _entry_bits(params)}


def _book(params: MpGemmParams) -> Book:
    if _loaded(params):
        return Book(f"rows{_bits(params)}", _bits(params))
    return Book.of(_cube(params).cell.weight_format)


def _sums(params: MpGemmParams) -> SumsShape:
    fmt = params.act_format
    assert isinstance(fmt, IntFormat)
    longest, chains = _cube(params).cell.max_k, params.target != "gates"
    return SumsShape(_book(params), params.option("lanes"), fmt, longest, chains)


def _core(params: MpGemmParams) -> Any:
    """Return the core that makes its products in a way of its own."""
    if params.option("products") == "buckets":
        entry_bits = _entry_bits(params) if _loaded(params) else 0
        return BookSums(_sums(params), params.shape, entry_bits, params.pipeline)
    table = ProductTable(_book(params), params.activation, params.target != "gates")
    look = ProductLookup(table, params.option("lanes"), params.pipeline)
    return Decoded(ProductRows(look, params.shape))


def _build(params: MpGemmParams) -> Any:
    own, loaded = params.option("products") != "each", _loaded(params)
    if loaded:
        core = _core(params) if own else Books(_cube(params), _bits(params))
        return Engine(params.shape, core)
    if not own:
        return cells.build(params)
    cube = _cube(params)
    return array.described(cube, array.engine_of(cube, _core(params)))


def _contract(params: MpGemmParams) -> dict[str, Any]:
    if params.option("products") != "buckets":
        return {}
    return {"drain": _sums(params).drain(params.rows, params.pipeline)}


ENGINE = EngineKind(
    name="codebook",
    summary="weights are indices into a book of values, one for all or one for each column",
    source="QLoRA (NF4); DeepGEMM for the tables; GANQ for a book for each column and for buckets; "
    "AxLLM for shared products",
    cycles="ceil(K / lanes) cycles a tile, at least `rows`; a book for each column adds 2**bits, "
    "buckets `rows` times their number",
    when="For weights in a quantile format, which no multiplier takes as they are.",
    golden="sim.golden.mpgemm.codebook",
    options={
        "book": "nf4",
        "products": "each",
        "lanes": 4,
        "bits": None,
        "entry_bits": None,
        "window": None,
        **OPTIONS,
    },
    fixed={},
    check=_check,
    max_product=lambda params: _cube(params).cell.max_product,
    longest=lambda params: cells.longest(params) if not _loaded(params) else params.max_k,
    resolved=_resolved,
    shape=_frame,
    weights=_weights,
    build=_build,
    contract=_contract,
    cases=(
        {
            "act": "int2",
            "book": "codebook:-3,0,1,2",
            "lanes": 1,
            "rows": 1,
            "columns": 1,
            "max_k": 2,
        },
        {
            "act": "int2",
            "book": "rows",
            "bits": 1,
            "entry_bits": 2,
            "lanes": 1,
            "rows": 1,
            "columns": 1,
            "max_k": 2,
        },
    ),
)
