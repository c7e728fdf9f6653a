# SPDX-License-Identifier: Apache-2.0
"""Matrix products on a co-processor behind a serial port, compared with the golden model."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpga.driver.accelerator import Accelerator
from fpga.driver.bridge import BridgeTransport
from fpga.driver.uart import UartTransport

__all__ = ["Outcome", "manifest_of", "over_uart", "read_manifest", "self_test"]

#: Products compared, and the seconds they took.
Outcome = tuple[int, float]


def manifest_of(params: Any) -> dict[str, Any]:
    """Return as much of the manifest of a co-processor as its driver needs."""
    from hw.coprocessor.coprocessor import contract_of

    return {"unit": "coprocessor", "contract": contract_of(params)}


def read_manifest(path: str) -> dict[str, Any]:
    """Return the manifest that lies beside a bitstream. Raises ``ValueError`` for another file."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"manifest {path!r} cannot be read: {reason}") from None
    if not isinstance(found, dict) or "engine" not in (found.get("contract") or {}):
        raise ValueError(f"manifest {path!r} is that of no matrix co-processor")
    return found


def over_uart(
    port: str, manifest: Mapping[str, Any], baud: int = 115_200, *, timeout: float = 1.0
) -> Accelerator:
    """Return the driver of a co-processor ``coprocessor-uart`` behind a serial port.

    ``timeout`` is how many seconds it may be silent. Raises what :class:`UartTransport`,
    :class:`BridgeTransport` and :class:`Accelerator` do, with the port closed.
    """
    link = UartTransport(port, baud, timeout=timeout)
    try:
        return Accelerator(BridgeTransport(link), manifest, timeout=max(60.0, timeout))
    except BaseException:
        link.close()
        raise


def self_test(device: Accelerator, products: int, seed: int) -> Outcome:
    """Compare products with the golden model. Raises :class:`DeviceError` at the first mistake."""
    start = time.perf_counter()
    return device.self_test(products, seed), time.perf_counter() - start
