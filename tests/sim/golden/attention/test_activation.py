# SPDX-License-Identifier: Apache-2.0
"""Activations against exact functions, the published code, and the errors of the specification."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sim.golden.attention import activation_functions as functions
from sim.golden.attention.activation import KINDS, result_bits, run, vectors
from sim.golden.attention.rows import row_slices

BASE = {"kind": "lut", "function": "gelu", "scale": "1/16", "scale_out": "1/16", "x_bits": 8}
BASE |= {"table_bits": 8, "frac": 12, "index_bits": 5, "lanes": 4, "max_len": 32}

CODES = np.arange(-128, 128)


def gelu(v):
    return np.array([0.5 * t * (1 + math.erf(t / math.sqrt(2))) for t in np.atleast_1d(v)])


def worst(found, due):
    return np.abs(found - due).max(), np.sqrt(np.mean((found - due) ** 2))


def beats(x, lanes=4, **fields):
    x = np.reshape(x, (-1, lanes))
    found = {"x": x, "keep": np.ones_like(x), "last": np.arange(len(x)) == len(x) - 1}
    return found | {name: np.broadcast_to(v, len(x)) if np.ndim(v) < 2 else v
                    for name, v in fields.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "due"),
    [("quick-gelu", 0.0203), ("gelu-tanh", 0.0005), ("h-gelu", 0.069), ("hard-swish", 0.142)],
)
def test_approximations_err_as_the_sheet_says(name, due):
    v = np.linspace(-10, 10, 20001)
    exact = gelu(v) if name != "hard-swish" else v / (1 + np.exp(-v))
    error = np.abs([functions.FUNCTIONS[name](t) for t in v] - exact).max()
    assert 0.9 * due < error < 1.1 * due


def test_polynomial_in_real_numbers():
    v = np.linspace(-4, 4, 8001)
    t = v / np.sqrt(2)
    erf = np.sign(t) * (-0.2888 * (np.minimum(np.abs(t), 1.769) - 1.769) ** 2 + 1)
    most, rms = worst(v * 0.5 * (1 + erf), gelu(v))
    assert 0.017 < most < 0.019 and 0.0080 < rms < 0.0084


@pytest.mark.parametrize("name", functions.FUNCTIONS)
def test_table_is_off_by_half_a_unit(name):
    for scale, out in ((Fraction(1, 16), Fraction(1, 16)), (Fraction(3, 100), Fraction(1, 32))):
        table = functions.function_table(name, scale, out, 8)
        found = run(BASE | {"function": name, "scale": str(scale), "scale_out": out}, beats(CODES))
        assert np.array_equal(found["y"].ravel(), table[CODES & 255])
        real = np.array([functions.FUNCTIONS[name](float(v * scale)) for v in CODES]) / float(out)
        inside = real < 127.5
        assert np.abs(found["y"].ravel() - real)[inside].max() <= 0.5
        assert (found["y"].ravel()[~inside] == 127).all()
    assert functions.function_table(name, Fraction(100), Fraction(1), 16)[128] <= 0


@pytest.mark.parametrize(
    ("index_bits", "due"), [(4, 0.0049), (5, 0.0027), (6, 0.0027), (8, 0.0027)]
)
def test_segments_of_silu(index_bits, due):
    x = np.arange(-32768, 32768)
    for frac in (11, 12):
        v = x / 2.0**frac
        found = functions.silu_segments(x, frac, index_bits) / 2.0**frac
        error = np.abs(found - v / (1 + np.exp(-v))).max()
        assert error < 1.1 * due
        if frac == 11:  # reaches 8, where the sigmoid becomes 1
            assert error > 0.9 * due
    y = functions.silu_segments([0, 32767, -32768, 16384, -16384], 11, index_bits)
    assert y.tolist() == [0, 32767, 0, 16384, 0]


@pytest.mark.parametrize(("scale", "due"), [("1/32", 0.019), ("1/16", 0.019)])
def test_ita_gelu(scale, due):
    constants = functions.ita_constants(Fraction(scale))
    s = float(Fraction(scale))
    b, c = round(-1.769 * math.sqrt(2) / s), round(1 / (-0.2888 * s * s / 2))
    assert constants == (b, c, c)
    # As the Python model of ITA computes; it clips -128, which shows only if -b is beyond 127.
    clipped = np.maximum(CODES, -127)
    poly = (np.minimum(np.abs(clipped), -b) + b) ** 2 + c
    published = clipped * (np.sign(clipped) * poly + c)
    found = functions.ita_gelu(CODES, constants)
    assert np.array_equal(found[1:], published[1:]) and found[0] == -128 * (c - (0 + c))
    assert np.abs(found).max() < 1 << 25
    assert worst(found * s * -0.2888 * s * s / 4, gelu(CODES * s))[0] < due


def test_ita_requantises_with_either_sign():
    constants = functions.ita_constants(Fraction(1, 16))
    wide = functions.ita_gelu(CODES, constants)
    for m, s, z in ((-37, 17, 0), (37, 17, 5), (127, 0, -128), (-1, 1, 3), (-128, 63, 9)):
        fields = {"m": [m] + [99] * 63, "s": [s] + [1] * 63, "z": [z] + [7] * 63}
        found = run(BASE | {"kind": "ita"}, beats(CODES, **fields))["y"].ravel()
        # The hardware's: cut, plus one if the last bit that was cut is 1.
        product = [int(v) * m for v in wide]
        cut = [(v >> s) + (v >> s - 1 & 1 if s else 0) + z for v in product]
        assert found.tolist() == [min(max(v, -128), 127) for v in cut]
    scaled = run(BASE | {"kind": "ita"}, beats(CODES, m=-37, s=17, z=0))["y"].ravel()
    assert np.abs(scaled / 16 - gelu(CODES / 16)).max() < 0.07


def test_ibert_gelu_is_the_published_code():
    for scale in (Fraction(1, 4096), Fraction(1, 300)):
        x = np.concatenate([np.arange(-3000, 3000), np.arange(-32768, 32768, 97)])
        s = float(scale) / 1.4142
        b, c = math.floor(-1.769 / s), math.floor(1 / -0.2888 / s**2)
        poly = (np.minimum(np.abs(x), -b) + b) ** 2 + c
        erf = np.floor(np.sign(x) * poly / 2.0**14)
        unit = s * s * -0.2888 * 2**14
        published = x * (erf + math.floor(1 / unit))
        found = functions.ibert_gelu(x, functions.ibert_constants(scale))
        assert np.array_equal(found, published)
        near = np.abs(x * float(scale)) <= 4
        most = worst(found[near] * float(scale) * unit / 2, gelu(x[near] * float(scale)))[0]
        # The cut after >> 14 leaves one in ``one`` of each.
        assert most < 0.0185 + 4 * (unit < 0) * abs(unit)


def int32_shift_exp(v, x0, n=23):
    """As TVM computes, where nothing overflows."""
    v = v + (v >> 1) - (v >> 4)
    v = np.maximum(v, n * x0)
    q = np.trunc(v / x0).astype(np.int64)
    return ((v - q * x0) >> 1) - x0 << n - q


def test_shift_gelu_is_the_tvm_form():
    rng = np.random.default_rng(0)
    for scale in (Fraction(1, 16), Fraction(1, 32), Fraction(1, 100), Fraction(1, 3)):
        x0 = functions.shift_limit(scale)
        assert x0 == math.trunc(-1 / (1.702 * float(scale)) - 1)
        for _ in range(20):
            x = rng.integers(-128, 128, 50)
            x[0] = abs(x[0] + 1)  # the maximum is not negative
            top = x.max()
            e, more = int32_shift_exp(x - top, x0), int32_shift_exp(-top, x0)
            assert (e + more).max() < 1 << 31
            sigmoid = (2**31 - 1) // (e + more) * e >> 24
            assert np.array_equal(functions.shift_gelu(x, x0), x * sigmoid)


def test_shift_gelu_errs_as_the_sheet_says():
    for reach, most, rms in ((4, 0.25, 0.039), (8, 0.31, 0.11)):
        scale = Fraction(reach, 128)
        found = functions.shift_gelu(CODES, functions.shift_limit(scale)) / 128 * float(scale)
        error = worst(found, gelu(CODES * float(scale)))
        assert 0.75 * most < error[0] < 1.1 * most and 0.8 * rms < error[1] < 1.1 * rms


def test_shift_gelu_of_negative_rows_is_wrong_as_published():
    x0 = functions.shift_limit(Fraction(1, 16))
    row = np.full(8, -100)
    assert functions.shift_exp(100, x0) == 2**31 - 1  # would be beyond int32
    assert functions.shift_exp(128, -1) == 2**31 - 1  # by more places than int64 has
    found = functions.shift_gelu(row, x0) / 128 / 16
    assert found[0] == -100 * 5 / 128 / 16 and abs(gelu(-100 / 16)[0]) < 1e-8
    table = functions.function_table("gelu", Fraction(1, 16), Fraction(1, 16), 8)
    assert table[-100 & 255] == 0


def test_swiglu_rounds_once():
    rng = np.random.default_rng(1)
    u = rng.integers(-128, 128, 256)
    parameters = BASE | {"kind": "swiglu", "function": "silu", "table_bits": 16}
    parameters["scale_out"] = "1/2048"
    found = run(parameters, beats(CODES, u=u.reshape(-1, 4), s=[11] + [3] * 63))["y"].ravel()
    table = functions.function_table("silu", Fraction(1, 16), Fraction(1, 2048), 16)[CODES & 255]
    due = np.clip(np.floor(table * u / 2**11 + 0.5), -128, 127)
    assert np.array_equal(found, due)
    exact = CODES / 16 / (1 + np.exp(-CODES / 16)) * u
    inside = np.abs(exact) < 127
    assert np.abs(found - exact)[inside].max() < 0.55


def test_tables_are_loaded_between_rows():
    parameters = BASE | {"function": "load"}
    first, second = np.arange(256) % 251 - 125, np.arange(20) - 7
    packets = [
        beats(CODES, load=0, t=np.zeros((64, 4))),
        beats(np.zeros(260), load=[1] + [0] * 64, t=np.append(first, [9] * 4).reshape(-1, 4)),
        beats(CODES, load=[0] + [1] * 63, t=np.zeros((64, 4))),
        beats(np.zeros(20), load=1, t=second.reshape(-1, 4)),
        beats(CODES, load=0, t=np.zeros((64, 4))),
    ]
    stream = {name: np.concatenate([p[name] for p in packets]) for name in packets[0]}
    found = run(parameters, stream)
    y = found["y"].reshape(3, 256)
    assert not y[0].any() and found["last"].sum() == 3
    assert np.array_equal(y[1], first[CODES & 255])
    assert np.array_equal(y[2], np.append(second, first[20:])[CODES & 255])


def test_impossible_scales_are_refused():
    with pytest.raises(ValueError, match="at least 1/68 with kind ita, not 1/100"):
        functions.ita_constants(Fraction(1, 100))
    with pytest.raises(ValueError, match=r"from 2\.6e-6 to 0\.0052 with kind ibert, not 1/16"):
        functions.ibert_constants(Fraction(1, 16))
    with pytest.raises(ValueError, match="with kind ibert"):
        functions.ibert_constants(Fraction(1, 10**6))
    with pytest.raises(ValueError, match="above 1/216 with kind ivit, not 1/217"):
        functions.shift_limit(Fraction(1, 217))
    assert functions.shift_limit(Fraction(1, 216)) == -127
    assert functions.ita_constants(Fraction(1, 68)).c >= -32768
    assert functions.ibert_constants(Fraction(26, 5000)).one == -16


#: What each kind has of the parameters; the others are None.
FIELDS = {
    "lut": ("function", "scale", "scale_out", "table_bits"),
    "swiglu": ("function", "scale", "scale_out", "table_bits"),
    "pwl": ("frac", "index_bits"),
    "ita": ("scale",),
    "ibert": ("scale",),
    "ivit": ("scale", "max_len"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", ["gelu", "load"])
def test_streams_of_every_kind(kind, function):
    kept = {"x_bits", "lanes", *FIELDS[kind]} - ({"scale", "scale_out"} if function == "load" and
                                                 kind in ("lut", "swiglu") else set())  # fmt: skip
    parameters = {name: value if name in kept else None for name, value in BASE.items()}
    parameters |= {"kind": kind, "function": function if "function" in kept else None}
    parameters |= {"x_bits": 16, "scale": "1/4096"} if kind == "ibert" else {}
    parameters |= {"x_bits": 16} if kind == "pwl" else {}
    stimulus = vectors(parameters, np.random.default_rng(2), 700)
    found = run(parameters, stimulus)
    assert np.abs(found["y"]).max() <= 1 << result_bits(parameters) - 1
    assert not found["y"][found["keep"] == 0].any()
    if kind == "ivit":
        assert set(found["err"].tolist()) == {0, 1}
        lengths = [part.stop - part.start for part in row_slices(stimulus["last"])]
        assert len(found["y"]) == sum(n if n <= 8 else 1 for n in lengths)
    else:
        loads = stimulus["load"] if function == "load" and kind in ("lut", "swiglu") else [0] * 700
        parts = row_slices(stimulus["last"])
        due = sum(part.stop - part.start for part in parts if not loads[part.start])
        assert len(found["y"]) == due
