# SPDX-License-Identifier: Apache-2.0
"""How long arrays take: the formulas of sheet B.1 and the whole unit's cycles.

``length`` is what streams through a tile: K for sums that stay in place (in steps of ``lanes``
products), the rows that move for operands that stay.
"""

from collections.abc import Mapping
from typing import Any

from sim.golden.mpgemm.scale_beats import array_names
from sim.golden.mpgemm.scaled import group_steps, tail
from sim.golden.mpgemm.sparse import Sparsity
from sim.golden.mpgemm.stationary import load_beats
from sim.golden.mpgemm.two_flows import EXTRA, of_flow

__all__ = ["FILL", "cycles", "cycles_isolated", "cycles_streamed"]

#: Cycles that the unit's registers add to the first result of a job, beside those of ``pipeline``,
#: beyond the least: a step in its first cycle, the first row of a tile the cycle after its end.
#: One each for the operands' slice and that of the output, and one for the register in which a sum
#: is kept (cell, and in ``os``, ``ws`` and ``is`` the row that leaves).
FILL = {"broadcast": 2, "tree": 2, "cube": 2, "os": 3, "ws": 3, "is": 3}


def cycles_isolated(dataflow: str, rows: int, columns: int, length: int, lanes: int = 1) -> int:
    """Return the cycles of one tile alone, to its last multiplication; weights are loaded before.

    An adder tree adds the levels that its ``lanes`` take, a cube one cycle more.
    """
    if dataflow in ("ws", "is"):
        return length + rows + columns - 2
    steps, levels = -(-length // lanes), (lanes - 1).bit_length()
    if dataflow == "os":
        return steps + rows + columns - 2
    return steps + {"tree": levels, "cube": levels}.get(dataflow, 0)


def cycles_streamed(
    dataflow: str, rows: int, columns: int, length: int, tiles: int, lanes: int = 1
) -> int:
    """Return the cycles of ``tiles`` equal tiles one after the other, to the last multiplication.

    Second registers let a tile begin while the one before is read out (``os``), or used (``ws``,
    ``is``, of which the first load counts); either takes ``rows`` cycles.
    """
    if dataflow in ("ws", "is"):
        alone = cycles_isolated(dataflow, rows, columns, length)
        return rows + (tiles - 1) * max(length, rows) + alone
    steps = -(-length // lanes)
    if dataflow == "os":
        alone = cycles_isolated(dataflow, rows, columns, length, lanes)
        return (tiles - 1) * max(steps, rows) + alone
    return tiles * steps


def cycles(
    parameters: Mapping[str, Any], m: int, n: int, k: int, bits: int = 0, flow: int = 0
) -> int:
    """Return the cycles of one job of the unit, nobody stalling.

    From the first cycle in which the job and both operands are offered to the transfer of the last
    beat of the output, both counted. ``flow`` is what a job of ``os-ws`` chooses.
    """
    if parameters["dataflow"] == "os-ws":
        return EXTRA + cycles(of_flow(parameters, flow), m, n, k, bits)
    parameters = array_names(parameters)
    rows, columns, lanes = (int(parameters[name]) for name in ("rows", "columns", "lanes"))
    fill = FILL[str(parameters["dataflow"])] + int(parameters.get("pipeline") or 0)
    if parameters["dataflow"] in ("ws", "is"):
        moving, still = (m, n) if parameters["dataflow"] == "ws" else (n, m)
        depth = int(parameters["depth"])
        tiles = -(-still // columns) * -(-k // (rows * lanes))
        full, rest = divmod(moving, depth)
        heights = [depth] * (full * tiles) + [rest] * (tiles if rest else 0)
        load = load_beats(parameters)
        busy = sum(max(height, load) for height in heights[:-1])
        return load + busy + heights[-1] + rows + columns - 1 + fill + tail(parameters)
    tiles = -(-m // rows) * -(-n // columns)
    shown = (m - 1) % rows + 1
    # The rows of a tile leave from a copy of the sums, or along the wave.
    skew = columns - 1 if parameters["dataflow"] == "os" else int(rows > 1)
    lengths = group_steps(parameters, k)
    if parameters.get("sparsity"):
        sparsity = Sparsity.of(parameters)
        each = sparsity.passes(bits)
        lengths = [each * steps for steps in group_steps(parameters, k, sparsity.depth)]
    fill += tail(parameters)
    # Each sum but the first takes as long as the rows of the one before need to leave.
    busy = lengths[0] + tiles * sum(max(steps, rows) for steps in lengths) - max(lengths[0], rows)
    return busy + shown + skew + fill
