# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from gen.units.pe import UNIT as PE
from hw.coprocessor.pe_node import PEAxiParams, PENodeAxiLite

UNIT = Unit(
    name="pe-axi",
    summary="processing element behind registers behind an AXI4-Lite slave",
    params=PEAxiParams,
    build=PENodeAxiLite,
    golden="sim.golden.coprocessor.pe_axi",
    help=PE.help,
    choices={**PE.choices, "core": ("stream",)},
    cases=({"format": "int4"}, {"format": "e2m1", "act": "e4m3", "lanes": 3}),
)
