# SPDX-License-Identifier: Apache-2.0
"""Gowin GW2A through Yosys, nextpnr and Project Apicula."""

from typing import Any

from fpga.flows import nextpnr
from fpga.flows.job import Job
from fpga.top import serial_top as top

__all__ = ["TOOLS", "run", "top"]

TOOLS = ("edalize", "make", "yosys", "nextpnr-himbaechel", "gowin_pack")


def _flow() -> Any:
    from edalize.flows.apicula import Apicula

    return Apicula


def run(job: Job) -> dict[str, Any]:
    """Build; see :func:`fpga.flows.nextpnr.run`."""
    family = nextpnr.Family(
        flow=_flow,
        # nextpnr does not time the paths through its multiplier blocks.
        synthesis="synth_gowin -family gw2a -nodsp -nowidelut",
        constraint_type="CST",
        routed="routed.json",
        bitstream="fs",
        tools=TOOLS,
        options={"device": job.part.device, "device_family": "C"},
        # A constraint file of Gowin's gives no frequencies.
        placement=("--freq", f"{job.board.clock_hz / 1e6:g}"),
    )
    return nextpnr.run(job, family)
