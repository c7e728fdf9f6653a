# SPDX-License-Identifier: Apache-2.0
"""Picture of the errors that :mod:`sim.study.attention` finds."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["plot"]

_MARKS = "osD^v<>PX*hp"
_LINES = ("-", "--", ":")  # of a unit's widths, the widest first


def plot(rows: Sequence[Sequence[str]], path: Path) -> None:
    """Draw error over length, a line for each unit and width, a panel for each kind of data.

    Data with a number at their end, as those of the layers of a model, share a panel over it. The
    same bytes from the same rows. Raises ``ValueError`` if matplotlib is missing, there is nothing
    to draw or the file cannot be written.
    """
    try:
        import matplotlib
    except ImportError:
        raise ValueError(
            "drawing needs matplotlib; install it with: pip install 'bitloom[docs]'"
        ) from None
    if not rows:
        raise ValueError("there is nothing to draw")
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "bitloom", "svg.fonttype": "path", "font.size": 9})
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for data, keys, unit, bits, error, _ in rows:
        model, _, layer = data.rpartition(" layer ")
        panel = f"{model}, {keys} keys" if model else data
        label = f"{unit}, {bits} bits" if bits else unit
        point = int(layer) if model else int(keys), float(error)
        panels.setdefault(panel, {}).setdefault(label, []).append(point)
    widths: dict[str, list[int]] = {}
    for _, _, unit, bits, _, _ in rows:
        widths.setdefault(unit, []).append(int(bits or 0))
    looks = {}
    for number, unit in enumerate(widths):
        for rank, width in enumerate(sorted(set(widths[unit]), reverse=True)):
            label = f"{unit}, {width} bits" if width else unit
            color = plt.get_cmap("tab20")(2 * number % 20 + number // 10)
            looks[label] = {
                "color": color, "linestyle": _LINES[rank % 3], "marker": _MARKS[number % 12],
                "markerfacecolor": "white" if rank % 3 else color,
            }  # fmt: skip
    figure, axes = plt.subplots(
        1, len(panels), figsize=(2 + 3.6 * len(panels), 5.2), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, (panel, lines) in zip(axes[0], panels.items(), strict=True):
        for label, points in lines.items():
            axis.plot(
                *zip(*sorted(points), strict=True), label=label, linewidth=1, markersize=5,
                **looks[label],
            )  # fmt: skip
        axis.set_yscale("log")
        layers = panel.endswith(" keys")
        if not layers:
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axis.set_xlabel("layer" if layers else "keys")
        axis.set_title(panel, loc="left")
        axis.grid(color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("relative error of attention's output")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), frameon=False, loc="outside right upper",
        fontsize=8,
    )  # fmt: skip
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot write {str(path)!r}: {error}") from None
    finally:
        plt.close(figure)
