# SPDX-License-Identifier: Apache-2.0
"""A matrix engine, named by its command line, held to its golden model in the simulator."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gen.cli import Parser, params_from
from gen.emit import emit
from gen.unit import Unit as Generator
from sim.bench import streams
from sim.bench.check import Pass, golden_of
from sim.engines import add_engines, engines
from sim.golden.mpgemm.draws import joined, split
from sim.golden.mpgemm.two_flows import of_flow
from sim.golden.mpgemm.unit import Unit

__all__ = ["PASSES", "Job", "Result", "held", "parsed", "resolved"]

PASSES = [Pass("none", "none"), Pass("random", "bursty")]


@dataclass(frozen=True)
class Job:
    """Codes A (M, K), weights (K, N) as the engine's packer takes them, and what else there is.

    ``words`` are the beats of the weights, where they are packed already, ``flow`` is the dataflow
    that a job of ``os-ws`` chooses.
    """

    a: Any
    w: Any
    bits: int = 0
    s: Any = None
    words: Any = None
    flow: int = 0


@dataclass(frozen=True)
class Result:
    """What came out for each given job, (M, N) and which of it is NaN, and the parameters."""

    c: list[np.ndarray]
    nan: list[np.ndarray]
    parameters: dict[str, Any]


def parsed(command: str) -> tuple[Generator, Any]:
    """The unit and the parameters of a command line such as ``array --dataflow os``.

    What comes before the name of the unit does not matter; of an option given twice the last
    counts.
    """
    words = command.split()
    first = next(at for at, word in enumerate(words) if word in engines())
    args = _parser().parse_args(words[first:])
    unit = engines()[args.unit]
    return unit, params_from(args, unit)


@cache
def _parser() -> Parser:
    parser = Parser()
    add_engines(parser, lambda sub: None)
    return parser


def resolved(command: str) -> dict[str, Any]:
    """The parameters of a command line with every choice made."""
    found: dict[str, Any] = parsed(command)[1].resolved
    return found


def held(command: str, folder: Path, *jobs: Job, count: int = 3, keys: bool = True) -> Result:
    """Simulate the Verilog of a command on jobs of edge shapes and corner codes, and on ``jobs``.

    Every beat must be that of the golden model, and every cycle of a job alone. Without ``keys``
    the last drawn job is left out, in which engines of tables get all keys that there are.
    """
    unit, params = parsed(command)
    text, manifest = emit(unit, params)
    source = folder / f"{manifest['module']}.v"
    source.write_text(text, encoding="utf-8")
    golden, p, model = golden_of(manifest), manifest["parameters"], Unit.of(manifest)
    drawn = split(golden.vectors(p, np.random.default_rng(1), count + (not keys)))[:count]
    own = [_streams(model, job) for job in jobs]
    stimulus = joined([*drawn, *(packets for each in own for packets in split(each))])
    report = streams.check(source, manifest, stimulus, folder / "build", passes=PASSES)
    assert report.passed, (report.fault, report.mismatch)
    assert len(report.times) == count + len(jobs)
    assert all(spent == due for _, spent, due in report.times)
    found = [_results(model, job) for job in jobs]
    return Result([c for c, _ in found], [nan for _, nan in found], p)


def _view(model: Unit, job: Job) -> Unit:
    """The model that has the order of the job's beats."""
    if model.parameters.get("dataflow") != "os-ws":
        return model
    return Unit.of({"unit": "array", "parameters": of_flow(model.parameters, job.flow)})


def _streams(model: Unit, job: Job) -> Any:
    view = _view(model, job)
    words = view.weights(job.w, len(job.a), job.bits) if job.words is None else job.words
    found = view.job(job.a, words, np.shape(job.w)[-1], job.bits, job.s)
    found["s_axis_job"]["tdata"][0] |= job.flow << 52
    return found


def _results(model: Unit, job: Job) -> tuple[Any, Any]:
    """What the model gives for a job, (M, N) and what of it is NaN."""
    each = int(model.parameters["group"]) if model.parameters.get("table_bits") else 1
    m, k = np.shape(job.a)[:2]
    out = model.module.run(model.parameters, _streams(model, job))["m_axis_out"]
    return _view(model, job).results(m, np.shape(job.w)[-1], k * each, out)
