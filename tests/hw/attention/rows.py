# SPDX-License-Identifier: Apache-2.0
"""What the tests of units that take rows share."""

from functools import cache
from itertools import pairwise

import numpy as np

from gen.emit import emit
from gen.unit import discover
from sim.bench.check import Pass, check, golden_of, passes_for

FREE = (Pass("none", "none"),)


@cache
def _emitted(name, case):
    unit = discover()[name]
    return emit(unit, unit.params(**dict(case)))


def checked(name, case, folder, beats=200, edit=None, passes=FREE, stimulus=None):
    """Return the manifest and the report of a unit, its Verilog changed as ``edit`` says."""
    text, manifest = _emitted(name, tuple(case.items()))
    if edit is not None:
        assert text.count(edit[0]) == 1, (edit[0], text.count(edit[0]))
        text = text.replace(*edit)
    (folder / "dut.v").write_text(text)
    rng = np.random.default_rng(7)
    stimulus = stimulus or golden_of(manifest).vectors(manifest["parameters"], rng, beats)
    report = check(folder / "dut.v", manifest, stimulus, folder / "build", passes=passes)
    return manifest, report, stimulus


def stalled(name, case, folder, beats=200):
    """Require results of the golden model under every stall, and without any the cycles due."""
    manifest, report, given = checked(name, case, folder, beats, passes=passes_for("all"))
    assert report.passed, (report.fault, report.mismatch)
    assert report.passes[0].cycles == cycles(manifest, given["last"])
    return manifest


def cycles(manifest, last):
    """Return the cycles in which rows come out by the contract: ``max(n, R)`` each, and D."""
    ends = [0, *(np.flatnonzero(last) + 1).tolist()]
    lengths = [b - a for a, b in pairwise(ends)]
    least = manifest["contract"]["row_cycles"]
    return lengths[0] + sum(max(n, least) for n in lengths[1:]) + manifest["contract"]["overhead"]
