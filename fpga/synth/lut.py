# SPDX-License-Identifier: Apache-2.0
"""Synthesis for families of FPGAs: how many of which resource."""

import re
from dataclasses import dataclass

from fpga.synth.yosys import DUT, Design

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True)
class Family:
    """One family of FPGAs in Yosys."""

    synth: str  #: Yosys command; ``{top}`` and ``{dsp}`` are filled in.
    with_dsp: str  #: What ``{dsp}`` becomes when multipliers may use DSP blocks,
    without_dsp: str  #: and when not.
    #: Resource -> (pattern of whole cell names, count per cell). The first that matches counts.
    cells: dict[str, tuple[tuple[str, float], ...]]
    #: Weighted sums of resources: name -> {resource: weight}.
    sums: dict[str, dict[str, int]]
    nextpnr: str | None = None  #: Tool that knows the timing, if one does.
    #: Device -> arguments of that tool; the first is the default.
    devices: dict[str, tuple[str, ...]] | None = None
    #: Devices of a family with DSP blocks that have none.
    plain_devices: frozenset[str] = frozenset()
    #: Whether that tool knows how long a path through a DSP block takes.
    times_dsp: bool = True

    def counts(self, types: dict[str, int]) -> dict[str, float]:
        """Return the resources in a netlist of the cell ``types``.

        A cell that no resource covers appears under its own name: nothing is left out.
        """
        found: dict[str, float] = dict.fromkeys(self.cells, 0)
        other: dict[str, float] = {}
        for cell, number in types.items():
            if cell == "$scopeinfo":
                continue
            for resource, patterns in self.cells.items():
                weight = next((w for p, w in patterns if re.fullmatch(p, cell)), None)
                if weight is not None:
                    found[resource] += number * weight
                    break
            else:
                other[cell] = number
        for name, weights in self.sums.items():
            found[name] = sum(found[r] * weight for r, weight in weights.items())
        return {k: int(v) if v == int(v) else v for k, v in (found | other).items()}

    def synthesize(self, design: Design, dsp: bool) -> dict[str, float]:
        """Return the resources of the bare module."""
        name = f"bare_{'dsp' if dsp else 'lut'}"
        command = self.command(DUT, dsp)
        design.yosys(name, f"read_rtlil base.il\n{command}\ntee -o {name}.json stat -json\n")
        return self.counts(design.statistics(name).get("num_cells_by_type", {}))

    def command(self, top: str, dsp: bool) -> str:
        """Return the Yosys command that maps module ``top``."""
        return self.synth.format(top=top, dsp=self.with_dsp if dsp else self.without_dsp)


def _one(pattern: str) -> tuple[tuple[str, float], ...]:
    return ((pattern, 1),)


FAMILIES: dict[str, Family] = {
    "xcup": Family(
        synth="synth_xilinx -family xcup -flatten -noiopad -noclkbuf -top {top} {dsp}",
        with_dsp="",
        without_dsp="-nodsp",
        cells={
            "LUT": _one(r"LUT\d|LUT6_2|INV"),
            "FF": _one(r"FD[RSPC]E(_1)?"),
            "CARRY4": ((r"CARRY4", 1), (r"CARRY8", 2)),
            "MUXF": _one(r"MUXF[789]"),
            "DSP": _one(r"DSP48E\d"),
            # As the vendor counts them: tiles of 36 kbit.
            "BRAM": ((r"RAMB36\w*", 1), (r"RAMB18\w*", 0.5)),
            "LUTRAM": _one(r"RAM\d+[XM]\w*"),
            "SRL": _one(r"SRL\w+"),
        },
        sums={},
    ),
    "ecp5": Family(
        synth="synth_ecp5 -top {top} {dsp}",
        with_dsp="",
        without_dsp="-nodsp",
        cells={
            "LUT4": _one("LUT4"),
            "CCU2C": _one("CCU2C"),
            "FF": _one("TRELLIS_FF"),
            "DSP": _one("MULT18X18D|ALU54B"),
            "BRAM": _one("DP16KD|PDPW16KD"),
            "LUTRAM": _one("TRELLIS_DPR16X4"),
            "PFUMX": _one("PFUMX"),
            "L6MUX": _one("L6MUX21"),
        },
        sums={"LUT4eq": {"LUT4": 1, "CCU2C": 2}},
        nextpnr="nextpnr-ecp5",
        devices={
            size: (f"--{size}", "--package", "CABGA381", "--speed", "8", "--out-of-context")
            for size in ("25k", "12k", "45k", "85k")
        },
    ),
    "ice40": Family(
        synth="synth_ice40 -spram -top {top} {dsp}",
        with_dsp="-dsp",
        without_dsp="",
        cells={
            "LUT4": _one("SB_LUT4"),
            "CARRY": _one("SB_CARRY"),
            "FF": _one(r"SB_DFF\w*"),
            "DSP": _one("SB_MAC16"),
            "BRAM": _one(r"SB_RAM40_4K\w*"),
            "SPRAM": _one("SB_SPRAM256KA"),
        },
        sums={},
        nextpnr="nextpnr-ice40",
        devices={
            "up5k": ("--up5k", "--package", "sg48"),
            "hx8k": ("--hx8k", "--package", "ct256"),
            "hx1k": ("--hx1k", "--package", "tq144"),
            "lp8k": ("--lp8k", "--package", "cm225"),
        },
        plain_devices=frozenset({"hx8k", "hx1k", "lp8k"}),
        # It takes every SB_MAC16 for a register, so a product would cost no time.
        times_dsp=False,
    ),
    "gowin": Family(
        synth="synth_gowin -family gw2a -noiopads -nowidelut -top {top} {dsp}",
        with_dsp="",
        without_dsp="-nodsp",
        cells={
            "LUT4": _one(r"LUT[1-4]|INV"),
            "ALU": _one("ALU"),
            "FF": _one(r"DFF\w*"),
            "DSP": _one(r"MULT\w+|ALU54D|PADD\w+"),
            "BRAM": _one(r"SP\w*|SDP\w*|DP\w*|pROM\w*"),
            "LUTRAM": _one(r"RAM16\w+"),
            "MUX2": _one(r"MUX2_LUT\d"),
        },
        sums={"LUT4eq": {"LUT4": 1, "ALU": 1}},
    ),
}
