# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/vector.py``: every pair of codes, whole tiles of extremes, and refusals."""

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.pe.params import PEParams
from hw.spec.formats import parse
from sim.bench.exhaustive import Pair, compare
from sim.bench.netlist import Netlist
from sim.golden.pe import pe as golden


def test_every_pair_of_codes(tmp_path):
    names = ["int4", "uint3", "sm4", "bipolar2", "ternary", "ternary_i2s"]
    pairs = [(w, a) for k, w in enumerate(names) for a in names[k:]]
    pairs += [("int4", "int8"), ("int8", "int8"), ("sm8", "uint8")]
    cells = [Pair(*pair, "vector", ("gates", "xcup")[k % 2]) for k, pair in enumerate(pairs)]
    compared, wrong = compare(cells, tmp_path, "netlist")
    assert not wrong and compared > 2 * 65536, wrong


@pytest.mark.parametrize(
    ("weight", "act", "target"),
    [("int8", "int8", "gates"), ("sm4", "uint8", "xcup"), ("int4", "int4", "gates")],
)
def test_tile_of_extremes(weight, act, target, tmp_path):
    """Sixteen lanes, each at an extreme or at random: the trees are as wide as they must be."""
    params = PEParams(format=weight, act=act, arch="vector", lanes=16, core="dot", target=target)
    text, manifest = emit(discover()["pe"], params)
    (tmp_path / "pe.v").write_text(text)
    netlist = Netlist.read([tmp_path / "pe.v"], "pe", tmp_path)
    rng = np.random.default_rng(1)
    beats, bits = {}, {"w": parse(weight).bits, "a": parse(act).bits}
    for name, width in bits.items():
        half = 1 << width - 1
        extremes = [0, half - 1, half, 2 * half - 1]
        uniform = rng.choice(extremes, (200, 1)).repeat(16, axis=1)
        mixed = rng.choice(extremes, (200, 16))
        beats[name] = np.concatenate([uniform, mixed, rng.integers(0, 2 * half, (400, 16))])
    beats["w"][:16], beats["a"][:16] = (
        np.repeat(np.array(pairs)[:, None], 16, axis=1)
        for pairs in zip(
            *((w, a) for w in _corners(bits["w"]) for a in _corners(bits["a"])), strict=True
        )
    )
    found = _evaluate(netlist, beats, bits)
    due = golden.run(manifest["parameters"], beats)["p"]
    assert found == [int(v) for v in due]


def _corners(width):
    half = 1 << width - 1
    return [0, half - 1, half, 2 * half - 1]


def _evaluate(netlist, beats, bits):
    """Return the signed output for beats of more than 64 bits, as a netlist of one-bit ports."""
    inputs, vectors = {}, {}
    for name, variables in netlist.inputs.items():
        for bit, variable in enumerate(variables):
            inputs[f"{name}{bit}"] = [variable]
            lane, place = divmod(bit, bits[name])
            vectors[f"{name}{bit}"] = beats[name][:, lane] >> place & 1
    split = Netlist(inputs, netlist.outputs, netlist.levels, netlist.variables)
    rows = split.evaluate(vectors)["p"].tolist()
    top = len(rows[0]) - 1
    return [sum(b << k for k, b in enumerate(row)) - (row[top] << top + 1) for row in rows]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "e4m3"}, "format must be an integer format .* vector, .* not 'e4m3'"),
        ({"act": "bf16"}, "act must be an integer format"),
        ({"pipeline": 3}, "pipeline must be 0, 1 or 2 with arch vector, not 3"),
        ({"scale": "fp16"}, "scale must not be given without group"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        PEParams(**{"format": "int8", "arch": "vector", **options})
