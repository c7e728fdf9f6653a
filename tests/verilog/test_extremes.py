# SPDX-License-Identifier: Apache-2.0
"""The largest operands and the largest sums of the units around a PE: nothing overflows unseen."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from gen.emit import emit
from gen.unit import discover
from hw.quant.dequant_params import DequantParams
from hw.quant.requant_params import SCHEMES, RequantParams
from hw.spec.cfu import function
from hw.spec.formats import FloatFormat, parse
from sim.bench import streams
from sim.bench.check import check, golden_of
from sim.coprocessor import MemoryModel, SimTransport
from sim.golden import block_quantize, requant
from sim.golden.coprocessor import cfu
from sim.golden.fp import mul
from sim.runner import simulate
from tests.hw.encode.cells import differences
from tests.hw.fp.units import every, hold
from tests.hw.quant.test_requant import outputs
from tests.sim.coprocessor_twin import built


def ends(name: str) -> list[int]:
    """Codes beside zero and beside the largest value, of both signs, and what lies beyond it."""
    fmt = parse(name)
    assert isinstance(fmt, FloatFormat)
    most, sign = fmt.max_code, 1 << fmt.bits - 1
    beyond = [code for code in (most + 1, sign - 1) if code < sign]
    return [code | s for code in (0, 1, 2, most - 1, most, *beyond) for s in (0, sign)]


@pytest.mark.parametrize(
    "formats",
    [("fp16",) * 3, ("bf16",) * 3, ("fp32",) * 3, ("e4m3",) * 3, ("e5m2", "fp32", "fp32"),
     ("fp32", "fp32", "e5m2"), ("e2m1", "fp16", "fp16")],
    ids="-".join,
)  # fmt: skip
def test_fma_of_ends(formats: tuple[str, str, str], tmp_path: Path) -> None:
    case = dict(zip(("format", "addend", "result"), formats, strict=True))
    a, c = ends(formats[0]), ends(formats[1])
    hold("fma", tmp_path, case, every(a=a, b=a, c=c))


@pytest.mark.parametrize("name", ["fp16", "bf16", "fp32", "e4m3", "e5m2_fnuz"])
def test_mul_of_ends(name: str, tmp_path: Path) -> None:
    hold("mul", tmp_path, {"format": name}, every(a=ends(name), b=ends(name)))


@pytest.mark.parametrize("name", ["posit8_2", "posit16_0", "posit16_1", "posit16_3"])
def test_mul_of_the_last_posits(name: str, tmp_path: Path) -> None:
    """The largest times the largest stays the largest; the smallest never becomes zero."""
    nar = 1 << parse(name).bits - 1
    most, codes = nar - 1, [0, 1, 2, nar - 2, nar - 1, nar, nar + 1, nar + 2, 2 * nar - 1]
    hold("mul", tmp_path, {"format": name}, every(a=codes, b=codes))
    y = mul.run({"format": name}, {"a": [most, 1, nar + 1], "b": [most, 1, most]})["y"]
    assert y.tolist() == [most, 1, nar + 1]


TARGETS = ["e4m3", "e5m2", "fp16", "int8", "uint4", "posit16_1", "nf4", "shift4", "e8m0"]


@pytest.mark.parametrize(
    ("source", "lam", "overflow"),
    [("int64", 0, "sat"), ("int64", -60, "nonsat"), ("fp32", 0, "nonsat")],
)
def test_quantize_the_largest(source: str, lam: int, overflow: str, tmp_path: Path) -> None:
    codes = [0, 1, -1, (1 << 63) - 1, -(1 << 63), 1 - (1 << 63), (1 << 62) + 1, -(1 << 62)]
    if source == "fp32":
        codes = [code | s for code in (0, 1, 0x7F7FFFFF, 0x7F800000) for s in (0, 1 << 31)]
    cells = [
        {"source": source, "lam": lam, "format": target, "overflow": overflow} for target in TARGETS
    ]
    assert differences(cells, np.array(codes), tmp_path) == []


BLOCKS = {
    "mxfp4": "fp16", "mxfp8_e5m2": "bf16", "mxint8": "fp32", "nvfp4": "fp32", "bfp8": "fp16",
    "olive8": "int16", "bitmod4": "int16", "bitmod3": "int8", "razer_w": "int16",
    "razer_a": "int16",
}  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS)
def test_block_quantize_full_blocks_of_the_largest(block: str, tmp_path: Path) -> None:
    """Elements of blocks of the usual size at the ends of their source, or all as far as can be
    from what the codes stand for: the largest sums of errors."""
    source, size = BLOCKS[block], block_quantize.default_size(block)
    if source.startswith("int"):
        most = (1 << int(source[3:]) - 1) - 1
        others = [s * most * k // 48 for k in range(1, 48, 2) for s in (1, -1)]
        pair = most, ~most
    else:
        fmt = parse(source)
        assert isinstance(fmt, FloatFormat)
        sign = 1 << fmt.bits - 1
        others = [fmt.max_code - (k << fmt.man_bits - 3) for k in range(1, 24)]
        pair = fmt.max_code, fmt.max_code | sign
    rows = [[end] * size for end in (*pair, 0)]
    rows += [[pair[n % 2] for n in range(size)], [pair[1], *[0] * (size - 1)]]
    rows += [[pair[0], *[other] * (size - 1)] for other in others]
    unit = discover()["block-quantize"]
    text, manifest = emit(unit, unit.params(block=block, source=source))
    (tmp_path / "dut.v").write_text(text, encoding="utf-8")
    report = check(tmp_path / "dut.v", manifest, {"x": np.array(rows)}, tmp_path / "build")
    assert report.passed, (report.fault, report.mismatch)
    assert report.results == len(rows)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_requant_of_ends(scheme: str, tmp_path: Path) -> None:
    case: dict[str, Any] = {"scheme": scheme, "out": "int16", "zero_point": True}
    case["in_bits"] = 32 if scheme == "gemmlowp" else 64
    params = RequantParams(core="cell", **case)
    x = [e >> 64 - case["in_bits"] for e in (0, 1, -1, (1 << 63) - 1, -(1 << 63), 3 << 61)]
    bits = params.multiplier_shape.width
    m = [0, 1, (1 << bits) - 1 if scheme == "rbe" else (1 << bits - 1) - 1]
    m += [] if scheme == "rbe" else [-1, -(1 << bits - 1)]
    s = sorted({*params.shift_range, 0, 1, 30})
    z, add = [0, -(1 << 16), (1 << 16) - 1], [0]
    if scheme == "rbe":
        add = [0, (1 << 31) - 1, -(1 << 31)]
    beats = every(x=x, m=m, s=s, z=z, add=add)
    beats["x"] = beats["x"].astype(np.int64)
    if scheme != "rbe":
        del beats["add"]
    got, _ = outputs(tmp_path, beats, **case)
    due = requant.run(params.resolved, {**beats, "x": beats["x"][:, None]})["y"]
    assert got.tolist() == [int(v) for v in np.ravel(due)]


EXACT = [
    {"scale": "int8", "acc_bits": 10, "max_groups": 5},
    {"scale": "int8", "act_scale": "int8", "zero_point": True, "acc_bits": 9, "max_groups": 6},
    {"scale": "ue4m3", "act_scale": "int8", "sum": "exact", "acc_bits": 8, "max_groups": 3},
    {"scale": "fp16", "sum": "exact", "acc_bits": 5, "max_groups": 8, "blocks": 2},
]
#: Code of the largest magnitude of a scale and its integer in the format's unit.
LARGEST = {"int8": (0x80, -128), "ue4m3": (126, 448 << 9), "fp16": (0xFBFF, -65504 << 24)}


@pytest.mark.parametrize("number", range(len(EXACT)))
def test_dequant_largest_exact_sum(number: int, tmp_path: Path) -> None:
    """As many groups as are promised, each as large as it can be, and its counterpart."""
    case = EXACT[number]
    params, blocks = DequantParams(**case), case.get("blocks", 1)
    least = -1 << params.acc_bits - 1
    beats_of_one = params.max_groups // blocks
    group = {"p": [least, -least - 1], "s": [LARGEST[params.scale][0]] * 2}
    values = [least, -least - 1]
    factor = LARGEST[params.scale][1]
    if params.act_scale:
        group["t"] = [LARGEST[params.act_scale][0]] * 2
        factor *= LARGEST[params.act_scale][1]
    if params.zero_point:
        group |= {"z": [-128, 127], "sa": [least, least]}
        values = [p - z * s for p, z, s in zip(*(group[k] for k in ("p", "z", "sa")), strict=True)]
    beats = {
        name: np.repeat(np.array(pair), beats_of_one)[:, None] * np.ones((1, blocks), dtype=int)
        for name, pair in group.items()
    }
    beats["last"] = np.tile(np.arange(beats_of_one) == beats_of_one - 1, 2)
    due = [params.max_groups * value * factor for value in values]
    assert max(map(abs, due)).bit_length() + 1 == params.exact_bits, "a narrower sum would do"
    text, manifest = emit(discover()["dequant"], params)
    (tmp_path / "dut.v").write_text(text, encoding="utf-8")
    expected: dict[str, Any] = {"y": np.array(due, dtype=object)}
    if params.nan_port:
        expected["nan"] = np.zeros(2, dtype=int)
    found = check(tmp_path / "dut.v", manifest, beats, tmp_path / "build", expected=expected)
    assert found.passed, (found.fault, found.mismatch)
    assert found.results == 2


def test_dequant_binary32_overflow(tmp_path: Path) -> None:
    """2**127 is a number, twice as much infinity, of either sign; and infinity less infinity."""
    p = np.array([1, 1, 1, -1, -1, 2, -2, 1, 2, -2])
    last = np.array([1, 0, 1, 0, 1, 1, 1, 1, 0, 1])
    due, total = [], np.float32(0)
    with np.errstate(all="ignore"):
        for value, end in zip(p, last, strict=True):
            total = total + np.float32(value) * np.float32(2.0**127)
            if end:
                due.append(0x7FC00000 if np.isnan(total) else int(total.view(np.uint32)))
                total = np.float32(0)
    assert due == [0x7F000000, 0x7F800000, 0xFF800000, 0x7F800000, 0xFF800000, 0x7F000000,
                   0x7FC00000]  # fmt: skip
    unit = discover()["dequant"]
    text, manifest = emit(unit, unit.params(acc_bits=4, scale="e8m0"))
    (tmp_path / "dut.v").write_text(text, encoding="utf-8")
    beats = {"p": p[:, None], "s": np.full((len(p), 1), 254), "last": last.astype(bool)}
    expected = {"y": np.array(due, dtype=object)}
    report = check(tmp_path / "dut.v", manifest, beats, tmp_path / "build", expected=expected)
    assert report.passed, (report.fault, report.mismatch)


#: Least and greatest code of an activation, and their integers.
CODES_OF_TABLES = {
    "int8": ((0x80, 0x7F), (-128, 127)),
    "uint4": ((0, 15), (0, 15)),
    "e2m1": ((0xF, 0x7), (-12, 12)),
}


@pytest.mark.parametrize("kind", ["half", "full"])
@pytest.mark.parametrize("act", CODES_OF_TABLES)
def test_lut_table_largest_entries(act: str, kind: str, tmp_path: Path) -> None:
    """All activations at one end, or the last one at the other: entries of every bit there is."""
    unit, group, ((least, most), (low, high)) = discover()["lut-table"], 4, CODES_OF_TABLES[act]
    text, manifest = emit(unit, unit.params(act=act, group=group, table_kind=kind))
    rows = [[a] * (group - 1) + [b] for a in (least, most) for b in (least, most)]
    values = [[low if code == least else high for code in row] for row in rows]
    due = []
    for row in values:
        signs = itertools.product((-1, 1) if kind == "half" else (0, 1), repeat=group)
        # The first factor belongs to the last activation; of a half table it is always 1.
        due.append([
            sum(f * v for f, v in zip(factors[::-1], row, strict=True))
            for factors in signs
            if kind == "full" or factors[0] == 1
        ])  # fmt: skip
    ends = [value for entries in due for value in entries]
    ends += [-value for value in ends] if kind == "half" else []  # the engine negates them
    needed = max((value if value >= 0 else ~value).bit_length() for value in ends) + 1
    assert needed == manifest["contract"]["entry_bits"], "a narrower entry would do"
    (tmp_path / "dut.v").write_text(text, encoding="utf-8")
    beats, expected = {"act": np.array(rows)}, {"table": np.array(due)}
    report = check(tmp_path / "dut.v", manifest, beats, tmp_path / "build", expected=expected)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results == len(rows)


#: Engines whose largest sums are driven in every run; the other kinds in deep ones.
SOON = ("broadcast", "ws", "lut", "shift-add", "codebook")
KINDS = [
    pytest.param(
        name, case, id=f"{name}-{case[kind]}", marks=[pytest.mark.deep] * (case[kind] not in SOON)
    )
    for name, kind in (("array", "dataflow"), ("mpgemm", "engine"))
    for case in {case[kind]: case for case in reversed(discover()[name].cases)}.values()
]


@pytest.mark.parametrize(("name", "case"), KINDS)
def test_engine_largest_sum(name: str, case: dict[str, Any], tmp_path: Path) -> None:
    """Edge shapes with corner codes, as long as is promised: sums of every bit there is."""
    unit = discover()[name]
    text, manifest = emit(unit, unit.params(**case))
    golden, parameters = golden_of(manifest), manifest["parameters"]
    stimulus = golden.vectors(parameters, np.random.default_rng(1), 40)
    due = golden.run(parameters, stimulus)["m_axis_out"]["tdata"]
    width = next(p["width"] for p in manifest["ports"] if p["name"] == "m_axis_out_tdata")
    columns = manifest["contract"].get("tile_columns", parameters["columns"])
    bits, sums = width // columns, []
    for word in due:
        fields = [word >> bits * c & (1 << bits) - 1 for c in range(columns)]
        sums += [value - (value >> bits - 1 << bits) for value in fields]
    acc_bits = manifest["contract"]["acc_bits"]
    most = max(value if value >= 0 else ~value for value in sums)
    # The least entry of a table of pq is a power of 2 below zero, and so is the largest sum of it,
    # for which its accumulators have a bit more than they need.
    spare = case.get("engine") == "pq"
    assert most.bit_length() + 1 == acc_bits - spare, "a narrower sum would do"
    (tmp_path / "dut.v").write_text(text, encoding="utf-8")
    report = streams.check(tmp_path / "dut.v", manifest, stimulus, tmp_path / "build")
    assert report.passed, (report.fault, report.mismatch)


def test_coprocessor_largest_sum() -> None:
    """All of K with the largest products, of either sign: results have every bit they need."""
    text, manifest = built("cube")
    most_k = manifest["contract"]["max_k"]
    with Accelerator(SimTransport(text, manifest, MemoryModel()), manifest) as device:
        for low, high in ((-128, -8), (-128, 7)):
            a, w = np.full((3, most_k), low), np.full((most_k, 5), high)
            found = device.gemm(a, w)
            assert (found == a @ w).all()
        acc_bits = max(int(abs(low * high) * most_k).bit_length() for high in (-8,)) + 1
    assert manifest["contract"]["registers"] and acc_bits == acc_bits_of(manifest)


def acc_bits_of(manifest: dict[str, Any]) -> int:
    """Bits of an accumulator as the register CAP0 tells it."""
    cap0 = next(r for r in manifest["contract"]["registers"] if r["name"] == "CAP0")
    return int(cap0["reset"]) >> 24 & 255


def test_cfu_largest_sum(tmp_path: Path) -> None:
    """The same through custom instructions."""
    unit = discover()["cfu"]
    engine = "array --dataflow tree --rows 1 --columns 2 --lanes 2 --format int4 --max-k 64"
    text, manifest = emit(unit, unit.params(engine=engine))
    rows, due = [], list[int]()
    for low, high in ((0x80, 8), (0x80, 7)):
        given = cfu.product(manifest["parameters"], np.full((1, 64), low), np.full((64, 2), high))
        one = -128 * (high - 16 * (high > 7)) * 64
        rows += [*given, *[(function("result"), 0, 0)] * 2]
        due += [*[0] * len(given), *[one & 0xFFFF_FFFF] * 2]
    columns = dict(zip(("function_id", "inputs_0", "inputs_1"), np.array(rows).T, strict=True))
    path = tmp_path / "stimulus.npz"
    np.savez(path, **columns, outputs_0=np.array(due))
    (tmp_path / "cfu.v").write_text(text)
    env = {"BITLOOM_STIMULUS": str(path), "BITLOOM_EAGER": "1"}
    report = simulate(
        [tmp_path / "cfu.v"], "cfu", "tests.verilog.cocotb_cfu", tmp_path / "run", env=env
    )
    assert report.tests == 1
    assert manifest["parameters"]["result_bits"] >= (128 * 8 * 64).bit_length() + 1
