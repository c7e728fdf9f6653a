# SPDX-License-Identifier: Apache-2.0
"""The unit ``softmax``: emitted Verilog against the definition, its cycles, faults, refusals."""

import functools
import inspect
import sys
import textwrap

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.attention import (
    first_pass,
    fixed_scale,
    normalize,
    row_store,
    softmax_ita,
    softmax_log,
    softmax_online,
)
from hw.attention.softmax_params import KINDS, SoftmaxParams
from sim.bench.check import Pass, check, golden_of, passes_for
from sim.bench.pack import unpack

UNIT = discover()["softmax"]

#: Small shapes: rows of up to a few beats, so that most are near the longest.
CASES = [
    {"kind": "safe", "lanes": 2},
    {"kind": "safe", "lanes": 3, "in_bits": 5, "exp_bits": 16, "out_bits": 16, "target": "fpga"},
    {"kind": "online"},
    {"kind": "online", "lanes": 1, "in_bits": 12, "exp_bits": 6, "target": "fpga"},
    {"kind": "two-pass"},
    {"kind": "two-pass", "lanes": 1, "in_bits": 16, "out_bits": 12, "target": "fpga"},
    {"kind": "ita", "lanes": 4},
    {"kind": "ita", "lanes": 4, "shift": 5},
    {"kind": "ibert"},
    {"kind": "ibert", "lanes": 1, "in_bits": 14, "scale": "1/1024"},
    {"kind": "ivit"},
    {"kind": "ivit", "lanes": 1, "in_bits": 14, "scale": "1/512"},
    {"kind": "log2", "code_bits": 3},
    {"kind": "log-sqrt2"},
    {"kind": "adalog"},
]

#: Of each kind the first case is run in every regression.
RUN = [
    pytest.param(
        case,
        id="-".join(map(str, case.values())),
        marks=[] if case in [next(c for c in CASES if c["kind"] == kind) for kind in KINDS]
        else pytest.mark.deep,
    )
    for case in CASES
]  # fmt: skip


@functools.cache
def emitted(items):
    return emit(UNIT, UNIT.params(**{"max_len": 12, **dict(items)}))


def simulate(parameters, folder, stimulus, passes=None, made=emitted):
    text, manifest = made(tuple(parameters.items()))
    (folder / "softmax.v").write_text(text)
    beats = stimulus(golden_of(manifest), manifest["parameters"])
    plan = passes or [Pass("none", "none")]
    return check(folder / "softmax.v", manifest, beats, folder / "build", passes=plan), manifest


def checked(parameters, folder, beats=200, passes=None, made=emitted):
    def stimulus(golden, chosen):
        return golden.vectors(chosen, np.random.default_rng(5), beats)

    return simulate(parameters, folder, stimulus, passes, made)[0]


@pytest.mark.parametrize("parameters", RUN)
def test_verilog(parameters, tmp_path):
    """The bench holds the pass without stalls to the cycles that the manifest promises."""
    slow = parameters["kind"] in ("ita", "ibert", "ivit")
    passes = [p for p in passes_for("all") if p.source == p.sink and p.source in ("none", "bursty")]
    report = checked(parameters, tmp_path, 60 if slow else 200, passes)
    assert report.passed, report.mismatch or report.fault


@pytest.mark.deep
@pytest.mark.parametrize("kind", KINDS)
def test_default_parameters(kind, tmp_path):
    report = checked({"kind": kind, "max_len": 1024}, tmp_path, 1500, passes_for("all"))
    assert report.passed, report.mismatch or report.fault


def rows_of(lengths, m=20000, sh=3):
    """Full rows of given numbers of beats."""

    def stimulus(golden, chosen):
        lanes, count = chosen["lanes"], sum(lengths)
        x = np.arange(count * lanes).reshape(count, lanes) * 37 % 256 - 128 >> 8 - chosen["in_bits"]
        last = np.zeros(count, dtype=bool)
        last[np.cumsum(lengths) - 1] = True
        beats = {"x": x, "keep": np.ones_like(x, dtype=bool), "last": last}
        return {**beats, "m": np.full(count, m), "sh": np.full(count, sh)}

    return stimulus


def alone(parameters, folder, length):
    report, manifest = simulate(parameters, folder, rows_of([length]))
    assert report.passed, report.mismatch or report.fault
    promise = manifest["contract"]
    assert promise["overhead"] <= 64
    assert report.passes[0].cycles == promise["passes"] * length + promise["overhead"]
    assert (
        manifest["latency"] == (promise["passes"] - 1) * promise["max_beats"] + promise["overhead"]
    )
    return promise


#: Of the first and the third case the cycles are measured in every regression.
TIMED = [CASES[0], CASES[2], *(pytest.param(case, marks=pytest.mark.deep) for case in CASES[3:])]


@pytest.mark.parametrize("parameters", TIMED, ids=str)
def test_cycles_of_a_row_alone(parameters, tmp_path):
    alone(parameters, tmp_path, 1)


@pytest.mark.deep
@pytest.mark.parametrize("parameters", CASES, ids=str)
def test_cycles_of_the_longest_row_alone(parameters, tmp_path):
    alone(parameters, tmp_path, UNIT.params(max_len=12, **parameters).max_beats)


@pytest.mark.parametrize("kind", ["safe", *(pytest.param(k, marks=pytest.mark.deep) for k in (
    "online", "two-pass", "log2"))])  # fmt: skip
def test_rows_follow_without_a_gap(kind, tmp_path):
    """Whatever their lengths, one beat a cycle goes in and, after a while, comes out."""
    lengths = [6, 1, 1, 1, 1, 1, 1, 1, 6, 2, 1, 5, 6, 6, 1, 3] + [1] * 20 + [6, 6]
    parameters = {"kind": kind, "lanes": 2}
    report, manifest = simulate(parameters, tmp_path, rows_of(lengths))
    promise = manifest["contract"]
    last = promise["passes"] * lengths[-1] + promise["overhead"]
    assert report.passed and report.passes[0].cycles == sum(lengths[:-1]) + last


def test_rows_hide_the_division(tmp_path):
    parameters = {"kind": "ibert", "lanes": 1, "max_len": 20}
    report, manifest = simulate(parameters, tmp_path, rows_of([20] * 4))
    promise = manifest["contract"]
    assert promise["row_cycles"] == 20
    assert report.passes[0].cycles == 60 + promise["passes"] * 20 + promise["overhead"]


def answers(parameters, folder, elements, m=0, sh=0):
    """The probabilities of one row, padded with what is absent."""

    def stimulus(golden, chosen):
        lanes = chosen["lanes"]
        count = -(-len(elements) // lanes)
        x, keep = np.full(count * lanes, 77), np.arange(count * lanes) < len(elements)
        x[: len(elements)] = elements
        last = np.arange(count) == count - 1
        beats = {"x": x.reshape(count, lanes), "keep": keep.reshape(count, lanes), "last": last}
        return {**beats, "m": np.full(count, m), "sh": np.full(count, sh)}

    report, manifest = simulate(parameters, folder, stimulus)
    assert report.passed, report.mismatch or report.fault
    port = next(p for p in manifest["ports"] if p["name"] == "o_p")
    lanes = manifest["parameters"]["lanes"]
    words = [int(w) for w in report.outputs["o_p"]]
    return (
        unpack(words, port["width"], lanes, parameters["kind"] == "ivit")
        .ravel()[: len(elements)]
        .tolist()
    )


FEW = [0, -3, -8, -16, -40, -100, 5, 5]


@pytest.mark.parametrize(
    ("parameters", "elements", "due"),
    [
        ({"kind": "ibert"}, FEW, [45, 37, 28, 17, 4, 0, 61, 61]),
        ({"kind": "ivit"}, FEW, [23, 19, 14, 8, 2, 0, 30, 30]),
        (
            {"kind": "ita"},
            [
                int(w)
                for w in """10 10 9 8 7 3 0 -5 12 12 11 2 1 0 -1 -128
                13 4 5 6 7 8 9 10 10 11 12 12 13 13 -20 0""".split()
            ],
            [
                int(w)
                for w in """5 5 2 1 0 0 0 0 20 20 10 0 0 0 0 0
                40 0 0 0 0 1 2 5 5 10 20 20 40 40 0 0""".split()
            ],
        ),
        (
            {"kind": "ita", "shift": 5},
            [
                int(w)
                for w in """100 90 80 64 48 32 16 0 -16 -32 -48 -64 -80 -100 -127 -128
                110 95 85 60 50 30 10 5 -5 -10 -30 -50 -60 -85 -95 -110""".split()
            ],
            [
                int(w)
                for w in """33 16 16 16 8 8 4 4 2 2 1 1 0 0 0 0
                33 33 16 8 8 4 4 4 2 2 2 1 1 0 0 0""".split()
            ],
        ),
    ],
)
def test_published_values(parameters, elements, due, tmp_path):
    assert answers({**parameters, "max_len": 32}, tmp_path, elements) == due


@pytest.mark.parametrize("kind", ["safe", *(pytest.param(k, marks=pytest.mark.deep) for k in (
    "online", "two-pass"))])  # fmt: skip
def test_ours_near_the_real_numbers(kind, tmp_path):
    """A scale of ln 2 has no error of its own."""
    parameters = {"kind": kind, "out_bits": 16}
    x = np.array([0, -1, -2, -3, -4, -9, 5, 5, 4, 1])
    found = answers(parameters, tmp_path, x.tolist(), m=4096, sh=0)
    exact = np.exp2(x - 5.0) / np.exp2(x - 5.0).sum() * 65536
    assert np.abs(found - exact).max() < 12


def test_fault_of_ita(tmp_path):
    """256 equal logits give a row of zeros."""
    parameters = {"kind": "ita", "max_len": 256}
    assert set(answers(parameters, tmp_path, [3] * 256)) == {0}


@pytest.mark.deep
def test_ours_has_not_the_fault_of_ita(tmp_path):
    parameters = {"kind": "two-pass", "max_len": 256, "lanes": 4, "out_bits": 16}
    assert set(answers(parameters, tmp_path, [3] * 256, m=4096)) == {256}


def replaced(cls, name, old, new):
    """Return a function of a class or module whose source has ``new`` for ``old``."""
    source = textwrap.dedent(inspect.getsource(getattr(cls, name)))
    assert source.count(old) == 1
    space: dict = {}
    home = sys.modules[getattr(cls, "__module__", cls.__name__)]
    exec(compile(source.replace(old, new), name, "exec"), vars(home), space)
    return space[name]


FINE = {"kind": "online", "exp_bits": 4, "out_bits": 16}

#: Parameters, where the fault is, and what stands there instead. The first three are always run.
FAULTS = [
    ({"kind": "safe"}, first_pass.MaximumPass, "describe", "opens | (some > best)", "some > best"),
    ({"kind": "safe"}, row_store.RowStore, "elaborate", "| record.err", ""),
    ({"kind": "log2"}, softmax_log.LogSoftmax, "_code", "+ near[places - 1]", ""),
    ({"kind": "ita"}, softmax_ita.ItaPass, "describe", "8 - k", "7 - k"),
    ({"kind": "ivit"}, fixed_scale.IVit, "word", "rest + 1", "rest"),
    (FINE, softmax_online.OnlinePass, "_summed", "1 << 15", "0"),
    ({"kind": "online"}, softmax_online.OnlinePass, "describe", "later(opens, 1, at)", "0"),
    ({"kind": "safe"}, row_store.RowStore, "_check", "count == most", "count == most - 1"),
    ({"kind": "two-pass"}, normalize.Normalize, "body", "shifted[0])", "0 & shifted[0])"),
    ({"kind": "ibert"}, fixed_scale.IBert, "_exact", "- self._b", "- 2 * self._b"),
    ({"kind": "adalog"}, softmax_log.LogSoftmax, "_code", "1 << 26", "0"),
]


@pytest.mark.parametrize("number", [k if k < 3 else pytest.param(k, marks=pytest.mark.deep)
                                    for k in range(len(FAULTS))])  # fmt: skip
def test_fault_is_caught(number, tmp_path, monkeypatch):
    parameters, cls, method, old, new = FAULTS[number]
    monkeypatch.setattr(cls, method, replaced(cls, method, old, new))
    beats = 60 if parameters["kind"] in ("ita", "ibert", "ivit") else 300
    report = checked(parameters, tmp_path, beats, made=emitted.__wrapped__)
    assert not report.passed


def test_mismatch_shows_its_row(tmp_path, monkeypatch):
    """Results are beats, of a row too long only one: the operands are those of the row."""
    parameters, cls, method, old, new = FAULTS[2]
    monkeypatch.setattr(cls, method, replaced(cls, method, old, new))
    stimulus = rows_of([1, 4, 2], m=1000, sh=0)
    report, _ = simulate(parameters, tmp_path, stimulus, made=emitted.__wrapped__)
    assert report.mismatch is not None and report.mismatch.result in (2, 3)
    assert len(report.mismatch.operands["x"]) == 2


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"kind": "soft"}, "kind must be one of safe, online, .*, not 'soft'"),
        ({"lanes": 65}, "lanes must be an integer from 1 to 64, not 65"),
        ({"kind": "two-pass", "lanes": 3}, "lanes must be a power of two with two-pass, not 3"),
        ({"kind": "ita", "in_bits": 7}, "in_bits must be an integer from 8 to 8, not 7"),
        ({"max_len": 0}, "max_len must be an integer from 1 to 65536, not 0"),
        ({"kind": "log2", "out_bits": 8}, "out_bits must not be given with kind log2"),
        ({"kind": "ivit", "out_bits": 9}, "out_bits must be an integer from 8 to 8, not 9"),
        ({"exp_bits": 17}, "exp_bits must be an integer from 4 to 16, not 17"),
        ({"kind": "ibert", "scale": "1/2"}, "scale must be a fraction from .*, not '1/2'"),
        ({"kind": "ibert", "scale": "x"}, "scale must be a fraction from .*, not 'x'"),
        ({"scale": "1/16"}, "scale must not be given with kind safe"),
        ({"kind": "adalog", "base": 9}, "base must be an integer from 10 to 60, not 9"),
    ],
)
def test_refusals(parameters, text):
    with pytest.raises(ValueError, match=text):
        SoftmaxParams(**parameters)
