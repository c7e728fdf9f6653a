# SPDX-License-Identifier: Apache-2.0
"""Engine ``codebook`` against products read from a table, and sums of activations by code."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.formats import decode
from sim.golden.mpgemm import codebook
from sim.golden.mpgemm.frame import pack_act, unpack_out
from sim.golden.mpgemm.jobs import job_word
from tests.sim.golden.mpgemm.tables import Machine, jobs_of, split_out


def parameters(**others):
    base = {"engine": "codebook", "act": "int8", "rows": 2, "columns": 3, "max_k": 40}
    base |= {"acc_bits": 32, "pipeline": 0, "target": "gates", "lanes": 4, "book": "nf4"}
    return {**base, **others}


LOADED = {"book": "rows", "bits": 3, "entry_bits": 7}


def rom(p):
    """Products by index (w << bits of a) + a (A.7)."""
    book, act, lanes = parse(p["book"]), parse(p["act"]), p["lanes"]
    table = [
        int(decode(book, w)[0]) * int(decode(act, a)[0])
        for w in range(1 << book.bits)
        for a in range(1 << act.bits)
    ]

    def column(a, words, c, _):
        total = 0
        for lane in range(lanes):
            w = words[0] >> (c * lanes + lane) * book.bits & (1 << book.bits) - 1
            total += table[(w << act.bits) + (a[lane] & (1 << act.bits) - 1)]
        return total

    return Machine(p, lanes, 1, column)


def buckets(p, job, act, wgt, scale):
    """Activations are added by the code of their weight; entries count at the end of a tile."""
    lanes, bits, width = p["lanes"], p["bits"], p["entry_bits"]
    act, wgt, scale = iter(act), iter(wgt), iter(scale)
    fmt = parse(p["act"])
    c = [[0] * job.n for _ in range(job.m)]
    for top in range(0, job.m, p["rows"]):
        for left in range(0, job.n, p["columns"]):
            beats = [next(scale) for _ in range(1 << bits)]
            sums = {}
            for base in range(0, job.k, lanes):
                a, w = next(act), next(wgt)
                for r in range(min(p["rows"], job.m - top)):
                    for col in range(min(p["columns"], job.n - left)):
                        for lane in range(min(lanes, job.k - base)):
                            code = w >> (col * lanes + lane) * bits & (1 << bits) - 1
                            x = a >> (r * lanes + lane) * fmt.bits & (1 << fmt.bits) - 1
                            key = (r, col, code)
                            sums[key] = sums.get(key, 0) + int(decode(fmt, x)[0])
            for (r, col, code), total in sums.items():
                entry = beats[code] >> col * width & (1 << width) - 1
                entry -= (entry >> width - 1) << width
                c[top + r][left + col] += total * entry
    assert [next(rest, None) for rest in (act, wgt, scale)] == [None] * 3
    return c


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"book": "sf4", "act": "int4", "lanes": 1},
        {"book": "nf4_fp16", "act": "int4", "acc_bits": 40, "columns": 1},
        {"book": "codebook:0,1.5,-2,7", "act": "uint4", "rows": 3},
    ],
    ids=str,
)
def test_vectors_against_the_table_of_products(case):
    p = parameters(**case)
    streams = codebook.vectors(p, np.random.default_rng(1), 14)
    outs = split_out(codebook.run(p, streams))
    for (job, act, wgt), out in zip(jobs_of(streams), outs, strict=True):
        c, _ = unpack_out(p, job.m, job.n, out)
        assert c.tolist() == rom(p).run(job, act, wgt)


@pytest.mark.parametrize(
    "case", [{}, {"bits": 4, "entry_bits": 16}, {"bits": 1, "lanes": 3, "act": "uint4"}], ids=str
)
def test_vectors_against_sums_by_code(case):
    p = parameters(**{**LOADED, **case})
    streams = codebook.vectors(p, np.random.default_rng(1), 14)
    outs = split_out(codebook.run(p, streams))
    largest = 0
    for (job, act, wgt, scale), out in zip(jobs_of(streams), outs, strict=True):
        c, _ = unpack_out(p, job.m, job.n, out)
        assert c.tolist() == buckets(p, job, act, wgt, scale)
        largest = max(largest, c.max())
    if p["act"] == "int8":
        assert largest == 40 * 128 << p["entry_bits"] - 1


def packets(p, words, bits=0):
    streams = {"s_axis_job": {"tdata": [job_word(5, 7, 37, bits)]}}
    for name, packet in words.items():
        streams[f"s_axis_{name}"] = {"tdata": packet, "tlast": [0] * (len(packet) - 1) + [1]}
    return streams


@pytest.mark.parametrize("case", [{}, LOADED], ids=str)
def test_products_and_both_ways(case):
    p, rng = parameters(**case), np.random.default_rng(1)
    size = 1 << codebook.code_bits(p)
    w, a = rng.integers(0, size, (37, 7)), rng.integers(0, 128, (5, 37))
    books = np.array([parse("nf4").table] * 7)
    if case:
        books = rng.integers(-64, 64, (7, size))
    for padding in (None, rng):
        words = {"act": pack_act(p, a, 7, padding), "wgt": codebook.pack_weights(p, w, 5, padding)}
        assert_array_equal(codebook.unpack_weights(p, words["wgt"], 37, 7), w)
        if case:
            words["scale"] = codebook.pack_books(p, books, 5, padding)
        c, _ = unpack_out(p, 5, 7, codebook.run(p, packets(p, words))["m_axis_out"])
        assert_array_equal(c.astype(np.int64), a @ books[np.arange(7), w])


def test_layout_of_books_by_hand():
    p = parameters(rows=1, columns=2, book="rows", bits=1, entry_bits=4)
    assert codebook.pack_books(p, [[1, -1], [2, 3], [-8, 7]]) == [0x21, 0x3F, 0x08, 0x07]
    with pytest.raises(ValueError, match="entries must be -8 to 7"):
        codebook.pack_books(p, [[0, 8]])
    with pytest.raises(ValueError, match=r"books must have shape \(columns, 2\), not \(1, 3\)"):
        codebook.pack_books(p, [[0, 1, 2]])


def test_faulty():
    p = parameters()
    out = codebook.run(p, codebook.faulty(p, np.random.default_rng(1)))
    assert {user & 15 for user in out["m_axis_out"]["tuser"]} == set(range(8))
    p = parameters(**LOADED)
    out = codebook.run(p, codebook.faulty(p, np.random.default_rng(1)))
    assert {user & 15 for user in out["m_axis_out"]["tuser"]} == set(range(10))


def test_order_of_faults():
    """Of one tile the entries come first, then the steps."""
    p = parameters(**LOADED, rows=1, columns=1)
    job = {"s_axis_job": {"tdata": [job_word(1, 2, 8)]}}

    def codes(act, wgt, scale):
        streams = dict(job)
        for name, length in (("act", act), ("wgt", wgt), ("scale", scale)):
            streams[f"s_axis_{name}"] = {"tdata": [0] * length, "tlast": [0] * (length - 1) + [1]}
        return codebook.run(p, streams)["m_axis_out"]["tuser"]

    assert codes(4, 4, 16) == [0, 0]
    assert codes(4, 4, 8) == [8]
    assert codes(4, 4, 9) == [0, 8]
    assert codes(4, 4, 17) == [0, 9]
    assert codes(2, 4, 9) == [4]
    assert codes(3, 4, 17) == [0, 9]
    assert codes(5, 5, 16) == [0, 5]


def test_cycles():
    p = parameters(columns=64)
    assert codebook.cycles(p, 5, 65, 13) == 6 * 4 + 1 + 3
    assert codebook.cycles({**p, **LOADED}, 5, 65, 13) == 6 * 12 + 1 + 3
    assert codebook.cycles({**p, "pipeline": 1}, 4, 129, 4) == 5 * 2 + 1 + 2 + 4


def counted(p, a, w):
    """C, and the multiplications by hand; the columns of a tile share theirs."""
    book = [int(x) for x in decode(parse(p["book"]), np.arange(1 << codebook.code_bits(p)))[0]]
    sizes = sorted({abs(x) for x in book if x})
    c = np.zeros((len(a), w.shape[1]), dtype=np.int64)
    made = 0
    for m, row in enumerate(a.tolist()):
        if p["products"] == "buckets":
            for n, column in enumerate(w.T.tolist()):
                sums = dict.fromkeys(sizes, 0)
                for x, code in zip(row, column, strict=True):
                    if book[code]:
                        sums[abs(book[code])] += x if book[code] > 0 else -x
                c[m, n] = sum(size * total for size, total in sums.items())
                made += len(sums)
            continue
        for k, x in enumerate(row):
            for left in range(0, w.shape[1], p["columns"]):
                times = {size: size * x for size in sizes}
                made += len(times)
                for n in range(left, min(left + p["columns"], w.shape[1])):
                    value = book[w[k, n]]
                    c[m, n] += times[abs(value)] * (1 if value > 0 else -1) if value else 0
    return c, made


@pytest.mark.parametrize("book", ["nf4", "codebook:0,1,-1,5", "codebook:-3,0,1,3"])
@pytest.mark.parametrize("products", ["buckets", "shared"])
def test_ways_of_making_products(products, book):
    p, rng = parameters(products=products, book=book), np.random.default_rng(1)
    a, w = rng.integers(0, 128, (5, 37)), rng.integers(0, 1 << codebook.code_bits(p), (37, 7))
    words = {"act": pack_act(p, a, 7), "wgt": codebook.pack_weights(p, w, 5)}
    c, _ = unpack_out(p, 5, 7, codebook.run(p, packets(p, words))["m_axis_out"])
    found, made = counted(p, a, w)
    assert_array_equal(c.astype(np.int64), found)
    assert codebook.saved(p, 5, 7, 37) == (made, 5 * 37 * 7)


def test_multiplications_that_are_saved():
    """A book of -3, 0, 1 and 3 has two magnitudes that are not 0."""
    assert codebook.saved(parameters(), 2, 6, 64) == (768, 768)
    assert codebook.saved(parameters(products="each"), 2, 6, 64) == (768, 768)
    few = parameters(products="buckets", book="codebook:-3,0,1,3")
    assert codebook.saved(few, 2, 6, 64) == (2 * 6 * 2, 768)
    assert codebook.saved({**few, "products": "shared"}, 2, 6, 64) == (2 * 64 * 2 * 2, 768)
    loaded = parameters(**LOADED, products="buckets")
    assert codebook.saved(loaded, 2, 6, 64) == (2 * 6 * 8, 768)


def test_cycles_of_buckets():
    """Row by row and sum by sum after the last step; the next tile waits."""
    p = parameters(columns=64, products="buckets", book="codebook:-3,0,1,3")
    # One tile of one row: four steps, two sums, and what registers add.
    assert codebook.cycles(p, 1, 1, 13) == 4 + 2 + 3
    assert codebook.cycles({**p, "pipeline": 1}, 1, 1, 13) == 4 + 2 + 4
    # Of six tiles of two rows five have two rows, of which the last cycle takes a step.
    assert codebook.cycles(p, 5, 65, 13) == 6 * 4 + 5 * 3 + 2 + 3
    assert codebook.cycles(p, 4, 65, 13) == 4 * 4 + 3 * 3 + 4 + 3
    loaded = {**p, **LOADED}
    assert codebook.cycles(loaded, 4, 65, 13) == 4 * 12 + 3 * 15 + 16 + 3
    assert codebook.cycles({**p, "products": "shared"}, 5, 65, 13) == 6 * 4 + 1 + 3
    grouped = {**p, "group_size": 8, "sum": "int"}
    assert codebook.cycles(grouped, 4, 65, 13) == 4 * 4 + 7 * 3 + 4 + 3
    assert codebook.cycles({**p, "book": "codebook:0,0"}, 1, 1, 13) == 4 + 1 + 3
