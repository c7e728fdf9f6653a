# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/dsp48.py``: the slice's pre-adder and multiplier."""

from pathlib import Path

import numpy as np
from amaranth.back import verilog

from hw.arith.dsp48 import A_BITS, B_BITS, Dsp48
from sim.bench.netlist import Netlist


def test_the_multiplier(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    top = 1 << A_BITS - 2
    wide = np.concatenate([[0, -1, top - 1, -top], rng.integers(-top, top, 500)])
    a, d = wide, rng.permutation(wide)
    b = rng.choice([-1 << B_BITS - 1, (1 << B_BITS - 1) - 1, 0, 1, -1, 12345], len(wide))
    text = verilog.convert(Dsp48(), name="slice", emit_src=False)
    (tmp_path / "slice.v").write_text(text, encoding="utf-8")
    netlist = Netlist.read([tmp_path / "slice.v"], "slice", tmp_path)
    inputs = {"a": a % (1 << A_BITS), "d": d % (1 << A_BITS), "b": b % (1 << B_BITS)}
    bits = netlist.evaluate(inputs)["p"].astype(np.int64)
    assert bits.shape[1] == A_BITS + B_BITS
    found = bits @ (1 << np.arange(bits.shape[1])) - (bits[:, -1] << bits.shape[1])
    assert found.tolist() == ((d - a) * b).tolist()
