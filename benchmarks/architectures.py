# SPDX-License-Identifier: Apache-2.0
"""``docs/architectures.md`` and its block pictures, from what each architecture says of itself.

``python -m benchmarks architectures`` writes them; a test holds them to the code.
"""

from html import escape
from pathlib import Path
from typing import Any

from hw.pe.arch import NAMES, Arch, architecture
from hw.pe.params import PEParams

__all__ = ["files", "main", "picture"]

ROOT = Path(__file__).parents[1]

#: Pairs of the table that says what each architecture takes: name -> (weight, activation).
PAIRS = {
    "int8 x int8": ("int8", "int8"),
    "int4 x int8": ("int4", "int8"),
    "int4 x int4": ("int4", "int4"),
    "ternary x int8": ("ternary", "int8"),
    "e2m1 x int8": ("e2m1", "int8"),
    "e2m1 x e2m1": ("e2m1", "e2m1"),
    "nf4 x int8": ("nf4", "int8"),
    "e4m3 x e4m3": ("e4m3", "e4m3"),
    "posit8_0 x posit8_0": ("posit8_0", "posit8_0"),
    "int4 x fp16": ("int4", "fp16"),
    "e2m1 x fp16": ("e2m1", "fp16"),
    "int16 x int16": ("int16", "int16"),
}

_HEAD = """\
# Architectures of the processing element

One contract, many datapaths: `python -m gen pe --arch NAME`. All take beats of codes on a stream
and give exact sums, unless their section says otherwise; the golden model of each is named there.
This page is generated (`python -m benchmarks architectures`).

`python -m fpga compare pe --archs all --formats int8,int4,e2m1 --targets gates,xcup --plot f.svg`
puts them beside each other; [comparison](comparison.md) holds what was measured and published.

## Which pair in which architecture

"""

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 150, 34, 42, 14


def picture(arch: Arch) -> str:
    """Return the block picture of an architecture as SVG text."""
    layers = [[box.rstrip("*@") for box in layer] for layer in arch.flow]
    tall = max(map(len, layers)) * (_HEIGHT + _GAP_Y) + 2 * _GAP_Y
    wide = len(layers) * (_WIDTH + _GAP_X) + _GAP_X
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" width="{wide}" '
        f'font-family="sans-serif" font-size="11">',
        '<defs><marker id="tip" markerWidth="7" markerHeight="7" refX="6" refY="3" orient="auto">'
        '<path d="M0,0 L6,3 L0,6 z" fill="#555"/></marker></defs>',
    ]
    middles = [
        [
            (tall - len(layer) * (_HEIGHT + _GAP_Y) + _GAP_Y) / 2
            + row * (_HEIGHT + _GAP_Y)
            + _HEIGHT / 2
            for row in range(len(layer))
        ]
        for layer in layers
    ]
    for column, layer in enumerate(arch.flow):
        x = _GAP_X / 2 + column * (_WIDTH + _GAP_X)
        for row, box in enumerate(layer):
            y = middles[column][row]
            kind = box[-1]
            fill = {"*": "#dce9f5", "@": "#cfe3cf"}.get(kind, "#ffffff")
            parts.append(
                f'<rect x="{x:g}" y="{y - _HEIGHT / 2:g}" width="{_WIDTH}" height="{_HEIGHT}" '
                f'rx="4" fill="{fill}" stroke="#555"/>'
            )
            parts += _text(box.rstrip("*@"), x + _WIDTH / 2, y)
            if kind == "@":
                right, under = x + _WIDTH * 0.8, y + _HEIGHT / 2
                parts.append(
                    f'<path d="M{right:g},{under:g} v8 h{-_WIDTH * 0.6:g} v-8" fill="none" '
                    'stroke="#555" marker-end="url(#tip)"/>'
                )
            for before, after in _arrows(middles, column, row):
                parts.append(
                    f'<path d="M{x - _GAP_X:g},{before:g} L{x - 1:g},{after:g}" stroke="#555" '
                    'marker-end="url(#tip)"/>'
                )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _arrows(middles: list[list[float]], column: int, row: int) -> list[tuple[float, float]]:
    """Return where arrows into a box start and end: from its own row, or from every box before."""
    if column == 0:
        return []
    before, after = middles[column - 1], middles[column]
    rows = [before[row]] if len(before) == len(after) else before
    return [(start, after[row]) for start in rows]


def _text(label: str, x: float, y: float) -> list[str]:
    """Return the label in one line, or in two if it is long."""
    words, lines = label.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) + 1 > 24 and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    first = y + 4 - 6.5 * (len(lines) - 1)
    return [
        f'<text x="{x:g}" y="{first + 13 * k:g}" text-anchor="middle">{escape(line)}</text>'
        for k, line in enumerate(lines)
    ]


def takes(arch: Arch, pair: tuple[str, str]) -> bool:
    """Return whether the architecture takes a format pair in its typical use."""
    weight, act = pair
    try:
        PEParams(**{**arch.typical, "format": weight, "act": act, "arch": arch.name})
    except ValueError:
        return False
    return True


def usual(arch: Arch) -> dict[str, Any]:
    """Return the options of the page's example: a format pair only where the default is refused."""
    pairs = [pair for pair in PAIRS.values() if takes(arch, pair)]
    if not pairs or takes(arch, ("int4", "int8")):
        return arch.typical
    return {"format": pairs[0][0], "act": pairs[0][1], **arch.typical}


def files() -> dict[Path, str]:
    """Return the page and the pictures: path below the repository -> text."""
    found = {}
    archs = [architecture(name) for name in NAMES]
    head = [_HEAD, "| architecture |", "|---|"]
    head[1] += "".join(f" {name} |" for name in PAIRS)
    head[2] += "---|" * len(PAIRS)
    for arch in archs:
        marks = "".join(f" {'yes' if takes(arch, pair) else ''} |" for pair in PAIRS.values())
        head.append(f"| [{arch.name}](#{arch.name}) |{marks}")
    sections = []
    for arch in archs:
        image = Path("docs") / "arch" / f"{arch.name}.svg"
        found[image] = picture(arch)
        options = ", ".join(f"`--{name.replace('_', '-')}`" for name in arch.options)
        command = " ".join(
            f"--{name.replace('_', '-')} {value}" for name, value in usual(arch).items()
        )
        sections += [
            f"\n## {arch.name}\n",
            f"{arch.summary[0].upper()}{arch.summary[1:]}.\n",
            f"![blocks of {arch.name}](arch/{arch.name}.svg)\n",
            f"- Source: {arch.source}.",
            f"- Cycles: {arch.cycles}.",
            f"- Cores: {', '.join(arch.cores)}." + (f" Options: {options}." if options else ""),
            f"- Golden model: `{arch.golden or 'sim.golden.pe.pe'}`.",
            f"- Use it: {arch.when.rstrip('.')}.",
            f"\n```\npython -m gen pe --arch {arch.name} {command}".rstrip() + "\n```",
        ]
    found[Path("docs") / "architectures.md"] = "\n".join([*head, *sections]) + "\n"
    return found


def main() -> int:
    """Write the page and the pictures."""
    written = files()
    for path, text in written.items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
    print(f"{len(written)} files below docs")
    return 0
