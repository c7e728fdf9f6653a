# SPDX-License-Identifier: Apache-2.0
"""What the control of the co-processor tells its datapath to do."""

from amaranth.hdl import signed
from amaranth.lib import data, stream

__all__ = ["job_signature"]


def job_signature(
    addr_bits: int, engines: int = 1, size_bits: int = 16, k_bits: int = 16
) -> stream.Signature:
    """Return the stream of jobs: sizes, addresses, strides in bytes, the activation, the engine.

    ``size_bits`` are those of M and N.
    """
    return stream.Signature(
        data.StructLayout(
            {
                "m": size_bits,
                "n": size_bits,
                "k": k_bits,
                "bits": 4,
                "a": addr_bits,
                "w": addr_bits,
                "c": addr_bits,
                "s": addr_bits,
                "a_stride": 16,
                "c_stride": 18,
                "w_stride": 20,
                "activation": 2,
                "high": signed(8),
                "low": signed(8),
                "copy": 1,
                "engine": range(engines),
                "gemv": 1,
                "accumulate": 1,
            }
        )
    )
