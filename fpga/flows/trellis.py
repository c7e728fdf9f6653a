# SPDX-License-Identifier: Apache-2.0
"""Lattice ECP5 through Yosys, nextpnr and Project Trellis."""

from typing import Any

from fpga.flows import nextpnr
from fpga.flows.job import Job
from fpga.top import serial_top as top

__all__ = ["TOOLS", "run", "top"]

TOOLS = ("edalize", "make", "yosys", "nextpnr-ecp5", "ecppack")


def _flow() -> Any:
    from edalize.flows.trellis import Trellis

    return Trellis


_FAMILY = nextpnr.Family(
    flow=_flow,
    synthesis="synth_ecp5",
    constraint_type="LPF",
    routed="config",
    bitstream="bit",
    tools=TOOLS,
    options={"ecppack_options": ["--compress"]},
)


def run(job: Job) -> dict[str, Any]:
    """Build; see :func:`fpga.flows.nextpnr.run`."""
    return nextpnr.run(job, _FAMILY)
