# SPDX-License-Identifier: Apache-2.0
"""Products by look-up equal products by arithmetic, for every pair of formats that fits."""

import itertools

import pytest

from hw.pe.params import PEParams
from hw.pe.product_lut import ProductTable
from hw.pe.values import is_symmetric, values_of
from hw.spec.formats import CATALOGUE, parse
from sim.bench.check import Pass
from sim.bench.exhaustive import Pair, chunks, compare
from sim.golden.formats import decode, legal_codes
from tests.verilog.test_stream import PASSES, run

NAMES = [name for name in CATALOGUE if parse(name).bits <= 8]
SMALL = [name for name in NAMES if parse(name).bits <= 4]


@pytest.mark.parametrize("name", [*NAMES, "codebook:0,1,2,5", "razer+5"])
def test_values_are_those_of_the_golden_decoder(name):
    fmt = parse(name)
    values = values_of(fmt)
    ints, nan = decode(fmt, legal_codes(fmt))
    for code, integer, mark in zip(legal_codes(fmt), ints, nan, strict=True):
        assert values[code] == (None if mark else integer)


def test_signs_stay_outside_where_they_only_negate():
    symmetric = {name for name in NAMES if is_symmetric(parse(name))}
    assert {"e2m1", "sm4", "e4m3", "e4m3_fnuz", "pot3", "flint4", "bipolar1"} <= symmetric
    assert not {"int4", "uint4", "nf4", "razer+5", "e2m1_sp", "posit4_1", "bipolar2"} & symmetric
    both, one = (ProductTable(parse("e2m1"), parse(act)) for act in ("e2m1", "int4"))
    for table in (both, one):
        table._MustUse__used = True  # or Amaranth would complain that it is not
    assert len(both.p) == 8 and not both.p.shape().signed
    assert len(one.p) == 8 and one.p.shape().signed


def pairs(every):
    """Short formats beside one of a few, some wide ones; or every pair."""
    few = itertools.cycle(["int4", "e2m1", "nf4", "uint2", "fp4_ea-"])
    found = list(itertools.product(SMALL, repeat=2))
    if not every:
        found = [(name, next(few)) if k % 2 else (next(few), name) for k, name in enumerate(SMALL)]
    for name in NAMES if every else NAMES[::4]:
        if name not in SMALL:
            others = [n for n in NAMES if parse(n).bits + parse(name).bits <= 10]
            found += [(name, other) for other in others] if every else [(name, others[-1])]
            found += [(other, name) for other in others] if every else []
    return [Pair(*pair, "product-lut", ("gates", "xcup")[n % 2]) for n, pair in enumerate(found)]


@pytest.mark.parametrize("chunk", chunks(pairs(False), 64), ids=lambda c: f"{c[0].weight}-{len(c)}")
def test_pairs(chunk, tmp_path):
    compared, wrong = compare(chunk, tmp_path, "netlist")
    assert compared and not wrong, wrong


@pytest.mark.deep
@pytest.mark.parametrize("chunk", chunks(pairs(True), 128), ids=lambda c: f"{c[0].weight}-{len(c)}")
def test_all_pairs(chunk, tmp_path):
    compared, wrong = compare(chunk, tmp_path, "netlist")
    assert compared and not wrong, wrong


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "int4"}, "format and act must have at most 10 bits together with arch "
         "product-lut, such as int4 and int4, not 'int4' and 'int8'"),
        ({"format": "ternary", "act": "e5m2", "window": "-8:8"},
         "window must not be given with arch product-lut, not '-8:8'"),
        ({"format": "int4", "act": "int4", "pipeline": 3},
         "pipeline must be 0, 1 or 2 with arch product-lut, not 3"),
        ({"format": "int4", "act": "int4", "mode": "both"}, "mode must not be given with arch"),
    ],
)  # fmt: skip
def test_refusals(wrong, message):
    with pytest.raises(ValueError, match=message):
        PEParams(arch="product-lut", **wrong)


CASES = {
    "columns": {"format": "nf4", "act": "uint3", "lanes": 2, "columns": 3},
    "stages": {"format": "e2m1", "act": "e2m1", "lanes": 4, "pipeline": 2, "target": "xcup"},
    "nan": {"format": "ternary", "act": "e5m2", "pipeline": 1, "max_k": 16},
    "accumulate": {"format": "int4", "act": "sm4", "columns": 2, "core": "accumulate"},
    "dot": {"format": "int4", "act": "int4", "lanes": 3, "columns": 2, "core": "dot"},
}


@pytest.mark.parametrize("name", CASES)
def test_traffic(name, tmp_path):
    passes = [Pass("none", "none")] if "core" in CASES[name] else PASSES
    report = run({"arch": "product-lut", **CASES[name]}, tmp_path, passes=passes)
    assert report.passed, (report.fault, report.mismatch)


def test_what_more_columns_get_is_compared(tmp_path):
    fault = {"o_acc": "c_o_acc ^ {1'b1, 12'b0}"}
    case = {"format": "int2", "act": "int2", "columns": 2, "acc_bits": 10, "max_k": 4}
    report = run({"arch": "product-lut", **case}, tmp_path, mutant=fault)
    assert report.mismatch is not None
