# SPDX-License-Identifier: Apache-2.0
"""Steps of tests of a :class:`Twin`: a good product, a queue, what to see after an error."""

from dataclasses import replace

from hw.spec.coprocessor import OPS, Descriptor
from sim.golden.coprocessor.contract import Extent
from tests.sim.coprocessor_twin import BASE, SIZE, draw

A, W, C = (BASE + 0x4000 * place for place in (0, 1, 2))
RING = BASE + 0xC000
#: Several bursts for each operand, a page in the middle of each; one result more than a tile.
GOOD = Descriptor(
    m=3, n=5, k=70, a=A + 4096 - 33, w=W + 4096 - 64, c=C + 4096 - 21, a_stride=101, c_stride=9,
    tag=0x1234,
)  # fmt: skip


def completed(twin, count):
    """Tell the golden model of direct descriptors that only the device has run."""
    twin.golden._completed = (twin.golden._completed + count) % 65536


def good(twin):
    """Insist that the device works."""
    if twin.get("STATUS", "ERROR"):
        twin.write("IRQ_STATUS", 15)
    at = slice(C - BASE, C - BASE + 0x4000)
    for memory in (twin.device.memory, twin.golden.memory):
        memory[at] = 0xA5
    twin.direct(GOOD)
    twin.rest()
    twin.compare()
    assert twin.get("STATUS", "DONE") and not twin.get("STATUS", "ERROR")
    twin.write("IRQ_STATUS", 15)


def failed(twin, code, address=None, tag=GOOD.tag, index=0xFFFF):
    """Insist that the last descriptor failed so, and DONE is not set."""
    found = twin.get("ERR_CODE")
    assert found == code, f"ERR_CODE is {found}, not {code}"
    if address is not None:
        assert twin.get("ERR_ADDR_LO") == address and twin.get("ERR_ADDR_HI") == 0
    assert twin.get("ERR_DESC") == index << 16 | tag
    assert twin.get("STATUS", "ERROR") and not twin.get("STATUS", "DONE")


def bursts(twin, extent):
    """Return address and bytes of each burst of an extent's rows."""
    bus, most = twin.contract["data_width"] // 8, twin.contract["max_burst"]
    found = []
    for row in range(extent.rows):
        at = extent.address + row * extent.stride
        end = at + extent.size
        at = at // bus * bus
        while at < end:
            stop = min(at + bus * most, at // 4096 * 4096 + 4096, -(-end // bus) * bus)
            found.append((at, stop - at))
            at = stop
    return found


def begin(twin, descriptor=GOOD):
    """Start a descriptor on the device alone."""
    for number, word in enumerate(descriptor.pack()):
        twin.write(f"DIRECT{number}", word)
    twin.device.access(twin.map["CTRL"].offset, 1)


def stop(twin, moment, **fields):
    """Run GOOD, and after so many cycles write CTRL; return whether it was done before."""
    begin(twin)
    control = twin.map["CTRL"]
    twin.device.step(moment)
    before = twin.get("STATUS", "BUSY")
    twin.device.access(control.offset, control.make(**fields))
    twin.rest()
    return not before


def settle(twin):
    """Let the golden model go on from what the device's memory holds; clear what is shown."""
    twin.write("IRQ_STATUS", 15)
    twin.golden.memory[:] = twin.device.memory


def run_queue(twin, rng, rounds, size=4):
    """Run descriptors through a ring, some of them fences and wrong ones; return how many."""
    head = 0
    for _ in range(rounds):
        count = int(rng.integers(1, size + 1))
        these = [draw(rng, twin.contract, (6, 6, 24)) for _ in range(count)]
        for number in range(count):
            kind = rng.random()
            if kind < 0.2:
                these[number] = Descriptor(
                    op=OPS["fence"], tag=number, flags=int(rng.choice((0, 1, 8)))
                )
            elif kind < 0.3:
                these[number] = replace(these[number], version=3)
            elif kind < 0.4:
                these[number] = replace(these[number], k=0)
        ring = BASE + SIZE // 4 - 2048
        first, head = head, (head + len(these)) % 65536
        twin.queue(these, ring, size, first, RECORD_EN=1, IRQ_EN=1)
        while True:  # wrong descriptors and "last" stop it
            twin.rest()
            tail = twin.get("QTAIL")
            records = [ring + 64 * size + 16 * (k % size) for k in range(first, tail)]
            twin.compare(records)
            twin.write("IRQ_STATUS", 15)
            if tail == head:
                break
            first = tail
            twin.write("CTRL", QUEUE_EN=1, RECORD_EN=1, IRQ_EN=1)
    return head


def written(twin, d):
    """Return the bursts that C takes: for each column tile a command for each row."""
    contract = twin.contract
    c, left, found = contract.extents(d)["c"], 0, 0
    for width in contract.tiles(d.n):
        size = width * contract["c_bytes"]
        found += len(bursts(twin, Extent(c.address + left, size, d.m, c.stride)))
        left += size
    return found


def overflow(twin):
    """Run two descriptors of a ring of two, then announce three; QHEAD stays wrong."""
    twin.queue([GOOD, GOOD], RING, 2)
    twin.rest()
    twin.compare()
    twin.write("IRQ_STATUS", 15)
    twin.write("QHEAD", 5)
    twin.write("CTRL", QUEUE_EN=1)
    twin.rest()
    failed(twin, 10, 0, 0, 2)
    twin.compare()
