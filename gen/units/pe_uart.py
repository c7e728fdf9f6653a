# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from gen.units.pe import UNIT as PE
from hw.coprocessor.pe_node import PENode, PEUartParams


def _build(params: PEUartParams) -> PENode:
    return PENode(params, params.clock_hz, params.baud)


UNIT = Unit(
    name="pe-uart",
    summary="processing element behind registers behind a UART (LiteX uartbone protocol)",
    params=PEUartParams,
    build=_build,
    golden="sim.golden.coprocessor.pe_uart",
    help={
        **PE.help,
        "clock_hz": "frequency of the clock in Hz",
        "baud": "bits per second of the UART",
    },
    choices={**PE.choices, "core": ("stream",)},
    cases=(
        {"format": "int4"},
        {"format": "e2m1", "act": "e4m3", "lanes": 3, "clock_hz": 800_000, "baud": 100_000},
    ),
)
