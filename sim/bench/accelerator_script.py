# SPDX-License-Identifier: Apache-2.0
"""What a host does to a matrix co-processor so that a fault in it shows, as a script."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hw.spec.coprocessor import ERROR_CODES, OPS, PERF, Descriptor
from sim.bench.accelerator_host import HALF, LIMIT, MOODS, RING, Host
from sim.bench.drive_memory import ANY, Script
from sim.golden.coprocessor.roofline import roofline

__all__ = ["script_of"]


def script_of(manifest: Mapping[str, Any], seed: int = 1) -> Script:
    """Return the script for the co-processor that ``manifest`` describes."""
    host = Host(manifest, np.random.default_rng(seed))
    _registers(host)
    _products(host)
    _copies(host)
    _refusals(host)
    _ends_of_memory(host)
    _rings(host)
    _queues(host)
    _refused_bursts(host)
    _broken_off(host)
    _sizes(host)
    _large(host)
    if manifest["parameters"].get("perf"):
        _counters(host)
    return host.script


def _registers(host: Host) -> None:
    """Every word of the window: what it holds, what bytes of it can be written."""
    host.compare()
    for _ in range(2):
        for register in host.map.registers:
            if register.name in ("CTRL", "QHEAD") or register.name.startswith("PERF"):
                continue
            word = int(host.rng.integers(1 << 32))
            for value, strobes in ((word, 15), (~word & 0xFFFF_FFFF, int(host.rng.integers(16)))):
                host.access(register.offset, value, strobes)
                host.expect(register.offset)
        host.compare()
    for offset in range(0, 4096, 4):
        if host.map.at(offset) is None and host.rng.random() < 0.2:
            host.expect(offset)
            host.access(offset, 0xFFFF_FFFF)
    for name in ("SCRATCH", "TIMEOUT"):
        host.access(host.map[name].offset + 2, 0xFFFF_FFFF)
        host.expect(host.map[name].offset + 1)
    for bit in range(6):
        host.write("IRQ_ENABLE", 1 << bit)
        host.compare(quick=True)
    for bit in range(16):
        host.write("QHEAD", 1 << bit)
        host.write("QSIZE", 1 << bit)
        host.expect_all("STATUS", "QHEAD", "QTAIL")
        host.write("QSIZE", (1 << bit) + 1)
        host.expect_all("STATUS")
    host.write("CTRL", SOFT_RESET=1)
    host.rest()
    host.compare()


def _products(host: Host) -> None:
    """Random ones in every mood of the memory, somewhere else each time."""
    for number in range(len(MOODS)):
        host.mood(number)
        for most in ((5, 6, 40), (9, 9, 90), (14, 3, 30), (2, 20, 30), (1, 5, 256)):
            host.move()
            host.write("AXI_ATTR", int(host.rng.integers(1 << 12)))
            d = host.draw(most)
            host.direct(d, _deadline(host, d) if number == 0 else LIMIT)
    host.mood(0)


def _deadline(host: Host, job: Descriptor) -> int:
    """Return twice the cycle model (sheet C.5), and what descriptor and polls take."""
    return 2 * roofline(job, host.contract, latency=8).cycles + 200


def _copies(host: Host) -> None:
    """Rows of bytes from any place to any place."""
    for number in (0, 2, 1):
        host.mood(number)
        for _ in range(5):
            host.move()
            host.direct(_copy(host, int(host.rng.integers(1, 7)), int(host.rng.integers(1, 200))))
    host.mood(0)
    host.direct(_copy(host, 1, 3000))


def _copy(host: Host, m: int, n: int) -> Descriptor:
    return Descriptor(
        op=OPS["copy"], m=m, n=n, k=1, a=host.near(0, 1), c=host.near(2, 1),
        a_stride=n + int(host.rng.integers(40)), c_stride=-(-n // 4) + int(host.rng.integers(40)),
    )  # fmt: skip


def _refusals(host: Host) -> None:
    """Every field of a descriptor wrong in each of its bits; sizes and places just too large."""
    good = replace(host.draw((3, 5, 40)), activation=0, flags=0)
    sizes = {name: e.size for name, e in host.contract.extents(good).items()}
    wrong: list[dict[str, int]] = []
    for name, bits in _FIELDS.items():
        wrong += [{name: getattr(good, name) ^ 1 << bit} for bit in range(bits)]
    wrong += [{"m": 0}, {"n": 0}, {"k": 0}, {"op": 1, "m": 2}]
    most_k = host.contract.unit.engine.max_k
    wrong += [{"k": k, "a_stride": 65000} for k in {most_k + 1, 2 * most_k, 65535} if k < 65536]
    wrong += [{"k": 1 << bit, "a_stride": 65000} for bit in range(16) if 1 << bit > most_k]
    wrong += [{"w": good.w + (1 << bit)} for bit in range(4)]
    for m in (2, 3):
        wrong += [{"m": m, "a_stride": sizes["a"] - 1}, {"m": m, "c_stride": (sizes["c"] - 1) // 4}]
    wrong += [{name: getattr(good, name) | 1 << bit} for name in "awc" for bit in range(32, 64, 3)]
    for case in wrong:
        d = replace(good, **case)
        if host.contract.refusal(d.pack()):
            host.direct(d)
        else:
            host.direct(replace(d, m=1, n=1, k=1, op=d.op if d.op == OPS["fence"] else 0))
    host.direct(good)


#: Bits of fields of which few values are allowed.
_FIELDS = {"magic": 8, "version": 8, "op": 8, "flags": 8, "a_fmt": 4, "w_fmt": 4, "c_fmt": 4}
_FIELDS |= {"w_layout": 4, "engine": 4, "activation": 4, "round_mode": 4, "scale_mode": 4, "g": 16}


def _ends_of_memory(host: Host) -> None:
    """Operands that end with the last byte of all, or one unit behind it.

    Where nothing is, an operand that ends with the last byte is a refused read.
    """
    rng, top = host.rng, 1 << int(host.contract["addr_bits"])
    good = replace(host.draw((2, 3, 20)), activation=0, flags=0)
    for turn in range(120):
        name = "awc"[turn % 3]
        copies = turn % 4 == 3 and name != "w"
        m, n = int(rng.integers(2, 65536)), int(rng.integers(1, 65536))
        m, n = (m, n >> int(rng.integers(16))) if turn % 2 else (m >> int(rng.integers(15)), n)
        m, n = max(m, 2), max(n, 1)
        k = 1 if copies else int(rng.integers(1, host.contract.unit.engine.max_k + 1))
        d = replace(good, m=m, n=n, k=k, op=OPS["copy" if copies else "gemm"], a=0, w=0, c=0)
        d = replace(d, w_stride=int(rng.choice([0, int(rng.integers(1, 65536))])))
        sizes = {key: e.size for key, e in host.contract.extents(d).items()}
        strides = {"a_stride": sizes["a"], "c_stride": -(-sizes["c"] // 4)}
        if any(stride > 65535 for stride in strides.values()):
            d = replace(d, m=1)
            strides = {"a_stride": 0, "c_stride": 0}
        else:
            strides = {key: int(rng.integers(low, 65536)) for key, low in strides.items()}
        d = replace(d, **strides)
        grain = 16 if name == "w" else 1
        last = (top - host.contract.extents(d)[name].end) // grain * grain
        if last < 0:
            continue
        beyond = replace(d, **{name: last + grain})
        if not host.contract.refusal(beyond.pack()):
            continue
        host.direct(beyond)
        if name == "w" or copies:
            continue
        ends = replace(d, **{name: last})
        host.load(ends)
        host.script.add("write", host.map["CTRL"].offset, 1, 15, 0)
        host.rest()
        code = host.contract.refusal(ends.pack()) or ERROR_CODES["read decerr"]
        host.script.add("read", host.map["ERR_CODE"].offset, 0xFFFF_FFFF, code, 0)
        host.write("IRQ_STATUS", 15)
        host.golden._completed = (host.golden._completed + 1) % 65536
        host.fill()


def _rings(host: Host) -> None:
    """Rings of every size and those that cannot be; overflows; records far away."""
    for bit in range(1, 16):
        base = host.windows[0] + RING
        records = base + 64 * (1 << bit)
        if records < base + HALF:
            host.move()
            base = host.windows[0] + RING
            records = base + 64 * (1 << bit)
        else:
            one = 4096 * int(host.rng.integers((host.reach - (1 << 22)) // 4096))
            host.move(one, (one + RING + 64 * (1 << bit)) // 4096 * 4096)
            base = one + RING
            records = base + 64 * (1 << bit)
        for name, word in (("QBASE_LO", base), ("QBASE_HI", 0), ("QSIZE", 1 << bit)):
            host.write(name, word)
        tail = host.value("QTAIL")
        place = records + 16 * (tail % (1 << bit))
        fence = Descriptor(op=OPS["fence"], tag=int(host.rng.integers(65536)), flags=1)
        words = np.array(fence.pack(), dtype="<u4").view(np.uint8)
        host.put(base + 64 * (tail % (1 << bit)), words)
        host.write("QHEAD", tail + 1)
        host.write("CTRL", QUEUE_EN=1, RECORD_EN=1)
        host.rest()
        host.compare([place], quick=True)
        host.write("CTRL", 0)
        host.write("IRQ_STATUS", 15)
        tail = host.value("QTAIL")
        for wrong in ((1 << bit) + 1, (1 << bit) + (1 << int(host.rng.integers(bit))), 65535):
            host.write("QHEAD", (tail + wrong) % 65536)
            host.write("CTRL", QUEUE_EN=1)
            host.rest()
            host.compare(quick=True)
            host.write("IRQ_STATUS", 15)
        host.write("QHEAD", tail)
        host.write("QSIZE", (1 << bit) + (1 << int(host.rng.integers(bit))))
        host.write("CTRL", QUEUE_EN=1)
        host.rest()
        host.compare(quick=True)
        host.write("IRQ_STATUS", 15)
    host.move()


def _queues(host: Host) -> None:
    """A ring that wraps, with records, fences, wrong descriptors; a memory that refuses it."""
    rng = host.rng
    for size, number in ((1, 0), (4, 2), (2, 1)):
        host.mood(number)
        host.move()
        host.write("CTRL", SOFT_RESET=1)
        host.rest()
        host.write("IRQ_ENABLE", 15)
        ring, head = host.windows[0] + RING, 0
        for name, word in (("QBASE_LO", ring), ("QBASE_HI", 0), ("QSIZE", size)):
            host.write(name, word)
        for turn in range(5):
            count = min(size, int(rng.integers(1, size + 1)))
            these = [host.draw((4, 5, 20)) for _ in range(count)]
            if turn == 1:
                these[0] = Descriptor(op=OPS["fence"], tag=7, flags=1)
            elif turn == 2:
                these[-1] = replace(these[-1], flags=8)
            elif turn == 3:
                these[0] = replace(these[0], version=3)
            first, head = head, head + count
            for place, each in enumerate(these, first):
                words = np.array(each.pack(), dtype="<u4").view(np.uint8)
                host.put(ring + 64 * (place % size), words)
            records = [ring + 64 * size + 16 * (k % size) for k in range(first, head)]
            host.write("QHEAD", head)
            host.rest()
            host.compare(records, quick=True)
            host.write("IRQ_STATUS", 1)
            for _ in range(count + 1):
                if host.value("QTAIL") == head:
                    break
                host.write("CTRL", QUEUE_EN=1, RECORD_EN=turn % 4 != 3, IRQ_EN=1)
                host.rest()
                host.compare(records, quick=turn < 3)
                host.write("IRQ_STATUS", int(rng.integers(1, 16)))
                host.compare(records, quick=True)
            host.write("IRQ_STATUS", 15)
    host.mood(0)
    host.write("CTRL", 0)
    for name, value in (("QSIZE", 3), ("QSIZE", 0), ("QBASE_LO", ring + 32), ("QSIZE", 65536)):
        host.write("QSIZE", 2)
        host.write(name, value)
        host.write("CTRL", QUEUE_EN=1)
        host.rest()
        host.compare(quick=True)
        host.write("IRQ_STATUS", 15)
    for response, reads in (("SLVERR", True), ("DECERR", True), ("SLVERR", False)):
        host.move()
        ring = host.windows[0] + RING
        host.write("QBASE_LO", ring)
        host.write("QSIZE", 2)
        tail = host.value("QTAIL")
        words = np.array(Descriptor(op=OPS["fence"]).pack(), dtype="<u4").view(np.uint8)
        host.put(ring + 64 * (tail % 2), words)
        record = ring + 128 + 16 * (tail % 2)
        host.answer(ring + 64 * (tail % 2) if reads else record, 16, response, reads, not reads)
        host.write("QHEAD", tail + 1)
        host.write("CTRL", QUEUE_EN=1, RECORD_EN=1)
        host.rest()
        host.compare((record,) if reads else ())
        host.heal()
        host.write("IRQ_STATUS", 15)
    host.write("CTRL", 0)


def _refused_bursts(host: Host) -> None:
    """Reads and writes that the memory refuses: what and where is told, a good product follows."""
    for turn in range(12):
        kind, response = "awc"[turn % 3], ("SLVERR", "DECERR")[turn % 2]
        host.move()
        d = host.draw((1, 1, 4))
        bus = int(host.contract["data_width"]) // 8
        host.answer(getattr(d, kind) // bus * bus, 1, response, kind != "c", kind == "c")
        host.load(d)
        host.write("CTRL", START=1)
        host.rest()
        host.expect_all("STATUS", "ERR_CODE", "ERR_DESC", "IRQ_STATUS")
        host.expect(host.map["ERR_ADDR_LO"].offset, 0xFFFF_FFFF & -bus)
        host.heal()
        host.write("IRQ_STATUS", 15)
        host.fill()
        host.direct(host.draw((3, 5, 20)))


def _long(host: Host) -> Descriptor:
    """Return a product that takes hundreds of cycles."""
    d = replace(host.draw((1, 1, 8)), m=9, n=9, k=min(200, host.contract.unit.engine.max_k), op=0)
    sizes = {name: e.size for name, e in host.contract.extents(d).items()}
    return replace(d, a=host.at(0) + 3, w=host.at(1), s=host.at(3), c=host.at(2) + 1, w_stride=0,
                   a_stride=sizes["a"], c_stride=-(-sizes["c"] // 4))  # fmt: skip


def _broken_off(host: Host) -> None:
    """Aborts, resets, a time-out, START while busy: then a good product follows."""
    host.mood(1)
    for wait in (0, 3, 50, 120, 300):
        for what in ("ABORT", "SOFT_RESET"):
            host.broken_off(_long(host), wait, what)
            host.direct(host.draw((3, 5, 20)))
    host.load(_long(host))
    host.golden.instant = False
    host.write("CTRL", START=1)
    for name, value in (("DIRECT3", 5), ("QSIZE", 8), ("TIMEOUT", 1), ("AXI_ATTR", 1)):
        host.access(host.map[name].offset, value)
    host.write("CTRL", START=1)
    host.expect_all("ERR_CODE", "ERR_DESC")
    host.golden.step()
    host.golden.instant = True
    host.rest()
    host.compare()
    host.write("IRQ_STATUS", 15)
    for limit in (100, 500, 1500):
        _timeout(host, limit)
    host.move()
    host.direct(_long(host))
    host.script.add("attributes", ANY)
    host.script.add("reset", 2)
    kept = host.golden._kept
    host.golden._restart()
    host.golden._kept |= {n: word for n, word in kept.items() if n.startswith("DIRECT")}
    host.script.add("attributes", host.value("AXI_ATTR"))
    host.compare()
    host.direct(host.draw((3, 5, 20)))


def _timeout(host: Host, limit: int) -> None:
    """Let the memory be silent for longer than TIMEOUT: error 9 at once, rest when it answers."""
    golden = host.golden
    host.script.add("mood", 2 * limit, 1, 1024, 0, 0)
    host.write("TIMEOUT", limit)
    host.load(_long(host))
    golden.instant = False
    host.write("CTRL", START=1)
    host.script.add("wait", limit - 40)
    host.expect_all("STATUS")
    host.script.add("wait", 150)
    assert golden._running is not None
    golden._report(ERROR_CODES["timeout"], 0, golden._running)
    host.expect_all("STATUS", "ERR_CODE", "IRQ_STATUS")
    golden._running, golden._completed = None, golden._completed + 1
    golden.instant = True
    host.rest()
    host.expect_all("STATUS", "ERR_CODE", "ERR_DESC", "IRQ_STATUS")
    host.write("IRQ_STATUS", 15)
    host.write("TIMEOUT", 0)
    host.mood(0)
    host.fill()


def _sizes(host: Host) -> None:
    """Every bit of every size and stride: far ones are broken off, or lie in both windows."""
    for bit in range(8, 16):
        for d in (
            Descriptor(m=1 << bit, n=1, k=1, a_stride=1, c_stride=2),
            Descriptor(m=1, n=1 << bit, k=1),
            Descriptor(op=OPS["copy"], m=1 << bit, n=1, k=1, a_stride=1, c_stride=1),
            Descriptor(op=OPS["copy"], m=1, n=1 << max(bit, 11), k=1),
        ):
            place = {"a": host.at(0), "w": host.at(1), "s": host.at(3), "c": host.at(2)}
            host.broken_off(replace(d, tag=bit, **place), 150)
    for bit in range(16):
        host.move()
        small = Descriptor(m=2, n=1, k=1, w=host.at(1), s=host.at(3), tag=bit)
        if (1 << bit) < HALF:
            small = replace(small, a=host.at(0), a_stride=max(1, 1 << bit))
        else:
            one = host.windows[0]
            host.move(one, one + (1 << bit) + 4096 * 16)
            small = replace(small, w=host.at(1), s=host.at(3), a=one + HALF - 4096 + 7)
            small = replace(small, a_stride=1 << bit)
            if small.a + (1 << bit) < host.windows[1]:
                small = replace(small, a_stride=1, a=one)
        host.direct(replace(small, c=host.at(2), c_stride=2))
        host.direct(_apart(host, small, "c", 4 << bit))
        wide = replace(small, m=1, n=2 * int(host.contract["columns"]))
        host.direct(_apart(host, wide, "w", 16 << bit))


def _apart(host: Host, d: Descriptor, name: str, stride: int) -> Descriptor:
    """Return a product with two rows of C or two panels of W so many bytes apart."""
    unit = 4 if name == "c" else 16
    if stride < 64:
        stride = 64
    one = 4096 * int(host.rng.integers((host.reach - (1 << 23)) // 4096))
    if stride < 4 * HALF:
        host.move(one, one + 4 * HALF)
        start = one + 4 * HALF - stride + 64 if stride > 2 * HALF else one + 64
        fits = stride < HALF - 256
        start = one + 64 if fits else one + 4 * HALF + 256 - stride
        if not fits and not one <= start < one + HALF - 256:
            start, stride = one + 64, 1024
    else:
        host.move(one, one + stride)
        start = one + 64
    d = replace(d, a=one + HALF - 8192, a_stride=16, w=one + HALF - 4096, s=one + HALF - 2048)
    d = replace(d, c=one + HALF - 1024, c_stride=16)
    return replace(d, **{name: start // 16 * 16, f"{name}_stride": stride // unit})


def _large(host: Host) -> None:
    """Operands beyond their buffers."""
    most = host.contract.unit.engine.max_k
    sizes_of = ((20, 3, most), (3, 20, most), (260, 2, 2), (2, 260, 2), (33, 17, most // 2))
    for m, n, k in (*sizes_of, (1100, 1, 1), (1, 1400, 1), (1, 2900, 1)):
        d = replace(host.draw((1, 1, 8)), op=0, m=m, n=n, k=k, activation=0)
        sizes = {name: e.size for name, e in host.contract.extents(d).items()}
        d = replace(d, a=host.at(0) + 1, w=host.at(1), s=host.at(3), c=host.at(2) + 2, w_stride=0,
                    a_stride=sizes["a"], c_stride=-(-sizes["c"] // 4))  # fmt: skip
        host.move(*host.windows)
        host.direct(d)


def _counters(host: Host) -> None:
    """Products and bytes as the golden model counts them."""
    host.write("PERF_CLEAR", 1)
    host.golden._counters = dict.fromkeys(PERF, 0)
    host.script.add("wait", 100)
    for _ in range(3):
        host.direct(host.draw((6, 6, 60)))
    host.script.add("wait", 60)
    host.write("PERF_FREEZE", 1)
    for number, name in enumerate(PERF):
        if name in ("compute", "wr_bytes", "macs"):
            host.expect_all(f"PERF{number}_LO", f"PERF{number}_HI")
    host.write("PERF_FREEZE", 0)
