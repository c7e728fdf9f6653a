# SPDX-License-Identifier: Apache-2.0
"""The page of tables against multipliers is what its record says; the record can be resumed."""

import concurrent.futures
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import benchmarks.engine_page as engine_page
import benchmarks.engines as bench
from benchmarks.__main__ import main as benchmarks
from gen.unit import discover

ALL = [(w, a, e) for w in bench.WEIGHTS for a in bench.ACTS for e in bench.engines(w, a)]
SMALL = bench.engines("W1", "int8")[0]


def test_the_page_is_what_is_on_record() -> None:
    record = bench.load()
    assert record.keys() <= bench.points().keys()
    found = engine_page.PAGE.read_text(encoding="utf-8")
    assert found == engine_page.page(record), "run `python -m benchmarks engines`"


def test_pictures_have_the_same_bytes_from_the_same_record(tmp_path: Path) -> None:
    record = bench.load()
    for draw in (engine_page.draw_area, engine_page.draw_growth):
        for name in "ab":
            draw(record, tmp_path / f"{name}.svg")
        text = (tmp_path / "a.svg").read_text()
        assert text == (tmp_path / "b.svg").read_text() and "<svg" in text


def test_engines_of_equal_throughput() -> None:
    for weight, _, engine in ALL:
        shape = discover()[engine.unit].params(**dict(engine.options)).shape
        assert engine.macs == 32 == shape.rows * shape.columns * shape.depth, weight


def test_auto_would_choose_the_cells_of_shift_add() -> None:
    unit = discover()["array"]
    for _, _, engine in ALL:
        if engine.unit == "array":
            for target in ("gates", "xcup"):
                options = {**dict(engine.options), "arch": "auto", "target": target}
                assert unit.params(**options).cell.chosen_arch[0] == "shift-add"


def test_modules_of_a_core() -> None:
    text, top = bench._text("gates", SMALL)
    found = bench.parts(text, top)
    kinds = {kind: [n for name, n in found.items() if kind in name] for kind in ("table", "key")}
    assert kinds == {"table": [1], "key": [8]} and sorted(found.values()) == [1, 8, 8]


def test_a_point_of_the_same_text_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(bench, "report", refuse)
    text, _ = bench._text("xcup", SMALL)
    known = {"sha256": hashlib.sha256(text.encode()).hexdigest()[:16], "LUT": 7}
    assert bench.measure("xcup", SMALL, False, known) == known
    with pytest.raises(AssertionError):
        bench.measure("xcup", SMALL, False, {"sha256": "of another text"})


class Inline(concurrent.futures.Executor):
    """Calls at once; the call number ``stop`` is interrupted."""

    def __init__(self, stop: int):
        self.left = stop

    def submit(self, call: Callable[..., Any], /, *words: Any, **more: Any) -> Any:
        self.left -= 1
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        if self.left == 0:
            future.set_exception(KeyboardInterrupt())
        else:
            future.set_result(call(*words, **more))
        return future


def test_an_interrupted_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "PATH", tmp_path / "engines.json")
    every = dict(list(bench.points().items())[:3])
    monkeypatch.setattr(bench, "points", lambda: every)
    monkeypatch.setattr(bench, "measure", lambda target, engine, modules, known: {"sha256": ""})
    written: list[bench.Record] = []
    monkeypatch.setattr(engine_page, "write", lambda record: written.append(record) or [])
    monkeypatch.setattr(concurrent.futures, "as_completed", lambda futures: list(futures))
    assert bench.main(Inline(stop=3)) == 130
    assert capsys.readouterr().err.strip() == "stopped; 2 points are kept"
    assert list(bench.load()) == list(every)[:2] and not written
    assert bench.main(Inline(stop=0)) == 0
    assert list(bench.load()) == list(every) and written == [bench.load()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "engines.json cannot be read: Expecting property name"),
        ("[]", "engines.json must be an object of points, each with its sha256"),
        (json.dumps({"xcup": 3}), "engines.json must be an object of points, each with its sha256"),
    ],
)
def test_a_wrong_record_is_refused(
    text: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench, "PATH", tmp_path / "engines.json")
    bench.PATH.write_text(text)
    assert bench.main(Inline(stop=0)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and line.endswith("delete it to start anew")


def test_words_too_many_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks(["engines", "fast"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("not 'engines fast'")


@pytest.mark.deep
def test_the_record_is_what_is_measured_today() -> None:
    for key in list(bench.load())[:2]:
        target, engine, modules = bench.points()[key]
        found = bench.measure(target, engine, modules, None)
        assert found == bench.load()[key], "run `python -m benchmarks engines`"
