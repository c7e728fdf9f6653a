# SPDX-License-Identifier: Apache-2.0
"""When the partner of a stream waits. Each pattern is one way in which real partners do."""

import random
from collections.abc import Callable

__all__ = ["PATTERNS", "Stall", "pattern"]

#: ``stall(last, offered)`` says whether the partner is willing this cycle: ``last`` is whether a
#: transfer happened in the cycle before, ``offered`` whether the other side was seen waiting then.
Stall = Callable[[bool, bool], bool]

PATTERNS = ("none", "random", "slow", "shy", "bursty")

_GAP = 3
_LONGEST_BURST = 8


def pattern(name: str, seed: int) -> Stall:
    """Return the pattern ``name``, one of :data:`PATTERNS`; ``seed`` decides what is random.

    ``none`` is always willing, ``random`` half of the time, ``slow`` rests three cycles after each
    transfer, ``shy`` waits to see the other side's offer first (a source, which may not, rests one
    cycle instead) and ``bursty`` alternates between willing and not for up to eight cycles each.
    """
    rng = random.Random(seed)
    if name == "none":
        return lambda last, offered: True
    if name == "random":
        return lambda last, offered: rng.random() < 0.5
    if name == "slow":
        return _Slow()
    if name == "shy":
        return lambda last, offered: offered and not last
    if name == "bursty":
        return _Bursty(rng)
    raise ValueError(f"stall pattern must be one of {', '.join(PATTERNS)}, not {name!r}")


class _Slow:
    def __init__(self) -> None:
        self.rest = 0

    def __call__(self, last: bool, offered: bool) -> bool:
        self.rest = _GAP if last else max(0, self.rest - 1)
        return self.rest == 0


class _Bursty:
    def __init__(self, rng: random.Random) -> None:
        self.rng, self.left, self.willing = rng, 0, False

    def __call__(self, last: bool, offered: bool) -> bool:
        if self.left == 0:
            self.left, self.willing = self.rng.randint(1, _LONGEST_BURST), not self.willing
        self.left -= 1
        return self.willing
