# SPDX-License-Identifier: Apache-2.0
"""What ``python -m sim dot`` prints: pairs of a label and a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.study.dot import Outcome, sqnr
from sim.study.layer import Layer

__all__ = ["Lines", "area_lines", "hardware_lines", "layer_lines", "result_lines"]

Lines = list[tuple[str, str]]


def layer_lines(path: Path, layer: Layer) -> Lines:
    """Say which numbers of which layer are multiplied."""
    vectors, channels = len(layer.acts.codes), len(layer.weights.codes)
    width, group = layer.weights.codes.shape[1], layer.weights.group
    whole, tail = divmod(width, group)
    groups = f"{_some(whole, 'group')} of {group}{f' and one of {tail}' if tail else ''}"
    rule = " or ".join(layer.rules)
    return [
        ("model", str(path)),
        ("layer", f"{layer.tensor}{' (chosen: no --tensor)' if layer.chosen else ''}"),
        ("rows", f"{vectors * channels} dot products of {width}, each in {groups}"),
        ("", f"{_some(vectors, 'vector')} x {channels} of {layer.outputs} output channels"),
        ("activations", layer.source),
        (
            "formats",
            f"weights {layer.weights.fmt.name} (scale {rule}), activations {layer.acts.fmt.name}",
        ),
    ]


def hardware_lines(manifest: Mapping[str, Any], verilog: str | None = None) -> Lines:
    """Say which unit did it, and how it is made, or the file ``verilog`` that took its place."""
    chosen = manifest["parameters"]
    lanes = _some(chosen["lanes"], "lane")
    text = f"{chosen['arch']}, {lanes}, {chosen['acc_bits']}-bit accumulator"
    return [("PE", text), ("", f"replaced by {verilog}" if verilog else manifest["command"])]


def result_lines(layer: Layer, outcome: Outcome) -> Lines:
    """Say how the results compare with the golden model and with real numbers."""
    report = outcome.report
    verdict = "yes" if outcome.passed else "NO"
    lines = [
        ("bit-exact", f"{verdict}: {outcome.exact} of {outcome.results} sums as the golden model")
    ]
    if report.mismatch:
        lines += [("", line) for line in report.mismatch.lines()]
    if report.fault:
        lines.append(("", report.fault))
    if outcome.marked:
        lines.append(("", f"{outcome.marked} sums met a non-finite value, which counts as 0"))
    rate = outcome.products / max(1, outcome.cycles)
    lines.append(
        (
            "speed",
            f"{outcome.products} MACs in {outcome.cycles} cycles: {rate:.2f} MACs per cycle "
            f"({report.simulator})",
        )
    )
    weights = sqnr(layer.real_weights, layer.weights.values())
    acts = sqnr(layer.real_acts, layer.acts.values())
    noise = "unknown, as results are missing"
    if outcome.values is not None:
        noise = f"{sqnr(layer.exact, outcome.values):.1f} dB against the unquantised layer"
    lines.append(("SQNR", noise))
    lines.append(("", f"weight tensor {weights:.1f} dB, activations {acts:.1f} dB"))
    return lines


def area_lines(area: Mapping[str, Any] | str | None) -> Lines:
    """Say how large the unit is; ``area`` is a record of :mod:`fpga.report`, or a reason."""
    if area is None:
        return []
    if isinstance(area, str):
        return [("area (gates)", area)]
    texts = [
        f"{point['area']['total']:.0f} {point['area']['unit']}, {point['delay']['value']:.0f} "
        f"{point['delay']['unit']} delays ({how})"
        for point, how in zip(area["points"], ("smallest", "fastest"), strict=True)
    ]
    return [("area (gates)", "; ".join(texts))]


def _some(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
