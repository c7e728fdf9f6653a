# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/axi/write_master.py``; the bench is ``cocotb_write_master``."""

import pytest

from hw.axi.write_master import WriteMaster
from tests.hw.axi.axi_bench import run

CONFIGS = {
    "small": {"data_width": 32, "align": 1, "clients": 3, "max_burst": 4, "outstanding": 2},
    "wide": {"data_width": 128, "align": 1, "clients": 2, "max_burst": 16, "outstanding": 8},
    "aligned": {"data_width": 64, "align": 4, "clients": 1, "max_burst": 256, "outstanding": 3},
}


def check(folder, config, **options):
    config = {"addr_bits": 20, **config}
    master = WriteMaster(**config)
    aligns = [config["align"]] * config["clients"]
    return run(master, "write_master", folder, {**config, "aligns": aligns}, **options)


@pytest.mark.parametrize("name", ["small", "wide", pytest.param("aligned", marks=pytest.mark.deep)])
def test_bench(tmp_path, name):
    figures = check(tmp_path, CONFIGS[name])
    if name == "wide":
        assert min(figures.values()) >= 0.98, figures
