# SPDX-License-Identifier: Apache-2.0
"""What the command lines of ``gen``, ``fpga`` and ``sim`` have in common.

A command is a module with ``SUMMARY``, ``arguments(parser)`` and ``run(args) -> int``. Whatever is
wrong with what the user gave is a ``ValueError`` (or :class:`argparse.ArgumentError`): one line on
standard error, exit status 2.
"""

import argparse
import contextlib
import dataclasses
import importlib
import os
import pkgutil
import signal
import sys
import threading
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gen.unit import Unit, discover

__all__ = [
    "Parser",
    "add_options_of",
    "add_unit_options",
    "add_units",
    "given_for",
    "guarded",
    "main",
    "params_from",
    "real_type",
    "unit_parser",
    "write_files",
]


class Parser(argparse.ArgumentParser):
    """An argument parser whose every complaint is one line."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)}\n")


def one_line(message: object) -> str:
    """Return ``message`` printable in one line, whatever a user put into it."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(message))
    return text if len(text) <= 400 else text[:397] + "..."


def _integer(text: str) -> int:
    try:
        if len(text) > 12:
            raise ValueError
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not an integer") from None


def real_type(annotation: Any) -> type:
    """Return the type of a parameter, without the None of an optional one."""
    if isinstance(annotation, types.UnionType):
        (annotation,) = (a for a in typing.get_args(annotation) if a is not types.NoneType)
    return typing.cast(type, annotation)


def add_unit_options(
    parser: argparse.ArgumentParser,
    unit: Unit,
    *,
    but: Collection[str] = (),
    choices: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Add one option for each parameter of ``unit`` but those named ``but``.

    ``choices`` are the closed sets of values, if not the unit's own.
    """
    choices = unit.choices if choices is None else choices
    group = parser.add_argument_group(f"parameters of {unit.name}")
    for field in dataclasses.fields(unit.params):
        if field.name in but:
            continue
        option, kind = "--" + field.name.replace("_", "-"), real_type(field.type)
        silent = field.default is None or field.default is False  # 0 is a default to tell
        default = "" if silent else f" (default: {field.default})"
        text = (unit.help[field.name] + default).replace("%", "%%")
        if kind is bool and field.default is None:
            group.add_argument(option, action=argparse.BooleanOptionalAction, help=text)
        elif kind is bool:
            group.add_argument(option, action="store_true", help=text)
        else:
            group.add_argument(
                option,
                default=field.default,
                type=_integer if kind is int else str,
                choices=choices.get(field.name),
                metavar=None if field.name in choices else kind.__name__.upper()[:3],
                help=text,
            )


def add_options_of(
    parser: argparse.ArgumentParser, units: Collection[Unit], *, but: Collection[str] = ()
) -> list[str]:
    """Add one option for each parameter that any of ``units`` has, but those named ``but``.

    Units that have a parameter of one name share its option, which is described as the first of
    them does. An option that is not given is None. Returns the names of the parameters.
    """
    names: list[str] = []
    for unit in units:
        # Where units differ, each has to refuse by itself what it does not know.
        choices = {
            name: values
            for name, values in unit.choices.items()
            if all(u.choices.get(name) == values for u in units if name in u.help)
        }
        add_unit_options(parser, unit, but={*names, *but}, choices=choices)
        fields = (field.name for field in dataclasses.fields(unit.params))
        names += [name for name in fields if name not in (*names, *but)]
    parser.set_defaults(**dict.fromkeys(names))
    return names


def given_for(
    args: argparse.Namespace, unit: Unit, units: Sequence[Unit], name: str | None = None
) -> dict[str, Any]:
    """Return the parameters of ``unit``, which the user calls ``name``, that were given.

    Raises ``ValueError`` for an option that only another of ``units`` has.
    """
    called = name or unit.name
    names = [f.name for f in dataclasses.fields(unit.params)]
    others = {f.name for each in units for f in dataclasses.fields(each.params)}
    for other in sorted(others.difference(names)):
        if getattr(args, other) is not None:
            raise ValueError(f"unit {called} has no option --{other.replace('_', '-')}")
    return {own: getattr(args, own) for own in names if getattr(args, own) is not None}


def params_from(args: argparse.Namespace, unit: Unit) -> Any:
    """Return the unit's parameters as given on the command line. Raises ``ValueError``."""
    return unit.params(**{f.name: getattr(args, f.name) for f in dataclasses.fields(unit.params)})


def unit_parser(commands: Any, unit: Unit) -> argparse.ArgumentParser:
    """Add the sub-command of one unit, as yet without options."""
    parser: argparse.ArgumentParser = commands.add_parser(
        unit.name,
        help=unit.summary,
        description=unit.summary,
        epilog=unit.epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_units(
    parser: argparse.ArgumentParser, extra: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add a sub-command for each unit, with the unit's options and those that ``extra`` adds.

    The parsed arguments hold the unit's name as ``unit``.
    """
    commands = parser.add_subparsers(dest="unit", required=True, metavar="UNIT")
    for unit in discover().values():
        sub = unit_parser(commands, unit)
        add_unit_options(sub, unit)
        extra(sub)


@contextlib.contextmanager
def write_files(folder: Path | None = None) -> Iterator[Callable[[Path, str], None]]:
    """Collect files and write them all, or none, when the block ends without an error.

    Raises ``ValueError`` for a place that cannot be written.
    """
    pending: dict[Path, str] = {}
    yield lambda path, text: pending.__setitem__(path, text)
    temporary: list[tuple[Path, Path]] = []
    path = folder or Path()
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        for path, text in pending.items():
            if path.is_dir():
                raise IsADirectoryError(21, "it is a directory")
            part = path.with_name(f"{path.name}.{os.getpid()}.part")
            temporary.append((part, path))
            part.write_text(text, encoding="utf-8")
        for part, path in temporary:
            part.replace(path)
    except (OSError, ValueError) as error:
        for part, _ in temporary:
            with contextlib.suppress(OSError, ValueError):
                part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot write {str(path)!r}: {reason}") from None


def main(package: str, description: str, argv: list[str] | None = None) -> int:
    """Run the command of ``PACKAGE.commands`` that ``argv`` names; return the exit status."""
    parser = Parser(prog=f"python -m {package}", description=description)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = {}
    folder = importlib.import_module(f"{package}.commands")
    for info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda i: i.name):
        name = info.name.replace("_", "-")
        module = importlib.import_module(f"{package}.commands.{info.name}")
        sub = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.arguments(sub)
        modules[name] = module
    args = parser.parse_args(argv)
    return guarded(f"python -m {package} {args.command}", lambda: modules[args.command].run(args))


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def guarded(prog: str, run: Callable[[], int]) -> int:
    """Run a command; turn what the user did wrong into one line and exit status 2.

    So is what the system refuses, such as room on a full disk. To be terminated is the same as to
    be interrupted: what was begun is cleared up.
    """
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = run()
        sys.stdout.flush()
        return status
    except ValueError as error:
        print(f"{prog}: {one_line(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader has what it wanted; keep Python from complaining again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename!r}: " if error.filename else ""
        print(f"{prog}: {one_line(f'{where}{error.strerror or error}')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
