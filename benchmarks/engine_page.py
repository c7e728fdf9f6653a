# SPDX-License-Identifier: Apache-2.0
"""``docs/engine_area.md`` and its pictures, from what ``benchmarks.engines`` has measured."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engines import ACTS, GROWTH, PARTS, WEIGHTS, Engine, Record, engines

__all__ = ["AREA", "GROWN", "PAGE", "draw_area", "draw_growth", "page", "write"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "engine_area.md"
AREA = ROOT / "docs" / "engine_area.svg"
GROWN = ROOT / "docs" / "engine_growth.svg"

_SIZE = {"xcup": "LUT", "gates": "GE"}
_UNIT = {"xcup": "LUT6", "gates": "gate equivalents"}

_HEAD = """\
# Tables or multipliers?

Engines of equal throughput beside each other: 32 products a cycle, 8 columns of 4 products in one
row (`broadcast`: 4 rows of 8 columns, one product each), sums of up to 4096 products, queues and
slices included. `python -m benchmarks engines` measures what is not on record
(`benchmarks/engines.json`), may be interrupted, and writes this page. Any row again:

```
python -m fpga report COMMAND --target xcup,gates --no-dsp --seeds 0
```

LUT6 are those of UltraScale+ after Yosys, without DSP blocks. GE are gate equivalents of
`fpga/cells.lib` in the smallest of the mappings, delay is that mapping's longest path in NAND2
delays; *fast* is the mapping of least delay. Per MAC means per product and cycle. `--arch auto`
chooses `shift-add` for the cells of all these arrays, so the rows of `--engine shift-add` are those
of `array --dataflow cube --arch auto` too. `-`: not measured.

![area per product and cycle over bits of the weights](engine_area.svg)
"""

_READ = """
## What it says

- **The frame is more than half** of an engine this small: slices, sequencer, writer, and the
  registers of the result. It is the same for all (*rest*, below). Longer steps and wider weights
  make the cells count; tables do not help the frame.
- **Where tables gain.** A lookup adds `group` products with one adder where gates take an adder a
  product. Groups of two leave selection, sign and addition in the same LUT6: with 1-bit weights
  the cell is a fifth smaller than that of AND gates, and the more columns share the tables, the
  more of that is left.
- **Where tables lose.** From two bits on, shift-add has one adder for two bits of a weight (digits
  of Booth), tables of two have one for two activations: the same number, and the tables on top.
  Larger groups double the entries that every cell selects from with each activation: on LUTs the
  selection outgrows the adders that it saves. A key of 4 trits selects from 40 entries.
- **The share.** Weights in two's complement, looked up in tables of half the entries, owe every sum
  half of the activations' sum: one more row of adders in every cell. It is part of *cells*.
- **On gates it is close either way**: the smallest engine with tables is 0.95 to 1.07 times the
  smallest without. 4-bit weights beside int8 and ternary ones beside int16 are where tables are
  smaller, by 5 and 4 %.
- **Multipliers lose by far** from two bits on where they are made of LUTs: `--arch multiply`
  leaves the product to Yosys, which does not fold it into the sum.
- **Broadcast** has an accumulator for each product of a cycle, `cube` one for four.
- **Serial planes** take more than one plane alone (whole engines, W4 1.2 and W8 1.4 times) and
  divide the rate by the bits: they buy weights whose width changes from job to job, not area.

A report on gates takes four calls of ABC, with multipliers eight, and these take most of its time,
more than in proportion to the products: nothing hangs, but 128 products a cycle take minutes. Keys
of 5 trits with `--target xcup`, 121 entries to select from in each cell, were given up after ten
minutes on a busy machine.
"""

_PARTS = """\
Modules of the core, each synthesised apart: what makes the tables, what decodes keys, the cells
(selection, adders, accumulator; in brackets one of the eight). *rest* is the whole engine less
these: slices, sequencer, writer, and what the row adds to all sums.
"""


def _of(record: Record, target: str, engine: Engine, modules: bool = False) -> dict[str, Any]:
    return record.get(f"{target} {engine.command}{' (modules)' * modules}", {})


def per_mac(record: Record, target: str, engine: Engine) -> float | None:
    """Return the area of a product per cycle; None where it is not on record."""
    size = _of(record, target, engine).get(_SIZE[target])
    return None if size is None else size / engine.macs


def _cells(*values: object) -> str:
    return f"| {' | '.join('-' if value is None else str(value) for value in values)} |"


def _one(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _verdict(record: Record) -> Iterator[str]:
    yield "\n## Smallest with tables over smallest without\n"
    yield "| weights | activations | LUT6 | | gates | |\n|---|---|---|---|---|---|"
    for act in ACTS:
        for weight in WEIGHTS:
            cells: list[object] = [weight, act]
            for target in _SIZE:
                sizes = [(per_mac(record, target, e), e) for e in engines(weight, act)]
                known = [(size, e) for size, e in sizes if size is not None]
                known.sort(key=lambda pair: pair[0])
                smallest = {engine.table: (size, engine) for size, engine in reversed(known)}
                if len(smallest) < 2:
                    cells += [None, None]
                    continue
                (by, table), (without, other) = smallest[True], smallest[False]
                cells += [f"{by / without:.2f}", f"{table.family} over {other.family}"]
            yield _cells(*cells)


def _table(record: Record, act: str) -> Iterator[str]:
    yield f"\n## Activations {act}\n"
    yield ("| weights | COMMAND | MACs a cycle | LUT6 | FF | LUT6 per MAC | GE | GE per MAC "
           "| delay | fast: delay @ GE |")  # fmt: skip
    yield f"|{'---|' * 10}"
    for weight in WEIGHTS:
        for engine in engines(weight, act):
            lut, gate = _of(record, "xcup", engine), _of(record, "gates", engine)
            fast = gate.get("fast")
            yield _cells(
                weight, f"`{engine.command}`", f"{engine.macs:g}", lut.get("LUT"), lut.get("FF"),
                _one(per_mac(record, "xcup", engine)), gate.get("GE"),
                _one(per_mac(record, "gates", engine)), gate.get("delay"),
                fast and f"{fast[0]:g} @ {fast[1]}",
            )  # fmt: skip


def _split(record: Record, target: str, engine: Engine) -> dict[str, Any] | None:
    """Return area of tables, decoders of keys, cells and the rest; and of one cell."""
    modules = _of(record, target, engine, True).get("modules")
    whole = _of(record, target, engine).get(_SIZE[target])
    if modules is None or whole is None:
        return None
    sums = {"table": 0, "key": 0, "cell": 0}
    each = 0
    for name, (count, size) in modules.items():
        kind = next((k for k in ("table", "key") if f"_{k}_" in name), "cell")
        sums[kind] += count * size
        each += size if kind == "cell" else 0
    return {**sums, "each": each, "rest": whole - sum(sums.values())}


def _modules(record: Record) -> Iterator[str]:
    yield "\n## Where the area goes\n"
    yield _PARTS
    yield "| weights x int8 | engine | target | tables | keys | cells | rest |"
    yield f"|{'---|' * 7}"
    for engine in PARTS:
        weight = next(w for w in WEIGHTS if engine in engines(w, "int8"))
        for target in _SIZE:
            split = _split(record, target, engine)
            if split is None:
                continue
            cells = f"{split['cell']} ({split['each']})"
            yield _cells(weight, engine.family, _UNIT[target], split["table"] or "",
                         split["key"] or "", cells, split["rest"])  # fmt: skip


def _growth(record: Record) -> Iterator[str]:
    yield "\n## Growth\n"
    yield "![LUT6 per MAC over bits, group, K and columns](engine_growth.svg)\n"
    yield "LUT6 per MAC, int8 activations, else as above.\n"
    for name, lines in GROWTH.items():
        values = sorted({value for line in lines.values() for value, _ in line})
        yield f"\n| {name} | {' | '.join(map(str, values))} |\n|---|{'---|' * len(values)}"
        for label, line in lines.items():
            found = {value: per_mac(record, "xcup", engine) for value, engine in line}
            yield _cells(label, *(_one(found[v]) if v in found else "" for v in values))


def page(record: Record) -> str:
    """Return the text of the page."""
    lines = [_HEAD, *_verdict(record), _READ, *_modules(record)]
    for act in ACTS:
        lines += _table(record, act)
    return "\n".join([*lines, *_growth(record)]).replace("\n\n\n", "\n\n") + "\n"


def _figure(rows: int, columns: int, height: float) -> tuple[Any, Any]:
    try:
        import matplotlib
    except ImportError:
        raise ValueError(
            "drawing needs matplotlib; install it with: pip install 'bitloom[docs]'"
        ) from None
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "bitloom", "svg.fonttype": "path", "font.size": 9})
    return plt.subplots(
        rows, columns, figsize=(9.5, height), squeeze=False, layout="constrained"
    )  # fmt: skip


def _line(axis: Any, places: list[float], sizes: list[float], label: str, number: int) -> None:
    axis.plot(places, sizes, label=label, marker="os^vDP"[number], color=f"C{number}")


def _finish(figure: Any, axes: Any, path: Path) -> None:
    from matplotlib import pyplot as plt

    for axis in axes.flat:
        axis.set_ylim(bottom=0)
        axis.grid(axis="y", color="#dddddd", linewidth=0.6, zorder=0)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def draw_area(record: Record, path: Path) -> None:
    """Draw area per product and cycle over the bits of a weight, a line for each engine."""
    figure, axes = _figure(2, 2, 6.5)
    for row, target in enumerate(_SIZE):
        for column, act in enumerate(ACTS):
            axis = axes[row, column]
            lines: dict[str, list[tuple[float, float]]] = {}
            for weight, (_, _, bits) in WEIGHTS.items():
                for engine in engines(weight, act):
                    size = per_mac(record, target, engine)
                    points = lines.setdefault(engine.family.replace("lut-ternary", "lut"), [])
                    if size is not None:
                        points.append((bits, size))
            for number, (name, points) in enumerate(lines.items()):
                _line(axis, [p[0] for p in points], [p[1] for p in points], name, number)
            axis.set_xticks([bits for _, _, bits in WEIGHTS.values()], WEIGHTS)
            axis.set_title(f"{act} activations", loc="left")
            axis.set_ylabel(f"{_UNIT[target]} per MAC")
    axes[0, 0].legend(frameon=False)
    _finish(figure, axes, path)


def draw_growth(record: Record, path: Path) -> None:
    """Draw LUT6 per product and cycle over what grows."""
    figure, axes = _figure(2, 2, 6.5)
    for axis, (name, lines) in zip(axes.flat, GROWTH.items(), strict=True):
        for number, (label, line) in enumerate(lines.items()):
            known = [(v, per_mac(record, "xcup", engine)) for v, engine in line]
            found = [(float(v), size) for v, size in known if size is not None]
            _line(axis, [v for v, _ in found], [size for _, size in found], label, number)
        values = sorted({value for line in lines.values() for value, _ in line})
        if values[-1] > 20 * values[0] or "columns" in name:
            axis.set_xscale("log", base=2)
            axis.minorticks_off()
        axis.set_xticks(values, list(map(str, values)))
        axis.set_xlabel(name)
        axis.set_ylabel("LUT6 per MAC")
        axis.legend(frameon=False)
    _finish(figure, axes, path)


def write(record: Record) -> list[Path]:
    """Write the page and the pictures, and return their paths."""
    PAGE.write_text(page(record), encoding="utf-8")
    draw_area(record, AREA)
    draw_growth(record, GROWN)
    return [path.relative_to(ROOT) for path in (PAGE, AREA, GROWN)]
