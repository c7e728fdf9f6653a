# SPDX-License-Identifier: Apache-2.0
"""Monarch matrices, and Fourier transforms as two matrix products over the arrays of mpGEMM.

A DFT of ``n = n1*n2`` is a product with the DFT matrix of n1, a multiplication by twiddles and a
product with that of n2: the butterfly matrix after its stages have been merged in two halves.
Sources: Monarch (2022), FlashFFTConv (2023).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.tables import rhu, saturate
from sim.golden.butterfly.fft import twiddles

__all__ = ["dft", "monarch", "operand", "real_form"]

Numbers = NDArray[Any]


def monarch(x: ArrayLike, w1: ArrayLike, w2: ArrayLike) -> Numbers:
    """Return rows of ``x`` (rows, n) times the Monarch matrix of two block-diagonal factors.

    ``w1`` (k, q, p) with k*p = n, ``w2`` (l, s, r) with l*r = k*q; results are (rows, s*l), index
    ``s*l`` outermost first, as HazyResearch's reference has them.
    """
    x, w1, w2 = np.asarray(x), np.asarray(w1), np.asarray(w2)
    blocks, _, size = w1.shape
    inner = np.einsum("kqp,bkp->bkq", w1, x.reshape(-1, blocks, size))
    outer, _, inputs = w2.shape
    turned = inner.reshape(-1, inputs, outer).swapaxes(1, 2)
    return np.einsum("lsr,blr->bsl", w2, turned).reshape(len(inner), -1)


def operand(size: int, bits: int) -> tuple[Numbers, Numbers]:
    """Return the DFT matrix of ``size``, real and imaginary, entries in Q2.(bits-2)."""
    index = np.arange(size)
    real, imaginary = twiddles(size, bits)
    place = np.outer(index, index) % size
    return real[place], imaginary[place]


def real_form(real: ArrayLike, imaginary: ArrayLike) -> Numbers:
    """Return the real matrix by which ``[re im]`` is multiplied for a complex product."""
    real, imaginary = np.asarray(real), np.asarray(imaginary)
    return np.block([[real, imaginary], [-imaginary, real]])


def dft(
    real: ArrayLike,
    imaginary: ArrayLike,
    sizes: tuple[int, int],
    *,
    data_bits: int,
    twiddle_bits: int,
    shifts: tuple[int, int],
    inputs: ArrayLike | None = None,
    outputs: ArrayLike | None = None,
) -> tuple[Numbers, Numbers]:
    """Return the DFT of each row (rows, n1*n2), natural order, worth ``2**sum(shifts)`` each.

    ``inputs`` are the rows of the n1 x n2 input that are not zero, ``outputs`` the columns k2 that
    are wanted: of the factors only those entries are used, the others of the result are 0.
    """
    n1, n2 = sizes
    frac = twiddle_bits - 2
    index1, index2 = np.arange(n1), np.arange(n2)
    kept = index1 if inputs is None else np.asarray(inputs)
    wanted = index2 if outputs is None else np.asarray(outputs)

    # [re im] stand side by side, i1 (later i2) last.
    x = np.stack([np.asarray(part, dtype=np.int64) for part in (real, imaginary)], axis=1)
    x = x.reshape(-1, 2, n1, n2)[:, :, kept].transpose(0, 3, 1, 2).reshape(-1, n2, 2 * len(kept))
    factor = real_form(*(part[kept] for part in operand(n1, twiddle_bits)))
    z = saturate(rhu(x @ factor, frac + shifts[0]), data_bits).reshape(-1, n2, 2, n1)

    wr, wi = (part[np.outer(index2, index1)] for part in twiddles(n1 * n2, twiddle_bits))
    zr, zi = z[:, :, 0], z[:, :, 1]
    turned = np.stack([zr * wr - zi * wi, zr * wi + zi * wr], axis=1)
    v = saturate(rhu(turned, frac), data_bits)  # (rows, part, i2, k1)

    v = v.transpose(0, 3, 1, 2).reshape(-1, n1, 2 * n2)
    factor = real_form(*(part[:, wanted] for part in operand(n2, twiddle_bits)))
    found = saturate(rhu(v @ factor, frac + shifts[1]), data_bits)
    results = np.zeros((len(found), 2, n2, n1), dtype=np.int64)
    results[:, :, wanted] = found.reshape(-1, n1, 2, len(wanted)).transpose(0, 2, 3, 1)
    re, im = results.reshape(-1, 2, n1 * n2).swapaxes(0, 1)
    return re, im
