# SPDX-License-Identifier: Apache-2.0
"""Our normalisation against float64, the specification's values, and the packets of the unit."""

import numpy as np
import pytest

from sim.golden.attention.norm import KINDS, normalise, run, vectors, widths
from sim.golden.attention.tables import rhu, rsqrt

BASE = {"kind": "ln", "x_bits": 8, "lanes": 4, "max_len": 32, "frac": 12, "affine": True}
BASE |= {"out_bits": 8, "shortcut": False}


def normal(x):
    return (x - x.mean()) / x.std()


@pytest.mark.parametrize(
    ("x", "due"),
    [
        ([1, 2, 3, 4], [-5495, -1832, 1832, 5495]),
        ([0, 0, 0, 5], [-2365, -2365, -2365, 7094]),
        (
            [-7, 100, 3, 3, 50, -128, 127, 9],
            [-1504, 4539, -939, -939, 1715, -8337, 6064, -600],
        ),
        ([77] * 9, [0] * 9),
        ([-128], [0]),
        ([], []),
    ],
)
def test_golden_values(x, due):
    assert normalise("ln", x).tolist() == due


@pytest.mark.parametrize("count", [192, 768, 4096])
@pytest.mark.parametrize("deviation", [0.6, 2, 30, 3000])
def test_error_is_half_a_unit(count, deviation):
    rng = np.random.default_rng(count)
    worst = table_only = 0.0
    for _ in range(8):
        x = np.round(rng.normal(rng.uniform(-20, 20), deviation, count)).astype(np.int64)
        worst = max(worst, np.abs(normalise("ln", x) / 4096 - normal(x)).max())
        h, y = rsqrt(count * (x * x).sum() - x.sum() ** 2, newton=False)
        rough = rhu((count * x - x.sum()) * y, 16 + h - 12) / 4096
        table_only = max(table_only, np.abs(rough - normal(x)).max())
    assert worst <= 0.000123
    assert worst <= table_only <= 0.00035


def test_table_without_a_newton_step_errs_by_as_much_as_the_sheet_says():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(50):
        x = np.round(rng.normal(0, 30, 768)).astype(np.int64)
        h, y = rsqrt(768 * (x * x).sum() - x.sum() ** 2, newton=False)
        errors.append(np.abs(rhu((768 * x - x.sum()) * y, 4 + h) / 4096 - normal(x)).max())
    assert np.median(errors) <= 0.00022


def test_epsilon_and_root_mean_square_against_floats():
    rng = np.random.default_rng(1)
    for scale, eps in ((0.02, 1e-5), (0.5, 1e-2)):
        x = np.round(rng.normal(0.5, 2, 256)).astype(np.int64)
        units = int(np.floor(eps * 256**2 / scale**2 + 0.5))
        real = x * scale
        due = (real - real.mean()) / np.sqrt(real.var() + eps)
        assert np.abs(normalise("ln", x, units) / 4096 - due).max() < 0.00013
        units = int(np.floor(eps * 256 / scale**2 + 0.5))
        due = real / np.sqrt((real**2).mean() + eps) / 16
        assert np.abs(normalise("rms", x, units, 14) / 16384 - due).max() < 0.0001
        due = x / np.sqrt((x * x).sum() + units)
        assert np.abs(normalise("rms", x, units, 14) / 16384 - due).max() < 0.000031
    assert not normalise("rms", [0, 0]).any() and not normalise("ln", [3, 3]).any()


def test_what_must_not_matter_does_not():
    rng = np.random.default_rng(2)
    x = rng.integers(-100, 100, 333)
    found = normalise("ln", x)
    assert np.array_equal(normalise("ln", x + 27), found)
    order = rng.permutation(333)
    assert np.array_equal(normalise("ln", x[order]), found[order])
    assert (np.diff(found[np.argsort(x)]) >= 0).all()
    assert np.array_equal(normalise("rms", x[order]), normalise("rms", x)[order])


def test_largest_numbers_fit_their_widths():
    one_hot = np.full(4096, -32768)
    one_hot[7] = 32767
    halves = np.where(np.arange(4096) % 2, 32767, -32768)
    for x in (one_hot, halves):
        variance = 4096 * int((x * x).sum()) - int(x.sum()) ** 2 + 2**32 - 1
        assert variance < 1 << 56
        due = (x - x.mean()) / np.sqrt(x.var())
        assert np.abs(normalise("ln", x) / 4096 - due).max() < 0.00013
    for frac in (4, 12, 14):
        for kind in ("ln", "rms"):
            bits = widths(BASE | {"kind": kind, "frac": frac, "affine": False})
            y = normalise(kind, one_hot if kind == "ln" else [0] * 5 + [-32768], 0, frac)
            assert np.abs(y).max() < 1 << bits - 1


def stimulus(rows, **fields):
    """Beats of four lanes: rows of (elements, keep), then fields of one number a row."""
    columns = {"x": [], "keep": [], "last": []} | {name: [] for name in fields}
    for number, (x, keep) in enumerate(rows):
        x, keep = np.reshape(x, (-1, 4)), np.reshape(keep, (-1, 4))
        columns["x"].append(x)
        columns["keep"].append(keep)
        columns["last"].append(np.arange(len(x)) == len(x) - 1)
        for name, values in fields.items():
            wanted = np.asarray(values[number])
            if wanted.ndim or name in ("g", "b", "r"):
                columns[name].append(np.broadcast_to(wanted, x.size).reshape(x.shape))
            else:  # only the first beat counts
                columns[name].append(np.append(wanted, np.full(len(x) - 1, 1)))
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def test_tables_scale_each_element():
    rng = np.random.default_rng(3)
    g, b = rng.integers(-32768, 32768, 12), rng.integers(-(10**6), 10**6, 12)
    x = rng.integers(-128, 128, 12)
    every = np.ones(12)
    beats = stimulus(
        [(x, every), (x, every), (x, every), (x[:8], every[:8])],
        load=[0, 1, 0, 0], g=[0, g, 0, 0], b=[0, b, 0, 0], sg=[0, 20, 3, 4], eps=[0, 0, 0, 0],
    )  # fmt: skip
    found = run(BASE, beats)
    assert not found["y"][:3].any()  # nothing is loaded yet
    due = np.clip(np.floor((normalise("ln", x) * g + b) / 2**20 + 0.5), -128, 127)
    assert np.array_equal(found["y"][3:6].ravel(), due)
    due = np.clip(np.floor((normalise("ln", x[:8]) * g[:8] + b[:8]) / 2**20 + 0.5), -128, 127)
    assert np.array_equal(found["y"][6:].ravel(), due)
    assert found["last"].tolist() == [0, 0, 1, 0, 0, 1, 0, 1]


def test_tables_longer_and_shorter_than_they_should_be():
    x, every = np.arange(36), np.ones(36)
    loads = [(x, every), (x[:4], every[:4]), (x[:32], every[:32])]
    g = [np.full(36, 4096), np.full(4, -4096), 0]
    beats = stimulus(loads, load=[1, 1, 0], g=g, b=[0, 0, 0], sg=[20, 21, 0], eps=[0, 0, 0])
    y = run(BASE, beats)["y"].ravel()
    plain = normalise("ln", x[:32]) * np.where(x[:32] < 4, -4096, 4096)
    assert np.array_equal(y, np.clip(np.floor(plain / 2**21 + 0.5), -128, 127))


def test_shortcut_rounds_once():
    rng = np.random.default_rng(4)
    x, r = rng.integers(-128, 128, 8), rng.integers(-128, 128, 8)
    every = np.ones(8)
    beats = stimulus(
        [(x, every), (x, every)], load=[1, 0], g=[3000, 0], b=[77, 0], sg=[17, 0], eps=[0, 5],
        r=[0, r], m1=[0, 20000], m2=[0, -9000], ss=[0, 14],
    )  # fmt: skip
    found = run(BASE | {"shortcut": True}, beats)["y"].ravel()
    v = np.clip(np.floor((normalise("ln", x, 5) * 3000 + 77) / 2**17 + 0.5), -128, 127)
    assert np.array_equal(found, np.clip(np.floor((v * 20000 - r * 9000) / 2**14 + 0.5), -128, 127))


@pytest.mark.parametrize("kind", KINDS)
def test_absent_elements_count_for_nothing(kind):
    rng = np.random.default_rng(5)
    x, keep = rng.integers(-128, 128, 32), rng.random(32) < 0.6
    parameters = BASE | {"kind": kind, "affine": False}
    fields = {"eps": [9, 9, 9], "shift": [1, 1, 1]}
    dense, count = np.zeros(24, dtype=np.int64), int(keep.sum())
    dense[:count] = x[keep]
    empty = np.zeros(8)
    rows = [(x, keep), (dense, np.arange(24) < count), (x[:8], empty)]
    found = run(parameters, stimulus(rows, **fields))
    assert np.array_equal(found["y"][:8].ravel()[keep], found["y"][8:14].ravel()[:count])
    assert np.array_equal(found["keep"][:8].ravel(), keep)
    assert not found["y"][:8].ravel()[~keep].any() and not found["y"][14:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_row_too_long_is_one_beat_and_the_next_is_whole(kind):
    parameters = BASE | {"kind": kind, "affine": False, "max_len": 30}
    x = np.random.default_rng(6).integers(-128, 128, 36)
    rows = [(x[:32], np.ones(32)), (x, np.ones(36)), (x[:32], np.ones(32))]
    found = run(parameters, stimulus(rows, eps=[0, 0, 0], shift=[0, 0, 0]))
    assert found["err"].tolist() == [0] * 8 + [1] + [0] * 8
    assert found["last"].tolist() == [0] * 7 + [1, 1] + [0] * 7 + [1]
    assert not found["y"][8].any() and not found["keep"][8].any()
    assert np.array_equal(found["y"][:8], found["y"][9:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("affine", [False, True])
def test_stimulus_fits_the_ports(kind, affine):
    parameters = BASE | {"kind": kind, "affine": affine}
    parameters["shortcut"] = affine and kind in ("ln", "rms")
    if kind not in ("ln", "rms"):
        parameters |= {"frac": None, "out_bits": None}
    elif not affine:
        parameters["out_bits"] = None
    found = run(parameters, vectors(parameters, np.random.default_rng(7), 600))
    bits = widths(parameters)
    assert np.abs(found["y"]).max() <= 1 << bits - 1
    assert set(found["err"].tolist()) == {0, 1} and found["last"][-1]
    if affine and kind == "ln":
        inner = np.abs(found["y"][found["keep"] > 0]) < 127
        assert inner.mean() > 0.3
