# SPDX-License-Identifier: Apache-2.0
"""The golden custom instructions against plain numpy, and each answer that is no number."""

from typing import Any

import numpy as np
import pytest

from hw.coprocessor.cfu import CfuParams
from hw.spec.cfu import REFUSED, STATUS, function
from hw.spec.gemm import error_code
from sim.golden.coprocessor.cfu import Cfu, product

ENGINES = {
    "tree": "array --dataflow tree --rows 1 --columns 4 --lanes 4 --format int4",
    "os": "array --dataflow os --rows 3 --columns 2 --format int8",
    "ws": "array --dataflow ws --rows 2 --columns 3 --format int2 --depth 4",
    "lut": "mpgemm --engine lut --rows 2 --columns 3 --bits 2 --act int4 --max-k 64",
}


def parameters_of(engine: str) -> dict[str, Any]:
    return CfuParams(engine=ENGINES[engine]).resolved


def codes(rng: np.random.Generator, bits: int, shape: tuple[int, int]) -> tuple[Any, Any]:
    """Return random numbers and the ends, and the codes of them."""
    values = rng.integers(-(1 << bits - 1), 1 << bits - 1, shape)
    values[0, 0], values[-1, -1] = -(1 << bits - 1), (1 << bits - 1) - 1
    return values, values & (1 << bits) - 1


def signed(word: int) -> int:
    return word - (word >> 31 << 32)


def flag(answer: int, name: str) -> int:
    bit, width = STATUS[name]
    return answer >> bit & (1 << width) - 1


@pytest.mark.parametrize("engine", ENGINES)
def test_product_is_that_of_numpy(engine: str) -> None:
    parameters, rng = parameters_of(engine), np.random.default_rng(1)
    own = parameters["engine_parameters"]
    act_bits = int(str(own["act"]).removeprefix("int"))
    bits = int(own.get("bits") or str(own["format"]).removeprefix("int"))
    device = Cfu(parameters)
    for m, n, k in ((1, 1, 1), (3, 5, 17), (4, 2, 64), (2, 7, 30)):
        a, a_codes = codes(rng, act_bits, (m, k))
        w, w_codes = codes(rng, bits, (k, n))
        assert not flag(device.command(function("status"), 0, 0), "open")
        lut = engine == "lut"  # takes numbers
        weights = w if lut else w_codes
        for instruction in product(parameters, a_codes, weights, bits if lut else 0):
            assert device.command(*instruction) == 0
        found = [signed(device.command(function("result"), 0, 0)) for _ in range(m * n)]
        # Tile by tile, row by row, columns that exist.
        columns, rows, due = int(own["columns"]), int(own["rows"]), []
        for top in range(0, m, rows):
            for left in range(0, n, columns):
                due += (a @ w)[top : top + rows, left : left + columns].ravel().tolist()
        assert sorted(found) == sorted(due) if engine == "ws" else found == due
        assert device.command(function("result"), 0, 0) == 0
        assert not flag(device.command(function("status"), 0, 0), "error")


def test_answers_that_are_no_numbers() -> None:
    parameters = parameters_of("tree")
    device = Cfu(parameters)
    assert device.command(7, 1, 2) == REFUSED
    assert device.command(function("scale"), 1, 2) == REFUSED
    assert device.command(function("result", "try"), 0, 0) == 0
    one = np.ones((1, 4), dtype=np.int64)
    instructions = product(parameters, one, one.T)
    for number, instruction in enumerate(instructions):
        status = device.command(function("status"), 0, 0)
        assert flag(status, "open") == (number > 0) and not flag(status, "waiting")
        assert device.command(*instruction) == 0
    assert device.command(*instructions[0]) == REFUSED, "a product is open"
    status = device.command(function("status"), 0, 0)
    assert flag(status, "open") and flag(status, "waiting")
    assert device.command(function("result"), 0, 0) == 4
    assert not flag(device.command(function("status"), 0, 0), "open")


def test_a_job_of_nothing_is_an_error() -> None:
    parameters = parameters_of("tree")
    device = Cfu(parameters)
    assert device.command(function("job"), 0, 4) == 0
    assert device.command(function("act", "last"), 0, 0) == 0
    assert device.command(function("wgt", "both", "last"), 0, 0) == 0
    assert device.command(function("result"), 0, 0) == 0
    status = device.command(function("status"), 0, 0)
    assert flag(status, "error") == error_code("zero size") and not flag(status, "open")
