# SPDX-License-Identifier: Apache-2.0
"""Engines as the sheet tells them: tables that are built and looked up, one key at a time."""

from hw.spec.formats import parse
from sim.golden.formats import decode
from sim.golden.mpgemm.jobs import Job

__all__ = ["Machine", "binary_table", "binary_value", "jobs_of", "split_out", "ternary_table"]


def binary_table(a):
    """Half table of A.0.2, sign lane on top."""
    *low, top = a
    return [
        top + sum(x if p >> i & 1 else -x for i, x in enumerate(low)) for p in range(1 << len(low))
    ]


def binary_value(table, key, group):
    """What a folded key, sign on top, finds."""
    sign, index = key >> group - 1, key & (1 << group - 1) - 1
    return table[index] if sign else -table[index]


def ternary_table(a):
    """T[1..c] of A.0.2, by its keys."""
    found = {}
    for number in range(3 ** len(a)):
        trits = [number // 3**i % 3 - 1 for i in range(len(a))]
        key = sum(t * 3**i for i, t in enumerate(trits))
        if key > 0:
            found[key] = sum(t * x for t, x in zip(trits, a, strict=True))
    return found


class Machine:
    """Walks the tiles of a good job; ``column`` turns a step's beats into a sum of one column."""

    def __init__(self, p, depth, beats, column):
        self.p, self.depth, self.beats, self.column = p, depth, beats, column
        self.act = parse(p["act"])

    def run(self, job, act, wgt):
        """C (m rows of n Python integers)."""
        rows, columns = self.p["rows"], self.p["columns"]
        act, wgt = iter(act), iter(wgt)
        c = [[0] * job.n for _ in range(job.m)]
        for top in range(0, job.m, rows):
            for left in range(0, job.n, columns):
                for base in range(0, job.k, self.depth):
                    a, w = next(act), [next(wgt) for _ in range(self.beats)]
                    for r in range(min(rows, job.m - top)):
                        codes = [self.code(a, r, x) for x in range(self.depth)]
                        ints = [
                            int(decode(self.act, code)[0]) if base + x < job.k else 0
                            for x, code in enumerate(codes)
                        ]
                        for col in range(min(columns, job.n - left)):
                            found = self.column(ints, w, col, min(self.depth, job.k - base))
                            c[top + r][left + col] += found
        assert (next(act, None), next(wgt, None)) == (None, None)
        return c

    def code(self, word, row, lane):
        at = (row * self.depth + lane) * self.act.bits
        code = word >> at & (1 << self.act.bits) - 1
        refused = code in self.act.illegal
        return 0 if refused else code


def jobs_of(streams):
    """Jobs and their packets (act, wgt, and scale if there is such a stream)."""
    names = [name for name in streams if name != "s_axis_job"]
    packets = {}
    for name in names:
        ends = [at + 1 for at, last in enumerate(streams[name]["tlast"]) if last]
        data = streams[name]["tdata"]
        packets[name] = [data[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    words = streams["s_axis_job"]["tdata"]
    return list(zip(map(Job.of, words), *packets.values(), strict=True))


def split_out(out):
    """Output beats of each job."""
    out = out["m_axis_out"]
    stops = [at + 1 for at, last in enumerate(out["tlast"]) if last]
    return [
        {name: values[start:stop] for name, values in out.items()}
        for start, stop in zip([0, *stops[:-1]], stops, strict=True)
    ]
