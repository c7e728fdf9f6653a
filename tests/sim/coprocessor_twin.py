# SPDX-License-Identifier: Apache-2.0
"""The emitted co-processor, compiled, beside its golden model: same accesses, same memory."""

from dataclasses import replace
from functools import cache

import numpy as np

from gen.emit import emit
from gen.unit import discover
from hw.spec.coprocessor import OPS, PERF, RECORD_BYTES, Descriptor, Record
from sim.coprocessor import MemoryModel, SimTransport
from sim.golden.coprocessor.accelerator import GoldenAccelerator

BASE, SIZE = 0x4000, 1 << 16
BOUND = 200_000  #: Cycles after which a device that is still busy hangs.

_ARRAY, _MPGEMM = "array --arch multiply --dataflow", "mpgemm --engine"

#: Engine, bits of the bus, KiB of buffers, longest burst, bursts in flight, counters; whether C is
#: added to.
ENGINES = {
    "cube": (
        f"{_ARRAY} cube --rows 2 --columns 4 --lanes 4 --max-k 1024", 64, 1, 1, 4, 4, True, True,
    ),
    "os": (f"{_ARRAY} os --format int8 --rows 3 --columns 3 --max-k 512", 32, 1, 2, 16, 2, False),
    "lut": (f"{_MPGEMM} lut --rows 2 --columns 3 --max-k 256", 128, 2, 1, 2, 8, True),
    "ternary": (
        f"{_MPGEMM} lut-ternary --group 4 --rows 2 --columns 3 --max-k 128", 64, 1, 1, 8, 1, False,
    ),
    "minifloat": (
        f"{_ARRAY} broadcast --format e2m1 --act e4m3 --rows 2 --columns 3 --max-k 128",
        32, 2, 1, 8, 4, False,
    ),
    "scaled": (
        f"{_MPGEMM} shift-add --format int4 --act int8 --lanes 2 --group-size 8 --scale fp16 "
        "--zero-points --rows 2 --columns 3 --max-k 64", 64, 1, 1, 4, 4, False,
    ),
    "requant": (
        f"{_ARRAY} cube --rows 2 --columns 2 --lanes 2 --max-k 64 --requant rhu --bias "
        "--out-zero-point", 64, 1, 1, 4, 4, False,
    ),
    "sparse": (
        "array --arch nm --sparsity 2:4 --dataflow tree --rows 1 --columns 2 --lanes 4 --max-k 64",
        32, 1, 1, 4, 2, False,
    ),
    "posit": (
        f"{_ARRAY} os --format posit8_0 --act posit8_0 --rows 2 --columns 2 --max-k 64",
        128, 1, 1, 16, 4, False,
    ),
    "act_scaled": (
        f"{_ARRAY} cube --rows 2 --columns 2 --lanes 4 --group 8 --scale ue4m3 --act-scale e8m0 "
        "--max-k 64", 64, 1, 1, 4, 4, False,
    ),
    "os-ws": (f"{_ARRAY} os-ws --rows 4 --columns 2 --lanes 2 --max-k 200", 64, 1, 1, 4, 4, True),
    "ws": (
        f"{_ARRAY} ws --depth 1 --load tile --rows 2 --columns 2 --lanes 4 --max-k 200",
        64, 1, 1, 4, 4, True,
    ),
    # Steps of 1 to 4 products of 4 to 16 bits, planes, scales of rows, and groups of 3 steps.
    "several": (
        "; ".join((
            f"{_ARRAY} cube --rows 2 --columns 2 --lanes 4 --max-k 100",
            f"{_MPGEMM} bit-plane --act int6 --bits 3 --planes 1 --lanes 8 --rows 2 --columns 2 "
            "--max-k 64",
            f"{_ARRAY} broadcast --rows 2 --columns 2 --act int16 --acc-bits 40 --max-k 90",
            f"{_ARRAY} cube --rows 2 --columns 2 --lanes 2 --group 6 --scale e8m0 --max-k 80",
            f"{_ARRAY} cube --rows 2 --columns 2 --lanes 2 --group 8 --scale ue4m3 "
            "--act-scale e8m0 --max-k 64",
            f"{_ARRAY} os --rows 2 --columns 2 --requant rhu --requant-out uint8 --bias --max-k 64",
        )), 64, 1, 1, 8, 4, True,
    ),
}  # fmt: skip

#: A preset that lacks what can be left out; the same with one thing more.
LEAN = {"tiny": {"preset": "tiny"}, "queued": {"preset": "tiny", "queue": True}}


def params(name):
    """Return the parameters of the co-processor with one of the engines, or of a preset."""
    if name in LEAN:
        return discover()["coprocessor"].params(**LEAN[name])
    engine, width, act, wgt, burst, outstanding, perf, *accumulate = ENGINES[name]
    return discover()["coprocessor"].params(
        engine=engine,
        data_width=width,
        act_kib=act,
        wgt_kib=wgt,
        max_burst=burst,
        outstanding=outstanding,
        perf=perf,
        accumulate=accumulate == [True],
    )


@cache
def built(name):
    """Return Verilog and manifest of one of the engines behind the co-processor, or of a preset."""
    return emit(discover()["coprocessor"], params(name))


class Twin:
    """Both devices. Every access is made to both, and its answer compared."""

    def __init__(self, name, *, build=built, bound=BOUND, **model):
        text, manifest = build(name)
        self.manifest, self.bound = manifest, bound
        memory = MemoryModel(**{"base": BASE, "size": SIZE, **model})
        self.device = SimTransport(text, manifest, memory)
        self.golden = GoldenAccelerator(manifest, base=BASE, size=SIZE)
        self.map, self.contract = self.golden.map, self.golden.contract

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.device.close()

    # Both.

    def fill(self, rng):
        """Put random bytes everywhere."""
        self.device.memory[:] = rng.integers(0, 256, SIZE, dtype=np.uint8)
        self.golden.memory[:] = self.device.memory

    def put(self, address, data):
        for memory in (self.device.memory, self.golden.memory):
            memory[address - BASE : address - BASE + len(data)] = data

    def write(self, name, word=0, strobes=15, **fields):
        """Write a register of both; they agree whether that is refused."""
        register = self.map[name]
        word = register.make(**fields) if fields else word
        refused = self.golden.write32(register.offset, word, strobes)
        found = self.device.access(register.offset, word, strobes)[1]
        assert found == (2 if refused else 0), (name, found)
        return refused

    def direct(self, descriptor, **fields):
        """Run a descriptor from the registers."""
        for number, word in enumerate(descriptor.pack()):
            self.write(f"DIRECT{number}", word)
        self.write("CTRL", START=1, **fields)

    def queue(self, descriptors, base, size, first=0, **fields):
        """Put descriptors into a ring of which ``first`` were consumed before."""
        for number, each in enumerate(descriptors, first):
            words = np.array(each.pack(), dtype="<u4").view(np.uint8)
            self.put(base + 64 * (number % size), words)
        if not first:
            for name, word in (("QBASE_LO", base), ("QBASE_HI", 0), ("QSIZE", size)):
                self.write(name, word)
        self.write("CTRL", QUEUE_EN=1, **fields)
        self.write("QHEAD", (first + len(descriptors)) % 65536)

    def fail(self, address, size, response, *, reads=True, writes=True):
        """Let a range of addresses refuse."""
        self.device.answer(address, size, response, reads=reads, writes=writes)
        self.golden.fail(address, size, response, reads=reads, writes=writes)

    def heal(self):
        self.device.heal()
        self.golden.heal()

    # The device.

    def get(self, name, field=None):
        """Return a register of the device, or a field of it."""
        word, response = self.device.access(self.map[name].offset)
        assert response == 0
        return word if field is None else self.map[name].get(word, field)

    def rest(self):
        """Wait until the device is not busy; return the cycles, to about 30."""
        before = self.device.statistics()["cycles"]
        while self.get("STATUS", "BUSY"):
            self.device.step(20)
            assert self.device.statistics()["cycles"] - before < self.bound, "it hangs"
        return self.device.statistics()["cycles"] - before

    def compare(self, records=()):
        """Insist that all of memory and all registers but counters are equal.

        The cycles in records, at these addresses, are not; they are above 0.
        """
        device, golden = self.device.memory, self.golden.memory
        for at in records:
            here = slice(at - BASE, at - BASE + RECORD_BYTES)
            assert Record.unpack(device[here].view("<u4").tolist()).cycles > 10
            golden[at - BASE + 8 : at - BASE + 16] = device[at - BASE + 8 : at - BASE + 16]
        wrong = np.flatnonzero(device != golden)
        assert not len(wrong), f"{len(wrong)} bytes differ, the first at {BASE + wrong[0]:#x}"
        for register in self.map.registers:
            if register.access != "WO" and not register.name.startswith("PERF"):
                found = self.device.access(register.offset)
                due, refused = self.golden.read32(register.offset)
                assert found == (due, 2 if refused else 0), (register.name, found, due)
        assert self.device.step(0) == self.golden.interrupt

    def counters(self):
        """Return the counters of both."""
        self.write("PERF_FREEZE", 1)
        found = []
        for read in (lambda at: self.device.access(at)[0], lambda at: self.golden.read32(at)[0]):
            words = [read(self.map["PERF0_LO"].offset + 4 * k) for k in range(2 * len(PERF))]
            found.append({n: words[2 * k] | words[2 * k + 1] << 32 for k, n in enumerate(PERF)})
        self.write("PERF_FREEZE", 0)
        return found


def near(rng, low, high, align=1):
    """Return an address of ``low`` to ``high``, often just before or behind 4 KiB."""
    at = int(rng.integers(low, high))
    if rng.random() < 0.5:
        at = at // 4096 * 4096 + int(rng.integers(-40, 40))
    return min(max(at, low), high) // align * align


def draw(rng, contract, most=(14, 12, 48), **given):
    """Return a descriptor of a random product: A, W, S and C lie in quarters of the memory.

    A may have gaps between its rows, and so may column tiles of W, and C.
    """
    quarter = SIZE // 4
    limits = [min(most[2], contract.unit.engine.max_k), most[1], most[0]]
    while True:
        k, n, m = (int(rng.integers(1, limit + 1)) for limit in limits)
        bits = int(rng.integers(contract.unit.engine.planes + 1)) if contract.has_planes else 0
        d = Descriptor(
            op=OPS["gemv"] if m == 1 and rng.random() < 0.5 else OPS["gemm"],
            m=m,
            n=n,
            k=k,
            w_fmt=bits,
            a=near(rng, BASE, BASE + quarter - 1),
            w=near(rng, BASE + quarter, BASE + 2 * quarter - 1, 16),
            s=near(rng, BASE + 2 * quarter, BASE + 3 * quarter - 1, 16),
            c=near(rng, BASE + 3 * quarter, BASE + 4 * quarter - 1),
            tag=int(rng.integers(65536)),
            flags=int(rng.integers(2)) | (contract.accumulates and int(rng.integers(2)) << 1),
        )
        row = contract.extents(d)
        gap = [int(rng.choice((0, 0, 1, 5, 200))) for _ in range(3)]
        w_size = row["w"].size
        d = replace(
            d,
            a_stride=row["a"].size + gap[0] if m > 1 else int(rng.integers(65536)),
            c_stride=-(-row["c"].size // 4) + gap[1] if m > 1 else int(rng.integers(65536)),
            w_stride=-(-w_size // 16) + gap[2] if gap[2] else 0,
            activation=int(rng.choice((0, 1) if contract.is_float else (0, 1, 3))),
            clamp_low=-int(rng.integers(129)),
            clamp_high=int(rng.integers(128)),
            **given,
        )
        extents = contract.extents(d)
        tops = {name: BASE + quarter * (number + 1) for number, name in enumerate("awsc")}
        if all(extent.end <= tops[name] for name, extent in extents.items()):
            return d
