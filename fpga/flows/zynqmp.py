# SPDX-License-Identifier: Apache-2.0
"""AMD Zynq UltraScale+ through Vivado: a block design with the processors, and a unit beside it.

The block design gives the unit what UG1085 calls M_AXI_HPM0_FPD as an AXI4-Lite bus at
:data:`BASE`, and ``pl_clk0`` with a reset that is synchronous to it; PYNQ reads what it is from the
hand-off file that is put beside the bitstream. The bus master of a unit that
has one reaches the lower 2 GiB of memory through S_AXI_HP0_FPD; its interrupt is the first of
``pl_ps_irq0``, number 121 of the interrupt controller.
"""

from typing import Any

from fpga.flows import vivado
from fpga.flows.job import Job
from fpga.flows.vivado import TOOLS
from fpga.top import BUS_ADDRESS_WIDTH, MEMORY
from fpga.top import block_design_top as top

__all__ = ["BASE", "TOOLS", "run", "top"]

BASE = 0xA000_0000  #: Where the processors see the unit's registers.


def _settings(job: Job) -> str:
    widths = {port["name"]: port["width"] for port in job.manifest["ports"]}
    values = {
        "name": job.name,
        "clock_mhz": f"{job.board.clock_hz / 1e6:g}",
        "address_width": BUS_ADDRESS_WIDTH,
        "base": f"{BASE:#010x}",
        "range": f"{(1 << BUS_ADDRESS_WIDTH) >> 10}K",
        "memory_address_width": widths.get(f"{MEMORY}araddr", 0),
        "memory_data_width": widths.get(f"{MEMORY}rdata", 0),
        "interrupt": widths.get("interrupt", 0),
    }
    return "".join(f"set {name} {value}\n" for name, value in values.items())


def run(job: Job) -> dict[str, Any]:
    """Build; see :func:`fpga.flows.vivado.run_with`. The result has the registers' address too."""
    scripts = {"settings.tcl": _settings(job), "system.tcl": vivado.own_script("zynqmp.tcl")}
    return {**vivado.run_with(job, scripts), "base": BASE}
