# SPDX-License-Identifier: Apache-2.0
"""What the control of the co-processor tells its datapath to do."""

from amaranth.hdl import signed
from amaranth.lib import data, stream

__all__ = ["job_signature"]


def job_signature(addr_bits: int, engines: int = 1) -> stream.Signature:
    """Return the stream of jobs: sizes, addresses, strides in bytes, the activation, the engine."""
    return stream.Signature(
        data.StructLayout(
            {
                "m": 16,
                "n": 16,
                "k": 16,
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
            }
        )
    )
