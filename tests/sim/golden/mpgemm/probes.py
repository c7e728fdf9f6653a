# SPDX-License-Identifier: Apache-2.0
"""An array as its contract tells the story: one beat after the other."""

from math import ceil, log2

from hw.spec.formats import parse
from sim.golden.formats import decode

__all__ = ["OneByOne", "Starved"]


class Starved(Exception):
    """A stream has no more beats."""


class Fault(Exception):
    """A beat has TLAST where it must not, or the other way round."""


class OneByOne:
    """Takes beats from streams and lists those of the output as (data, keep, user, last)."""

    def __init__(self, parameters, streams):
        self.p, self.out = parameters, []
        self.jobs = list(streams["s_axis_job"]["tdata"])
        self.queues = {}
        for name in ("act", "wgt"):
            stream = streams[f"s_axis_{name}"]
            self.queues[name] = list(zip(stream["tdata"], stream["tlast"], strict=True))
        self.ended = {}
        self.formats = {"act": parse(parameters["act"]), "wgt": parse(parameters["format"])}
        self.nan = any(fmt.nonfinite for fmt in self.formats.values())

    def run(self):
        try:
            for word in self.jobs:
                self.job(word)
        except Starved:
            pass
        return self.out

    def job(self, word):
        m, n, k = (word >> at & 0xFFFF for at in (0, 16, 32))
        self.ended = {"act": False, "wgt": False}
        if not m or not n or not k:
            code = 1
        elif k > self.p["max_k"]:
            code = 2
        elif word >> 48:
            code = 3
        else:
            code = 0
            try:
                flow = self.p["dataflow"]
                if flow == "ws":
                    self.stationary("act", "wgt", m, n, k)
                elif flow == "is":
                    self.stationary("wgt", "act", n, m, k)
                else:
                    self.in_place(m, n, k)
            except Fault as fault:
                code = fault.args[0]
        if code:
            self.out.append((0, 0, code, 1))
        for name in ("act", "wgt"):
            while not self.ended[name]:
                self.take(name)

    def take(self, name):
        if not self.queues[name]:
            raise Starved
        word, last = self.queues[name].pop(0)
        self.ended[name] = self.ended[name] or bool(last)
        return word, bool(last)

    def judge(self, *taken):
        codes = []
        for name, last, final in taken:
            if last != final:
                codes.append({"act": 4, "wgt": 6}[name] + final)
        if codes:
            raise Fault(min(codes))

    def product(self, word_a, at_a, word_w, at_w, moving="act"):
        """Product of two codes and whether it is NaN."""
        still = "wgt" if moving == "act" else "act"
        total, nan = 1, False
        for name, word, at in ((moving, word_a, at_a), (still, word_w, at_w)):
            fmt = self.formats[name]
            ints, marks = decode(fmt, [word >> at * fmt.bits & (1 << fmt.bits) - 1])
            total, nan = total * int(ints[0]), nan or bool(marks[0])
        return total, nan

    def in_place(self, m, n, k):
        rows, columns, lanes = self.p["rows"], self.p["columns"], self.p["lanes"]
        for top in range(0, m, rows):
            for left in range(0, n, columns):
                sums = [[0] * columns for _ in range(rows)]
                nans = [[False] * columns for _ in range(rows)]
                for base in range(0, k, lanes):
                    final = top + rows >= m and left + columns >= n and base + lanes >= k
                    if not self.queues["act"] or not self.queues["wgt"]:
                        raise Starved
                    (a, last_a), (w, last_w) = self.take("act"), self.take("wgt")
                    self.judge(("act", last_a, final), ("wgt", last_w, final))
                    for r in range(min(rows, m - top)):
                        for c in range(min(columns, n - left)):
                            for x in range(min(lanes, k - base)):
                                value, nan = self.product(a, r * lanes + x, w, c * lanes + x)
                                sums[r][c] += value
                                nans[r][c] |= nan
                self.rows(sums, nans, m - top, n - left, m - top <= rows and n - left <= columns)

    def stationary(self, moving, still, m, n, k):
        rows, columns, lanes = self.p["rows"], self.p["columns"], self.p["lanes"]
        depth, width = self.p["depth"], rows * lanes
        for top in range(0, m, depth):
            height = min(depth, m - top)
            for left in range(0, n, columns):
                end = top + depth >= m and left + columns >= n
                sums = [[0] * columns for _ in range(height)]
                nans = [[False] * columns for _ in range(height)]
                for base in range(0, k, width):
                    held = []
                    if self.p.get("load") == "tile":
                        word, last = self.take(still)
                        self.judge((still, last, end and base + width >= k))
                        bits = lanes * self.formats[still].bits
                        for r in range(rows):
                            parts = [
                                word >> (c * rows + r) * bits & ~(~0 << bits)
                                for c in range(columns)
                            ]
                            held.append(sum(part << c * bits for c, part in enumerate(parts)))
                    for r in range(0 if held else rows):
                        word, last = self.take(still)
                        self.judge((still, last, end and base + width >= k and r == rows - 1))
                        held.append(word)
                    for y in range(height):
                        word, last = self.take(moving)
                        self.judge((moving, last, end and base + width >= k and y == height - 1))
                        for c in range(min(columns, n - left)):
                            for q in range(min(width, k - base)):
                                r, x = divmod(q, lanes)
                                at = c * lanes + x
                                value, nan = self.product(word, q, held[r], at, moving)
                                sums[y][c] += value
                                nans[y][c] |= nan
                        if base + width >= k:  # what is ready leaves, whatever comes after it
                            self.rows(
                                sums[y : y + 1],
                                nans[y : y + 1],
                                1,
                                n - left,
                                end and y == height - 1,
                            )

    def rows(self, sums, nans, height, width, end):
        size = max(8, 2 ** ceil(log2(self.p["acc_bits"])))
        width = min(width, self.p["columns"])
        for r in range(min(height, len(sums))):
            data = user = 0
            for c in range(width):
                data += (sums[r][c] % 2**size) * 2 ** (c * size)
                user += (16 << c) * (self.nan and nans[r][c])
            last = end and r == min(height, len(sums)) - 1
            self.out.append((data, 2 ** (width * size // 8) - 1, user, int(last)))
