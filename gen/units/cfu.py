# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.coprocessor.cfu import Cfu, CfuParams

UNIT = Unit(
    name="cfu",
    summary="matrix engine behind the custom-instruction port of CFU Playground",
    params=CfuParams,
    build=Cfu,
    golden="sim.golden.coprocessor.cfu",
    help={
        "engine": "what computes: a text as after `python -m gen`, such as "
        '"array --dataflow os --rows 8 --columns 8" or "mpgemm --engine lut --bits 4"',
    },
    cases=(
        {"engine": "array --dataflow tree --rows 1 --columns 2 --lanes 2 --format int4"},
        {"engine": "mpgemm --engine lut --rows 2 --columns 3 --bits 2 --act int4 --max-k 64"},
    ),
)
