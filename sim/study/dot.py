# SPDX-License-Identifier: Apache-2.0
"""Rows of a quantised layer through the unit ``pe``: one dot product of the unit per group.

A row is one output channel times one activation vector. Its K products are cut into groups, each of
which has a scale for the weights and one for the activations; the unit sums a group exactly, and
``acc * 2**lam * weight scale * activation scale`` summed over the groups is the row's result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import Format
from sim.bench.check import Report, check, golden_of
from sim.golden.encode import encode
from sim.golden.formats import decode_float
from sim.study.quantize import Quantized, sizes

__all__ = ["Outcome", "beats_for", "needs_multiple", "run", "sqnr"]

Reals = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """What a run of the simulator gave, beside the golden model."""

    report: Report
    results: int  #: Group results that are due.
    exact: int  #: Those that came out, and as the golden model has them.
    marked: int  #: Those that met a non-finite value, which counts as 0.
    cycles: int
    products: int  #: Multiply-accumulates, padding of the last beat of a group not counted.
    values: Reals | None  #: (vectors, channels) of what the hardware gave, if all of it came out.

    @property
    def passed(self) -> bool:
        return self.report.passed and self.exact == self.results


def needs_multiple(weight: Format, act: Format) -> bool:
    """Whether groups must fill whole beats, since no pair of codes has the product 0."""
    return _zero(weight) is None and _zero(act) is None


def beats_for(weights: Quantized, acts: Quantized, lanes: int) -> dict[str, NDArray[Any]]:
    """Return the beats of every vector with every channel, group by group, and ``last``.

    The channel runs fastest. Groups that do not fill their last beat are padded with products of 0.
    Raises ``ValueError`` if they must be padded and there are no products of 0.
    """
    parts = sizes(weights.codes.shape[1], weights.group)
    beats = [-(-size // lanes) for size in parts]
    vectors, channels = len(acts.codes), len(weights.codes)
    if needs_multiple(weights.fmt, acts.fmt) and any(size % lanes for size in parts):
        bad = next(size for size in parts if size % lanes)
        raise ValueError(
            f"{weights.fmt.name} x {acts.fmt.name} has no zero to fill a beat with; lanes must "
            f"divide every group, and {lanes} does not divide {bad}"
        )
    shape = (vectors, channels, sum(beats) * lanes)
    a = np.broadcast_to(_padded(acts, parts, lanes)[:, None], shape).reshape(-1, lanes)
    w = np.broadcast_to(_padded(weights, parts, lanes)[None], shape).reshape(-1, lanes)
    ends = np.zeros(sum(beats), dtype=bool)
    ends[np.cumsum(beats) - 1] = True
    return {"a": a, "w": w, "last": np.tile(ends, vectors * channels)}


def run(
    text: str,
    manifest: Mapping[str, Any],
    beats: Mapping[str, NDArray[Any]],
    weights: Quantized,
    acts: Quantized,
    folder: Path,
    *,
    simulator: str | None = None,
    waves: bool = False,
) -> Outcome:
    """Simulate the Verilog ``text`` on all rows, once, and compare with the golden model.

    ``manifest`` is that of a streaming ``pe``, ``beats`` are those of :func:`beats_for`. Raises
    :class:`sim.runner.SimulationError` if the simulation itself fails.
    """
    expected = golden_of(manifest).run(manifest["parameters"], beats)
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{manifest['module']}.v"
    source.write_text(text, encoding="utf-8")
    report = check(
        source,
        manifest,
        beats,
        folder / "build",
        expected=expected,
        simulator=simulator,
        waves=waves,
    )
    due, out = expected["acc"], report.outputs
    acc = out.get("o_acc", due[:0])
    same = acc == due[: len(acc)]
    marks = np.zeros(len(acc), dtype=bool)
    if "nan" in expected:
        marks = out["o_nan"].astype(bool) if "o_nan" in out else marks
        same = same & (marks == expected["nan"][: len(acc)])
    values = None
    if len(acc) == len(due):
        values = _dequantized(acc, manifest["contract"]["lam"], weights, acts)
    return Outcome(
        report=report,
        results=len(due),
        exact=int(np.count_nonzero(same)),
        marked=int(np.count_nonzero(marks)),
        cycles=sum(done.cycles for done in report.passes),
        products=len(acts.codes) * weights.codes.size,
        values=values,
    )


def sqnr(exact: Reals, approximate: Reals) -> float:
    """Return the signal-to-quantisation-noise ratio in dB; infinite if the two are equal."""
    noise = float(((exact - approximate) ** 2).sum())
    if noise == 0:
        return float("inf")
    signal = float((exact**2).sum())
    return 10 * float(np.log10(signal / noise)) if signal else float("-inf")


def _dequantized(acc: NDArray[Any], lam: int, weights: Quantized, acts: Quantized) -> Reals:
    """Results (vectors, channels) from the exact sums of their groups."""
    shape = (len(acts.codes), len(weights.codes), weights.scales.shape[1])
    sums = np.ldexp(acc.astype(np.float64), lam).reshape(shape)
    scales = acts.scales[:, None, :] * weights.scales[None]
    return np.asarray((sums * scales).sum(axis=-1))


def _padded(operand: Quantized, parts: list[int], lanes: int) -> Codes:
    """Codes with every group filled up to whole beats."""
    zero = _zero(operand.fmt)
    # Any finite code will do where the other operand has a zero.
    fill = int(encode(operand.fmt, 1.0)) if zero is None else zero
    columns, begin = [], 0
    for size in parts:
        group = operand.codes[:, begin : begin + size]
        columns.append(np.pad(group, ((0, 0), (0, -size % lanes)), constant_values=fill))
        begin += size
    return np.concatenate(columns, axis=1)


def _zero(fmt: Format) -> int | None:
    """The code of 0, if the format has one."""
    code = encode(fmt, 0.0)
    return int(code) if decode_float(fmt, code) == 0 else None
