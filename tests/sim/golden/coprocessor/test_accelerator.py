# SPDX-License-Identifier: Apache-2.0
"""The golden co-processor against plain numpy, and every rule of its registers and errors."""

from typing import Any

import numpy as np
import pytest

from hw.spec.coprocessor import (
    ACTIVATIONS,
    ERROR_CODES,
    FLAGS,
    IRQS,
    MAGIC,
    OPS,
    PERF,
    Descriptor,
    Record,
)
from hw.spec.formats import parse
from sim.golden.coprocessor.accelerator import GoldenAccelerator
from sim.golden.coprocessor.roofline import roofline
from sim.golden.formats import decode_float
from tests.sim.golden.coprocessor.manifests import manifest_of

BASE, SIZE = 0x1000_0000, 1 << 20
A, W, S, C, RING = (BASE + at for at in (0x1000, 0x8000, 0x20000, 0x40000, 0x80000))
START, QUEUE = 1, 8


class Board(GoldenAccelerator):
    """The device with names in place of addresses."""

    def __init__(self, engine: str = "cube", instant: bool = True, **others: Any) -> None:
        self.manifest = manifest_of(engine, **others)
        super().__init__(self.manifest, base=BASE, size=SIZE, instant=instant)

    def get(self, name: str, field: str | None = None) -> int:
        word, refused = self.read32(self.map[name].offset)
        assert not refused
        return word if field is None else self.map[name].get(word, field)

    def put(self, name: str, word: int) -> bool:
        return self.write32(self.map[name].offset, word)

    def bytes(self, address: int, size: int) -> np.ndarray:
        return self.memory[address - BASE : address - BASE + size]

    def load(self, address: int, data: Any) -> None:
        flat = np.frombuffer(bytes(data), dtype=np.uint8)
        self.bytes(address, len(flat))[:] = flat

    def direct(self, d: Descriptor) -> int:
        """Run a descriptor and return its error."""
        for k, word in enumerate(d.pack()):
            assert not self.put(f"DIRECT{k}", word)
        self.put("CTRL", START)
        return self.get("ERR_CODE")

    def queue(self, *descriptors: Descriptor, size: int = 4, ctrl: int = QUEUE) -> None:
        """Put descriptors into a ring and let it run."""
        self.put("QBASE_LO", RING)
        self.put("QSIZE", size)
        head = self.get("QHEAD")
        for d in descriptors:
            words = np.array(d.pack(), dtype="<u4")
            self.load(RING + 64 * (head % size), words.tobytes())
            head += 1
        self.put("QHEAD", head & 0xFFFF)
        self.put("CTRL", ctrl)


def panel(w: np.ndarray, columns: int, lanes: int, bits: int, slot: int) -> bytes:
    """Beats of weights by the letter of the contract, one bit after the other."""
    k, n = w.shape
    data = b""
    for left in range(0, n, columns):
        for step in range(0, k, lanes):
            beat = 0
            for c in range(columns):
                for x in range(lanes):
                    if left + c < n and step + x < k:
                        code = int(w[step + x, left + c]) & (1 << bits) - 1
                        beat |= code << bits * (c * lanes + x)
            data += beat.to_bytes(slot, "little")
    return data


def product(m: int, n: int, k: int, **others: Any) -> tuple[Board, Descriptor, np.ndarray]:
    """A board of ``cube`` with operands at odd places, the descriptor, and what must come."""
    rng = np.random.default_rng(m + n + k)
    a, w = rng.integers(-128, 128, (m, k)), rng.integers(-8, 8, (k, n))
    board = Board(**others)
    board.memory[:] = rng.integers(0, 256, SIZE)
    stride = k + 5
    for row in range(m):
        board.load(A + 3 + row * stride, a[row].astype(np.int8).tobytes())
    board.load(W, panel(w, 4, 4, 4, 8))
    d = Descriptor(
        m=m, n=n, k=k, a=A + 3, w=W, c=C + 1, a_stride=stride, c_stride=n + 2, tag=0x1234
    )
    return board, d, a @ w


def found(board: Board, d: Descriptor, size: int = 4, dtype: str = "<i4") -> np.ndarray:
    rows = [board.bytes(d.c + r * 4 * d.c_stride, d.n * size).view(np.uint8) for r in range(d.m)]
    return np.stack([np.frombuffer(row.tobytes(), dtype=dtype) for row in rows])


@pytest.mark.parametrize("sizes", [(1, 1, 1), (4, 4, 4), (5, 9, 7), (9, 3, 30), (2, 13, 1)])
def test_product_is_that_of_numpy(sizes: tuple[int, int, int]) -> None:
    """C and not a byte beside it."""
    board, d, due = product(*sizes)
    before = board.memory.copy()
    assert board.direct(d) == 0
    assert (found(board, d) == due).all()
    changed = np.flatnonzero(before != board.memory) + BASE
    inside = (changed - d.c) % (4 * d.c_stride) < 4 * d.n
    assert inside.all()
    assert changed.min() >= d.c
    assert changed.max() < d.c + d.m * 4 * d.c_stride
    status = {f: board.get("STATUS", f) for f in ("IDLE", "BUSY", "DONE", "ERROR", "COMPLETED")}
    assert status == {"IDLE": 1, "BUSY": 0, "DONE": 1, "ERROR": 0, "COMPLETED": 1}


def test_strides_of_column_tiles() -> None:
    board, d, due = product(3, 10, 6)
    data = board.bytes(W, 3 * 16).copy()
    for tile in range(3):
        board.load(W + tile * 0x100, data[16 * tile : 16 * tile + 16].tobytes())
    assert board.direct(Descriptor(**{**d.__dict__, "w_stride": 16})) == 0
    assert (found(board, d) == due).all()


@pytest.mark.parametrize("name", ["relu", "clamp"])
def test_activations(name: str) -> None:
    board, d, due = product(4, 5, 6)
    d = Descriptor(
        **{
            **d.__dict__,
            "activation": ACTIVATIONS[name],
            "clamp_low": -100,
            "clamp_high": 27,
        }
    )
    assert board.direct(d) == 0
    want = np.maximum(due, 0) if name == "relu" else np.clip(due, -100, 27)
    assert (found(board, d) == want).all()
    assert (want != due).any()


def planted(board: Board, a: np.ndarray, w: np.ndarray, s: Any = None, bits: int = 0) -> Descriptor:
    """Put operands of any engine into memory by its own packer, and return the descriptor."""
    c, unit = board.contract, board.contract.unit
    (m, k), n = a.shape, w.shape[-1]
    slot, words = c["act_slot"], []
    for row in a.tolist():
        word = sum(int(code) << slot * x for x, code in enumerate(row))
        words.append(word.to_bytes(-(-k * slot // 8), "little"))
    board.load(A, b"".join(words))
    panels, scales = b"", b""
    for left in range(0, n, c["columns"]):
        own = slice(left, min(n, left + c["columns"]))
        for word in unit.weights(w[..., own], 1, bits):
            panels += word.to_bytes(c["w_slot"], "little")
        if s is not None:
            tile = s if unit.name == "pq" else s(own)
            rows = m if c.parameters["act_scale"] else 1
            for word in unit.scales(tile, rows, own.stop - own.start):
                scales += word.to_bytes(c["s_slot"], "little")
    board.load(W, panels)
    board.load(S, scales)
    return Descriptor(
        m=m,
        n=n,
        k=k,
        a=A,
        w=W,
        s=S,
        c=C,
        a_stride=len(words[0]),
        c_stride=-(-n * c["c_bytes"] // 4),
        w_fmt=bits,
    )


@pytest.mark.parametrize(
    ("engine", "act", "low", "high", "bits"),
    [
        ("os", 8, -128, 128, 0),
        ("narrow", 5, -4, 4, 0),
        ("tree", 8, -8, 8, 0),
        ("lut", 8, -8, 8, 0),
        ("lut", 8, -2, 2, 2),
        ("trits", 8, -1, 2, 0),
        ("ternary", 8, -1, 2, 0),
        ("planes", 6, -32, 32, 0),
        ("planes", 6, -4, 4, 3),
    ],
)
def test_engines(engine: str, act: int, low: int, high: int, bits: int) -> None:
    """Integers by integers, whatever is inside."""
    board, rng = Board(engine), np.random.default_rng(7)
    a, w = rng.integers(-(1 << act - 1), 1 << act - 1, (5, 19)), rng.integers(low, high, (19, 11))
    coded = board.contract.unit.name == "array"
    given = w % (1 << parse(board.contract.parameters["format"]).bits) if coded else w
    d = planted(board, a % (1 << act), given, bits=bits)
    assert board.direct(d) == 0
    size = board.contract["c_bytes"]
    assert (found(board, d, size, f"<i{size}") == a @ w).all()


def test_float_formats() -> None:
    """Sums count multiples of the smallest products; a NaN is told by STATUS."""
    board, rng = Board("float"), np.random.default_rng(3)
    act, weight = parse("e4m3"), parse("e2m1")
    a, w = rng.integers(0, 0x7F, (3, 9)), rng.integers(0, 16, (9, 4))
    d = planted(board, a, w)
    assert board.direct(d) == 0
    size = board.contract["c_bytes"]
    sums = found(board, d, size, f"<i{size}") * 2.0 ** (act.lam + weight.lam)
    assert (sums == decode_float(act, a) @ decode_float(weight, w)).all()
    assert board.get("STATUS", "NAN") == 0
    a[1, 2] = 0x7F
    planted(board, a, w)
    assert board.direct(d) == 0
    assert board.get("STATUS", "NAN") == 1
    board.put("IRQ_STATUS", 1)
    assert board.get("STATUS", "NAN") == 0


@pytest.mark.parametrize("engine", ["mx", "shift-add"])
def test_groups_with_scales(engine: str) -> None:
    """Groups of 16, of which the last is short, in binary32."""
    board, rng = Board(engine), np.random.default_rng(5)
    m, n, k, p = 5, 9, 40, board.contract.parameters
    a, w = rng.integers(-128, 128, (m, k)), rng.integers(-8, 8, (k, n))
    codes = {name: rng.integers(0x3800, 0x3C00, (3, size)) for name, size in (("s", n), ("t", m))}
    reals = {
        name: decode_float(parse(p[key] or "fp16"), codes[name])
        for name, key in (("s", "scale"), ("t", "act_scale"))
    }
    z = rng.integers(-8, 8, (3, n)) if p["zero_point"] else np.zeros((3, n), dtype=int)
    t = codes["t"] if p["act_scale"] else None
    d = planted(
        board,
        a % 256,
        w % 16,
        lambda own: (codes["s"][:, own], z[:, own] if p["zero_point"] else None, t),
    )
    assert board.direct(d) == 0
    due = np.zeros((m, n))
    for g in range(3):
        part = slice(16 * g, min(16 * g + 16, k))
        sums = a[:, part] @ w[part] - a[:, part].sum(axis=1)[:, None] * z[g]
        due += sums * reals["s"][g] * (reals["t"][g][:, None] if p["act_scale"] else 1)
    sums = found(board, d, 4, "<f4")
    assert np.abs(sums - due).max() < 1e-5 * np.abs(due).max()
    assert board.direct(Descriptor(**{**d.__dict__, "activation": ACTIVATIONS["relu"]})) == 0
    assert (found(board, d, 4, "<f4") == np.maximum(sums, 0)).all()


def test_requantisation() -> None:
    """Round half up of (sum + bias) * m / 2**s, saturated to int8."""
    board, rng = Board("requant"), np.random.default_rng(9)
    a, w = rng.integers(-128, 128, (5, 20)), rng.integers(-128, 128, (20, 7))
    numbers = {
        "m": rng.integers(1, 1 << 20, 7),
        "s": np.full(7, 26),
        "add": rng.integers(-1000, 1000, 7),
    }
    d = planted(
        board,
        a % 256,
        w % 256,
        lambda own: (None, None, None, {name: row[own] for name, row in numbers.items()}),
    )
    assert board.direct(d) == 0
    wide = (a @ w + numbers["add"]) * numbers["m"]
    due = np.clip(np.floor(wide / 2.0**26 + 0.5), -128, 127)
    sums = found(board, d, 1, "i1")
    assert (sums == due).all()
    assert len(np.unique(sums)) > 10


def test_tables_of_centroids() -> None:
    """``pq``: the entry of the nearest centroid, for each piece of four activations."""
    board, rng = Board("pq"), np.random.default_rng(2)
    p = board.contract.parameters
    a, tables = rng.integers(-128, 128, (3, 8)), rng.integers(-128, 128, (2, 8, 6))
    centroids = rng.integers(-128, 128, (2, 8, 4))
    d = planted(board, a % 256, tables, centroids % 256)
    assert board.direct(d) == 0
    far = np.abs(a.reshape(3, 2, 1, 4) - centroids).sum(axis=-1)
    assert p["distance"] == "l1"
    due = sum(tables[g][far[:, g].argmin(axis=1)] for g in range(2))
    size = board.contract["c_bytes"]
    assert (found(board, d, size, f"<i{size}") == due).all()


def test_gemv_and_fence() -> None:
    board, d, due = product(1, 6, 9)
    assert board.direct(Descriptor(**{**d.__dict__, "op": OPS["gemv"], "a_stride": 0})) == 0
    assert (found(board, d) == due).all()
    assert board.direct(Descriptor(op=OPS["fence"])) == 0
    assert board.get("STATUS", "COMPLETED") == 2


def test_rows_are_copied() -> None:
    board = product(1, 1, 1)[0]
    before = board.memory.copy()
    copy = Descriptor(op=OPS["copy"], m=3, n=13, k=1, a=A + 1, c=C + 3, a_stride=17, c_stride=5)
    assert board.direct(copy) == 0
    for row in range(3):
        at = A + 1 + 17 * row - BASE
        before[C + 3 + 20 * row - BASE :][:13] = before[at : at + 13]
    assert (board.memory == before).all()
    assert board.get("STATUS", "COMPLETED") == 1 and not board.get("PERF10_LO")


# Errors.

REFUSED = {
    "magic": ({"magic": 0xD4}, "descriptor"),
    "version": ({"version": 2}, "descriptor"),
    "op": ({"op": 3}, "unsupported"),
    "copy k": ({"op": OPS["copy"], "k": 2}, "size"),
    "copy from": ({"op": OPS["copy"], "k": 1, "n": 40}, "size"),
    "copy to": ({"op": OPS["copy"], "k": 1, "a_stride": 99, "c_stride": 1}, "size"),
    "copy end": ({"op": OPS["copy"], "k": 1, "a": 0xFFFF_FFFF}, "address"),
    "accumulate": ({"flags": 1 << FLAGS["accumulate"]}, "unsupported"),
    "transposed": ({"flags": 1 << FLAGS["transposed"]}, "unsupported"),
    "bias": ({"flags": 1 << FLAGS["bias"]}, "unsupported"),
    "zero point": ({"flags": 1 << FLAGS["zero_point"]}, "unsupported"),
    "flag 6": ({"flags": 64}, "unsupported"),
    "a_fmt": ({"a_fmt": 2}, "unsupported"),
    "w_fmt": ({"w_fmt": 1}, "unsupported"),
    "c_fmt": ({"c_fmt": 1}, "unsupported"),
    "layout": ({"w_layout": 1}, "unsupported"),
    "engine": ({"engine": 1}, "unsupported"),
    "activation": ({"activation": 2}, "unsupported"),
    "round mode": ({"round_mode": 1}, "unsupported"),
    "scale mode": ({"scale_mode": 1}, "unsupported"),
    "group": ({"g": 16}, "unsupported"),
    "m": ({"m": 0}, "size"),
    "n": ({"n": 0}, "size"),
    "k": ({"k": 0}, "size"),
    "max_k": ({"k": 4097, "a_stride": 5000}, "size"),
    "gemv": ({"op": OPS["gemv"]}, "size"),
    "w": ({"w": W + 8}, "size"),
    "a stride": ({"a_stride": 6}, "size"),
    "c stride": ({"c_stride": 8}, "size"),
    "a address": ({"a": 0xFFFF_FFF0}, "address"),
    "w address": ({"w": 0xFFFF_FFF0}, "address"),
    "c address": ({"c": 0xFFFF_FFF0}, "address"),
    "high word": ({"a": 1 << 32}, "address"),
    "both": ({"magic": 0, "m": 0, "op": 9}, "descriptor"),
    "size first": ({"m": 0, "a": 1 << 40}, "size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    """Found before anything is read or written; the device then goes on."""
    changes, error = REFUSED[name]
    board, d, due = product(5, 9, 7)
    before = board.memory.copy()
    # What must not be touched cannot be read either.
    board.fail(BASE, SIZE, "SLVERR")
    assert board.direct(Descriptor(**{**d.__dict__, **changes})) == ERROR_CODES[error]
    assert (board.memory == before).all()
    assert board.get("ERR_DESC") == 0xFFFF_1234
    assert board.get("ERR_ADDR_LO") == board.get("ERR_ADDR_HI") == 0
    assert board.get("STATUS", "ERROR") == 1
    assert board.get("STATUS", "DONE") == 0
    board.heal()
    board.put("IRQ_STATUS", 2)
    assert board.direct(d) == 0
    assert (found(board, d) == due).all()


def test_allowed() -> None:
    """What the refusals lie beside."""
    board, d, due = product(5, 9, 7)
    ends = {"a_fmt": 1, "w_fmt": 2, "w_layout": 2, "flags": 1, "a_stride": 12, "c_stride": 11}
    assert board.direct(Descriptor(**{**d.__dict__, **ends})) == 0
    assert (found(board, d) == due).all()
    assert board.direct(Descriptor(**{**d.__dict__, "c_stride": 9})) == 0
    board, d, _ = product(1, 1, 4)
    assert (
        board.direct(Descriptor(**{**d.__dict__, "a": (1 << 32) - 4})) == ERROR_CODES["read decerr"]
    )


def test_engines_with_options() -> None:
    board = Board("requant")
    d = Descriptor(m=1, n=1, k=1, a=A, w=W, c=C, s=S, flags=1 << FLAGS["bias"])
    assert board.direct(d) == 0
    assert board.direct(Descriptor(**{**d.__dict__, "s": S + 8})) == ERROR_CODES["size"]
    board = Board("mx")
    d = Descriptor(m=1, n=1, k=1, a=A, w=W, c=C, s=S, flags=1 << FLAGS["zero_point"], g=16)
    assert board.direct(d) == 0
    board.put("IRQ_STATUS", 2)
    clamp = Descriptor(**{**d.__dict__, "activation": ACTIVATIONS["clamp"]})
    assert board.direct(clamp) == ERROR_CODES["unsupported"]
    board = Board("lut")
    d = Descriptor(m=1, n=1, k=1, a=A, w=W, c=C, w_fmt=5)
    assert board.direct(d) == ERROR_CODES["unsupported"]


@pytest.mark.parametrize("response", ["SLVERR", "DECERR"])
@pytest.mark.parametrize("place", ["a", "w", "c"])
def test_bus_errors(response: str, place: str) -> None:
    board, d, due = product(5, 9, 7)
    address = {"a": d.a + 2 * d.a_stride, "w": d.w + 16, "c": d.c + 9}[place]
    board.fail(address, 1, response)
    kind = "write" if place == "c" else "read"
    assert board.direct(d) == ERROR_CODES[f"{kind} {response.lower()}"]
    assert abs(board.get("ERR_ADDR_LO") - address) < 8
    board.heal()
    board.put("IRQ_STATUS", 2)
    assert board.get("ERR_CODE") == board.get("ERR_ADDR_LO") == board.get("ERR_DESC") == 0
    assert board.direct(d) == 0
    assert (found(board, d) == due).all()


def test_only_the_first_error_stays() -> None:
    board, d, _ = product(2, 2, 2)
    assert board.direct(Descriptor(**{**d.__dict__, "m": 0})) == ERROR_CODES["size"]
    bad = Descriptor(**{**d.__dict__, "magic": 0, "tag": 1})
    assert board.direct(bad) == ERROR_CODES["size"]
    assert board.get("ERR_DESC") == 0xFFFF_1234
    board.put("IRQ_STATUS", 2)
    assert board.direct(bad) == ERROR_CODES["descriptor"]


# Registers.


def test_identification() -> None:
    board = Board(data_width=128, addr_bits=40)
    assert board.get("ID") == MAGIC
    assert board.get("CAP1") == 4 | 4 << 8 | 4 << 16
    assert board.get("CAP3") == 4 | 15 << 8 | 8 << 16 | 40 << 24
    assert board.get("BUILD") == board.manifest["contract"]["build"]
    assert board.get("STATUS") == 0b010001


def test_access_rules() -> None:
    board = Board(instant=False)
    for address in (0x06C, 0x1000, 0x01D, 0x0C4, 0x160):
        assert board.read32(address) == (0, True)
        assert board.write32(address, 1)
    for name in ("ID", "BUILD", "STATUS", "QTAIL", "ERR_CODE", "PERF0_LO"):
        assert board.put(name, 0xFFFF_FFFF)
    board.write32(0x01C, 0x11223344)
    assert not board.write32(0x01C, 0xAABBCCDD, 0b0101)
    assert board.get("SCRATCH") == 0x11BB33DD
    assert board.get("AXI_ATTR") == 0x023
    guarded = ("QBASE_LO", "QBASE_HI", "QSIZE", "TIMEOUT", "AXI_ATTR")
    for name in guarded:
        assert not board.put(name, 0x40)
        assert board.get(name) == 0x40
    board.put("CTRL", START)
    assert board.get("STATUS", "BUSY") == 1
    for name in guarded:
        assert board.put(name, 7)
        assert board.get(name) == 0x40
    assert not board.put("SCRATCH", 1)
    assert not board.put("QHEAD", 0)


def test_start_while_busy() -> None:
    board, d, due = product(3, 3, 3, instant=False)
    assert board.direct(d) == 0
    board.put("CTRL", START)
    assert board.get("ERR_CODE") == ERROR_CODES["overflow"]
    board.step()
    assert board.get("STATUS", "DONE") == 1
    assert (found(board, d) == due).all()


def test_interrupt() -> None:
    board, d, _ = product(2, 2, 2)
    board.put("IRQ_ENABLE", 1)
    board.direct(d)
    assert not board.interrupt
    board.put("CTRL", 16)
    assert board.interrupt
    board.put("IRQ_ENABLE", 2)
    assert not board.interrupt
    board.put("IRQ_ENABLE", 3)
    board.put("IRQ_STATUS", 1)
    assert not board.interrupt
    assert board.get("STATUS", "DONE") == 0


def test_soft_reset() -> None:
    board, d, _ = product(2, 2, 2)
    board.queue(d)
    board.put("SCRATCH", 5)
    assert board.get("QTAIL") == 1
    board.put("CTRL", 2 | QUEUE)
    for name in ("SCRATCH", "QTAIL", "QHEAD", "QBASE_LO", "CTRL", "IRQ_STATUS", "PERF0_LO"):
        assert board.get(name) == 0
    assert board.get("AXI_ATTR") == 0x023
    assert board.direct(d) == 0


def test_counters() -> None:
    board, d, _ = product(5, 9, 7)
    board.direct(d)
    place = {name: f"PERF{k}_LO" for k, name in enumerate(PERF)}
    assert board.get(place["macs"]) == 8 * 12 * 8
    assert board.get(place["wr_bytes"]) == 5 * 9 * 4
    board.put("PERF_FREEZE", 1)
    board.direct(d)
    assert board.get(place["macs"]) == 8 * 12 * 8
    board.put("PERF_FREEZE", 0)
    assert board.get(place["macs"]) == 2 * 8 * 12 * 8
    board.put("PERF_CLEAR", 0)
    assert board.get(place["macs"]) == 0


# The queue.


def tagged(d: Descriptor, tag: int, **changes: Any) -> Descriptor:
    return Descriptor(**{**d.__dict__, "tag": tag, **changes})


def test_queue_wraps_and_records() -> None:
    board, d, due = product(3, 5, 4)
    for turn in range(3):
        board.load(C, bytes(200))
        tags = [3 * turn + k for k in range(3)]
        board.queue(*(tagged(d, tag) for tag in tags), ctrl=QUEUE | 32)
        for tag in tags:
            words = board.bytes(RING + 4 * 64 + 16 * (tag % 4), 16).view("<u4").tolist()
            assert Record.unpack(words) == Record(tag, tag, 0)
        assert (found(board, d) == due).all()
        assert board.get("QTAIL") == board.get("STATUS", "COMPLETED") == 3 * turn + 3
        assert board.get("STATUS", "QUEUE_EMPTY") == 1
        assert board.get("IRQ_STATUS") == 1 << list(IRQS).index("QUEUE_LOW")


def test_done_is_asked_for() -> None:
    board, d, _ = product(1, 1, 1)
    board.queue(d)
    assert board.get("STATUS", "DONE") == 0
    board.queue(tagged(d, 1, flags=1))
    assert board.get("STATUS", "DONE") == 1


def test_an_error_stops_the_queue() -> None:
    board, d, _ = product(3, 5, 4)
    board.queue(d, tagged(d, 7, k=0), d, ctrl=QUEUE | 32)
    assert board.get("ERR_CODE") == ERROR_CODES["size"]
    assert board.get("ERR_DESC") == 1 << 16 | 7
    assert board.get("ERR_ADDR_LO") == RING + 64
    assert board.get("QTAIL") == board.get("STATUS", "COMPLETED") == 2
    assert board.get("CTRL", "QUEUE_EN") == 0
    assert board.get("STATUS", "PENDING") == 1
    words = board.bytes(RING + 4 * 64 + 16, 16).view("<u4").tolist()
    assert Record.unpack(words) == Record(7, 1, ERROR_CODES["size"])
    board.put("CTRL", QUEUE)
    assert board.get("QTAIL") == 3
    assert board.get("ERR_CODE") == ERROR_CODES["size"]


def test_last_stops_the_queue() -> None:
    board, d, _ = product(3, 5, 4)
    board.queue(tagged(d, 0, flags=1 << FLAGS["last"]), d)
    assert board.get("QTAIL") == 1
    assert board.get("CTRL") == 0
    assert board.get("STATUS", "PENDING") == 1


def test_overflow_of_the_queue() -> None:
    board = Board()
    board.queue(size=4)
    board.put("QHEAD", 5)
    assert board.get("ERR_CODE") == ERROR_CODES["overflow"]
    assert board.get("QTAIL") == 0
    assert board.get("STATUS", "QUEUE_FULL") == 1
    assert board.get("CTRL", "QUEUE_EN") == 0


@pytest.mark.parametrize(("base", "size"), [(RING + 32, 4), (RING, 3), (RING, 0), (RING, 65536)])
def test_bad_rings(base: int, size: int) -> None:
    board = Board()
    board.put("QBASE_LO", base)
    board.put("QSIZE", size)
    board.put("CTRL", QUEUE)
    assert board.get("ERR_CODE") == ERROR_CODES["size"]
    assert board.get("CTRL", "QUEUE_EN") == 0


def test_unreadable_descriptor() -> None:
    board, d, _ = product(1, 1, 1)
    board.fail(RING + 8, 4, "DECERR")
    board.queue(d, d)
    assert board.get("ERR_CODE") == ERROR_CODES["read decerr"]
    assert board.get("ERR_DESC", "INDEX") == 0
    assert board.get("QTAIL") == 1


def test_abort() -> None:
    board, d, _ = product(3, 5, 4, instant=False)
    before = board.memory.copy()
    board.queue(d, d)
    before[RING - BASE : RING - BASE + 256] = board.bytes(RING, 256)
    assert board.get("STATUS", "BUSY") == 1
    board.put("CTRL", 4 | QUEUE)
    assert board.get("STATUS", "BUSY") == 0
    assert board.get("ERR_CODE") == ERROR_CODES["aborted"]
    assert board.get("QTAIL") == 1
    assert board.get("CTRL") == 0
    assert (board.memory == before).all()


def test_nothing_to_abort() -> None:
    board = Board()
    board.put("CTRL", 4)
    assert board.get("STATUS") == 0b010001


# Bounds.


def touched(address: int, size: int, bus: int) -> int:
    return len({at // bus for at in range(address, address + size)}) * bus


@pytest.mark.parametrize("sizes", [(5, 9, 7), (40, 9, 200), (9, 40, 3000), (300, 8, 100)])
@pytest.mark.parametrize("engine", ["cube", "mx"])
def test_roofline_bytes(engine: str, sizes: tuple[int, int, int]) -> None:
    """The loops of the contract, walked through one fetch at a time."""
    manifest = manifest_of(engine, act_kib=1, wgt_kib=1)
    c, (m, n, k) = manifest["contract"], sizes
    stride = k + 3
    d = Descriptor(m=m, n=n, k=k, a=A, w=W, c=C, s=S, a_stride=stride, c_stride=n)
    bound = roofline(d, manifest)
    rows, columns = -(-m // c["rows"]), -(-n // c["columns"])
    row_words = -(-k * 8 // c["a_word"])
    steps, groups = -(-k // c["depth"]), -(-k // 16)
    read, resident = 0, False
    for _ in range(columns):
        if not resident:
            read += sum(touched(A + r * stride, k, 8) for r in range(m))
            resident = rows * row_words <= c["a_depth"]
        read += steps * c["w_slot"] * (1 if steps <= c["w_depth"] else rows)
        read += groups * c["s_slot"] * rows if engine == "mx" else 0
    assert bound.read_bytes == read
    assert bound.write_bytes == m * n * 4
    assert bound.macs == m * n * k
    assert bound.compute >= rows * columns * steps
    assert bound.cycles >= max(bound.compute, read // 8)


def test_roofline_says_what_bounds() -> None:
    manifest = manifest_of("cube", act_kib=64, wgt_kib=64)
    operands = {"a": A, "w": W, "c": C}
    assert roofline(Descriptor(m=1, n=64, k=512, **operands), manifest).bound == "read"
    deep = Descriptor(m=64, n=64, k=512, a_stride=512, c_stride=64, **operands)
    assert roofline(deep, manifest).bound == "compute"
    flat = Descriptor(m=64, n=64, k=1, a_stride=8, c_stride=64, **operands)
    assert roofline(flat, manifest).bound == "write"
    alone = roofline(Descriptor(m=1, n=1, k=4, **operands), manifest, latency=30)
    assert alone.cycles >= 30 + 1
