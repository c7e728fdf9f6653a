# SPDX-License-Identifier: Apache-2.0
"""The unit ``softmax``: emitted Verilog against the definition, its cycles, faults, refusals."""

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
from hw.attention.softmax import build
from hw.attention.softmax_params import KINDS, SoftmaxParams
from sim.bench.check import Pass, check, golden_of, passes_for
from sim.bench.pysim import exchange

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


def checked(parameters, folder, beats=200, passes=(Pass("none", "none"),)):
    params = UNIT.params(**{"max_len": 12, **parameters})
    text, manifest = emit(UNIT, params)
    (folder / "softmax.v").write_text(text)
    stimulus = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(5), beats)
    return check(folder / "softmax.v", manifest, stimulus, folder / "build", passes=passes)


@pytest.mark.parametrize("parameters", RUN)
def test_verilog(parameters, tmp_path):
    """The bench holds the pass without stalls to the cycles that the manifest promises."""
    slow = parameters["kind"] in ("ita", "ibert", "ivit")
    passes = [p for p in passes_for("all") if p.source == "none" or p.sink == "bursty"]
    report = checked(parameters, tmp_path, 60 if slow else 200, passes)
    assert report.passed, report.mismatch or report.fault


@pytest.mark.deep
@pytest.mark.parametrize("kind", KINDS)
def test_default_parameters(kind, tmp_path):
    report = checked({"kind": kind, "max_len": 1024}, tmp_path, 1500, passes_for("all"))
    assert report.passed, report.mismatch or report.fault


def beats_of(params, lengths):
    """Rows of equal logits and some others, of given numbers of beats."""
    scale = {"m": 20000, "sh": 3} if params.scaled else {}
    word = (1 << params.width * params.in_bits) // 3
    return [
        {"x": word >> k % 5, "keep": (1 << params.width) - 1, "last": k == length - 1, **scale}
        for length in lengths
        for k in range(length)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_cycles_of_a_row_alone(kind):
    params = SoftmaxParams(kind=kind, lanes=2, max_len=12)
    for length in (1, params.max_beats):
        unit = build(params)
        _, cycles = exchange(unit, beats_of(params, [length]), length)
        assert cycles == unit.passes * length + unit.overhead
        assert unit.overhead <= 64
        assert unit.latency == (unit.passes - 1) * params.max_beats + unit.overhead


@pytest.mark.parametrize("kind", ["safe", "log2"])
def test_rows_follow_without_a_gap(kind):
    """Whatever their lengths, one beat a cycle goes in and, after a while, comes out."""
    params = SoftmaxParams(kind=kind, lanes=1, max_len=6)
    lengths = [6, 1, 1, 1, 1, 1, 1, 1, 6, 2, 1, 5, 6, 6, 1, 3] + [1] * 20 + [6, 6]
    unit = build(params)
    _, cycles = exchange(unit, beats_of(params, lengths), sum(lengths))
    last = lengths[-1]
    assert cycles == sum(lengths) - last + unit.passes * last + unit.overhead


def test_rows_hide_the_division():
    params = SoftmaxParams(kind="ibert", lanes=1, max_len=20)
    unit = build(params)
    _, cycles = exchange(unit, beats_of(params, [20] * 4), 80)
    assert cycles == 60 + unit.passes * 20 + unit.overhead
    assert unit.row_cycles == 20


def rows_of(params, elements, m=0, sh=0):
    """One row, padded with what is absent."""
    lanes, bits = params.width, params.in_bits
    scale = {"m": m, "sh": sh} if params.scaled else {}
    found = []
    for start in range(0, len(elements), lanes):
        part = elements[start : start + lanes]
        word = sum((x & (1 << bits) - 1) << lane * bits for lane, x in enumerate(part))
        keep = (1 << len(part)) - 1
        found.append({"x": word, "keep": keep, "last": start + lanes >= len(elements), **scale})
    return found


def answers(params, elements, **scale):
    beats = rows_of(params, elements, **scale)
    got, _ = exchange(build(params), beats, len(beats))
    bits, signed = params.p_bits, params.kind == "ivit"
    words = [beat["p"] >> lane * bits & (1 << bits) - 1
             for beat in got for lane in range(params.width)]  # fmt: skip
    return [w - (w >> bits - 1 << bits) * signed for w in words[: len(elements)]], got


FEW = [0, -3, -8, -16, -40, -100, 5, 5]


@pytest.mark.parametrize(
    ("parameters", "elements", "due"),
    [
        ({"kind": "ibert"}, FEW, [45, 37, 28, 17, 4, 0, 61, 61]),
        ({"kind": "ivit"}, FEW, [23, 19, 14, 8, 2, 0, 30, 30]),
        ({"kind": "ibert"}, [7], [255]),
        ({"kind": "ivit"}, [7], [127]),
        (
            {"kind": "ita"},
            [10, 10, 9, 8, 7, 3, 0, -5, 12, 12, 11, 2, 1, 0, -1, -128]
            + [13, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12, 12, 13, 13, -20, 0],
            [5, 5, 2, 1, 0, 0, 0, 0, 20, 20, 10, 0, 0, 0, 0, 0]
            + [40, 0, 0, 0, 0, 1, 2, 5, 5, 10, 20, 20, 40, 40, 0, 0],
        ),
        (
            {"kind": "ita", "shift": 5},
            [100, 90, 80, 64, 48, 32, 16, 0, -16, -32, -48, -64, -80, -100, -127, -128]
            + [110, 95, 85, 60, 50, 30, 10, 5, -5, -10, -30, -50, -60, -85, -95, -110],
            [33, 16, 16, 16, 8, 8, 4, 4, 2, 2, 1, 1, 0, 0, 0, 0]
            + [33, 33, 16, 8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 0, 0, 0],
        ),
    ],
)
def test_published_values(parameters, elements, due):
    assert answers(SoftmaxParams(max_len=32, **parameters), elements)[0] == due


@pytest.mark.parametrize("kind", ["safe", "online", "two-pass"])
def test_ours_near_the_real_numbers(kind):
    """Unlike ITA's, rows of hundreds of equal logits do not vanish; a scale of ln 2 is exact."""
    params = SoftmaxParams(kind=kind, lanes=8, max_len=512, out_bits=16)
    found, _ = answers(params, [3] * 512, m=4096, sh=0)
    assert set(found) == {128}
    x = np.array([0, -1, -2, -3, -4, -9, 5, 5, 4, 1])
    found, _ = answers(params, x.tolist(), m=4096, sh=0)
    exact = np.exp2(x - 5.0) / np.exp2(x - 5.0).sum() * 65536
    assert np.abs(found - exact).max() < 12


def test_fault_of_ita_is_kept():
    """256 equal logits give a row of zeros."""
    assert set(answers(SoftmaxParams(kind="ita", max_len=256), [3] * 256)[0]) == {0}
    assert set(answers(SoftmaxParams(kind="ita", max_len=256), [3] * 255)[0]) == {1}


def replaced(cls, name, old, new):
    """Return a function of a class or module whose source has ``new`` for ``old``."""
    source = textwrap.dedent(inspect.getsource(getattr(cls, name)))
    assert source.count(old) == 1
    space: dict = {}
    home = sys.modules[getattr(cls, "__module__", cls.__name__)]
    exec(compile(source.replace(old, new), name, "exec"), vars(home), space)
    return space[name]


@pytest.mark.parametrize(
    ("kind", "cls", "method", "old", "new"),
    [
        ("online", softmax_online.OnlinePass, "_summed", "1 << 15", "0"),
        ("online", softmax_online.OnlinePass, "describe", "later(opens, 1, at)", "later(0, 1, at)"),
        ("safe", row_store.RowStore, "_check", "count == most", "count == most - 1"),
        ("safe", row_store.RowStore, "elaborate", "| record.err", ""),
        ("safe", first_pass.MaximumPass, "describe", "opens | (some > best)", "(some > best)"),
        ("two-pass", normalize.Normalize, "body", "shifted[0])", "0 & shifted[0])"),
        ("ita", softmax_ita.ItaPass, "describe", "8 - k", "7 - k"),
        ("ibert", fixed_scale.IBert, "word", "round(", "int("),
        ("ivit", fixed_scale.IVit, "word", "rest + 1", "rest"),
        ("log2", softmax_log.LogSoftmax, "_code", "+ near[places - 1]", ""),
        ("adalog", softmax_log.LogSoftmax, "_code", "1 << 26", "0"),
    ],
)
def test_fault_is_caught(kind, cls, method, old, new, tmp_path, monkeypatch):
    wrong = replaced(cls, method, old, new)
    monkeypatch.setattr(cls, method, wrong)
    beats = 60 if kind in ("ita", "ibert", "ivit") else 300
    assert not checked({"kind": kind}, tmp_path, beats).passed


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
