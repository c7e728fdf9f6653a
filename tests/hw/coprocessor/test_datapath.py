# SPDX-License-Identifier: Apache-2.0
"""The datapath of the co-processor computes what its engine's golden model does, in memory."""

from typing import Any

import numpy as np
import pytest

from hw.coprocessor.datapath import Datapath
from hw.coprocessor.params import CoprocessorParams
from tests.hw.coprocessor.memory import (
    Memory,
    panel_of,
    rows_of,
    set_job,
    simulate,
    unit_of,
)


class Case:
    """Operands of one product in a memory, the job, and what is to come out."""

    def __init__(
        self,
        memory: Memory,
        sizes: tuple[int, int, int],
        *,
        bits: int = 0,
        skew: int = 0,
        gap: int = 0,
        w_stride: int = 0,
        seed: int = 0,
        **job: int,
    ):
        self.params, self.memory, self.sizes = memory.params, memory, sizes
        self.bits, self.rng = bits, np.random.default_rng(seed)
        (m, n, k), params = sizes, memory.params
        number = job.get("engine", 0)
        self.part = part = params.parts[number]
        unit = unit_of(params, number)
        a, w, given = self._operands(unit)
        rows = rows_of(a, part.act_slot)
        stride = len(rows[0]) + gap
        a_at = memory.place(m * stride, 16, skew)
        self.reads: set[int] = set()
        for r, row in enumerate(rows):
            self._put(a_at + r * stride, row)
        panels, scales = [], []
        for left in range(0, n, params.columns):
            own = slice(left, min(n, left + params.columns))
            panels.append(panel_of(unit.weights(w[:, own], 1, bits), part.w_slot))
            if part.has_scale:
                mine = [None if one is None else one[:, own] for one in given[:2]]
                more = [{name: row[own] for name, row in one.items()} for one in given[3:]]
                height = m if part.act_scale else 1
                words = unit.scales((*mine, given[2], *more), height, own.stop - own.start)
                scales.append(panel_of(words, part.s_slot))
        w_at = memory.place(len(panels) * (w_stride or len(panels[0])), 16)
        for at, panel in enumerate(panels):
            self._put(w_at + at * (w_stride or len(panel)), panel)
        s_at = memory.place(sum(map(len, scales)), 16)
        self._put(s_at, b"".join(scales))
        self.c_stride = n * params.c_bytes + 3 * gap
        self.job = {
            "m": m, "n": n, "k": k, "bits": bits, "a": a_at, "w": w_at, "s": s_at,
            "c": memory.place(m * self.c_stride, 16, 5 * skew),
            "a_stride": stride, "c_stride": self.c_stride, "w_stride": w_stride, **job,
        }  # fmt: skip
        self.c, self.nan = unit.product(a, w, bits, given)

    def _operands(self, unit: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        (m, n, k), rng, p = self.sizes, self.rng, self.part
        a = rng.integers(0, 1 << p.shape.lane_bits, (m, k))
        name, params = unit.name, p.engine_params
        if name in ("lut", "bit-plane"):
            half = 1 << (self.bits or params.option("bits")) - 1
            w = rng.integers(-half, half, (k, n))
        elif name in ("lut-ternary", "ternary-add"):
            w = rng.integers(-1, 2, (k, n))
        else:
            w = rng.integers(0, 1 << p.shape.wgt_bits // (p.columns * p.depth), (k, n))
        if not p.has_scale:
            return a, w, None
        groups = -(-k // p.group) if p.group else 1
        s = z = t = None
        if p.group:
            s = rng.integers(0x70, 0x80, (groups, n))
            z = rng.integers(-8, 8, (groups, n)) if p.has_zero_point else None
            t = rng.integers(0x70, 0x80, (groups, m)) if p.act_scale else None
        if params.requant is None:
            return a, w, (s, z, t)
        least = 2 if p.result.unsigned else 8  # so that some reach the top
        numbers = {"m": rng.integers(1, 1 << 7, n), "s": rng.integers(least, 14, n)}
        return a, w, (s, z, t, numbers)

    def _put(self, address: int, data: bytes) -> None:
        self.memory.put(address, data)
        self.reads.update(range(address, address + len(data)))

    def onto(self) -> "Case":
        """Add to numbers in the place of C."""
        (m, n, _), size = self.sizes, self.params.c_bytes
        before = self.rng.integers(-(1 << 8 * size - 1), 1 << 8 * size - 1, (m, n))
        for row in range(m):
            data = b"".join(int(v).to_bytes(size, "little", signed=True) for v in before[row])
            self._put(self.job["c"] + row * self.c_stride, data)
        self.c, self.job["accumulate"] = self.c + before, 1
        return self

    def wanted(self) -> bytes:
        """Return what is to be stored."""
        size = self.params.c_bytes
        values = [int(v) % (1 << 8 * size) for v in self.c.ravel()]
        return b"".join(v.to_bytes(size, "little") for v in values)

    def stored(self) -> np.ndarray:
        """Return the bytes (M, N, c_bytes) of C as they are in memory."""
        (m, n, _), size = self.sizes, self.params.c_bytes
        tops = self.job["c"] + self.c_stride * np.arange(m)[:, None] + np.arange(n * size)
        return np.frombuffer(bytes(self.memory.image), np.uint8)[tops].reshape(m, n, size)


def run(cases: list[Case]) -> list[int]:
    """Run jobs one after the other, see that memory holds their results, return their cycles."""
    params, memory = cases[0].params, cases[0].memory
    before, dut = bytes(memory.image), Datapath(params)
    cycles: list[int] = []

    async def bench(ctx: Any) -> None:
        cycles.extend(await memory.serve(ctx, dut, [case.job for case in cases]))

    simulate(dut, bench)
    size = params.c_bytes
    for case in cases:
        assert case.stored().tobytes() == case.wanted()
    # What was written is C and no more; what was read are bus words with a byte of an operand.
    assert len(memory.written) == sum(case.c.size * size for case in cases)
    after = bytes(memory.image)
    assert all(at in memory.written or before[at] == after[at] for at in range(len(after)))
    words = {byte // params.bus_bytes for case in cases for byte in case.reads}
    assert {byte // params.bus_bytes for byte in memory.read} == words
    assert memory.counts["engine_error"] == 0
    assert (memory.counts["nan"] > 0) == any(case.nan.any() for case in cases)
    return cycles


CUBE = "array --dataflow cube --rows 2 --columns 2 --lanes 4 --format int2 --act int4 --max-k 255"

#: Engines, their options, and sizes: 1, a tile less one, a tile, a tile more one, primes.
ENGINES: dict[str, tuple[str, dict[str, int], list[tuple[int, ...]]]] = {
    "cube": (
        CUBE,
        {},
        [(1, 1, 1), (1, 3, 4), (2, 2, 3), (3, 1, 5), (5, 7, 13), (4, 4, 8), (1, 11, 3), (7, 1, 37)],
    ),
    "os": (
        "array --dataflow os --rows 3 --columns 2 --format int8 --max-k 255",
        {"data_width": 32},
        [(1, 1, 1), (2, 1, 7), (3, 2, 8), (4, 3, 9), (7, 5, 17)],
    ),
    "wide bus": (CUBE, {"data_width": 256, "act_kib": 2}, [(1, 1, 1), (5, 7, 13), (3, 3, 130)]),
    "wide beats": (
        "array --dataflow cube --rows 2 --columns 4 --lanes 16 --format int2 --act int4",
        {"data_width": 32, "max_burst": 2},
        [(1, 1, 1), (5, 7, 33), (2, 3, 47), (3, 4, 16)],
    ),
    "one row": (
        "array --dataflow tree --rows 1 --columns 2 --lanes 4 --format int2",
        {"data_width": 32},
        [(1, 1, 1), (1, 11, 29), (3, 2, 4)],
    ),
    "table": (
        "array --dataflow cube --rows 2 --columns 2 --lanes 2 --format e2m1",
        {},
        [(1, 1, 1), (3, 3, 5)],
    ),
    "wide results": (
        "array --dataflow broadcast --rows 2 --columns 1 --format int2 --act fp16",
        {"data_width": 32},
        [(1, 1, 1), (3, 2, 5)],
    ),
    "planes": (
        "mpgemm --engine lut --rows 2 --columns 3 --group 2 --tables 2 --bits 3 --act int4",
        {"data_width": 32},
        [(1, 1, 1), (1, 2, 3), (2, 3, 4, 1), (3, 4, 5, 2), (5, 7, 13), (3, 3, 9, 3)],
    ),
    "trits": (
        "mpgemm --engine lut-ternary --rows 2 --columns 3 --group 2 --tables 2 --act int4",
        {},
        [(1, 1, 1), (1, 2, 3), (2, 3, 4), (3, 4, 5), (5, 7, 13)],
    ),
    "scales": (
        "mpgemm --engine shift-add --rows 2 --columns 2 --lanes 2 --format int2 --act int4 "
        "--group-size 6 --scale int8 --zero-points",
        {},
        [(1, 1, 1), (2, 2, 6), (3, 3, 7), (5, 5, 29)],
    ),
    "row scales": (
        "array --dataflow cube --rows 2 --columns 2 --lanes 2 --format int2 --act int4 --group 4 "
        "--scale e8m0 --act-scale e8m0",
        {"data_width": 32},
        [(1, 1, 1), (2, 2, 4), (3, 3, 5), (5, 5, 29)],
    ),
    "requant": (
        "array --dataflow os --rows 2 --columns 3 --format int4 --requant rhu --mult-bits 9",
        {},
        [(1, 1, 1), (2, 3, 1), (3, 4, 5), (5, 7, 13)],
    ),
    "sparse": (
        "array --dataflow cube --arch nm --sparsity 2:4 --rows 2 --columns 2 --lanes 2 "
        "--format int2 --act int4",
        {},
        [(1, 1, 1), (3, 3, 5), (3, 2, 7, 4)],
    ),
}


def memory_of(engine: str, options: dict[str, int], **bus: Any) -> Memory:
    given = {"engine": engine, "act_kib": 1, "wgt_kib": 1, **options}
    return Memory(CoprocessorParams(**given), **bus)


#: Dataflows in which weights can stay: the command, what else a job says, sizes.
STAYING: dict[str, tuple[str, dict[str, int], list[tuple[int, int, int]]]] = {
    "sums stay": ("--rows 4 --dataflow os-ws", {}, [(1, 1, 1), (5, 3, 7), (4, 4, 8), (9, 5, 23)]),
    "weights stay": (
        "--rows 4 --dataflow os-ws",
        {"gemv": 1},
        [(1, 1, 1), (1, 2, 2), (1, 3, 7), (1, 4, 8), (1, 5, 9), (1, 7, 64)],
    ),
    "row by row": ("--rows 4 --dataflow ws --depth 1", {}, [(1, 1, 1), (3, 5, 8), (2, 3, 29)]),
    "tile by tile": (
        "--rows 4 --dataflow ws --depth 1 --load tile",
        {},
        [(1, 1, 1), (3, 5, 8), (2, 3, 29)],
    ),
    "requantised": (
        "--rows 4 --dataflow os-ws --requant rhu --mult-bits 9",
        {"gemv": 1},
        [(1, 1, 1), (1, 3, 7), (1, 5, 19)],
    ),
}


@pytest.mark.parametrize("name", STAYING)
def test_weights_that_stay(name: str) -> None:
    options, job, sizes = STAYING[name]
    engine = f"array --columns 2 --lanes 2 --format int2 --act int4 {options}"
    memory = memory_of(engine, {}, pause=0.2)
    run([Case(memory, size, gap=at, seed=at, **job) for at, size in enumerate(sizes)])


def test_the_dataflow_changes_from_job_to_job() -> None:
    engine = "array --dataflow os-ws --rows 2 --columns 2 --lanes 2 --format int2 --act int4"
    memory = memory_of(engine, {})
    order = (1, 0, 0, 1, 1, 0, 1)
    run([Case(memory, (1 + 2 * (not g), 3, 9 + g), gemv=g, seed=at) for at, g in enumerate(order)])


@pytest.mark.parametrize("width", [64, 256])
def test_products_are_added_to_what_is_there(width: int) -> None:
    """Rows of one and of several beats, before and behind products that are not."""
    engine = "array --dataflow cube --rows 2 --columns 4 --lanes 2 --format int2 --act int4"
    memory = memory_of(engine, {"data_width": width, "act_kib": 2, "accumulate": True})
    sizes = [(1, 1, 1), (3, 5, 9), (4, 2, 8), (5, 13, 7)]
    cases = [
        Case(memory, size, gap=at, skew=5 * at, seed=at).onto() for at, size in enumerate(sizes)
    ]
    cases.insert(2, Case(memory, (3, 3, 7), seed=9))
    run(cases)


#: Steps of 1 to 8 products of 2 to 8 bits, planes, groups of three steps, scales of rows.
SEVERAL = "; ".join(
    (
        CUBE,
        "mpgemm --engine bit-plane --act int2 --bits 3 --planes 1 --lanes 8 --rows 2 --columns 2",
        "array --dataflow broadcast --rows 2 --columns 2 --format int2 --act int8 --acc-bits 33",
        "array --dataflow cube --rows 2 --columns 2 --lanes 2 --format int2 --act int4 --group 6 "
        "--scale e8m0",
        "array --dataflow cube --rows 2 --columns 2 --lanes 2 --format int2 --act int4 --group 4 "
        "--scale e8m0 --act-scale e8m0",
        "array --dataflow os --rows 2 --columns 2 --format int2 --act int8 --requant rhu "
        "--mult-bits 9 --requant-out uint8",
    )
)


def test_products_of_several_engines_are_exact() -> None:
    """One after the other, in an order in which each follows others."""
    memory = memory_of(SEVERAL, {}, pause=0.1)
    order = (0, 3, 1, 4, 2, 5, 4, 0, 5, 3, 2, 1)
    cases = [
        Case(memory, (1 + at % 5, 1 + at % 4, 3 + 5 * at % 23), engine=number, gap=at % 3, seed=at)
        for at, number in enumerate(order)
    ]
    run(cases)


@pytest.mark.parametrize("name", ENGINES)
def test_products_of_any_size_are_exact(name: str) -> None:
    engine, options, sizes = ENGINES[name]
    memory = memory_of(engine, options, pause=0.2)
    cases = [
        Case(memory, size[:3], bits=(*size, 0)[3], skew=3 * at % 16, gap=at, seed=at)
        for at, size in enumerate(sizes)
    ]
    run(cases)


def test_operands_that_do_not_fit_are_read_again() -> None:
    # 1 KiB of A is 64 words of 8 bytes for each of two rows, 1 KiB of W 128 slots of 8 bytes.
    engine = "array --dataflow cube --rows 2 --columns 2 --lanes 4 --format int8 --act int2"
    memory = memory_of(engine, {}, pause=0.05)
    run([Case(memory, (7, 3, 523), gap=5)])
    assert memory.words == 2 * (7 * 17 + 4 * 131)


@pytest.mark.parametrize("latency", [5, 100])
def test_the_engine_takes_a_step_a_cycle(latency: int) -> None:
    memory = memory_of(CUBE, {}, latency=latency)
    case = Case(memory, (10, 10, 96))
    (cycles,) = run([case])
    steps = 5 * 5 * 24
    # What comes on top: two latencies, the first rows, the last tile, a cycle a column tile.
    assert memory.counts["compute"] == steps
    assert memory.counts["macs"] == steps * 16
    assert memory.words == 10 * 6 + 5 * 6  # A and each panel of W once
    assert cycles <= steps + 2 * latency + 90
    assert memory.counts["load_wait"] <= latency + 50


def test_rows_of_several_words_do_not_hold_the_engine_up() -> None:
    # 4 rows of 4 words leave in 20 cycles, with a command each, while a tile takes 24.
    engine = "array --dataflow os --rows 4 --columns 4 --format int2"
    memory = memory_of(engine, {"data_width": 32}, latency=30)
    (cycles,) = run([Case(memory, (16, 16, 24))])
    assert memory.counts["compute"] == 16 * 24
    assert cycles <= 16 * 24 + 2 * 30 + 80
    assert memory.counts["stall_backpressure"] == 0


def test_a_product_with_a_vector_keeps_the_bus_busy() -> None:
    engine = "array --dataflow tree --rows 1 --columns 8 --lanes 4 --format int2 --act int4"
    memory = memory_of(engine, {}, latency=60)
    (cycles,) = run([Case(memory, (1, 32, 512))])
    words = 4 * 128 + 32
    assert memory.words == words
    assert cycles <= words / 0.95 + 2 * 60 + 20


def test_numbers_that_are_none_are_told() -> None:
    engine = "array --dataflow broadcast --rows 1 --columns 2 --format int2 --act e4m3"
    memory = memory_of(engine, {"data_width": 32})
    case = Case(memory, (2, 3, 5), seed=3)
    case.memory.put(case.job["a"], bytes([0x7F]))  # NaN
    dut = Datapath(memory.params)

    async def bench(ctx: Any) -> None:
        await memory.serve(ctx, dut, [case.job])

    simulate(dut, bench)
    assert memory.counts["nan"] > 0 and memory.counts["engine_error"] == 0


def test_activation_and_strides_reach_the_store() -> None:
    memory = memory_of(CUBE, {})
    case = Case(memory, (3, 5, 9), seed=7, activation=1, gap=2)
    case.c = np.maximum(case.c, 0)
    other = Case(memory, (3, 5, 9), seed=8, activation=3, high=5, low=-6)
    other.c = np.minimum(np.maximum(other.c, -6), 5)
    run([case, other])


def test_a_cleared_datapath_begins_anew() -> None:
    memory = memory_of(CUBE, {})
    case = Case(memory, (5, 5, 13), seed=7)
    dut = Datapath(memory.params)

    async def bench(ctx: Any) -> None:
        # Begin a job whose operands never come, drop it, run another.
        set_job(ctx, dut, {**case.job, "n": 2, "m": 9})
        await ctx.tick().repeat(12)
        assert ctx.get(dut.a_command.valid)
        ctx.set(dut.job.valid, 0)
        ctx.set(dut.a_beat.valid, 1)
        await ctx.tick().repeat(3)
        ctx.set(dut.a_beat.valid, 0)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert not ctx.get(dut.a_command.valid) and ctx.get(dut.job.ready)
        await memory.serve(ctx, dut, [case.job])

    simulate(dut, bench)
    assert case.stored().tobytes() == case.wanted()


def test_an_engine_that_fails_is_told() -> None:
    memory = memory_of(ENGINES["planes"][0], {})
    case, dut = Case(memory, (1, 1, 1)), Datapath(memory.params)
    memory.put(case.job["w"], bytes(64))

    async def bench(ctx: Any) -> None:
        await memory.serve(ctx, dut, [{**case.job, "bits": 4}])  # the engine has three planes

    simulate(dut, bench)
    assert memory.counts["engine_error"] == 1 and not memory.written
