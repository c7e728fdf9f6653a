# SPDX-License-Identifier: Apache-2.0
"""The datapath of the co-processor computes what its engine's golden model does, in memory."""

from typing import Any

import numpy as np
import pytest

from hw.coprocessor.datapath import Datapath
from hw.coprocessor.params import CoprocessorParams
from tests.hw.coprocessor.memory import (
    GUARD,
    Memory,
    panel_of,
    rows_of,
    simulate,
    unit_of,
)

A_AT, W_AT, S_AT, C_AT = 0x0400, 0x4000, 0x8000, 0xA000


class Case:
    """Operands of one product in a memory, the job, and what is to come out."""

    def __init__(
        self,
        params: CoprocessorParams,
        sizes: tuple[int, int, int],
        *,
        bits: int = 0,
        a_skew: int = 0,
        a_gap: int = 0,
        c_skew: int = 0,
        c_gap: int = 0,
        w_gap: int = 0,
        seed: int = 0,
        **memory: Any,
    ):
        self.params, self.sizes = params, sizes
        self.memory = Memory(params, **memory)
        self.bits, self.rng = bits, np.random.default_rng(seed)
        m, n, k = sizes
        unit = unit_of(params)
        a, w, given = self._operands(unit)
        rows = rows_of(a, params.act_slot)
        a_at, stride = A_AT + a_skew, len(rows[0]) + a_gap
        reads = set()
        for r, row in enumerate(rows):
            self._put(a_at + r * stride, row, reads)
        w_at, s_at = W_AT, S_AT
        for left in range(0, n, params.columns):
            part = slice(left, min(n, left + params.columns))
            panel = panel_of(unit.weights(w[:, part], 1, bits), params.w_slot)
            self._put(w_at, panel, reads)
            w_at += w_gap or len(panel)
            if params.has_scale:
                mine = [None if one is None else one[:, part] for one in given[:2]]
                more = [{name: row[part] for name, row in one.items()} for one in given[3:]]
                height = m if params.act_scale else 1
                words = unit.scales((*mine, given[2], *more), height, part.stop - part.start)
                panel = panel_of(words, params.s_slot)
                self._put(s_at, panel, reads)
                s_at += len(panel)
        self.expected, self.nan = unit.product(a, w, bits, given)
        self.reads = {byte // params.bus_bytes for byte in reads}
        c_stride = n * params.c_bytes + c_gap
        self.job = {
            "m": m, "n": n, "k": k, "bits": bits,
            "a": a_at, "w": W_AT, "s": S_AT, "c": C_AT + c_skew,
            "a_stride": stride, "c_stride": c_stride, "w_stride": w_gap,
        }  # fmt: skip
        self.cycles: list[int] = []
        self.counts = self.memory.counts

    def _operands(self, unit: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        (m, n, k), rng, p = self.sizes, self.rng, self.params
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
            s = rng.integers(0x3000, 0x4000, (groups, n))
            z = rng.integers(-8, 8, (groups, n)) if p.has_zero_point else None
            t = rng.integers(0x3000, 0x4000, (groups, m)) if p.act_scale else None
        if params.requant is None:
            return a, w, (s, z, t)
        numbers = {"m": rng.integers(1, 1 << 7, n), "s": rng.integers(8, 14, n)}
        return a, w, (s, z, t, numbers)

    def _put(self, address: int, data: bytes, reads: set[int]) -> None:
        self.memory.put(address, data)
        reads.update(range(address, address + len(data)))

    def run(self, times: int = 1, **job: int) -> "Case":
        """Run the job; each time C lies behind the last."""
        dut, self.job = Datapath(self.params), {**self.job, **job}
        size = self.sizes[0] * self.job["c_stride"] + 3
        jobs = [{**self.job, "c": self.job["c"] + size * i} for i in range(times)]

        async def bench(ctx: Any) -> None:
            self.cycles = await self.memory.serve(ctx, dut, jobs)

        simulate(dut, bench)
        for one in jobs:
            self._check(one["c"])
        assert len(self.memory.written) == times * self.sizes[0] * self.sizes[1] * self.params.c_bytes
        assert {byte // self.params.bus_bytes for byte in self.memory.read} <= self.reads
        assert self.counts["engine_error"] == 0
        assert (self.counts["nan"] > 0) == bool(self.nan.any())
        return self

    def _check(self, at: int) -> None:
        (m, n, _), size, stride = self.sizes, self.params.c_bytes, self.job["c_stride"]
        image = np.frombuffer(bytes(self.memory.image), np.uint8)
        tops = at + stride * np.arange(m)[:, None] + np.arange(n * size)
        found = image[tops].reshape(m, n, size)
        wanted = self.expected.astype(object) % (1 << 8 * size)
        wanted = np.array([[list(int(v).to_bytes(size, "little")) for v in r] for r in wanted])
        assert (found == wanted).all()


CUBE = "array --dataflow cube --rows 2 --columns 2 --lanes 4 --format int4"


def params_of(engine: str, **options: Any) -> CoprocessorParams:
    return CoprocessorParams(engine=engine, **{"act_kib": 1, "wgt_kib": 1, **options})


def test_first() -> None:
    case = Case(params_of(CUBE), (5, 5, 13)).run()
    print(case.cycles, case.counts)
