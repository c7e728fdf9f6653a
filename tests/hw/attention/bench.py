# SPDX-License-Identifier: Apache-2.0
"""Emit a unit, simulate its Verilog, compare with the golden model."""

import inspect
import sys
import textwrap

import numpy as np

from gen.emit import emit
from gen.unit import discover
from sim.bench.check import Pass, check, golden_of

QUIET = [Pass("none", "none")]
BUSY = [Pass("none", "none"), Pass("bursty", "bursty"), Pass("slow", "none")]


def simulate(unit, parameters, folder, stimulus=None, beats=150, passes=QUIET):
    """Return the report and the manifest; the stimulus is the golden model's own by default."""
    unit = discover()[unit]
    text, manifest = emit(unit, unit.params(**parameters))
    golden, chosen = golden_of(manifest), manifest["parameters"]
    if stimulus is None:
        stimulus = golden.vectors(chosen, np.random.default_rng(5), beats)
    path = folder / "unit.v"
    path.write_text(text)
    return check(path, manifest, stimulus, folder / "build", passes=passes), manifest


def holds(unit, parameters, folder, **options):
    report, _ = simulate(unit, parameters, folder, **options)
    assert report.passed, report.mismatch or report.fault


def broken(monkeypatch, cls, name, old, new):
    """Put ``new`` for ``old`` into a function of a class or module."""
    source = textwrap.dedent(inspect.getsource(getattr(cls, name)))
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times"
    space: dict = {}
    home = sys.modules[getattr(cls, "__module__", cls.__name__)]
    exec(compile(source.replace(old, new), name, "exec"), vars(home), space)
    monkeypatch.setattr(cls, name, space[name])
