# SPDX-License-Identifier: Apache-2.0
"""The driver on the golden model: results against numpy, refusals, errors, many at a time."""

import json

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator, Quantized
from fpga.driver.errors import AcceleratorError
from fpga.driver.golden import GoldenTransport
from fpga.driver.transport import DeviceError
from hw.spec.coprocessor import ERROR_CODES, PERF
from tests.sim.golden.coprocessor.manifests import ENGINES, manifest_of

MANIFESTS = {name: manifest_of(name) for name in ENGINES}
RNG = np.random.default_rng(1)
A, W = RNG.integers(-128, 128, (6, 20)), RNG.integers(-8, 8, (20, 9))


class Watched(GoldenTransport):
    """Counts what is written, and may do harm."""

    def __init__(self, manifest, **more):
        super().__init__(manifest, **more)
        self.writes, self.open, self.spoiled = 0, True, {}

    def read(self, address, words):
        found = super().read(address, words)
        return [self.spoiled.get(address + 4 * k, word) for k, word in enumerate(found)]

    def write(self, address, words, *, fixed=False):
        self.writes += 1
        super().write(address, words, fixed=fixed)

    def upload(self, address, data):
        self.writes += 1
        super().upload(address, data)

    def close(self):
        assert not self._heap._taken, "memory is not given back"
        self.open = False


def driver(engine="cube", queue=0, **more):
    manifest = MANIFESTS[engine]
    return Accelerator(Watched(manifest, **more), manifest, queue=queue)


@pytest.mark.parametrize("queue", [0, 4])
@pytest.mark.parametrize(
    ("engine", "act", "low", "high"),
    [
        ("cube", 8, -8, 8),
        ("os", 8, -128, 128),
        ("narrow", 5, -4, 4),
        ("lut", 8, -8, 8),
        ("trits", 8, -1, 2),
        ("ternary", 8, -1, 2),
        ("planes", 6, -32, 32),
    ],
)
def test_integers(engine, act, low, high, queue):
    a = RNG.integers(-(1 << act - 1), 1 << act - 1, (7, 23))
    w = RNG.integers(low, high, (23, 13))
    with driver(engine, queue) as device:
        c = device.gemm(a, w)
        assert c.dtype.kind == "i"
        assert (c == a @ w).all()
        assert (device.gemm(a[:1], w[:, :1]) == a[:1] @ w[:, :1]).all()
        assert (device.gemm(a.astype(np.float32), w.astype(np.int8)) == a @ w).all()
        assert device.lam == 0
    assert not device.transport.open


def test_codes_and_values():
    with driver() as device:
        assert (device.gemm(Quantized(A % 256), Quantized(W % 16, format="int4")) == A @ W).all()


@pytest.mark.parametrize("queue", [0, 4])
def test_memory_is_copied_within_the_device(queue):
    data = RNG.integers(0, 256, 4000, dtype=np.uint8)
    with driver(queue=queue) as device:
        board = device.transport
        source, target = board.alloc(4000), board.alloc(4000)
        board.upload(source.address, data.tobytes())
        board.upload(target.address, bytes(4000))
        device.copy(
            source.address + 5, target.address + 3, 61, 7, source_stride=77, target_stride=64
        )
        due = np.zeros(4000, np.uint8)
        for row in range(7):
            due[3 + 64 * row :][:61] = data[5 + 77 * row :][:61]
        assert board.download(target.address, 4000) == due.tobytes()
        device.copy(source.address, target.address, 4000)
        assert board.download(target.address, 4000) == data.tobytes()
        assert (device.gemm(A, W) == A @ W).all()
        for wrong in (
            {"size": 0}, {"size": 65536}, {"size": 6}, {"rows": 65536}, {"source_stride": 65536},
            {"target_stride": 65536 * 4}, {"source_stride": 7}, {"target_stride": 4},
            {"target": source.address + 20}, {"source": (1 << 32) - 1},
        ):  # fmt: skip
            given = {"source": source.address, "target": target.address, "size": 8, "rows": 3}
            with pytest.raises(ValueError, match=r"\d"):
                device.copy(**{**given, **wrong})
        with pytest.raises(AcceleratorError):
            device.copy(16, 64, 8)  # there is no memory
        board.free(source)
        board.free(target)


def test_fewer_planes():
    w = RNG.integers(-2, 2, (20, 9))
    with driver("lut") as device:
        assert (device.gemm(A, w, bits=2) == A @ w).all()
        handle = device.load_weights(w, bits=2)
        assert handle.w.size == -(-9 // 8) * 5 * 2 * MANIFESTS["lut"]["contract"]["w_slot"]
        assert (device.gemm(A, handle) == A @ w).all()


def test_floats_count_units():
    a = RNG.choice([0.5, -1.75, 3.0, 448.0, 2.0**-9], (3, 8))
    w = RNG.choice([0.5, -6.0, 1.5, 0.0], (8, 5))
    with driver("float") as device:
        assert (device.gemm(a, w) * 2.0**device.lam == a @ w).all()
        ticket = device.submit(Quantized(np.full((1, 2), 0x7F)), w[:2])
        device.wait(ticket)
        assert ticket.nan
        ticket = device.submit(a, w)
        device.wait(ticket)
        assert not ticket.nan


def test_scales():
    scales = RNG.choice([0.25, 0.5, 3.0], (2, 9))
    zeros = RNG.integers(-8, 8, (2, 9))
    act_scales = RNG.choice([2.0, 0.125], (2, 6))
    due = sum(
        (A[:, g] @ W[g] - A[:, g].sum(axis=1)[:, None] * zeros[i])
        * scales[i]
        * act_scales[i][:, None]
        for i, g in enumerate((slice(16), slice(16, 20)))
    )
    with driver("mx") as device:
        c = device.gemm(A, W, scales=scales, zeros=zeros, act_scales=act_scales)
        assert c.dtype == np.float32
        assert (c == due).all()
        a, w = Quantized(A % 256, act_scales), Quantized(W % 16, scales, zeros)
        assert (device.gemm(a, w) == due).all()
        handle = device.load_weights(w)
        assert handle.s is None
        assert (device.gemm(a, handle) == due).all()
        assert (device.gemm(a, handle, activation="relu") == np.maximum(due, 0)).all()
        device.free(handle)


def test_scales_stay_with_weights():
    scales = RNG.choice([0.25, 0.5, 3.0], (2, 9))
    due = A[:, :16] @ W[:16] * scales[0] + A[:, 16:] @ W[16:] * scales[1]
    with driver("shift-add") as device:
        handle = device.load_weights(W, scales=scales)
        assert handle.s is not None
        before = device.transport.writes
        assert (device.gemm(A, handle) == due).all()
        # A, the descriptor, START and the interrupt: nothing of W.
        assert device.transport.writes - before == 4


def test_requantisation():
    numbers = {"m": np.full(9, 1 << 10), "s": np.full(9, 14), "add": np.arange(9)}
    with driver("requant") as device:
        c = device.gemm(A, W, numbers=numbers, clamp=(-20, 30))
    assert c.dtype == np.int8
    assert (c == np.clip(np.floor((A @ W + np.arange(9)) / 16 + 0.5), -20, 30)).all()


def test_sparse_weights():
    w = W.copy()
    w[::2] = 0
    with driver("nm") as device:
        assert (device.gemm(A, w) == A @ w).all()
        with pytest.raises(ValueError, match="more than 2:4 allows"):
            device.gemm(A, W)
        pruned = device.gemm(A, W, prune=True)
        assert pruned.shape == (6, 9)


@pytest.mark.parametrize(
    ("options", "of"),
    [
        ({"activation": "relu"}, lambda c: np.maximum(c, 0)),
        ({"activation": "clamp", "clamp": (-128, 127)}, lambda c: np.clip(c, -128, 127)),
        ({"clamp": (0, 99)}, lambda c: np.clip(c, 0, 99)),
    ],
)
def test_activations(options, of):
    with driver() as device:
        assert (device.gemm(A, W, **options) == of(A @ W)).all()


def test_out():
    out = np.zeros((9, 6), dtype=np.int32).T
    with driver() as device:
        assert device.gemm(A, W, out=out) is out
        assert (out == A @ W).all()


def test_many_at_a_time():
    """More than the ring holds, and fetched in any order."""
    with driver(queue=4) as device:
        handle = device.load_weights(W)
        tickets = {}
        for k in range(11):
            if k >= 4:
                device.wait(tickets[k - 4])
            tickets[k] = device.submit(A + (k % 2), handle) if k else device.submit(A, W)
        for k in reversed(range(11)):
            assert (device.wait(tickets[k]) == (A + (k % 2 if k else 0)) @ W).all()
        assert device.wait(tickets[3]) is device.wait(tickets[3])
        assert all(ticket.run.cycles is not None for ticket in tickets.values())


@pytest.fixture(autouse=True)
def small_activations():
    """A + 1 must be codes too."""
    A[A == 127] = 126


@pytest.mark.parametrize("queue", [0, 2])
def test_full(queue):
    with driver(queue=queue, instant=False) as device:
        tickets = [device.submit(A, W) for _ in range(max(queue, 1))]
        before = device.transport.writes
        with pytest.raises(ValueError, match=f"the queue of {max(queue, 1)} is full"):
            device.submit(A, W)
        assert device.transport.writes == before
        for ticket in tickets:
            assert (device.wait(ticket) == A @ W).all()


@pytest.mark.parametrize("queue", [0, 4])
@pytest.mark.parametrize(
    ("response", "writes", "code"), [("SLVERR", False, 1), ("DECERR", True, 4)]
)
def test_errors_of_the_bus(queue, response, writes, code):
    with driver(queue=queue, instant=False) as device:
        good, bad = device.load_weights(W), device.load_weights(W)
        board = device.transport.device
        if not queue:
            ticket = device.submit(A, bad)
            where = (ticket.c if writes else bad.w).address
            board.fail(where, 8, response, reads=not writes, writes=writes)
            with pytest.raises(AcceleratorError) as caught:
                device.wait(ticket)
            assert caught.value.descriptor is None
        else:
            tickets = [device.submit(A, w) for w in (good, bad, good)]
            where = (tickets[1].c if writes else bad.w).address
            board.fail(where, 8, response, reads=not writes, writes=writes)
            assert (device.wait(tickets[2]) == A @ W).all()
            assert (device.wait(tickets[0]) == A @ W).all()
            with pytest.raises(AcceleratorError) as caught:
                device.wait(tickets[1])
            assert caught.value.descriptor == 1
        assert (caught.value.code, caught.value.address) == (code, where)
        kind = "write" if writes else "read"
        assert f"a {kind} was answered with {response} at {where:#x}" in str(caught.value)
        assert "\n" not in str(caught.value)
        board.heal()
        assert (device.gemm(A, bad) == A @ W).all()


@pytest.mark.parametrize("queue", [0, 4])
def test_abort(queue):
    with driver(queue=queue, instant=False) as device:
        tickets = [device.submit(A, W) for _ in range(min(queue, 3) or 1)]
        device.abort()
        for ticket in tickets:
            with pytest.raises(AcceleratorError, match="aborted") as caught:
                device.wait(ticket)
            assert caught.value.code == ERROR_CODES["aborted"]
        assert (device.gemm(A, W) == A @ W).all()


@pytest.mark.parametrize("queue", [0, 4])
def test_reset(queue):
    with driver(queue=queue, instant=False) as device:
        handle = device.load_weights(W)
        ticket = device.submit(A, handle)
        device.reset()
        with pytest.raises(AcceleratorError, match="aborted"):
            device.wait(ticket)
        assert (device.gemm(A, handle) == A @ W).all()


@pytest.mark.parametrize("queue", [0, 4])
def test_timeout(queue, monkeypatch):
    with driver(queue=queue, instant=False) as device:
        ticket = device.submit(A, W)
        monkeypatch.setattr(device.transport, "wait_interrupt", lambda timeout: False)
        with pytest.raises(DeviceError, match=r"no completion within 0.01 s; .* STATUS 0x"):
            device.wait(ticket, 0.01)
        monkeypatch.undo()
        assert (device.wait(ticket) == A @ W).all()


def test_a_foreign_record():
    with driver(queue=4, instant=False) as device:
        device.submit(A, W)
        device.transport.device._record = lambda running, fault: fault
        with pytest.raises(DeviceError, match="the record of descriptor 0 is that of 0"):
            device.wait(device.submit(A, W))


def test_counters():
    with driver() as device:
        device.gemm(A, W)
        found = device.counters()
        assert list(found) == list(PERF)
        assert found["macs"] == 8 * 12 * 20
        device.clear_counters()
        assert device.counters()["macs"] == 0


# Self-test.


@pytest.mark.parametrize("engine", ENGINES)
def test_self_test(engine):
    with driver(engine, queue=2) as device:
        assert device.self_test(4) == 4


@pytest.mark.parametrize("engine", ["cube", "mx", "uint8", "planes"])
def test_self_test_catches_a_wrong_bit(engine):
    with driver(engine) as device:
        board = device.transport.device
        store = type(board)._store

        def wrong(extent, data):
            data = data.copy()
            data[-1, -1] ^= 1
            store(board, extent, data)

        board._store = wrong
        with pytest.raises(DeviceError, match=r"self-test: product 0, .* elements are wrong"):
            device.self_test(1)


# Refusals.


def test_another_device():
    transport = Watched(MANIFESTS["os"])
    with pytest.raises(ValueError, match=r"BUILD 0x\w+, not 0x\w+; .*ROWS 3, not 4") as caught:
        Accelerator(transport, MANIFESTS["cube"])
    assert f"{MANIFESTS['os']['contract']['build']:#010x}" in str(caught.value)
    assert transport.writes == 0


@pytest.mark.parametrize(
    ("address", "word", "message"),
    [
        (0x000, 7, "is no matrix co-processor: its ID is 0x00000007, not 0x4547504d"),
        (0x004, 2 << 24, "has version 2 of the registers, this driver knows 1"),
        (0x01C, 0, "does not keep what is written to SCRATCH"),
    ],
)
def test_no_such_device(address, word, message):
    transport = Watched(MANIFESTS["cube"])
    transport.spoiled[address] = word
    with pytest.raises(DeviceError, match=message):
        Accelerator(transport, MANIFESTS["cube"])


def test_other_manifests(tmp_path):
    with pytest.raises(ValueError, match="'pe' is the manifest of no matrix co-processor"):
        Accelerator(Watched(MANIFESTS["cube"]), {"unit": "pe", "contract": {}})
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(MANIFESTS["cube"]))
    with Accelerator(Watched(MANIFESTS["cube"]), path) as device:
        assert (device.gemm(A, W) == A @ W).all()
    with pytest.raises(ValueError, match="queue must be 0 or a power of two to 32768, not 3"):
        driver(queue=3)


SCALES = {"scales": np.ones((2, 9)), "zeros": np.zeros((2, 9)), "act_scales": np.ones((2, 6))}
NUMBERS = {name: np.ones(9, dtype=int) for name in ("m", "s", "add")}
READ_ONLY = np.zeros((6, 9), dtype=np.int32)
READ_ONLY.flags.writeable = False
REFUSED = [
    ("cube", A[0], W, {}, r"a must be a matrix with rows and columns, not \(20,\)"),
    ("cube", A[:0], W, {}, r"a must be a matrix with rows and columns, not \(0, 20\)"),
    ("cube", A, W[0], {}, r"w must be a matrix of K rows and N columns, not \(9,\)"),
    ("cube", A, W[:19], {}, "a has 20 columns, but w has 19 rows"),
    ("cube", A + 300, W, {}, r"a\[0, 0\] is \d+, which int8 does not have"),
    ("cube", A, W * 0.3, {}, r"w\[\d, \d\] is -?\d.\d+, which int4 does not have: quantize"),
    ("cube", A, np.full((20, 9), np.nan), {}, r"w\[0, 0\] is nan"),
    ("cube", A.astype(str), W, {}, "a must hold numbers, not <U"),
    ("cube", Quantized(A % 256, format="int4"), W, {}, "a must be of format int8, not int4"),
    ("cube", Quantized(A), W, {}, "a: code -[0-9]+ is not a code of int8"),
    ("cube", np.zeros((1, 5000)), W, {}, "K must be at most 4096, not 5000"),
    ("cube", np.zeros((65536, 1)), W, {}, "a must have at most 65535 rows, not 65536"),
    ("cube", A, np.zeros((20, 65536)), {}, "w must have at most 65535 columns, not 65536"),
    ("cube", A, W, {"bits": 2}, "bits must be 0 to 0 with this engine, not 2"),
    ("lut", A, W, {"bits": 5}, "bits must be 0 to 4 with this engine, not 5"),
    ("lut", A, W * 2, {}, "w: weights must be -8 to 7"),
    ("lut", A, W + 0.5, {}, "w must hold integers"),
    ("cube", A, W, {"scales": np.ones((1, 9))}, "scales are not taken by this engine"),
    ("cube", A, W, {"numbers": NUMBERS}, "numbers are not taken by this engine"),
    ("mx", A, W, {**SCALES, "scales": None}, "scales are needed by this engine"),
    ("mx", A, W, {**SCALES, "act_scales": None}, "act_scales are needed by this engine"),
    ("mx", A, W, {**SCALES, "scales": np.ones((1, 9))}, r"scales must have shape \(2, 9\), not"),
    ("mx", A, W, {**SCALES, "act_scales": np.ones((2, 9))}, r"act_scales must have shape \(2, 6\)"),
    ("mx", A, W, {**SCALES, "zeros": np.full((2, 9), 128)}, "zeros must be -128 to 127, not 128"),
    ("mx", A, W, {**SCALES, "scales": np.full((2, 9), 0.1)}, r"scales\[0, 0\] is 0.1, which fp16"),
    ("mx", A, W, {**SCALES, "clamp": (0, 1)}, "clamp is not taken by this engine"),
    ("requant", A, W, {"numbers": {"m": NUMBERS["m"]}}, "numbers must be m, s, add, not m"),
    (
        "requant",
        A,
        W,
        {"numbers": {**NUMBERS, "s": np.full(9, 64)}},
        r"numbers\['s'\] must be 0 to 63, not 64 to 64",
    ),
    ("cube", A, W, {"activation": "gelu"}, "activation must be none, relu, clamp, not 'gelu'"),
    ("cube", A, W, {"activation": "clamp"}, "not 'clamp' with clamp None"),
    ("cube", A, W, {"activation": "relu", "clamp": (0, 1)}, "not 'relu' with clamp"),
    ("cube", A, W, {"clamp": (3, 2)}, r"clamp must be two bounds from -128 to 127, not \(3, 2\)"),
    ("cube", A, W, {"clamp": (0, 200)}, "clamp must be two bounds"),
    (
        "cube",
        A,
        W,
        {"out": np.zeros((9, 6), np.int32)},
        r"out must be \(6, 9\) int32, not \(9, 6\)",
    ),
    ("cube", A, W, {"out": np.zeros((6, 9))}, r"out must be \(6, 9\) int32, not .* float64"),
    ("cube", A, W, {"out": [0]}, "out must be .* not list"),
    ("cube", A, W, {"out": READ_ONLY}, "out must be writeable"),
]


@pytest.mark.parametrize(
    ("engine", "a", "w", "options", "message"), REFUSED, ids=range(len(REFUSED))
)
def test_refusals(engine, a, w, options, message):
    """Each names what is wrong, and the device knows nothing of it."""
    with driver(engine) as device:
        before = device.transport.writes
        with pytest.raises(ValueError, match=message):
            device.gemm(a, w, **options)
        assert device.transport.writes == before
        assert not device.transport._heap._taken


def test_overlaps():
    both = np.zeros((6, 20), dtype=np.int32)
    with driver(instant=False, queue=2) as device:
        with pytest.raises(ValueError, match="out must not overlap a"):
            device.gemm(both, W, out=both[:, :9])
        out = np.zeros((6, 9), dtype=np.int32)
        ticket = device.submit(A, W, out=out)
        with pytest.raises(ValueError, match="out must not overlap that of a product on its way"):
            device.submit(A, W, out=out)
        assert device.wait(ticket) is out


def test_no_memory():
    with driver(size=4096) as device:
        with pytest.raises(ValueError, match="has no 5196 in one piece, 4096 are free"):
            device.gemm(np.zeros((50, 100)), np.zeros((100, 1)))
        assert not device.transport._heap._taken
        assert (device.gemm(A, W) == A @ W).all()


def test_weights_of_others():
    with driver() as device, driver() as other:
        handle = other.load_weights(W)
        with pytest.raises(ValueError, match="the weights are not loaded here"):
            device.gemm(A, handle)
        with pytest.raises(ValueError, match="bits belong to load_weights"):
            other.gemm(A, handle, bits=1)
        other.free(handle)
        with pytest.raises(ValueError, match="were freed already"):
            other.free(handle)
        with pytest.raises(ValueError, match="or were freed"):
            other.gemm(A, handle)


def test_weights_in_use():
    with driver(instant=False, queue=2) as device:
        handle = device.load_weights(W)
        ticket = device.submit(A, handle)
        with pytest.raises(ValueError, match="a product needs the weights"):
            device.free(handle)
        device.wait(ticket)
        device.free(handle)


def test_closed():
    device = driver()
    ticket = device.submit(A, W)
    device.close()
    device.close()
    for use in (
        lambda: device.gemm(A, W),
        lambda: device.load_weights(W),
        device.counters,
        device.reset,
        device.abort,
        device.self_test,
    ):
        with pytest.raises(ValueError, match="the accelerator is closed"):
            use()
    with pytest.raises(AcceleratorError, match="aborted"):
        device.wait(ticket)


def test_closed_before_it_was_fetched():
    with driver(queue=2) as device:
        first, second = device.submit(A, W), device.submit(A, W)
        device.wait(second)
    assert (device.wait(second) == A @ W).all()
    with pytest.raises(ValueError, match="was closed before the product was fetched"):
        device.wait(first)
