# SPDX-License-Identifier: Apache-2.0
"""What an array refuses, and what follows from its parameters."""

import pytest

from gen.emit import emit
from gen.unit import discover
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.dataflow import NAMES

SPARSE = {"dataflow": "cube", "arch": "nm", "sparsity": "2:4", "lanes": 2}

REFUSED = {
    "dataflow must be one of broadcast, cube, is, os, os-ws, tree, ws, not 'rs'": {
        "dataflow": "rs"
    },
    "rows must be an integer from 1 to 256, not 0": {"rows": 0},
    "columns must be an integer from 1 to 256, not 257": {"columns": 257},
    "lanes must be an integer from 1 to 256, not True": {"lanes": True},
    "max_k must be an integer from 1 to 65535, not 65536": {"max_k": 65536},
    "target must be one of gates, xcup, ecp5, ice40, not 'asic'": {"target": "asic"},
    "lanes must be 1 with dataflow broadcast, not 2; cube takes more": {"lanes": 2},
    "rows must be 1 with dataflow tree, not 4; cube takes more": {"dataflow": "tree"},
    "act must be a format with a zero, to fill up the last step of a sum, not 'bipolar4'": {
        "act": "bipolar4"
    },
    "arch must be one whose accumulate core takes plain codes with dataflow broadcast, such as "
    "shift-add, not 'bit-serial'": {"arch": "bit-serial", "format": "int4", "lanes": 1},
    "arch must be one whose dot core takes plain codes with dataflow ws, such as shift-add, "
    "not 'csa'": {"dataflow": "ws", "arch": "csa"},
    "pipeline must be 0 with dataflow is, not 1": {"dataflow": "is", "pipeline": 1},
    "depth must not be given with dataflow os, but is 8; is, os-ws and ws take it": {
        "dataflow": "os",
        "depth": 8,
    },
    "depth must be an integer from 1 to 65535, not 0": {"dataflow": "ws", "depth": 0},
    "group must not be given with dataflow os-ws, but is 4; broadcast, cube, os and tree take it": {
        "dataflow": "os-ws",
        "group": 4,
    },
    "load must be row or tile with dataflow ws and not be given with others, "
    "not 'row' with os-ws": {"dataflow": "os-ws", "load": "row"},
    "skew must be one of regs, addr, not 'ram'": {"dataflow": "os", "skew": "ram"},
    "skew must not be given with dataflow cube, but is addr; is, os, os-ws, ws take it": {
        "dataflow": "cube",
        "skew": "addr",
    },
    "sparsity must not be given with arch auto, but is '2:4'; nm takes it": {"sparsity": "2:4"},
    "sparsity must be N:M with arch nm, M 2, 4, 8 or 16 and N below M, such as 2:4, not None": {
        "arch": "nm"
    },
    "dataflow must be one of broadcast, cube, tree with arch nm, not 'os'": {
        **SPARSE,
        "dataflow": "os",
    },
    "lanes must be a multiple of 2 with sparsity 2:4, not 3": {**SPARSE, "lanes": 3},
    "lanes must be 2 with dataflow broadcast, not 4; cube takes more": {
        **SPARSE,
        "dataflow": "broadcast",
        "lanes": 4,
    },
    "format must be one with a zero with arch nm, to fill up blocks, not 'bipolar2'": {
        **SPARSE,
        "format": "bipolar2",
    },
    "zero_point must not be given with arch nm": {
        **SPARSE,
        "group": 4,
        "scale": "fp16",
        "zero_point": True,
    },
    "group must be a multiple of the activations of a step, 4, not 6": {**SPARSE, "group": 6},
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    with pytest.raises(ValueError) as error:
        ArrayParams(**REFUSED[message])
    assert str(error.value) == message


def test_every_message_of_the_cells_is_passed_on():
    with pytest.raises(ValueError, match="acc_bits must be an integer from 24 to 4096, not 8"):
        ArrayParams(format="int4", acc_bits=8)


@pytest.mark.parametrize("flow", NAMES)
def test_text_grows_with_rows_and_columns_not_with_cells(flow):
    unit = discover()["array"]

    def lines(size):
        rows = 1 if flow == "tree" else size
        params = unit.params(dataflow=flow, format="int4", rows=rows, columns=size, max_k=64)
        return len(emit(unit, params)[0].splitlines())

    small, large = lines(8), lines(16)
    assert large < 1.9 * small


def test_beats_and_results():
    shape = ArrayParams(dataflow="cube", format="int4", rows=3, columns=5, lanes=7).shape
    assert (shape.act_bits, shape.wgt_bits, shape.out_bits) == (3 * 7 * 8, 5 * 7 * 4, 32)
    shape = ArrayParams(dataflow="is", format="int4", rows=3, columns=5, lanes=7).shape
    assert (shape.act_bits, shape.wgt_bits) == (5 * 7 * 8, 3 * 7 * 4)


def test_beats_of_sparse_weights():
    shape = ArrayParams(format="int4", rows=3, columns=5, **{**SPARSE, "lanes": 6}).shape
    assert (shape.depth, shape.act_bits, shape.wgt_bits) == (12, 3 * 12 * 8, 5 * 6 * (4 + 2))
    assert (shape.beats, shape.flagged) == (2, True)
    # Neither 16, which the descriptor has no room for, nor a ratio that is no whole number.
    for sparsity, lanes in (("2:16", 2), ("3:4", 3)):
        params = ArrayParams(**{**SPARSE, "sparsity": sparsity, "lanes": lanes})
        assert params.shape.beats == 1
