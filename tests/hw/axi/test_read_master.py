# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/axi/read_master.py``; the bench is ``cocotb_read_master``."""

import pytest

from hw.axi.read_master import ReadMaster
from tests.hw.axi.axi_bench import run

CONFIGS = {
    "small": {"data_width": 32, "aligns": [1, 4, 2], "max_burst": 4, "outstanding": 2},
    "wide": {"data_width": 128, "aligns": [64, 1, 16, 16], "max_burst": 16, "outstanding": 16},
    "long": {"data_width": 64, "aligns": [1], "max_burst": 256, "outstanding": 3},
}


def check(folder, config, **options):
    config = {"addr_bits": 20, **config}
    return run(ReadMaster(**config), "read_master", folder, config, **options)


@pytest.mark.parametrize("name", ["small", "wide", pytest.param("long", marks=pytest.mark.deep)])
def test_bench(tmp_path, name):
    figures = check(tmp_path, CONFIGS[name])
    if name == "wide":
        assert figures["chunks"] >= 0.98, figures
