# SPDX-License-Identifier: Apache-2.0
"""``python -m sim study attention``: errors of units on data, as a table and a picture."""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUMMARY = "measure what units lose on random and on real data: a table, and a picture of it"

_DATA = {
    "gaussian": "normal numbers",
    "wide": "the same with queries three times as large",
    "model": "all layers of a BERT-like model that reads a text",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", choices=("attention",), help="every softmax, at several lengths")
    data = "; ".join(f"{name} - {text}" for name, text in _DATA.items())
    parser.add_argument(
        "--data",
        default="gaussian,wide",
        metavar="LIST",
        help=f"what is measured: {data} (default: gaussian,wide)",
    )
    parser.add_argument(
        "--keys",
        default="64,256,1024,4096",
        metavar="LIST",
        help="lengths of rows of random data; a model reads as much as it can, at most the last of "
        "them (default: 64,256,1024,4096)",
    )
    parser.add_argument(
        "--units", metavar="LIST", help="which of them, by name (default: all and exact arithmetic)"
    )
    parser.add_argument(
        "--queries", default="16", metavar="N", help="rows of each head (default: 16)"
    )
    parser.add_argument(
        "--model",
        default="minilm",
        metavar="PATH",
        help="a .safetensors file with vocab.txt and config.json beside it, or minilm (default)",
    )
    parser.add_argument(
        "--text", metavar="FILE", help="what the model reads (default: README.md beside it)"
    )
    parser.add_argument("--seed", default="1", metavar="N", help="what is random (default: 1)")
    parser.add_argument("-o", "--output", metavar="FILE", help="table as CSV (default: printed)")
    parser.add_argument("--plot", metavar="FILE", help="picture, .svg or .png")


def run(args: argparse.Namespace) -> int:
    from sim.options import count
    from sim.study.attention import COLUMNS, UNITS, table

    chosen = args.data.split(",")
    for name in chosen:
        if name not in _DATA:
            raise ValueError(f"data must be of {', '.join(_DATA)}, not {name!r}")
    names = list(dict.fromkeys(unit.name for unit in UNITS if "," not in unit.name))
    wanted = names if args.units is None else args.units.split(",")
    for name in wanted:
        if name not in names:
            raise ValueError(f"units must be of {', '.join(names)}, not {name!r}")
    units = [u for u in UNITS if args.units is None or u.name in wanted]
    keys = [count("keys", word, 1, 1 << 16) for word in args.keys.split(",")]
    queries, seed = count("queries", args.queries, 1), count("seed", args.seed, 0)
    try:
        rows = list(table(_cases(args, chosen, keys, queries, seed), units))
    finally:
        _progress("")
    if args.plot:
        from sim.study.attention_plot import plot

        plot(rows, Path(args.plot))
    if args.output:
        try:
            with Path(args.output).open("w", encoding="utf-8", newline="") as file:
                _write(file, COLUMNS, rows)
        except OSError as error:
            raise ValueError(f"cannot write {args.output!r}: {error.strerror}") from None
    else:
        _write(sys.stdout, COLUMNS, rows)
    return 0


def _cases(
    args: argparse.Namespace, chosen: list[str], keys: list[int], queries: int, seed: int
) -> Iterator[tuple[str, Any]]:
    """Yield the name and the heads of each case."""
    import numpy as np

    from sim.study.attention import gaussian

    for name in chosen:
        if name == "model":
            yield from _of_model(args, keys[-1], queries, seed)
            continue
        for number in keys:
            _progress(f"{name}, {number} keys")
            rng = np.random.default_rng([seed, number])
            yield name, gaussian(rng, queries, number, 3 if name == "wide" else 1)


def _of_model(
    args: argparse.Namespace, most: int, queries: int, seed: int
) -> Iterator[tuple[str, Any]]:
    import numpy as np

    from sim.options import read_text
    from sim.study.bert import Heads, capture, word_pieces
    from sim.study.models import find_model

    path = find_model(args.model)
    words = read_text(str(path.parent / "vocab.txt")).splitlines()
    text = read_text(args.text or str(path.parent / "README.md"))
    _progress(f"{args.model} reads")
    tokens = word_pieces(words, text)[: min(most, 512)]
    layers, _ = capture(path, tokens)
    rows = np.random.default_rng(seed).permutation(len(tokens))[:queries]
    for number, heads in enumerate(layers):
        _progress(f"{args.model}, layer {number}")
        yield f"{args.model} layer {number}", Heads(heads.q[:, np.sort(rows)], heads.k, heads.v)


def _write(file: Any, columns: Any, rows: Any) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def _progress(message: str) -> None:
    """Show ``message`` in place of the last one."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)
