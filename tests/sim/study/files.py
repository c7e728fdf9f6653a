# SPDX-License-Identifier: Apache-2.0
"""Model files, written byte for byte from the description of the format."""

import json
import struct

import numpy as np

__all__ = ["bf16_bits", "write"]


def bf16_bits(values):
    """Return the bits of bfloat16 values, which ``values`` must be exactly."""
    bits = np.asarray(values, dtype="<f4").view("<u4")
    assert not (bits & 0xFFFF).any()
    return (bits >> 16).astype("<u2")


def write(path, tensors, metadata=None):
    """Write ``{name: array or (dtype, array)}``; a dtype is needed where numpy has none."""
    usual = {"<f4": "F32", "<f2": "F16", "<f8": "F64", "<i8": "I64", "|i1": "I8"}
    header, data = {}, b""
    for name, given in tensors.items():
        kind, array = given if isinstance(given, tuple) else (usual[given.dtype.str], given)
        raw = array.tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    if metadata:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path
