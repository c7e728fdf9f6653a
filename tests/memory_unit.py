# SPDX-License-Identifier: Apache-2.0
"""A unit with an AXI4-Lite slave, an AXI4 master and an interrupt, that does nothing."""

from typing import Any

from hw.axi.axi_lite import axi_lite_ports

__all__ = ["memory_unit"]

_ADDRESS = {"addr": 40, "len": 8, "size": 3, "burst": 2, "lock": 1, "cache": 4, "prot": 3, "qos": 4}


def memory_unit() -> tuple[str, dict[str, Any]]:
    """Return Verilog and manifest: 64 bits of data, 40 of address, no IDs."""
    rows = [("aclk", "in", 1), ("aresetn", "in", 1)]
    for name, member in axi_lite_ports("s_axi_ctrl_", 12).items():
        rows.append((name, "in" if member.flow.name == "In" else "out", member.shape))
    for channel in ("ar", "aw"):
        rows += [(f"m_axi_{channel}{name}", "out", width) for name, width in _ADDRESS.items()]
        rows += [(f"m_axi_{channel}valid", "out", 1), (f"m_axi_{channel}ready", "in", 1)]
    rows += [("m_axi_rdata", "in", 64), ("m_axi_rresp", "in", 2), ("m_axi_rlast", "in", 1)]
    rows += [("m_axi_rvalid", "in", 1), ("m_axi_rready", "out", 1)]
    rows += [("m_axi_wdata", "out", 64), ("m_axi_wstrb", "out", 8), ("m_axi_wlast", "out", 1)]
    rows += [("m_axi_wvalid", "out", 1), ("m_axi_wready", "in", 1)]
    rows += [("m_axi_bresp", "in", 2), ("m_axi_bvalid", "in", 1), ("m_axi_bready", "out", 1)]
    rows.append(("interrupt", "out", 1))
    ports = ", ".join(f"{way}put [{width - 1}:0] {name}" for name, way, width in rows)
    driven = "".join(f"  assign {name} = 0;\n" for name, way, _ in rows if way == "out")
    manifest = {
        "unit": "memory-unit",
        "summary": "a stand-in for a co-processor",
        "module": "memory_unit",
        "clock": {
            "name": "aclk",
            "edge": "rising",
            "reset": "aresetn",
            "reset_active": "low",
            "reset_kind": "synchronous",
        },
        "ports": [{"name": name, "dir": way, "width": width} for name, way, width in rows],
        "streams": [],
        "files": ["memory_unit.v"],
    }
    return f"module memory_unit({ports});\n{driven}endmodule\n", manifest
