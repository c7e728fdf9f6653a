# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.mpgemm.lut_table import LutTableParams, build
from hw.pe.params import TARGETS

UNIT = Unit(
    name="lut-table",
    summary="tables of sums of activations for mpgemm --engine lut --table-source port",
    params=LutTableParams,
    build=build,
    golden="sim.golden.lut_table",
    help={
        "act": "activation format, of finite codes",
        "group": "activations that share a table, 2 to 8",
        "tables": "tables of a beat, 1 to 64",
        "table_kind": "half: sums over plus or minus each activation, of which one sign is stored; "
        "full: sums of every subset",
        "pipeline": "register stages before the one of the result, 0 or 1",
        "target": "what the logic is made for; the function is the same",
    },
    choices={"table_kind": ("half", "full"), "target": TARGETS},
    cases=({"act": "int2", "group": 2}, {"act": "e2m1", "group": 2, "tables": 2, "pipeline": 1}),
)
