# SPDX-License-Identifier: Apache-2.0
"""One product through the model of any matrix engine.

A unit is ``array`` or ``mpgemm``, with the parameters of its manifest. Weights W are what the
engine's packer takes: codes of the format for arrays, ``shift-add`` and ``codebook``, tables
(S, c, N) for ``pq``, integers for the others. Scales are what ``s_axis_scale`` carries: the tuple
``(s, z, t)`` of :func:`sim.golden.mpgemm.scale_beats.pack_scales`, with ``requant`` followed by the
numbers of columns, books, or centroids, with ``requant`` the pair of these and the numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.mpgemm import array, sparse
from sim.golden.mpgemm.draws import joined
from sim.golden.mpgemm.frame import pack_act, pack_wgt, unpack_out
from sim.golden.mpgemm.jobs import Engine, job_word
from sim.golden.mpgemm.scale_beats import array_names, pack_scales
from sim.golden.mpgemm.scaled import mode_of
from sim.golden.mpgemm.stationary import pack_moving, pack_still
from sim.golden.mpgemm.stimulus import Streams
from sim.golden.mpgemm.words import unpack_codes

__all__ = ["PLANED", "Unit", "weight_format"]

#: Engines of ``mpgemm`` whose weights may come in fewer bit planes than there are.
PLANED = ("lut", "bit-plane")

_ENGINES = ("lut", "lut-ternary", "ternary-add", "shift-add", "bit-plane", "codebook", "pq")


@dataclass(frozen=True)
class Unit:
    """A matrix engine: its model, and the parameters as that has them."""

    name: str
    parameters: Mapping[str, Any]
    module: ModuleType

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Unit":
        """Take ``unit`` and ``parameters`` of a manifest. Raises ``ValueError`` for others."""
        name, parameters = manifest["unit"], manifest["parameters"]
        if name == "array":
            return cls(name, parameters, array)
        engine = parameters.get("engine")
        if name != "mpgemm" or engine not in _ENGINES:
            told = name if engine is None else f"{name} {engine}"
            raise ValueError(f"engine must be array or mpgemm {', '.join(_ENGINES)}, not {told}")
        if engine == "shift-add":
            return cls(engine, array_names(parameters), array)
        return cls(engine, parameters, import_module(f"{__package__}.{engine.replace('-', '_')}"))

    @property
    def flow(self) -> str:
        """``ws`` and ``is`` where one operand stays, else ``in place``."""
        flow = self.parameters.get("dataflow") if self.module is array else None
        return str(flow) if flow in ("ws", "is") else "in place"

    @property
    def engine(self) -> Engine:
        """What the frame has to know."""
        found: Engine = self.module.engine(self.parameters)
        return found

    def weights(self, w: ArrayLike, m: int = 1, bits: int = 0) -> list[int]:
        """Return the beats of weights of a job: W for ``m`` rows of output.

        An array with ``sparsity`` prunes them, unless ``bits`` makes the job a dense one. Raises
        ``ValueError`` for weights that the engine does not hold.
        """
        p = self.parameters
        if self.module is not array:
            planes = {"bits": bits} if self.name in PLANED else {}
            words: list[int] = self.module.pack_weights(p, w, m, **planes)
            return words
        if p.get("sparsity"):
            if bits:
                return sparse.pack_dense(p, w, m)
            return sparse.pack_kept(p, sparse.pruned(p, w), m)
        width = parse(p["format"]).bits
        if self.flow == "ws":
            return pack_still(p, w, m, width)
        return pack_moving(p, np.transpose(w), m, width) if self.flow == "is" else pack_wgt(p, w, m)

    def unpack_weights(self, words: Sequence[int], k: int, n: int, bits: int = 0) -> NDArray[Any]:
        """Return W of the beats of a job of one row."""
        if self.module is not array:
            planes = {"bits": bits} if self.name in PLANED else {}
            found: NDArray[Any] = self.module.unpack_weights(self.parameters, words, k, n, **planes)
            return found
        p = self.parameters
        if p.get("sparsity"):
            return sparse.unpack_weights(p, words, k, n, bits)
        rows, columns, lanes = (int(p[name]) for name in ("rows", "columns", "lanes"))
        width, depth = parse(p["format"]).bits, int(p.get("depth") or 1)
        if self.flow == "is":
            codes, steps = unpack_codes(words, rows * lanes, width), -(-k // (rows * lanes))
            blocks, begin = [], 0
            for top in range(0, n, depth):
                height = min(depth, n - top)
                block = codes[begin : (begin := begin + steps * height)]
                blocks.append(block.reshape(steps, height, -1).swapaxes(0, 1).reshape(height, -1))
            return np.concatenate(blocks)[:, :k].T
        if self.flow == "ws" and p.get("load") == "tile":
            codes = unpack_codes(words, columns * rows * lanes, width)
            tiles = codes.reshape(-(-n // columns), -1, columns, rows * lanes).swapaxes(1, 2)
            return tiles.reshape(tiles.shape[0] * columns, -1)[:n, :k].T
        codes = unpack_codes(words, columns * lanes, width)
        tiles = codes.reshape(-(-n // columns), -1, columns, lanes).swapaxes(1, 2)
        return tiles.reshape(tiles.shape[0] * columns, -1)[:n, :k].T

    def activations(self, a: ArrayLike, n: int) -> list[int]:
        """Return the beats of activations of a job: codes A (M, K) for ``n`` columns of output."""
        p = self.parameters
        if self.module is not array:
            words: list[int] = self.module.pack_act(p, a, n)
            return words
        if p.get("sparsity"):
            return sparse.pack_activations(p, a, n)
        width = parse(p["act"]).bits
        if self.flow == "ws":
            return pack_moving(p, a, n, width)
        return pack_still(p, np.transpose(a), n, width) if self.flow == "is" else pack_act(p, a, n)

    def scales(self, given: Any, m: int, n: int) -> list[int]:
        """Return the beats of ``s_axis_scale`` of a job."""
        if self.name == "codebook" and self.parameters["book"] == "rows":
            words: list[int] = self.module.pack_books(self.parameters, given, m)
        elif self.name == "pq":
            centroids, requant = given if self.parameters.get("requant") else (given, None)
            words = self.module.pack_centroids(self.parameters, centroids, (m, n), None, requant)
        else:
            s, z, t, *rest = given
            words = pack_scales(self.parameters, m, s, z, t, requant=rest[0] if rest else None)
        return words

    def job(
        self, a: ArrayLike, wgt: Sequence[int], n: int, bits: int = 0, s: Any = None
    ) -> Streams:
        """Return the streams of one job of codes A (M, K) and beats of weights.

        With ``table_bits`` A is tables (M, groups, entries), and K a multiple of the group.

        Raises ``ValueError`` where the job is not one of this engine, and where scales are missing.
        """
        (m, k), engine = np.shape(a)[:2], self.engine
        if self.parameters.get("table_bits"):
            k *= int(self.parameters["group"])
        if k > engine.max_k:
            raise ValueError(f"K is {k}, but max_k is {engine.max_k}")
        if bits > engine.planes:
            raise ValueError(f"a job may have {engine.planes} bit planes at most, not {bits}")
        packets = {"s_axis_act": self.activations(a, n), "s_axis_wgt": list(wgt)}
        if ("scale" in engine.streams) != (s is not None):
            verb = "takes no" if s is not None else "needs"
            raise ValueError(f"{self.name} with these parameters {verb} scales")
        if s is not None:
            packets["s_axis_scale"] = self.scales(s, m, n)
        return joined([(job_word(m, n, k, bits), packets)])

    def results(
        self, m: int, n: int, k: int, out: Mapping[str, Sequence[int]]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return ``(c, nan)`` of the output of one good job: integers as they are, and marks.

        The shape is (M, N); where groups leave as they are (groups, M, N). Raises ``ValueError``
        where the beats are not those of such a job.
        """
        p = {**array_names(self.parameters), "acc_bits": self.engine.acc_bits}
        if p["group"] and mode_of(p) == "int":
            parts = [unpack_out(p, m, n, part) for part in self._groups(m, n, k, out)]
            return np.stack([c for c, _ in parts]), np.stack([nan for _, nan in parts])
        c, nan = (array.unpack if self.module is array else unpack_out)(p, m, n, out)
        if not self.engine.signed:
            c %= 1 << p["acc_bits"]
        return c, nan

    def _groups(
        self, m: int, n: int, k: int, out: Mapping[str, Sequence[int]]
    ) -> list[dict[str, list[int]]]:
        """The beats of each group as if they were those of a job."""
        p = array_names(self.parameters)
        rows, across = int(p["rows"]), -(-n // int(p["columns"]))
        groups = -(-k // int(p["group"]))
        order = [
            np.full(min(rows, m - top), group)
            for top in range(0, m, rows)
            for _ in range(across)
            for group in range(groups)
        ]
        owner = np.concatenate(order)
        if len(owner) != len(out["tdata"]):
            raise ValueError(f"{groups} groups have {len(owner)} beats, not {len(out['tdata'])}")
        parts = []
        for group in range(groups):
            own = np.flatnonzero(owner == group).tolist()
            part = {name: [values[at] for at in own] for name, values in out.items()}
            parts.append({**part, "tlast": [0] * (len(own) - 1) + [1]})
        return parts

    def product(
        self, a: ArrayLike, w: ArrayLike, bits: int = 0, s: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return ``(c, nan)`` of codes A and weights W, see :meth:`results`."""
        (m, k), n = np.shape(a)[:2], np.shape(w)[-1]
        k *= int(self.parameters["group"]) if self.parameters.get("table_bits") else 1
        streams = self.job(a, self.weights(w, m, bits), n, bits, s)
        return self.results(m, n, k, self.module.run(self.parameters, streams)["m_axis_out"])


def weight_format(unit: Unit) -> str | None:
    """Return the format that W has codes of, ``None`` where W has integers."""
    if unit.module is array:
        return str(unit.parameters["format"])
    if unit.name == "codebook":
        book = unit.parameters["book"]
        return f"uint{unit.parameters['bits']}" if book == "rows" else str(book)
    return None
