# SPDX-License-Identifier: Apache-2.0
"""Blocks against the golden model: as netlists on many blocks, and as streams under stalls."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from gen.emit import emit
from gen.unit import discover
from hw.encode.block import BLOCKS, BlockQuantizeParams
from hw.spec.rounding import ROUNDINGS
from sim.bench.check import Pass, check, golden_of
from sim.formal import prove
from sim.golden import block_quantize
from tests.hw.encode.cells import block_differences

POWER = [name for name in BLOCKS if name.startswith(("mx", "bfp"))]
RULES = ("floor", "ceil", "rne")
EXPONENTS = {"fp16": 10, "bf16": 7, "fp32": 23}
WIDTHS = {"fp16": 16, "bf16": 16, "fp32": 32}


def blocks(source: str, size: int, seed: int) -> NDArray[np.int64]:
    """Corners of blocks as source codes, then random ones."""
    rng, mantissa, width = np.random.default_rng(seed), EXPONENTS[source], WIDTHS[source]
    sign, one = 1 << width - 1, 1 << mantissa
    top = (sign - 1) >> mantissa << mantissa  # infinity
    fields = top >> mantissa
    rows = [[0] * size, [sign] * size, [1] + [0] * (size - 1), [sign] + [1] * (size - 1)]
    for field in (0, 1, 2, 3, fields // 2, fields // 2 + 1, fields - 2, fields - 1):
        # The largest magnitude just below, on, and just above a power of two; a single outlier.
        for amax in (field * one + one - 1, field * one, field * one + 1):
            rows.append([sign | amax, *(amax - 1 - rng.integers(0, one, size - 1)).clip(0)])
            rows.append([*[0] * (size - 1), amax])
            rows.append([amax, *rng.integers(0, amax + 1, size - 1)])
    for bad in (top, top | sign, top + 1, top + (one >> 1), top + one - 1):
        rows.append([*rng.integers(0, top, size - 1), bad])
    for step in range(400):
        # Exponents close together, so that every element matters; some near the bottom.
        middle = int(rng.integers(0, fields)) if step % 3 else int(rng.integers(0, 6))
        exponent = (middle - rng.integers(0, 12, size)).clip(0, fields - 1)
        fraction = rng.integers(0, one, size)
        if step % 2:  # few bits, so that ties are met
            fraction &= -(one >> int(rng.integers(1, 5)))
        rows.append(exponent * one + fraction + sign * rng.integers(0, 2, size))
    return np.array(rows, dtype=np.int64)


def crossed(source: str, start: int) -> list[dict[str, Any]]:
    modes = tuple(ROUNDINGS)
    return [
        {
            "block": name,
            "source": source,
            "size": 2,
            "scale_rule": RULES[(k + start) % 3],
            "rounding": modes[(2 * k + start) % 5],
        }
        for k, name in enumerate(POWER)
    ]


@pytest.mark.parametrize(("source", "start"), [("fp16", 0), ("bf16", 1), ("fp32", 2)])
def test_powers(source, start, tmp_path):
    cells = crossed(source, start)[start::3]
    assert block_differences(cells, blocks(source, 2, start), tmp_path) == []


@pytest.mark.deep
@pytest.mark.parametrize("source", ["fp16", "bf16", "fp32"])
@pytest.mark.parametrize("start", range(15))
def test_powers_crossed(source, start, tmp_path):
    codes = blocks(source, 2, start)
    assert block_differences(crossed(source, start), codes, tmp_path) == []


def test_nvfp4(tmp_path):
    cells = [
        {"block": "nvfp4", "source": "fp16", "size": 2, "rounding": r} for r in ("rne", "ties-down")
    ]
    cells.append({"block": "nvfp4", "source": "fp16", "size": 2, "scale_rule": "4over6"})
    assert block_differences(cells, blocks("fp16", 2, 5), tmp_path) == []


@pytest.mark.deep
@pytest.mark.parametrize("source", ["fp16", "bf16", "fp32"])
def test_nvfp4_crossed(source, tmp_path):
    cells: list[dict[str, Any]] = [{"rounding": rounding} for rounding in ROUNDINGS]
    cells += [{"rounding": rounding, "scale_rule": "4over6"} for rounding in ("rne", "rtz")]
    cells = [{"block": "nvfp4", "source": source, "size": 3, **cell} for cell in cells]
    assert block_differences(cells, blocks(source, 3, 6), tmp_path) == []


@pytest.mark.parametrize("source", ["fp16", pytest.param("bf16", marks=pytest.mark.deep)])
def test_nvfp4_with_a_tensor_scale(source, tmp_path):
    """Scales that the recipe gives, few bits that make ties, and any others."""
    codes, rng = blocks(source, 2, 7), np.random.default_rng(8)
    count = len(codes)
    exponents = rng.integers(1, 255, count)
    near = codes[:, 0] >> EXPONENTS[source] & (0x1F if source == "fp16" else 0xFF)
    bias = 112 if source == "fp16" else 0
    close = (near + bias - rng.integers(0, 12, count)).clip(1, 254)
    few = rng.integers(0, 8, count) << 20
    tensor = np.where(np.arange(count) % 4, close, exponents) << 23
    tensor |= np.where(np.arange(count) % 2, few, rng.integers(0, 1 << 23, count))
    tensor[:4] = 1, 0x7F7FFFFF, 0x007FFFFF, 0x3F800000
    cell = {"block": "nvfp4", "source": source, "size": 2, "tensor_scale": True}
    cells = [cell, {**cell, "scale_rule": "4over6"}]
    if source == "fp16":
        codes[:, 1] = beside_thresholds(codes, tensor)
    assert block_differences(cells, codes, tmp_path, tensor) == []


def beside_thresholds(codes: NDArray[np.int64], tensor: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every block a second number: the fp16 at or just below a decision point, or the next.

    The first number must be the largest; where the second would be larger it is 0.
    """
    alone = codes & [0xFFFF, 0]
    parameters = {"block": "nvfp4", "source": "fp16", "size": 2, "scale_rule": None}
    parameters |= {"rounding": "rne", "tensor_scale": True}
    scale = block_quantize.run(parameters, {"x": alone, "g": tensor})["s"].astype(np.uint8)
    unit = scale.view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    unit *= tensor.astype(np.uint32).view(np.float32).astype(np.float64)
    middle = np.resize([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], len(unit)) * unit
    middle = np.nan_to_num(middle.clip(0, 60000))
    near = middle.astype(np.float16)
    down = near.view(np.uint16).astype(np.int64) - (near.astype(np.float64) > middle)
    second = down + np.arange(len(down)) // 7 % 2
    second[second > (codes[:, 0] & 0x7FFF)] = 0
    return second | np.arange(len(down)) % 3 // 2 << 15


@pytest.mark.parametrize("name", ["olive4", "olive8"])
def test_pairs(name, tmp_path):
    """Every pair of magnitudes around all decision points."""
    limit = 1 << 15
    points = {(8 + m) << e for m in range(8) for e in range(13)} | {7, 127, limit - 1, limit, 0}
    points |= {(17 + 2 * m) << e for m in range(8) for e in range(12)}
    near = sorted({p + d for p in points for d in (-1, 0, 1) if 0 <= p + d <= limit})
    signs = np.random.default_rng(3).integers(0, 2, 2 * len(near) ** 2)
    grid = np.stack(np.meshgrid(near, near), axis=-1).reshape(-1) * (1 - 2 * signs)
    codes = grid.clip(-limit, limit - 1).reshape(-1, 2)[:: 7 if len(near) > 60 else 1]
    cells = [{"block": name, "source": "int16", "size": 2}]
    assert block_differences(cells, codes & 0xFFFF, tmp_path) == []


CASES: dict[str, dict[str, Any]] = {
    "mxfp4": {"size": 5},
    "mxfp8": {"block": "mxfp8_e4m3", "size": 4, "source": "fp32", "scale_rule": "ceil"},
    "bfp": {"block": "bfp4"},
    "nvfp4": {"block": "nvfp4", "size": 3, "tensor_scale": True},
    "4over6": {"block": "nvfp4", "size": 3, "scale_rule": "4over6"},
    "olive": {"block": "olive4", "size": 4},
    "bitmod4": {"block": "bitmod4", "size": 4, "source": "int8"},
    "bitmod3": {"block": "bitmod3", "size": 12},
    "razer_w": {"block": "razer_w", "size": 3, "source": "int5"},
    "razer_a": {"block": "razer_a", "size": 4, "source": "int6"},
}


@pytest.mark.parametrize("name", CASES)
def test_stream(name: str, tmp_path: Path) -> None:
    unit, case = discover()["block-quantize"], CASES[name]
    text, manifest = emit(unit, unit.params(**case))
    (tmp_path / "dut.v").write_text(text)
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(2), 100)
    passes = [Pass("none", "none"), Pass("random", "random"), Pass("bursty", "shy")]
    report = check(tmp_path / "dut.v", manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results == 100
    if name.startswith(("bitmod", "razer")):
        cycles = (case["size"] + 2) * (4 if name == "razer_a" else 6) + 1
        assert report.passes[0].cycles == 100 * cycles


def test_default_sizes():
    for name in BLOCKS:
        assert BlockQuantizeParams(block=name).elements == block_quantize.default_size(name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"block": "mxfp5"}, "block must be one of mxfp8_e4m3, .*, not 'mxfp5'"),
        ({"size": 0}, "size must be an integer from 1 to 1024, not 0"),
        ({"scale_rule": "up"}, "scale_rule must be one of floor, ceil, rne with .*, not 'up'"),
        ({"rounding": "up"}, "rounding must be one of rne, .* with block mxfp4, not 'up'"),
        ({"source": "int8"}, "source must be one of fp16, bf16, fp32 with .*, not 'int8'"),
        ({"tensor_scale": True}, "tensor_scale must not be given with block mxfp4"),
        (
            {"block": "nvfp4", "scale_rule": "ceil"},
            "scale_rule must be one of amax, 4over6 with .*",
        ),
        ({"block": "olive4", "scale_rule": "ceil"}, "scale_rule must not be given with block oli"),
        ({"block": "olive4", "size": 3}, "size must be even with block olive4, not 3"),
        ({"block": "olive8", "source": "int8"}, "source must be int9 to int64 with .*, not 'int8'"),
        ({"block": "bitmod3", "source": "fp16"}, "source must be int2 to int64 with .* 'fp16'"),
        ({"block": "razer_a", "rounding": "rha"}, "rounding must not be given with block razer_a"),
    ],
)
def test_wrong_parameters(given, message):
    with pytest.raises(ValueError, match=message):
        BlockQuantizeParams(**given)


@pytest.mark.deep
def test_rules_of_transfer_of_a_serial_block(tmp_path):
    unit = discover()["block-quantize"]
    params = unit.params(block="razer_a", size=1, source="int3")
    proof = prove(*emit(unit, params), tmp_path)
    assert proof.proved and not proof.left_out, proof.refuted
