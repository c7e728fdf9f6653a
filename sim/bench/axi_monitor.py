# SPDX-License-Identifier: Apache-2.0
"""Judge of an AXI4 bus without IDs, cycle by cycle.

:class:`AxiRules` takes what the pins show in each cycle and raises :class:`AxiViolation` with the
name of the rule that is broken; :func:`watch` does that on the pins of a simulated design. ``<c>``
is AW, W, B, AR or R, ``<a>`` is AW or AR.

``<c>_VALID_RESET``    VALID of a master's channel is low in reset and in the first cycle after it
``<c>_STABLE``         VALID and payload stay until the transfer
``<c>_X``              VALID, READY, and with VALID the payload, are known
``<a>_ADDR_BOUNDARY``  no burst crosses 4 KiB
``<a>_SIZE``, ``<a>_BURST``, ``<a>_LEN``, ``<a>_CACHE``, ``<a>_LOCK``
                       whole words, INCR, at most ``max_burst`` words, no reserved AxCACHE, no lock
``<a>_ADDR_ALIGN``     addresses are those of whole words
``<a>_OUTSTANDING``    at most ``outstanding`` bursts in flight
``AR_OUTSIDE``         every word read holds a byte that may be read
``W_LAST``             as many beats as AWLEN says, WLAST on the last one only
``W_OUTSIDE``          no strobe at a byte that must not be written
``W_OWED``             data run ahead of addresses by no more than ``outstanding`` bursts
``B_EARLY``, ``R_EARLY``
                       no response without a whole request
``R_LAST``             RLAST on the last word of a burst only
``B_EXOKAY``, ``R_EXOKAY``
                       no such response
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["CHANNELS", "AxiRules", "AxiViolation", "watch"]

PAGE = 4096

_ADDRESS = ("addr", "len", "size", "burst", "lock", "cache", "prot", "qos")

#: Payload of each channel, without the channel's name.
CHANNELS = {
    "aw": _ADDRESS,
    "w": ("data", "strb", "last"),
    "b": ("resp",),
    "ar": _ADDRESS,
    "r": ("data", "resp", "last"),
}

_FROM_MASTER = ("aw", "w", "ar")
_EXOKAY = 0b01


class AxiViolation(AssertionError):
    """A rule of AXI4 was broken; ``rule`` is its name."""

    def __init__(self, rule: str, text: str):
        super().__init__(f"{rule}: {text}")
        self.rule = rule


class AxiRules:
    """The rules, with what has to be remembered of the past.

    Parameters
    ----------
    data_width : int
    max_burst, outstanding : int
        What the master promises.
    writable, readable : function of an address, optional
        Whether the byte there may be written, or belongs to what may be read.
    channels : str
        Names of those that there are.
    slave : bool
        Judge the slave too; without it only the master.
    """

    def __init__(
        self,
        data_width: int,
        max_burst: int = 256,
        outstanding: int = 128,
        *,
        writable: Callable[[int], bool] | None = None,
        readable: Callable[[int], bool] | None = None,
        channels: str = "aw w b ar r",
        slave: bool = True,
    ):
        self.size = data_width // 8
        self.max_burst, self.outstanding = max_burst, outstanding
        self.writable, self.readable = writable, readable
        self.channels, self.slave = channels.split(), slave
        self._forget()
        self._in_reset = True
        self._resets = 0

    def _forget(self) -> None:
        self._held: dict[str, tuple[Any, ...]] = {}
        self._addressed: deque[tuple[int, int]] = deque()  # address and beats, data still to come
        self._filled: deque[list[int]] = deque()  # strobes of bursts whose address is still to come
        self._open: list[int] = []  # strobes of the burst of data that is going on
        self._due = 0  # bursts written and not answered
        self._writes = 0  # addresses written and not answered
        self._reads: deque[int] = deque()  # words still to come of each burst

    @property
    def quiet(self) -> bool:
        """Whether nothing is in flight: nothing valid, nothing open, nothing owed."""
        return not (self._held or self._writes or self._reads or self._open or self._filled)

    def step(self, pins: Mapping[str, int | None], reset: bool = False) -> None:
        """Judge one cycle; ``pins`` are called ``awvalid`` and so on, None is unknown."""
        after_reset, self._in_reset = self._in_reset, reset
        if reset or after_reset:
            # The first edge with reset still shows what was before it.
            self._resets = self._resets + 1 if reset else 0
            for c in self.channels:
                if c in _FROM_MASTER and self._resets != 1 and pins[f"{c}valid"]:
                    raise AxiViolation(f"{c}_VALID_RESET".upper(), "VALID during reset")
            self._forget()
            if reset:
                return
        moved = {c: found for c in self.channels if (found := self._transfer(c, pins))}
        # Responses first: what they answer was transferred in a cycle before.
        if "b" in moved:
            self._respond(moved["b"])
        if "r" in moved:
            self._word(moved["r"])
        if "aw" in moved:
            self._writes += 1
            self._burst("AW", moved["aw"], self._writes)
            self._addressed.append((moved["aw"]["addr"], moved["aw"]["len"] + 1))
        if "w" in moved:
            self._beat(moved["w"])
        self._match()
        if "ar" in moved:
            self._reads.append(moved["ar"]["len"] + 1)
            self._burst("AR", moved["ar"], len(self._reads))

    def _transfer(self, c: str, pins: Mapping[str, int | None]) -> dict[str, int] | None:
        """Judge the handshake of channel ``c``; return the payload if it was transferred."""
        name = c.upper()
        valid, ready = pins[f"{c}valid"], pins[f"{c}ready"]
        if valid is None or ready is None:
            raise AxiViolation(f"{name}_X", f"valid {valid}, ready {ready}")
        judged = self.slave or c in _FROM_MASTER
        if not valid:
            if judged and c in self._held:
                raise AxiViolation(f"{name}_STABLE", "VALID fell before READY")
            return None
        # What a slave shows of data is its own affair.
        fields = [f for f in CHANNELS[c] if f"{c}{f}" in pins and not (c == "r" and f == "data")]
        shown = {f: pins[f"{c}{f}"] for f in fields}
        unknown = [f for f, value in shown.items() if value is None]
        if unknown:
            raise AxiViolation(f"{name}_X", f"{unknown[0]} is unknown")
        now = tuple(pins[f"{c}{f}"] for f in CHANNELS[c] if f"{c}{f}" in pins)
        if judged and self._held.get(c, now) != now:
            raise AxiViolation(f"{name}_STABLE", f"{self._held[c]} became {now}")
        self._held[c] = now
        if not ready:
            return None
        del self._held[c]
        return {f: value for f, value in shown.items() if value is not None}

    def _burst(self, name: str, burst: Mapping[str, int], number: int) -> None:
        addr, words = burst["addr"], burst["len"] + 1
        text = f"address {addr:#x}, {words} words"
        end = addr + words * self.size - 1
        broken = {
            "SIZE": 1 << burst["size"] != self.size,
            "BURST": burst["burst"] != 1,
            "LEN": words > self.max_burst,
            "CACHE": burst["cache"] >> 2 and not burst["cache"] & 2,
            "LOCK": burst["lock"],
            "ADDR_ALIGN": addr % self.size,
            "ADDR_BOUNDARY": addr // PAGE != end // PAGE,
            "OUTSTANDING": number > self.outstanding,
        }
        for rule, is_broken in broken.items():
            if is_broken:
                raise AxiViolation(f"{name}_{rule}", text)
        if name == "AR" and self.readable:
            for word in range(addr, end, self.size):
                if not any(map(self.readable, range(word, word + self.size))):
                    raise AxiViolation("AR_OUTSIDE", f"{text}: nothing asked for at {word:#x}")

    def _beat(self, beat: Mapping[str, int]) -> None:
        self._open.append(beat["strb"])
        expected = self._addressed[len(self._filled)] if self._is_known() else None
        if expected and beat["last"] != (len(self._open) == expected[1]):
            raise AxiViolation("W_LAST", f"{beat['last']} on beat {len(self._open)} of {expected}")
        if len(self._open) > self.max_burst:
            raise AxiViolation("W_LAST", f"more than {self.max_burst} beats")
        if beat["last"]:
            self._filled.append(self._open)
            self._open = []

    def _is_known(self) -> bool:
        """Whether the address of the burst of data that is going on was transferred."""
        return len(self._addressed) > len(self._filled)

    def _match(self) -> None:
        """Judge bursts of which both address and data are there."""
        while self._addressed and self._filled:
            (addr, words), strobes = self._addressed.popleft(), self._filled.popleft()
            if words != len(strobes):
                raise AxiViolation("W_LAST", f"{len(strobes)} beats of {words} at {addr:#x}")
            self._due += 1
            for k, strobe in enumerate(strobes):
                for byte in range(self.size):
                    place = addr + k * self.size + byte
                    if strobe >> byte & 1 and self.writable and not self.writable(place):
                        raise AxiViolation("W_OUTSIDE", f"strobe at {place:#x}")
        if len(self._filled) > self.outstanding:
            raise AxiViolation("W_OWED", f"{len(self._filled)} bursts of data without address")

    def _respond(self, answer: Mapping[str, int]) -> None:
        if not self._due:
            raise AxiViolation("B_EARLY", f"{self._writes} addresses in flight, no burst written")
        if answer["resp"] == _EXOKAY and self.slave:
            raise AxiViolation("B_EXOKAY", "a response that nothing asked for")
        self._due -= 1
        self._writes -= 1

    def _word(self, word: Mapping[str, int]) -> None:
        if not self._reads:
            raise AxiViolation("R_EARLY", "no burst in flight")
        if word["resp"] == _EXOKAY and self.slave:
            raise AxiViolation("R_EXOKAY", "a response that nothing asked for")
        self._reads[0] -= 1
        if self.slave and word["last"] != (self._reads[0] == 0):
            raise AxiViolation("R_LAST", f"{word['last']} with {self._reads[0]} words to come")
        if not self._reads[0] or word["last"]:
            self._reads.popleft()


async def watch(
    dut: Any,
    rules: AxiRules,
    *,
    prefix: str = "m_axi_",
    clock: str = "aclk",
    reset: str = "aresetn",
) -> None:
    """Judge every cycle of the simulated ``dut``; to be started as a coroutine of cocotb.

    A reset whose name ends in ``n`` is active low.
    """
    from cocotb.triggers import RisingEdge

    names = [f"{c}{f}" for c in rules.channels for f in ("valid", "ready", *CHANNELS[c])]
    handles = {n: h for n in names if (h := getattr(dut, prefix + n, None)) is not None}
    edge, level, active = RisingEdge(getattr(dut, clock)), getattr(dut, reset), reset[-1] != "n"

    def known(handle: Any) -> int | None:
        value = handle.value
        return int(value) if value.is_resolvable else None

    while True:
        await edge
        pins = {name: known(handle) for name, handle in handles.items()}
        rules.step(pins, known(level) == active)
