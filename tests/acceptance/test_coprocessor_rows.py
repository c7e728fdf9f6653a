# SPDX-License-Identifier: Apache-2.0
"""What published systems behind a bus must be able to do, on the emitted co-processor.

Numpy arrays go through the driver, registers, descriptors and memory of the compiled Verilog and
come back; what is due is the product of the values, and what the golden model of all that makes of
the same descriptors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator
from fpga.driver.errors import AcceleratorError
from fpga.driver.golden import GoldenTransport
from fpga.driver.operands import Operands, Quantized
from gen.emit import emit
from gen.unit import discover
from hw.spec.coprocessor import ERROR_CODES, FORMAT_NUMBERS, Descriptor
from hw.spec.formats import parse
from sim.coprocessor import MemoryModel, SimTransport
from sim.golden.formats import decode_float, legal_codes

XR_NPE = "XR-NPE co-processor"

_TREE = "array --dataflow tree --rows 1 --columns 2 --max-k 64 --arch multiply"

#: Words of 16 bits of both operands a step and column, as the SIMD unit of XR-NPE has them.
_ENGINES = {
    "e2m1": f"{_TREE} --lanes 4 --format e2m1 --act e2m1",
    "posit4_1": f"{_TREE} --lanes 4 --format posit4_1 --act posit4_1",
    "posit8_0": f"{_TREE} --lanes 2 --format posit8_0 --act posit8_0",
    "posit16_1": f"{_TREE} --lanes 1 --format posit16_1 --act posit16_1 --group 16 --scale e8m0 "
    "--sum fp32-seq",
    "int8": f"{_TREE} --lanes 2 --format int8 --act int8",
    "int4": f"{_TREE} --lanes 4 --format int4 --act int4",
    "ternary": f"{_TREE} --lanes 4 --format ternary --act int8",
}


@cache
def built(engine: str) -> tuple[str, dict[str, Any]]:
    """The Verilog and the manifest of a co-processor."""
    unit = discover()["coprocessor"]
    sizes = {"data_width": 32, "act_kib": 1, "wgt_kib": 1, "max_burst": 4, "outstanding": 2}
    return emit(unit, unit.params(engine=engine, perf=False, **sizes))


@contextmanager
def boards(engine: str) -> Iterator[tuple[Accelerator, Accelerator]]:
    """The compiled Verilog and its golden model, each behind the driver."""
    text, manifest = built(engine)
    model = MemoryModel(seed=3, stalls=20)
    with (
        Accelerator(SimTransport(text, manifest, model), manifest, queue=8) as board,
        Accelerator(GoldenTransport(manifest), manifest, queue=8) as golden,
    ):
        yield board, golden


def operands(
    engine: Operands, rng: np.random.Generator, sizes: tuple[int, int, int]
) -> tuple[Quantized, Quantized, dict[str, Any], Any]:
    """Draw A and W of any finite codes, and what a product takes besides; return the values too."""
    (m, n, k), p = sizes, engine.contract.parameters
    found, values = [], []
    for name, shape in ((str(p["act"]), (m, k)), (str(p["format"]), (k, n))):
        codes = legal_codes(parse(name))
        codes = codes[np.isfinite(decode_float(parse(name), codes))]
        drawn = rng.choice(codes, shape)
        found.append(Quantized(drawn, format=name))
        values.append(decode_float(parse(name), drawn))
    groups = -(-k // int(p["group"] or k))
    scales = {"scales": np.ldexp(1.0, rng.integers(-3, 4, (groups, n)))} if p["scale"] else {}
    return found[0], found[1], scales, values


@pytest.mark.parametrize("row", [XR_NPE])
def test_formats_change_at_run_time(row: str) -> None:
    """Products of all formats, in any order and several on their way, by registers and queue."""
    rng = np.random.default_rng(5)
    names = list(_ENGINES)
    with boards("; ".join(_ENGINES.values())) as (board, golden):
        device = board.device
        told = device.identify()
        assert told["CAP4"] & 0xFF == len(names)  # ENGINE_COUNT
        for number, name in enumerate(names):
            fmt = device.registers[f"ENGINE{number}"].get(told[f"ENGINE{number}"], "W_FMT")
            assert fmt == FORMAT_NUMBERS[name]
        used = set()
        for _ in range(6):
            tickets = []
            for name in rng.permutation(names):
                sizes = tuple(int(rng.integers(1, most)) for most in (5, 6, 40))
                engine = board.engines[names.index(name)]
                a, w, scales, values = operands(engine, rng, sizes)
                tickets.append((board.submit(a, w, **scales), a, w, scales, values))
            for ticket, a, w, scales, (x, y) in tickets:
                c, engine = board.wait(ticket), board.engines[ticket.engine]
                due = golden.gemm(a, w, **scales)
                assert c.dtype == due.dtype and c.tobytes() == due.tobytes()
                if not engine.contract.is_float:  # exact, in units of 2**lam
                    assert (np.ldexp(c.astype(np.float64), engine.lam) == x @ y).all()
                used.add(ticket.engine)
        assert used == set(range(len(names)))


@pytest.mark.parametrize("row", [XR_NPE])
def test_an_engine_that_does_not_exist(row: str) -> None:
    """Error 6; the next product is computed."""
    rng = np.random.default_rng(6)
    with boards("; ".join(_ENGINES.values())) as (board, _):
        for number in (len(_ENGINES), 15):
            run = board.device.start(Descriptor(m=1, n=1, k=1, engine=number))
            board.device.wait(run)
            assert isinstance(run.error, AcceleratorError)
            assert run.error.code == ERROR_CODES["unsupported"]
            a, w, _, (x, y) = operands(board.engines[4], rng, (2, 3, 9))
            assert (board.gemm(a, w, format="int8") == x @ y).all()


HSA = "HSA"

#: One array whose GEMM lets sums stay and whose GEMV lets weights stay, and one for MXINT4.
_HYBRID = (
    "array --dataflow os-ws --rows 2 --columns 2 --lanes 4 --format int4 --max-k 200 "
    "--arch multiply; array --dataflow cube --rows 2 --columns 2 --lanes 4 --format int4 "
    "--group 32 --scale e8m0 --max-k 200 --arch multiply"
)


@pytest.mark.parametrize("row", [HSA])
def test_matrices_and_vectors_on_one_array(row: str) -> None:
    """Prefill and decode in turn, with weights that were loaded once for both."""
    rng = np.random.default_rng(7)
    with boards(_HYBRID) as (board, golden):
        for k, n in ((1, 1), (7, 3), (8, 4), (70, 5), (160, 6)):
            w = Quantized(rng.integers(0, 16, (k, n)), format="int4")
            values = decode_float(parse("int4"), w.codes)
            loaded = board.load_weights(w, engine=0)
            scales = np.ldexp(1.0, rng.integers(-2, 3, (-(-k // 32), n)))
            mx = board.load_weights(w, engine=1, scales=scales)  # MXINT4
            shares = np.repeat(scales, 32, axis=0)[:k]
            for m in (1, 5, 1, 1, 2):
                a = rng.integers(-128, 128, (m, k))
                first, second = board.submit(a, loaded), board.submit(a, mx)
                assert (board.wait(first) == a @ values).all()
                c = board.wait(second)
                assert (c == a @ (values * shares)).all()
                assert c.tobytes() == golden.gemm(a, w, engine=1, scales=scales).tobytes()


@pytest.mark.parametrize("row", [HSA])
@pytest.mark.deep
def test_a_vector_keeps_all_cells_and_the_bus_busy(row: str) -> None:
    """A tile of weights each beat of the bus: all cells multiply in each of these cycles."""
    engine = "array --dataflow ws --load tile --depth 1 --rows 4 --columns 4 --format int4 "
    unit = discover()["coprocessor"]
    text, manifest = emit(unit, unit.params(engine=f"{engine} --arch multiply", data_width=64))
    rng, (n, k) = np.random.default_rng(8), (64, 256)
    with Accelerator(SimTransport(text, manifest, MemoryModel()), manifest) as board:
        a, w = rng.integers(-128, 128, (1, k)), rng.integers(-8, 8, (k, n))
        board.clear_counters()
        assert (board.gemm(a, w) == a @ w).all()
        found = board.counters()
        tiles = n // 4 * (k // 4)
        assert found["compute"] == tiles and found["macs"] == n * k
        assert found["rd_bytes"] == k * n // 2 + k
        assert found["busy"] <= tiles / 0.95 + 200
