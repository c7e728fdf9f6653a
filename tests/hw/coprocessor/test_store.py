# SPDX-License-Identifier: Apache-2.0
"""Rows of C go where they belong, past the activation, and no byte more."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hw.coprocessor.params import CoprocessorParams
from hw.coprocessor.store import Store
from hw.spec.coprocessor import ACTIVATIONS
from tests.hw.coprocessor.memory import simulate

#: Engines by their results, and the bus.
RESULTS = {
    "int32, several a beat": ("--rows 2 --columns 5 --format int8", 128),
    "int32, one a beat": ("--rows 2 --columns 3 --format int4", 32),
    "int64, two beats each": ("--rows 2 --columns 3 --format int2 --act fp16", 32),
    "int8": ("--rows 3 --columns 3 --format int4 --requant rhu", 64),
    "uint8": ("--rows 3 --columns 7 --format int4 --requant rhu --requant-out uint8", 32),
    "fp32": ("--rows 2 --columns 3 --format int4 --group 4 --scale fp16", 64),
}


class Written:
    """What a job of a store gave: commands, beats and pulses."""

    def __init__(
        self,
        kind: str,
        c: np.ndarray,
        *,
        users: Sequence[int] = (),
        pause: float = 0.0,
        answers: int = 4,
        **job: Any,
    ):
        engine, width = RESULTS[kind]
        self.params = CoprocessorParams(engine=f"array {engine}", data_width=width)
        self.commands: list[tuple[int, int]] = []
        self.beats: list[tuple[int, int]] = []
        self.pulses = {"error": 0, "nan": 0}
        self.cycles = 0
        (m, n), p, rng = c.shape, self.params, np.random.default_rng(5)
        tiles = [c[:, left : left + p.columns] for left in range(0, n, p.columns)]
        bits = 8 * p.c_bytes
        rows = [[int(v) % (1 << bits) for v in row] for tile in tiles for row in tile]
        words = [sum(v << i * bits for i, v in enumerate(row)) for row in rows]
        marks = [*users, *[0] * (len(words) - len(users))]
        dut = Store(p)

        async def bench(ctx: Any) -> None:
            given = {"m": m, "n": n, "address": 0x1003, "stride": n * p.c_bytes + 1, **job}
            for name, value in given.items():
                ctx.set(getattr(dut, name), value)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            due: list[int] = []
            sent = left = 0
            signals = [dut.out.valid, dut.out.ready, dut.command.valid, dut.command.ready]
            signals += [dut.command.payload.addr, dut.command.payload.bytes]
            signals += [dut.beat.valid, dut.beat.ready, dut.beat.payload.data]
            signals += [dut.beat.payload.last, dut.done, dut.error, dut.nan]
            for now in range(3000):
                values = (await ctx.tick().sample(*signals))[2:]
                taken, ready, valid, accepted, address, size, beat, moved, data, last = values[:10]
                sent += taken and ready
                if valid and accepted:
                    self.commands.append((address, size))
                if beat and moved:
                    self.beats.append((data, last))
                    if last:
                        due.append(now + answers)
                        left += 1
                self.pulses["error"] += values[11]
                self.pulses["nan"] += values[12]
                if values[10]:
                    assert left == len(words) and not due
                    self.cycles = now
                    return
                ctx.set(dut.out.valid, sent < len(words) and rng.random() >= pause)
                if sent < len(words):
                    ctx.set(dut.out.payload.tdata, words[sent])
                    ctx.set(dut.out.payload.tuser, marks[sent])
                ctx.set(dut.command.ready, rng.random() >= pause)
                ctx.set(dut.beat.ready, rng.random() >= pause)
                ctx.set(dut.written, bool(due) and due[0] <= now)
                if due and due[0] <= now:
                    due.pop(0)
            if not users:
                raise AssertionError("not done")

        simulate(dut, bench)

    def c(self, m: int, n: int, stride: int) -> np.ndarray:
        """Return C as it is in memory."""
        size, bus = self.params.c_bytes, self.params.bus_bytes
        found, beats = np.zeros((m, n * size), dtype=np.int64) - 1, iter(self.beats)
        for address, count in self.commands:
            row, at = divmod(address - 0x1003, stride)
            data = b""
            for left in range(count, 0, -bus):
                word, last = next(beats)
                data += word.to_bytes(bus, "little")
                assert last == (left <= bus)
            assert (found[row, at : at + count] == -1).all()
            found[row, at : at + count] = list(data[:count])
        assert next(beats, None) is None and (found >= 0).all()
        value: np.ndarray = found.reshape(m, n, size).astype(object)
        return (value << 8 * np.arange(size).astype(object)).sum(axis=-1)


def drawn(kind: str, m: int, n: int) -> np.ndarray:
    """Return results that the engine can have, many of them small."""
    params = CoprocessorParams(engine=f"array {RESULTS[kind][0]}", data_width=128)
    bits = params.result.acc_bits
    rng = np.random.default_rng(m * n)
    c = rng.integers(-(1 << bits - 1), 1 << bits - 1, (m, n)) >> rng.integers(0, bits, (m, n))
    return c if params.signed else c % (1 << bits)


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (5, 3), (2, 14)])
def test_rows_lie_where_they_belong(kind: str, size: tuple[int, int]) -> None:
    c = drawn(kind, *size)
    written = Written(kind, c, pause=0.3)
    bytes_ = written.params.c_bytes
    found = written.c(*size, size[1] * bytes_ + 1)
    assert (found == c.astype(object) % (1 << 8 * bytes_)).all()
    assert len(written.commands) == size[0] * -(-size[1] // written.params.columns)
    assert written.pulses == {"error": 0, "nan": 0}


@pytest.mark.parametrize("kind", RESULTS)
def test_negative_results_become_zero(kind: str) -> None:
    c = drawn(kind, 7, 9)
    written = Written(kind, c, activation=ACTIVATIONS["relu"])
    size = written.params.c_bytes
    assert (c < 0).any() or not written.params.signed
    assert (written.c(7, 9, 9 * size + 1) == np.maximum(c, 0).astype(object)).all()


@pytest.mark.parametrize("kind", [kind for kind in RESULTS if kind != "fp32"])
@pytest.mark.parametrize(("low", "high"), [(-100, 90), (3, 17), (-128, 127), (5, -5), (0, 0)])
def test_results_saturate(kind: str, low: int, high: int) -> None:
    c = drawn(kind, 7, 9)
    written = Written(kind, c, activation=ACTIVATIONS["clamp"], low=low, high=high)
    size = written.params.c_bytes
    wanted = np.minimum(np.maximum(c, low), high).astype(object) % (1 << 8 * size)
    assert (written.c(7, 9, 9 * size + 1) == wanted).all()


def test_a_binary32_number_is_not_clamped() -> None:
    c = drawn("fp32", 3, 4)
    written = Written("fp32", c, activation=ACTIVATIONS["clamp"], low=0, high=1)
    assert (written.c(3, 4, 17) == c.astype(object) % (1 << 32)).all()


def test_marks_of_columns_and_errors_are_told() -> None:
    kind, c = "int64, two beats each", np.ones((4, 3), dtype=np.int64)
    assert Written(kind, c, users=[0, 0b010 << 4, 0b001 << 4]).pulses == {"error": 0, "nan": 2}
    # A beat with an error is no row: nothing is written for it, and the job does not end.
    failed = Written(kind, c, users=[0, 3])
    assert failed.pulses == {"error": 1, "nan": 0} and failed.cycles == 0
    assert len(failed.commands) == 3


def test_a_beat_leaves_in_every_cycle() -> None:
    for kind, beats in (("int32, several a beat", 2), ("int8", 1), ("int64, two beats each", 6)):
        columns = CoprocessorParams(engine=f"array {RESULTS[kind][0]}").columns
        written = Written(kind, drawn(kind, 100, columns), answers=7)
        assert len(written.beats) == 100 * beats and written.cycles <= 100 * beats + 20


def test_done_comes_when_all_is_answered() -> None:
    written = Written("int8", drawn("int8", 3, 3), answers=300)
    assert 300 < written.cycles < 330
