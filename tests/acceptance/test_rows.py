# SPDX-License-Identifier: Apache-2.0
"""What each published system that an engine follows must be able to do.

A row has commands, those of the table in docs/engines.md, and a test. The Verilog of the commands,
at a smaller size, is simulated on random, corner and edge-tile jobs and compared with the golden
model beat by beat and cycle by cycle; then comes what is special about the system: formats,
packing, schedules, errors of approximations.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gen.emit import emit
from gen.unit import discover
from hw.spec.formats import parse
from sim.bench.check import check
from sim.golden import lut_table
from sim.golden.encode import encode
from sim.golden.formats import decode, decode_float
from sim.golden.groups import quantize_groups
from sim.golden.mpgemm import lut, lut_ternary, sparse, ternary_add
from sim.golden.mpgemm.binary_codes import (
    BinaryCodes,
    quantize_bcq,
    quantize_hlq,
    storage_bits,
)
from sim.golden.mpgemm.cycles import cycles, cycles_streamed
from sim.golden.mpgemm.entries import average_bias
from sim.golden.mpgemm.image import pack, unpack
from sim.golden.mpgemm.plane_groups import (
    plane_activations,
    plane_scales,
    plane_weights,
    shifted_activations,
    shifted_lookups,
)
from sim.golden.mpgemm.plane_major import dequantized, view_codes, view_macs
from sim.golden.mpgemm.pq import encode as nearest
from sim.golden.mpgemm.table_beats import table_fields, table_of
from sim.golden.mpgemm.tmac import engine_tables, tmac_product, tmac_tables_int8
from sim.golden.mpgemm.transcode import from_tmac, from_tq1_0, to_tmac, to_tq1_0
from sim.golden.mpgemm.unit import Unit
from sim.golden.mpgemm.words import pack_codes, stream_bytes
from sim.golden.requant import requant
from tests.acceptance.held import PASSES, Job, held, parsed, resolved

Test = Callable[[Path], None]

ROWS: dict[str, Test] = {}

#: Commands of each row, as the documentation has them.
COMMANDS: dict[str, tuple[str, ...]] = {}


def row(name: str, *commands: str) -> Callable[[Test], Test]:
    """Name a row of the table, and its commands."""

    def add(test: Test) -> Test:
        ROWS[name], COMMANDS[name] = test, commands
        return test

    return add


def small(name: str, options: str, number: int = 0) -> str:
    """A command of a row with other sizes."""
    return f"{COMMANDS[name][number]} {options}"


def random() -> np.random.Generator:
    return np.random.default_rng(7)


def signed(rng: np.random.Generator, shape: tuple[int, ...], bits: int = 8) -> Any:
    return rng.integers(-(1 << bits - 1), 1 << bits - 1, shape)


def as_binary32(c: Any) -> Any:
    """Codes of binary32, as they come out, as numbers."""
    return np.asarray(c, dtype=np.int64).astype(np.int32).view(np.float32)


def codes(values: Any, bits: int = 8) -> Any:
    return np.asarray(values) & (1 << bits) - 1


@row(
    "lut-tensor-core",
    "mpgemm --engine lut --rows 2 --columns 64 --group 4 --bits 8",
    "mpgemm --engine lut --rows 2 --columns 64 --group 4 --bits 2 --act fp16",
)
def _(folder: Path) -> None:
    """Tile M2 N64 K4, half tables of 8 entries, signs folded offline, 1 to 8 planes serially."""
    rng = random()
    a, jobs = signed(rng, (1, 5)), []
    for bits in range(1, 9):
        jobs.append(Job(codes(a), signed(rng, (5, 4), bits), bits))
    found = held(small("lut-tensor-core", "--columns 3 --max-k 40"), folder, *jobs)
    for job, c in zip(jobs, found.c, strict=True):
        assert_array_equal(c.astype(int), a @ job.w)
    float_tables(folder)
    builder_apart(folder)
    # 8 entries of 11 bits, which is what four times -128 takes with either sign.
    port = {**found.parameters, "table_source": "port"}
    assert (table_fields(port).count, table_fields(port).bits) == (8, 11)
    # Keys are as the lookup wants them: the lowest bits inverted where the sign is 0.
    p = resolved(COMMANDS["lut-tensor-core"][0])
    w = signed(rng, (4, 64))
    for plane, word in enumerate(lut.pack_weights(p, w)):
        for n in range(64):
            u = [int(x) + 128 >> plane & 1 for x in w[:, n]]
            below = sum((bit if u[3] else 1 - bit) << i for i, bit in enumerate(u[:3]))
            assert word >> 4 * n & 15 == u[3] << 3 | below
    # A step is a cycle for each plane, 512 products of 8 bits in 8 of them.
    assert lut.cycles(p, 2, 64, 400) - lut.cycles(p, 2, 64, 396) == 8
    assert lut.cycles(p, 2, 64, 400, 2) - lut.cycles(p, 2, 64, 396, 2) == 2


def float_tables(folder: Path) -> None:
    """Tables of fp16 are exact; zeros stay zero in every plane, whatever is done to exponents."""
    rng = random()
    x, w = rng.normal(size=(3, 5)).astype(np.float16), signed(rng, (5, 2), 2)
    x[1], x[2, :2], x[2, 2:] = 0.0, -0.0, np.finfo(np.float16).smallest_subnormal
    command = small("lut-tensor-core", "--rows 1 --columns 1 --max-k 9", 1)
    found = held(command, folder, Job(x.view(np.uint16), w), keys=False)
    assert_array_equal(found.c[0], (x.astype(np.float64) * 2**24).astype(int) @ w)
    assert not found.c[0][1].any() and not found.nan[0].any()


def builder_apart(folder: Path) -> None:
    """Tables made by a unit of their own, which an engine without a builder takes as they are."""
    unit = discover()["lut-table"]
    text, manifest = emit(unit, unit.params(group=4, tables=1))
    source = folder / "lut_table.v"
    source.write_text(text, encoding="utf-8")
    rng, p = random(), manifest["parameters"]
    beats = lut_table.vectors(p, rng, 40)
    assert check(source, manifest, beats, folder / "builder", passes=PASSES[1:]).passed
    a, w = beats["act"][:10].reshape(1, -1), signed(rng, (40, 3))
    command = small("lut-tensor-core", "--columns 2 --rows 1 --max-k 40 --table-source port")
    found = held(command, folder, Job(a, w), keys=False)
    assert_array_equal(found.c[0].astype(int), decode(parse("int8"), a)[0] @ w)
    entries = lut_table.run(p, {"act": beats["act"][:10]})["table"] & (1 << 11) - 1
    assert lut.pack_act(found.parameters, a, 1) == pack_codes(entries, 11)


@row(
    "t-man",
    "mpgemm --engine lut --rows 1 --columns 16 --group 4 --bits 4",
    "array --dataflow cube --rows 4 --columns 16 --lanes 8 --format int4",
)
def _(folder: Path) -> None:
    """One image of bit planes for lookups (decode) and multipliers (prefill): equal integers."""
    rng, sizes = random(), "--columns 3 --max-k 40"
    a, w = signed(rng, (3, 13)), signed(rng, (13, 5), 4)
    lookups = parsed(small("t-man", sizes))
    manifest = {"unit": "mpgemm", "parameters": lookups[1].resolved}
    image = unpack(manifest, pack(manifest, w))
    decode = held(small("t-man", sizes), folder, Job(codes(a), w, words=image.packet(3)))
    macs = small("t-man", f"{sizes} --rows 2 --lanes 2", 1)
    target = {"unit": "array", "parameters": resolved(macs)}
    prefill = held(macs, folder, Job(codes(a), w, words=list(view_macs(image, target)) * 2))
    assert_array_equal(decode.c[0].astype(int), a @ w)
    assert_array_equal(prefill.c[0], decode.c[0])
    # A table of operands for each group of weights, in place of one for all.
    s, z = np.array([3, 1]), np.array([8, 5])
    operands = view_codes(image, dequantized(s, z, 4), 8, "int6")
    group = np.arange(13) // 8
    u = w + 8
    assert_array_equal((operands ^ 32) - 32, s[group, None] * (u - z[group, None]))


@row("ku-leuven", "mpgemm --engine lut-ternary --group 3 --tables 4 --rows 1 --columns 16")
def _(folder: Path) -> None:
    """Parameters mu (group), L (tables) and K (columns); ceil(keys/L) ceil(columns/K) cycles."""
    rng = random()
    a, w = signed(rng, (1, 29)), rng.integers(-1, 2, (29, 7))
    command = small("ku-leuven", "--tables 2 --columns 3 --max-k 40")
    found = held(command, folder, Job(codes(a), w))
    assert_array_equal(found.c[0].astype(int), a @ w)
    p = resolved(COMMANDS["ku-leuven"][0])
    spent = []
    for keys, columns in ((1, 1), (4, 16), (5, 17), (40, 100), (1, 160)):
        theirs = -(-keys // 4) * -(-columns // 16) + 2
        spent.append(lut_ternary.cycles(p, 1, columns, 3 * keys) - theirs)
    # Their two cycles, and what the registers at our ports add.
    assert len(set(spent)) == 1 and 0 <= spent[0] <= 2


@row(
    "tenet-tereffic",
    "mpgemm --engine lut-ternary --group 5 --table-kind split --tables 4 --columns 16",
    "mpgemm --engine ternary-add --lanes 20 --columns 16",
    "array --dataflow cube --arch nm --sparsity 2:4 --format ternary --lanes 8 --columns 16",
)
def _(folder: Path) -> None:
    """Five weights to a byte: 80 bytes of two bits each come down to 64; zeros skipped by 2:4.

    TENET keeps N of M activations, found at run time; here N of M weights are kept, found before.
    """
    rng = random()
    w = rng.integers(-1, 2, (320, 1))
    sizes = {}
    for number, module in ((0, lut_ternary), (1, ternary_add)):
        p = resolved(small("tenet-tereffic", "--columns 1", number))
        beats = module.pack_weights(p, w)
        step = 20
        sizes[number] = len(beats) * stream_bytes(step // 5 * 8 if number == 0 else step * 2)
        assert_array_equal(module.unpack_weights(p, beats, 320, 1), w)
    assert sizes == {0: 64, 1: 80}
    a, w = signed(rng, (3, 13)), rng.integers(-1, 2, (13, 5)) * (rng.random((13, 5)) < 0.5)
    command = small("tenet-tereffic", "--tables 1 --columns 3 --max-k 20")
    assert_array_equal(held(command, folder, Job(codes(a), w)).c[0].astype(int), a @ w)
    w[2::4], w[3::4] = 0, 0
    command = small("tenet-tereffic", "--rows 2 --columns 2 --lanes 2 --max-k 20", 2)
    ternary = encode(parse("ternary"), w.astype(float))
    assert_array_equal(held(command, folder, Job(codes(a), ternary)).c[0].astype(int), a @ w)


@row(
    "deepgemm",
    "array --dataflow cube --arch product-lut --format int2 --act int2 --lanes 16 --columns 16",
    "array --dataflow cube --arch product-lut --format nf4 --act codebook:-7,0,1,5 --lanes 16",
)
def _(folder: Path) -> None:
    """Tables of all products of two codes, 16 entries for 2 by 2 bits, any book on either side."""
    rng, sizes = random(), "--rows 2 --columns 2 --lanes 2 --max-k 20"
    for number in range(2):
        command = small("deepgemm", sizes, number)
        p = resolved(command)
        weight, act = parse(p["format"]), parse(p["act"])
        a, w = rng.integers(0, 1 << act.bits, (3, 7)), rng.integers(0, 1 << weight.bits, (7, 3))
        found = held(command, folder, Job(a, w))
        rom = np.multiply.outer(decode(weight, np.arange(1 << weight.bits))[0],
                                decode(act, np.arange(1 << act.bits))[0])  # fmt: skip
        due = rom[w[None], a[:, :, None]].sum(axis=1)
        assert_array_equal(found.c[0].astype(int), due)
    assert rom.size == 64


@row(
    "pqa",
    "mpgemm --engine pq --subvector 4 --centroids 16 --entry-bits 8 --distance l2 --columns 16",
    "mpgemm --engine pq --subvector 4 --centroids 16 --entry-bits 4 --distance l1 --columns 16",
)
def _(folder: Path) -> None:
    """Encoder of the nearest centroid, lowest first, and sums of a table's entries."""
    rng = random()
    for number in range(2):
        sizes = "--subvector 2 --centroids 3 --columns 2 --max-k 9 --act int4"
        command = small("pqa", sizes, number)
        a, centroids = signed(rng, (3, 8), 4), signed(rng, (4, 3, 2), 4)
        tables = signed(rng, (4, 3, 3), 4)
        found = held(command, folder, Job(codes(a, 4), tables, s=codes(centroids, 4)))
        apart = a.reshape(3, 4, 1, 2) - centroids
        far = (apart**2 if number == 0 else np.abs(apart)).sum(axis=-1)
        assert_array_equal(nearest(a.reshape(3, 4, 2), centroids, "l2" if number == 0 else "l1"),
                           far.argmin(axis=-1))  # fmt: skip
        due = tables[np.arange(4), far.argmin(axis=-1)].sum(axis=1)
        assert_array_equal(found.c[0].astype(int), due)


@row(
    "abq-llm-flexq",
    "mpgemm --engine bit-plane --act int6 --bits 6 --lanes 32 --columns 8",
    "mpgemm --engine bit-plane --act int8 --bits 6 --planes 2 --scheme offset --zero-point 29",
)
def _(folder: Path) -> None:
    """Popcounts of any planes: W6A6, W6A8 two planes at a time, those with zero points."""
    rng, sizes = random(), "--lanes 3 --columns 2 --rows 2 --max-k 14"
    for number in range(2):
        command = small("abq-llm-flexq", sizes, number)
        p = resolved(command)
        act, low = parse(p["act"]), -29 if number else -32
        a = decode(act, np.arange(1 << act.bits))[0]
        a, w = rng.choice(a, (3, 7)), rng.integers(low, low + (1 << p["bits"]), (7, 3))
        found = held(command, folder, Job(codes(a, act.bits), w))
        assert_array_equal(found.c[0].astype(int), a @ w)
    # Other pairs of widths, in the model.
    for bx in (1, 2, 5, 6, 8):
        for bw in (1, 3, 6, 7, 8):
            kind = f"--act {'uint1' if bx == 1 else f'int{bx}'} --bits {bw} --planes {-(-bw // 2)}"
            p = resolved(small("abq-llm-flexq", f"{sizes} {kind}"))
            a = rng.integers(0, 2, (3, 7)) if bx == 1 else signed(rng, (3, 7), bx)
            w = signed(rng, (7, 3), bw)
            c, _ = Unit.of({"unit": "mpgemm", "parameters": p}).product(codes(a, bx), w)
            assert_array_equal(c.astype(int), a @ w)


@row("bitnet-matmul-free", "mpgemm --engine ternary-add --act int8 --lanes 16 --columns 16")
def _(folder: Path) -> None:
    """Weights by their mean magnitude, activations by their largest; add, subtract or skip."""
    rng = random()
    x, w = rng.normal(size=(3, 13)), rng.normal(size=(13, 5))
    scale = np.abs(w).mean() + 1e-5
    trits = np.clip(np.rint(w / scale), -1, 1).astype(int)
    found = quantize_groups(parse("ternary"), w.reshape(1, -1), rule="absmean",
                            scale_type="float64")  # fmt: skip
    assert_array_equal(decode(found.fmt, found.codes)[0].reshape(w.shape), trits)
    largest = np.abs(x).max(axis=1, keepdims=True)
    acts = np.clip(np.rint(x * 127 / largest), -128, 127).astype(int)
    tokens = quantize_groups(parse("int8"), x, scale_type="float64")
    assert_array_equal(decode(tokens.fmt, tokens.codes)[0], acts)
    command = small("bitnet-matmul-free", "--lanes 3 --columns 2 --max-k 20")
    c = held(command, folder, Job(codes(acts), trits)).c[0].astype(int)
    assert_array_equal(c, acts @ trits)
    real = c * scale * largest / 127
    assert ((real - x @ w) ** 2).mean() < 0.3 * ((x @ w) ** 2).mean()
    # The sums need no more than the sheet says: activation, log2 K and a sign.
    assert resolved("mpgemm --engine ternary-add --max-k 4096")["acc_bits"] <= 8 + 12 + 1


@row(
    "mixpe",
    "mpgemm --engine shift-add --format int4 --lanes 8 --group-size 128 --scale fp16 --zero-points",
    "mpgemm --engine shift-add --format int4 --act fp16 --lanes 8 --group-size 128 --scale fp16",
)
def _(folder: Path) -> None:
    """W4A8 and W4A16 by shift and add, a scale and a zero point at the end of each group."""
    rng = random()
    a, w, z = signed(rng, (3, 7)), signed(rng, (7, 2), 4), rng.integers(-8, 8, (2, 2))
    s = rng.integers(1, 5, (2, 2)).astype(np.float16)
    group = np.arange(7) // 4
    due = (a @ (s[group] * (w - z[group]))).astype(np.float32)
    sizes = "--rows 2 --columns 1 --lanes 2 --group-size 4 --max-k 12"
    job = Job(codes(a), codes(w, 4), s=(s.view(np.uint16), z, None))
    c = held(small("mixpe", sizes), folder, job).c[0]
    assert_array_equal(as_binary32(c), due)
    x = rng.normal(size=(3, 7)).astype(np.float16)
    job = Job(x.view(np.uint16), codes(w, 4), s=(s.view(np.uint16), None, None))
    c = held(small("mixpe", sizes, 1), folder, job).c[0]
    real = x.astype(np.float64) @ (s[group] * w.astype(np.float64))
    np.testing.assert_allclose(as_binary32(c), real, rtol=1e-6)


@row(
    "bit-weight-tpes",
    "array --dataflow os --rows 16 --columns 16 --format int8 --arch csa",
    "array --dataflow ws --rows 16 --columns 16 --format int8",
    "array --dataflow cube --rows 8 --columns 8 --lanes 8 --format int8 --arch csa",
    "array --dataflow tree --rows 1 --columns 16 --lanes 16 --format int8",
    "array --dataflow broadcast --rows 16 --columns 16 --format int8 --arch csa",
)
def _(folder: Path) -> None:
    """Systolic with results or weights that stay, cube, adder tree, 2D matrix; carry-save sums."""
    rng = random()
    a, w = signed(rng, (3, 7)), signed(rng, (7, 5))
    sizes = ("--rows 2", "--rows 2 --depth 2", "--rows 2 --lanes 2", "--lanes 2", "--rows 2")
    for number, options in enumerate(sizes):
        command = small("bit-weight-tpes", f"{options} --columns 3 --max-k 12", number)
        found = held(command, folder, Job(codes(a), codes(w)))
        assert_array_equal(found.c[0].astype(int), a @ w)


@row(
    "redmule",
    "array --dataflow broadcast --rows 12 --columns 4 --format fp16 --act fp16",
    "array --dataflow broadcast --rows 12 --columns 4 --format e5m2 --act fp16",
)
def _(folder: Path) -> None:
    """Sizes are all that software says; 48 products a cycle, no less than 95 % of aligned sizes.

    Exact sums in place of fp16 ones; pointers and a second job's registers are those of issue 5.
    """
    rng = random()
    for number in range(2):
        command = small("redmule", "--rows 3 --columns 2 --max-k 9", number)
        w = parse(resolved(command)["format"])
        finite = np.flatnonzero(np.isfinite(decode_float(w, np.arange(1 << w.bits))))
        x = rng.normal(size=(4, 5)).astype(np.float16)
        weights = rng.choice(finite, (5, 3))
        found = held(command, folder, Job(x.view(np.uint16), weights))
        unit = 2.0 ** (w.lam + parse("fp16").lam)
        real = x.astype(np.float64) @ decode_float(w, weights)
        np.testing.assert_allclose(found.c[0].astype(float) * unit, real, rtol=1e-12)
    p = resolved(COMMANDS["redmule"][0])
    for m, n, k in ((96, 96, 96), (12, 16, 512), (240, 64, 64)):
        assert m * n * k / (48 * cycles(p, m, n, k)) >= 0.95
    # Leftovers cost no more than the tile that they are in.
    assert cycles(p, 13, 5, 96) == cycles(p, 24, 8, 96) - 11


@row(
    "hsa",
    "array --dataflow ws --load tile --rows 16 --columns 16 --format int4 --act int8",
    "array --dataflow cube --rows 1 --columns 16 --lanes 16 --format int4 --group 32 --scale e8m0",
)
def _(folder: Path) -> None:
    """One array for matrices and for single rows, which keep it busy; MXINT4 with its scales."""
    rng = random()
    a, w = signed(rng, (5, 9)), signed(rng, (9, 5), 4)
    command = small("hsa", "--rows 3 --columns 2 --max-k 12 --depth 4")
    prefill, decoded = (Job(codes(rows), codes(w, 4)) for rows in (a, a[:1]))
    found = held(command, folder, prefill, decoded)
    assert_array_equal(found.c[0].astype(int), a @ w)
    assert_array_equal(found.c[1].astype(int), a[:1] @ w)
    # A tile of weights a cycle: ceil(K/R) ceil(N/C) + R + C, and the ports' registers.
    p = resolved(COMMANDS["hsa"][0])
    for n, k in ((16, 16), (64, 256), (40, 100)):
        steady = -(-k // 16) * -(-n // 16)
        assert 0 <= cycles(p, 1, n, k) - (steady + 16 + 16) <= 4
    s = rng.integers(120, 134, (3, 5))
    job = Job(codes(a), codes(w, 4), s=(s, None, None))
    scaled = held(small("hsa", "--columns 2 --lanes 2 --group 4 --max-k 12", 1), folder, job)
    real = a @ (2.0 ** (s[np.arange(9) // 4] - 127) * w)
    assert_array_equal(as_binary32(scaled.c[0]), real)


@row(
    "elutq",
    "mpgemm --engine lut --bits 1 --scheme offset --zero-point 0 --tables 4 --group-size 128 "
    "--scale fp16",
)
def _(folder: Path) -> None:
    """HLQ: each plane of a group has a scale of its own, and the group a zero."""
    rng = random()
    w, a = rng.normal(size=(20, 3)) / 8, signed(rng, (3, 20))
    command = small("elutq", "--tables 1 --columns 2 --group-size 8 --max-k 96")
    jobs, reals = [], []
    for bits in (2, 3):
        found = quantize_hlq(w, bits, 8)
        errors = [((each.values() - w) ** 2).sum() for each in (found, quantize_hlq(w, bits, 8, 0))]
        assert errors[0] < errors[1]
        scales = plane_scales(found).astype(np.float16).view(np.uint16)
        jobs.append(Job(plane_activations(found, codes(a)), plane_weights(found),
                        s=(scales, None, None)))  # fmt: skip
        reals.append(a @ found.values())
    for c, real in zip(held(command, folder, *jobs).c, reals, strict=True):
        np.testing.assert_allclose(as_binary32(c), real, rtol=1e-4, atol=1e-4)
    assert [storage_bits(2, 128), storage_bits(2, 64), storage_bits(3, 128)] == [2.375, 2.75, 3.5]


@row(
    "shiftaddllm",
    "mpgemm --engine lut --bits 1 --scheme offset --zero-point 0 --group 8 --group-size 8 "
    "--scale fp16 --rows 1",
    "mpgemm --engine lut --bits 1 --scheme offset --zero-point 0 --group 8 --group-size 8 "
    "--scale fp16 --rows 1 --table-kind full",
)
def _(folder: Path) -> None:
    """Signs times sums of powers of two, shifted before ("Acc") and after the lookup ("Lat")."""
    shift_and_add(folder, 0)


def shift_and_add(folder: Path, number: int) -> None:
    """Tables of 8 activations: half of them 128 entries, all 256."""
    rng = random()
    w, a = rng.normal(size=(16, 2)), signed(rng, (2, 16), 2)
    # One alpha for all columns: shifted activations are activations of more products.
    acc = quantize_bcq(w, 2, 8, terms=1, outputs=2)
    before, least = shifted_activations(acc, a)
    lifted = np.ldexp(acc.scales[:, :, 0], -least).astype(int)
    wide = np.concatenate([a * lifted[np.arange(16) // 8, t] for t in range(2)], axis=1)
    ones = np.full((4, 2), np.float16(1).view(np.uint16))
    jobs = [Job(codes(wide, 5), acc.planes.reshape(32, 2), s=(ones, None, None))]
    # Powers of two of their own for each column: each is a group with a scale.
    lat = quantize_bcq(w, 2, 8, terms=2)
    after, unit = shifted_lookups(lat, a)
    assert lat.powers is not None
    terms = np.ldexp(lat.powers.signs.astype(float), lat.powers.exponents)
    each = BinaryCodes(np.tile(lat.planes, (2, 1, 1)), np.concatenate(terms, axis=1), lat.zeros, 8,
                       sigma=True)  # fmt: skip
    scales = plane_scales(each).astype(np.float16).view(np.uint16)
    jobs.append(Job(plane_activations(each, codes(a, 5)), plane_weights(each),
                    s=(scales, None, None)))  # fmt: skip
    command = small("shiftaddllm", "--columns 1 --max-k 80 --act int5 --target xcup", number)
    found = held(command, folder, *jobs, count=1, keys=False)
    signs = 2 * as_binary32(found.c[0]) - wide.sum(axis=1, keepdims=True)
    assert_array_equal(signs, before.astype(float))
    np.testing.assert_allclose(as_binary32(found.c[1]), after.astype(float) * 2.0**unit, atol=1e-6)
    entries = table_of(a[:, :8], found.parameters["table_kind"] == "half").shape[1]
    assert entries == (128, 256)[number]


@row(
    "tellme",
    "mpgemm --engine lut-ternary --group 5 --tables 4 --rows 1 --columns 32 --target xcup "
    "--requant rhu",
)
def _(folder: Path) -> None:
    """Tables made online, keys of five weights in a signed byte, requantised; decode, prefill."""
    rng = random()
    a, w = signed(rng, (3, 13)), rng.integers(-1, 2, (13, 3))
    given = {"m": rng.integers(1, 1 << 16, 3), "s": rng.integers(16, 20, 3)}
    s = (None, None, None, given)
    command = small("tellme", "--tables 1 --columns 2 --max-k 20")
    jobs = [Job(codes(rows), w, s=s) for rows in (a, a[:1])]
    found = held(command, folder, *jobs, keys=False)
    due = np.floor((a @ w) * given["m"] / 2.0 ** given["s"] + 0.5)
    assert_array_equal(found.c[0].astype(int), np.clip(due, -128, 127))
    assert_array_equal(found.c[1], found.c[0][:1])
    trits = np.array(np.meshgrid(*[[-1, 0, 1]] * 5)).reshape(5, -1).T
    keys = lut_ternary.keys_of(trits)
    assert sorted((keys ^ 128) - 128) == list(range(-121, 122))
    assert_array_equal(lut_ternary.trits_of(keys, 5), trits)
    # A file of ternary weights reaches the engine as it is.
    w, scales = rng.integers(-1, 2, (256, 4)), np.ones((1, 4), dtype=np.float16)
    read, _ = from_tq1_0(to_tq1_0(w, scales), 4, 256)
    p = found.parameters
    assert_array_equal(lut_ternary.unpack_weights(p, lut_ternary.pack_weights(p, read), 256, 4), w)


@row(
    "t-mac",
    "mpgemm --engine lut --group 4 --tables 16 --table-source port --table-bits 8 "
    "--group-size 64 --scale fp16 --act-scale fp16 --rows 1",
    "mpgemm --engine lut --group 4 --tables 16 --table-source port --table-bits 8 "
    "--aggregate average --rows 1",
)
def _(folder: Path) -> None:
    """1 to 4 planes, tables quantised to int8, lookups averaged; nibbles in T-MAC's order."""
    rng = random()
    a = rng.normal(size=(3, 48))
    tables, scales = tmac_tables_int8(a, 16)
    halves = engine_tables(tables)
    t = scales.T.astype(np.float16).view(np.uint16)
    half = np.full((3, 3), np.float16(0.5).view(np.uint16))
    jobs = [Job(halves, signed(rng, (48, 3), b), b % 4, (half, None, t)) for b in (1, 2, 3, 4)]
    command = small("t-mac", "--tables 4 --group-size 16 --columns 2 --max-k 48")
    found = held(command, folder, *jobs, keys=False)
    for job, c in zip(jobs, found.c, strict=True):
        assert nmse(as_binary32(c), a @ job.w) <= 5e-4
    # Averages of the lookups of a step, and what they add on average taken off again.
    job = Job(halves[:, :4], signed(rng, (16, 3), 4))
    command = small("t-mac", "--tables 4 --columns 2 --max-k 48", 1)
    found = held(command, folder, job, keys=False)
    shown = scales[:, :1] * tables[:, :4, 15].sum(axis=1, keepdims=True)
    ones = a[:, :16].sum(axis=1, keepdims=True) - shown
    for correction, bias in (("none", 0.0), ("mean", average_bias(found.parameters, 1, 4))):
        twin = tmac_product(a[:, :16], job.w + 8, 4, 16, 4, correction)
        mine = scales[:, :1] * (found.c[0].astype(float) - bias) / 2
        np.testing.assert_allclose(mine, twin + ones / 2)
    # Two keys to a byte.
    u = rng.integers(0, 16, (32, 8))
    assert_array_equal(from_tmac(to_tmac(u, 4, 32, 8), 8, 32, 4, 32, 8), u)


def nmse(found: Any, exact: Any) -> float:
    """Squared error over squared values."""
    return float(((found - exact) ** 2).sum() / (exact**2).sum())


@row(
    "gemmini",
    "array --dataflow os-ws --rows 16 --columns 16 --format int8",
    "array --dataflow os --rows 16 --columns 16 --format int8 --requant rne --mult-bits 25",
)
def _(folder: Path) -> None:
    """Both dataflows by the job, cycles of the formulas; an fp32 scale rounded to nearest even.

    Scratchpad, accumulator and the loops over tiles that do not fit them are those of issue 5.
    """
    rng = random()
    a, w = signed(rng, (5, 9)), signed(rng, (9, 5))
    jobs = [Job(codes(a), codes(w), flow=flow) for flow in (0, 1, 1, 0)]
    command = small("gemmini", "--rows 3 --columns 2 --depth 4 --max-k 12")
    for c in held(command, folder, *jobs).c:
        assert_array_equal(c.astype(int), a @ w)
    # Whole tiles: the streamed formulas of B.1, and what registers add, the same for all.
    p, spent = resolved(COMMANDS["gemmini"][0]), set()
    for m, n, k in ((16, 16, 64), (64, 32, 100), (16, 64, 8), (48, 48, 16)):
        due = cycles_streamed("os", 16, 16, k, m // 16 * n // 16)
        spent.add(cycles(p, m, n, k) - due)
    assert len(spent) == 1
    spent = set()
    for m, n, k in ((16, 16, 64), (64, 32, 96), (1, 64, 16), (48, 48, 16)):
        due = cycles_streamed("ws", 16, 16, m, -(-n // 16) * -(-k // 16))
        spent.add(cycles(p, m, n, k, flow=1) - due)
    assert len(spent) == 1
    # A scale of 24 significant bits is a factor and a shift.
    scales = rng.uniform(1e-3, 8e-3, 5).astype(np.float32)
    mantissa, exponent = np.frexp(scales)
    given = {"m": np.ldexp(mantissa, 24).astype(int), "s": 24 - exponent}
    command = small("gemmini", "--rows 2 --columns 3 --max-k 12", 1)
    found = held(command, folder, Job(codes(a), codes(w), s=(None, None, None, given)))
    due = np.clip(np.rint((a @ w).astype(np.float32) * scales), -128, 127)
    assert_array_equal(found.c[0].astype(int), due)


@row(
    "ita",
    "array --dataflow tree --rows 1 --columns 16 --lanes 64 --format int8 --requant rhu "
    "--mult-bits 9 --bias --out-zero-point",
)
def _(folder: Path) -> None:
    """Bias, an unsigned 8-bit factor, a shift that rounds half up, an 8-bit addend, saturation."""
    rng = random()
    a, w = signed(rng, (5, 9)), signed(rng, (9, 5))
    given = {
        "m": rng.integers(0, 256, 5),
        "s": np.array([0, 1, 7, 12, 15]),
        "add": rng.integers(-(1 << 12), 1 << 12, 5),
        "z": signed(rng, (5,)),
    }
    command = small("ita", "--columns 3 --lanes 4 --max-k 12")
    found = held(command, folder, Job(codes(a), codes(w), s=(None, None, None, given)))
    product = (a @ w + given["add"]) * given["m"]
    up = np.where(given["s"] > 0, product >> np.maximum(given["s"] - 1, 0) & 1, 0)
    due = np.clip((product >> given["s"]) + up + given["z"], -128, 127)
    assert_array_equal(found.c[0].astype(int), due)
    # Half up is not half away from zero: of -3/2 and 3/2 both go up.
    halves = [requant("rhu", x, 1, 1) for x in (-3, 3)]
    assert halves == [-1, 2] and [requant("rha", x, 1, 1) for x in (-3, 3)] == [-2, 2]


@row(
    "n-m-sat",
    "array --dataflow cube --arch nm --sparsity 2:4 --format int4 --lanes 8 --columns 16",
    "array --dataflow cube --arch nm --sparsity 2:8 --format int4 --lanes 8 --columns 16",
)
def _(folder: Path) -> None:
    """2:4 and 2:8 by indices, dense jobs on the same array, blocks that name a weight twice."""
    rng = random()
    for number, m in enumerate((4, 8)):
        command = small("n-m-sat", "--rows 2 --columns 2 --lanes 4 --max-k 40", number)
        a, w = signed(rng, (3, 19)), signed(rng, (19, 3), 4)
        # A block of zeros, and one with a single weight that is none.
        w[:m], w[m + 1 : 2 * m, 1] = 0, 0
        p = resolved(command)
        twice = sparse.pack_kept(p, sparse.pruned(p, codes(w, 4)), 3)
        at = 4 + (m - 1).bit_length()
        index = twice[0] >> 4 & (1 << at - 4) - 1
        twice[0] &= ~(((1 << at - 4) - 1) << at + 4)
        twice[0] |= index << at + 4
        jobs = [Job(codes(a), codes(w, 4)), Job(codes(a), codes(w, 4), bits=m)]
        jobs.append(Job(codes(a), codes(w, 4), words=twice))
        found = held(command, folder, *jobs)
        kept = np.zeros_like(w)
        for top in range(0, 19, m):
            for n in range(3):
                order = sorted(range(top, min(top + m, 19)), key=lambda k: (-abs(w[k, n]), k))
                kept[order[:2], n] = w[order[:2], n]
        assert_array_equal(found.c[0].astype(int), a @ kept)
        assert_array_equal(found.c[1].astype(int), a @ w)
        assert not found.nan[0].any() and not found.nan[1].any()
        # The block of zeros is refused in the tiles of the first rows: their column 0 is marked.
        assert found.nan[2].tolist() == [[True, False, False]] * 2 + [[False] * 3]
        assert_array_equal(found.c[2], found.c[0])
        full = resolved(COMMANDS["n-m-sat"][number])
        speed = cycles(full, 4, 16, 4096, bits=m) / cycles(full, 4, 16, 4096)
        assert speed == pytest.approx(m / 2, rel=0.05)


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, tmp_path: Path) -> None:
    ROWS[name](tmp_path)


FULL = [("lut-tensor-core", 0), ("lut-tensor-core", 1), ("bit-weight-tpes", 0), ("tellme", 0)]


@pytest.mark.deep
@pytest.mark.parametrize(("name", "number"), FULL)
def test_full_size(name: str, number: int, tmp_path: Path) -> None:
    """The command as it is, but for the longest K, on a product that fills no tile."""
    rng, p = random(), resolved(COMMANDS[name][number])
    a = rng.integers(0, 1 << 14 if p["act"] == "fp16" else 1 << 8, (3, 9))
    trits, wide = rng.integers(-1, 2, (9, 35)), signed(rng, (9, 35), p.get("bits") or 8)
    w = {"tellme": trits, "bit-weight-tpes": codes(wide)}.get(name, wide)
    given = {"m": np.full(35, 257), "s": np.full(35, 14)}
    s = (None, None, None, given) if p["requant"] else None
    command = small(name, "--max-k 10", number)
    held(command, tmp_path, Job(a, w, s=s), count=1, keys=False)


@pytest.mark.deep
def test_all_entries_of_shiftaddllm(tmp_path: Path) -> None:
    shift_and_add(tmp_path, 1)


@pytest.mark.parametrize("name", ROWS)
def test_documentation_has_the_commands(name: str) -> None:
    """Each is one that the generator takes, in the row of docs/engines.md that names the test."""
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if f"[`{name}`]" in line)
    for command in COMMANDS[name]:
        parsed(command)
        assert f"`{command}`" in line
