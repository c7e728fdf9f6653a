# SPDX-License-Identifier: Apache-2.0
"""Every pair of codes of many processing elements, against the golden model, in one run.

Many combinational PEs (core ``dot``, one lane) go into one generated top, whose input counts
through all codes. The top is run by a simulator, or, for large spaces, as a netlist on arrays
(:mod:`sim.bench.netlist`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gen.emit import emit
from gen.unit import discover
from hw.spec.formats import parse
from sim.bench.check import golden_of
from sim.bench.netlist import Netlist
from sim.runner import simulate

__all__ = ["ARCHS", "Pair", "chunks", "compare", "decoded", "outputs"]

ARCHS = ("multiply", "shift-add")

_TOP = "exhaustive"

#: Spaces of more bits are cut among copies of the PE, so that the simulator's loop stays short.
_LOOP_BITS = 12


@dataclass(frozen=True, order=True)
class Pair:
    """One processing element: weight and activation format, architecture, and structure."""

    weight: str
    act: str
    arch: str
    target: str = "gates"

    @property
    def bits(self) -> tuple[int, int]:
        """Width of the codes: activation, weight."""
        return parse(self.act).bits, parse(self.weight).bits

    def __str__(self) -> str:
        return f"weight {self.weight}, activation {self.act}, {self.arch} for {self.target}"


@dataclass(frozen=True)
class _Cell:
    pair: Pair
    manifest: dict[str, Any]
    verilog: str

    @property
    def widths(self) -> dict[str, int]:
        return {p["name"]: p["width"] for p in self.manifest["ports"] if p["dir"] == "out"}


def chunks(pairs: Iterable[Pair], size: int) -> list[list[Pair]]:
    """Cut ``pairs`` into lists of at most ``size`` with codes of similar width."""
    ordered = sorted(pairs, key=lambda pair: (max(pair.bits) > 4, sum(pair.bits), pair.bits))
    groups: list[list[Pair]] = []
    for pair in ordered:
        group = groups[-1] if groups else []
        small = group and max(group[0].bits) <= 4 and max(pair.bits) <= 4
        if not group or len(group) == size or not (small or group[0].bits == pair.bits):
            groups.append([])
        groups[-1].append(pair)
    return groups


def _emitted(pairs: Sequence[Pair]) -> list[_Cell]:
    unit = discover()["pe"]
    cells = []
    for number, pair in enumerate(pairs):
        params = unit.params(
            format=pair.weight,
            act=pair.act,
            arch=pair.arch,
            target=pair.target,
            core="dot",
            lanes=1,
            max_k=1,
        )
        text, manifest = emit(unit, params, f"pe{number}")
        cells.append(_Cell(pair, manifest, text))
    return cells


def _top(cells: Sequence[_Cell], act_bits: int, weight_bits: int, copies_bits: int) -> str:
    """Return the generated top: ``x`` holds the codes but for the bits that copies stand for."""
    total = act_bits + weight_bits
    lines, at = [], 0
    for copy in range(1 << copies_bits):
        high = f"{copies_bits}'d{copy}" if copies_bits else ""
        lines.append(
            f"  wire [{total - 1}:0] c{copy} = {{{', '.join(filter(None, (high, 'x')))}}};"
        )
        for number, cell in enumerate(cells):
            acts, weights = cell.pair.bits
            pins = [f".a(c{copy}[{acts - 1}:0])", f".w(c{copy}[{act_bits} +: {weights}])"]
            for name, width in cell.widths.items():
                pins.append(f".{name}(q[{at} +: {width}])")
                at += width
            lines.append(f"  {cell.manifest['module']} u{copy}_{number}({', '.join(pins)});")
    ports = f"input [{total - copies_bits - 1}:0] x, output [{at - 1}:0] q"
    return "\n".join([f"module {_TOP}({ports});", *lines, "endmodule"]) + "\n"


def outputs(
    pairs: Sequence[Pair], folder: Path, engine: str | None = None
) -> tuple[list[_Cell], list[dict[str, NDArray[Any]]]]:
    """Return the emitted cells and, for each, its outputs for every pair of codes.

    ``engine`` is a simulator's name, None for the default simulator, or ``netlist``. The outputs
    are arrays of shape (weight codes, activation codes).
    """
    folder.mkdir(parents=True, exist_ok=True)
    cells = _emitted(pairs)
    act_bits = max(pair.bits[0] for pair in pairs)
    weight_bits = max(pair.bits[1] for pair in pairs)
    total = act_bits + weight_bits
    loop = total if engine == "netlist" else min(total, _LOOP_BITS)
    source = folder / f"{_TOP}.v"
    text = "".join(cell.verilog for cell in cells) + _top(
        cells, act_bits, weight_bits, total - loop
    )
    source.write_text(text, encoding="utf-8")
    bits = _run(source, folder, loop, engine)
    # One row per vector of the loop; the copies lie side by side in it.
    width = sum(sum(cell.widths.values()) for cell in cells)
    bits = bits.reshape(1 << loop, 1 << total - loop, width).transpose(1, 0, 2)
    bits = bits.reshape(1 << weight_bits, 1 << act_bits, width)
    found, at = [], 0
    for cell in cells:
        acts, weights = cell.pair.bits
        table: dict[str, NDArray[Any]] = {}
        for port in cell.manifest["ports"]:
            if port["dir"] == "out":
                part = bits[: 1 << weights, : 1 << acts, at : at + port["width"]]
                table[port["name"]] = _integers(part, port["signed"])
                at += port["width"]
        found.append(table)
    return cells, found


def _run(source: Path, folder: Path, loop: int, engine: str | None) -> NDArray[np.uint8]:
    """Return the output bits, bit 0 first, of every vector."""
    if engine == "netlist":
        netlist = Netlist.read([source], _TOP, folder)
        return netlist.evaluate({"x": np.arange(1 << loop, dtype=np.int64)})["q"]
    seen = folder / "seen.txt"
    env = {"BITLOOM_BITS": str(loop), "BITLOOM_SEEN": str(seen.resolve())}
    bench = "sim.bench.cocotb_exhaustive"
    simulate([source], _TOP, bench, folder / "build", simulator=engine, env=env)
    rows = seen.read_bytes().split(b"\n")
    digits = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), -1)[:, ::-1]
    # X and Z stay recognisable: they are neither 0 nor 1.
    return digits - ord("0")


def _integers(bits: NDArray[np.uint8], signed: bool) -> NDArray[Any]:
    """Return the integers whose bits lie along the last axis. Raises ``ValueError`` for an X."""
    width = bits.shape[-1]
    if bits.max(initial=0) > 1:
        raise ValueError("an output is X")
    kind: Any = np.int64 if width < 63 else object
    value = np.zeros(bits.shape[:-1], dtype=kind)
    for bit in range(width):
        weight = -(1 << bit) if signed and bit == width - 1 else 1 << bit
        value = value + bits[..., bit].astype(kind) * weight
    return value


def decoded(pair: Pair) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the legal codes of the activation and of the weight."""
    legal = []
    for name in (pair.act, pair.weight):
        fmt = parse(name)
        codes = np.arange(1 << fmt.bits, dtype=np.int64)
        legal.append(codes[~np.isin(codes, np.array(list(fmt.illegal), dtype=np.int64))])
    return legal[0], legal[1]


def compare(
    pairs: Sequence[Pair], folder: Path, engine: str | None = None
) -> tuple[int, list[str]]:
    """Compare every pair of legal codes with the golden model.

    Returns how many were compared and one line for each PE that differs, with its first difference.
    """
    cells, found = outputs(pairs, folder, engine)
    compared, wrong = 0, []
    for cell, table in zip(cells, found, strict=True):
        acts, weights = decoded(cell.pair)
        w, a = (codes.reshape(-1, 1) for codes in np.meshgrid(weights, acts, indexing="ij"))
        due = golden_of(cell.manifest).run(cell.manifest["parameters"], {"a": a, "w": w})
        compared += len(a)
        for name, values in table.items():
            got = values[w[:, 0], a[:, 0]]
            bad = np.flatnonzero(got != due[name].astype(got.dtype))
            if len(bad):
                first = bad[0]
                wrong.append(
                    f"{cell.pair}: {len(bad)} of {len(a)} wrong, first a={int(a[first, 0]):#x} "
                    f"w={int(w[first, 0]):#x}: expected {name} {int(due[name][first])}, "
                    f"got {int(got[first])}"
                )
                break
    return compared, wrong
