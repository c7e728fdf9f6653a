# SPDX-License-Identifier: Apache-2.0
"""Lattice iCE40 UltraPlus through Yosys, nextpnr and Project IceStorm."""

from typing import Any

from fpga.flows import nextpnr
from fpga.flows.job import Job
from fpga.top import serial_top as top

__all__ = ["TOOLS", "run", "top"]

TOOLS = ("edalize", "make", "yosys", "nextpnr-ice40", "icepack")


def _flow() -> Any:
    from edalize.flows.icestorm import Icestorm

    return Icestorm


_FAMILY = nextpnr.Family(
    flow=_flow,
    # Without -dsp: nextpnr does not time the paths through its multiplier blocks.
    synthesis="synth_ice40 -device u -spram",
    constraint_type="PCF",
    routed="asc",
    bitstream="bin",
    tools=TOOLS,
    options={},
)


def run(job: Job) -> dict[str, Any]:
    """Build; see :func:`fpga.flows.nextpnr.run`."""
    return nextpnr.run(job, _FAMILY)
