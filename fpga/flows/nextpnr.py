# SPDX-License-Identifier: Apache-2.0
"""What the flows through Yosys and nextpnr have in common."""

import copy
import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpga import launcher, tools
from fpga.flows.job import BuildError, Job

__all__ = ["Family", "clocks_of", "overfull", "run", "utilisation_of"]

SEED = 1  #: Placement starts from here; another value, another (equally good) bitstream.
#: Rows of nextpnr's report that are no resources: constants, the reset net, placeholders.
NO_RESOURCES = {"GND", "VCC", "GSR", "DUMMY_CELL"}
REPORT, LOGS = "nextpnr.json", ("yosys.log", "next.log")


@dataclass(frozen=True)
class Family:
    """What tells one FPGA family's flow from another's."""

    flow: Callable[[], Any]  #: Returns edalize's class.
    synthesis: str  #: Yosys command, without top and output.
    constraint_type: str  #: As edalize calls it.
    routed: str  #: Suffix of nextpnr's output.
    bitstream: str  #: Suffix of the product.
    tools: tuple[str, ...]  #: Keys of :data:`fpga.tools.TOOLS`.
    options: dict[str, Any]  #: For edalize's flow and its bitstream packer.
    placement: tuple[str, ...] = ()  #: For nextpnr, besides those of the part.


def utilisation_of(report: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return the cells that are used, from nextpnr's report."""
    return {
        cell: {"used": count["used"], "available": count["available"]}
        for cell, count in sorted(report["utilization"].items())
        if count["used"] and cell not in NO_RESOURCES
    }


def clocks_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each clock's frequencies in MHz, and whether what was asked for is met."""
    clocks = {}
    for net, found in sorted(report["fmax"].items()):
        # The top's port, whatever buffers and submodules it goes through.
        name = net.removeprefix("$glbnet$").split("$")[0].rpartition(".")[2]
        achieved, constraint = round(found["achieved"], 2), round(found["constraint"], 2)
        clocks[name] = {
            "achieved_mhz": achieved,
            "constraint_mhz": constraint,
            "met": found["achieved"] >= found["constraint"],
        }
    return clocks


def overfull(log: str) -> list[str]:
    """Return ``CELL used of available`` for what nextpnr's log says there is too much of."""
    rows = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", log, re.M)
    return [f"{cell} {used} of {there}" for cell, used, there in rows if int(used) > int(there)]


def _launcher() -> str:
    root = str(Path(__file__).resolve().parent.parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    command = ("env", f"PYTHONPATH={path}", sys.executable, "-P", "-m", "fpga.launcher")
    return shlex.join(command)


def _fresh(flow: Any) -> Any:
    """Return a copy of edalize's class, which adds each build's options to those of the class."""
    return type(flow.__name__, (flow,), {"_flow": copy.deepcopy(flow._flow)})


def _script(job: Job, family: Family) -> str:
    """Return what Yosys is to do; edalize's own script is in Tcl, which not every Yosys speaks."""
    return (
        f"read_verilog {' '.join(job.sources)}\n"
        f"{family.synthesis} -top {job.top} -json {job.name}.json\n"
    )


def run(job: Job, family: Family) -> dict[str, Any]:
    """Build and return utilisation, clocks and the name of the bitstream.

    Raises :class:`~fpga.flows.job.BuildError` when the design does not fit or a tool gives up.
    """
    for name in family.tools:
        tools.require(name)
    netlist, routed = f"{job.name}.json", f"{job.name}.{family.routed}"
    bitstream = f"{job.name}.{family.bitstream}"
    job.remove(netlist, routed, bitstream, REPORT, *LOGS)
    (job.folder / "synth.ys").write_text(_script(job, family), encoding="utf-8")
    placement = (*job.part.options, *family.placement, "--seed", str(SEED), "--report", REPORT)
    options = {
        "yosys_template": "synth.ys",
        "nextpnr_options": [*placement, "--timing-allow-fail"],
        **family.options,
    }
    edam = job.edam(family.constraint_type, options)
    _fresh(family.flow())(edam, os.fspath(job.folder)).configure()
    stages = (("synthesis", netlist), ("place and route", routed), ("bitstream", bitstream))
    for stage, target in stages:
        job.progress(f"{job.name}: {stage}")
        try:
            command = (f"EDALIZE_LAUNCHER={_launcher()}", target)
            tools.run("make", command, job.folder, timeout=launcher.TIMEOUT)
        except tools.ToolError as error:
            raise BuildError(_why(job, stage, error)) from None
    report = json.loads((job.folder / REPORT).read_text(encoding="utf-8"))
    return {
        "bitstream": bitstream,
        "utilisation": utilisation_of(report),
        "clocks": clocks_of(report),
    }


def _why(job: Job, stage: str, error: tools.ToolError) -> str:
    logs = [job.folder / name for name in LOGS]
    text = "\n".join(log.read_text(encoding="utf-8") for log in logs if log.is_file())
    if too_much := overfull(text):
        return f"the design does not fit {job.part.device}: it needs {', '.join(too_much)}"
    complaint = re.search(r"^ERROR: (.*)", text, re.M)
    reason = (
        complaint[1]
        if complaint
        else str(error).removeprefix("make failed: ").removeprefix("ERROR: ")
    )
    return f"{stage} of {job.name} stopped: {reason}"
