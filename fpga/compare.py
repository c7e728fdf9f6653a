# SPDX-License-Identifier: Apache-2.0
"""Formats, architectures and targets beside each other: what one product costs in each.

Every point is the streaming unit ``pe`` with an architecture's typical lanes and columns. Its area
is divided by the products that it takes in a cycle, so that serial and parallel datapaths compare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpga.activity import toggles
from fpga.report import report_unit, split_target
from hw.pe.arch import architecture

__all__ = ["Point", "compare", "measure", "plot", "table"]

_UNITS = {"gates": "GE", "xcup": "LUT6", "ecp5": "LUT4", "ice40": "LUT4"}
_AREAS = {
    "gates": "gate equivalents",
    "xcup": "6-input look-up tables, no DSP blocks",
    "ecp5": "4-input look-up tables, no DSP blocks",
    "ice40": "4-input look-up tables, no DSP blocks",
}
#: Of matplotlib; no two look alike without colours.
_MARKS = (*"os^vD<>Pp*", (4, 1, 0), *"Xdh", (6, 1, 0), (8, 1, 0), (3, 1, 0))
_TOP = 16.0  #: Of the axis; what is above is drawn there, with its number.


@dataclass(frozen=True)
class Point:
    """One format pair in one architecture on one target."""

    format: str
    act: str
    arch: str
    target: str
    refused: str | None = None  #: Why the architecture does not take the pair.
    area: float | None = None  #: Of the whole unit, in gate equivalents or look-up tables.
    products: float | None = None  #: Per cycle, at worst.
    serial: bool = False  #: Whether a beat takes several cycles; ``products`` is of the slowest.
    speed: str = "-"  #: Fmax, or the delay of the longest path.
    toggles: float | None = None  #: Gates and registers that change per product: energy proxy.

    @property
    def area_per_mac(self) -> float | None:
        """Area of one product per cycle."""
        return self.area / self.products if self.area and self.products else None


def measure(
    point: tuple[str, str, str, str],
    options: Mapping[str, Any],
    weights: NDArray[np.float64] | None,
    seeds: int = 0,
) -> Point:
    """Return what the unit of (format, act, arch, target) costs.

    ``options`` are further parameters and win over the architecture's typical ones. ``weights``
    are those of :func:`fpga.activity.toggles`, None to leave that out.
    """
    from gen.emit import emit
    from gen.unit import discover

    fmt, act, arch, target = point
    family, _ = split_target(target)
    unit = discover()["pe"]
    parameters = {
        **architecture(arch).typical,
        **options,
        "format": fmt,
        "act": act,
        "arch": arch,
    }
    try:
        text, manifest = emit(unit, unit.params(**{**parameters, "target": family}))
    except ValueError as error:
        return Point(*point, refused=str(error))
    dsp = None if family == "gates" else False
    record = report_unit("pe", parameters, target, seeds=seeds, dsp=dsp)
    counts = record["counts"]
    area = record["area"]["total"] if record["area"] else None
    area = area or counts.get("LUT4eq", counts.get("LUT", counts.get("LUT4")))
    if record["fmax"]:
        speed = f"{record['fmax']['median']:.0f} MHz"
    elif record["delay"]:
        speed = f"{record['delay']['value']:.0f} NAND2"
    else:
        speed = "-"
    chosen = manifest["parameters"]
    codes = int(chosen["lanes"]) * int(chosen.get("columns") or 1)
    rate = manifest["beats_per_cycle"] or 1
    products = manifest["contract"].get("products", codes) * rate
    switched = None if weights is None else toggles(text, manifest, weights)
    return Point(*point, None, float(area), products, rate < 1, speed, switched)


def compare(points: Sequence[Point], base: Point) -> list[dict[str, Any]]:
    """Return a row for each point; ``relative`` is its area per product over that of ``base``."""
    rows = []
    for point in points:
        per = point.area_per_mac
        relative = per / base.area_per_mac if per and base.area_per_mac else None
        rows.append(
            {
                "format": point.format,
                "act": point.act,
                "arch": point.arch,
                "target": point.target,
                "area": point.area,
                "unit": _UNITS[split_target(point.target)[0]],
                "products_per_cycle": point.products,
                "serial": point.serial,
                "area_per_mac": per,
                "relative": relative,
                "speed": point.speed,
                "toggles_per_mac": point.toggles,
                "refused": point.refused,
            }
        )
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as text for a person."""
    lines = [
        f"{'weight x act':18}{'arch':14}{'target':8}{'area':>9}      {'MAC/cycle':>10}"
        f"{'area/MAC':>10}{'int8=1':>8}  {'speed':>10}{'toggles/MAC':>13}"
    ]
    for row in rows:
        name = f"{row['format']} x {row['act']}"
        head = f"{name:18}{row['arch']:14}{row['target']:8}"
        if row["refused"]:
            lines.append(f"{head}refused: {row['refused']}")
            continue
        relative = f"{row['relative']:.2f}" if row["relative"] else "-"
        switched = f"{row['toggles_per_mac']:.0f}" if row["toggles_per_mac"] else "-"
        lines.append(
            f"{head}{row['area']:9.0f} {row['unit']:5}{row['products_per_cycle']:10.3g}"
            f"{row['area_per_mac']:10.1f}{relative:>8}  {row['speed']:>10}{switched:>13}"
        )
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw area per product over formats, a mark for each architecture, a panel for each target.

    The same bytes from the same rows. Raises ``ValueError`` if matplotlib is missing or the file
    cannot be written.
    """
    try:
        import matplotlib
    except ImportError:
        raise ValueError(
            "drawing needs matplotlib; install it with: pip install 'bitloom[docs]'"
        ) from None
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "bitloom", "svg.fonttype": "path", "font.size": 9})
    drawn = [row for row in rows if row["relative"]]
    if not drawn:
        raise ValueError("there is nothing to draw: every point was refused")
    targets = list(dict.fromkeys(row["target"] for row in drawn))
    names = list(dict.fromkeys(f"{row['format']} x {row['act']}" for row in drawn))
    archs = sorted({row["arch"] for row in drawn})
    figure, axes = plt.subplots(
        len(targets), 1, figsize=(10.5, 1.3 + 3.2 * len(targets)), sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, target in zip(axes[:, 0], targets, strict=True):
        for index, arch in enumerate(archs):
            mine = [r for r in drawn if r["target"] == target and r["arch"] == arch]
            shift = 0.7 * ((index + 0.5) / len(archs) - 0.5)  # beside each other in a column
            places = [names.index(f"{r['format']} x {r['act']}") + shift for r in mine]
            serial = any(r["serial"] for r in drawn if r["arch"] == arch)
            axis.plot(
                places, [min(r["relative"], _TOP) for r in mine], linestyle="", markersize=7,
                marker=_MARKS[index % len(_MARKS)], markeredgecolor="black", markeredgewidth=0.6,
                markerfacecolor="white" if serial else plt.get_cmap("tab20")(index % 20),
                label=f"{arch} (serial)" if serial else arch,
            )  # fmt: skip
            for place, row in zip(places, mine, strict=True):
                if row["relative"] > _TOP:
                    axis.annotate(
                        f"{row['relative']:.0f}", (place, _TOP), xytext=(0, 5), ha="center",
                        textcoords="offset points", fontsize=7,
                    )  # fmt: skip
        axis.axhline(1, color="#555555", linewidth=0.8, zorder=0)
        for place in range(0, len(names), 2):
            axis.axvspan(place - 0.5, place + 0.5, color="#f2f2f2", zorder=-1)
        axis.set_xlim(-0.5, len(names) - 0.5)
        axis.set_yscale("log", base=2)
        axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axis.set_ylabel("area per product and cycle\n(int8 x int8 multiply = 1)")
        axis.set_title(f"{target}: {_AREAS[split_target(target)[0]]}", loc="left")
        axis.grid(axis="y", color="#dddddd", linewidth=0.6, zorder=0)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), frameon=False, loc="outside right upper",
        title="architecture\n(serial: hollow, at\nits slowest beat)", alignment="left",
    )  # fmt: skip
    axes[-1, 0].set_xticks(
        range(len(names)), names, rotation=50, ha="right", rotation_mode="anchor"
    )
    axes[-1, 0].set_xlabel("weight format x activation format")
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot write {str(path)!r}: {error}") from None
    finally:
        plt.close(figure)
