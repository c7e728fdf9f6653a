# SPDX-License-Identifier: Apache-2.0
"""Record the evidence from which ``gen list`` computes the status of each unit.

``python -m tests.evidence [UNIT ...]`` runs the tests that each item of
:data:`gen.status.LADDER` rests on, each once, and writes ``gen/evidence/<unit>.json``: the command
that runs them alone, how many ran, whether all passed. An item without tests here stays without
evidence. This module is also the plug-in by which pytest runs those tests and no others.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gen.status import LADDER

__all__ = ["TESTS", "UNDERWAY", "command", "evidence", "main", "paths_of", "rests_on"]

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "gen" / "evidence"

#: Units that this run records, for the processes of pytest.
_CHOSEN = "BITLOOM_EVIDENCE"

#: Arguments of pytest: paths, then perhaps ``-k`` with words joined by ``and`` or ``and not``.
Arguments = tuple[str, ...]


def _common(unit: str, *others: str) -> dict[str, Arguments]:
    """Return the items that are shown for every unit in the same way.

    The names in ``others`` begin like this one.
    """
    less = "".join(f" and not [{other}-" for other in others)
    return {
        "parsers": ("tests/gen/test_units.py", "-k", f"three_parsers and [{unit}-{less}"),
        "formal": ("tests/formal/test_units.py", "-k", f"[{unit}-{less}"),
        "mutation": ("tests/sim/bench/test_mutation_units.py", "-k", f"[{unit}]"),
    }


def _around(unit: str, golden: Arguments, hardware: str, stream: str) -> dict[str, Arguments]:
    """Return the items of a unit around a PE."""
    return {
        "oracle": golden,
        "simulation": (hardware,),
        "throughput": (hardware, "-k", stream),
        "largest_sum": ("tests/verilog/test_extremes.py", "-k", f"test_{unit.replace('-', '_')}_"),
        "area": ("tests/fpga/test_unit_areas.py", "-k", f"[{unit}]"),
        **_common(unit),
    }


def _engine(unit: str) -> dict[str, Arguments]:
    """Return the items that are shown for both units of matrix engines in the same way."""
    extremes = "tests/verilog/test_extremes.py"
    return {
        "largest_sum": (extremes, "-k", f"test_engine_largest_sum and [{unit}-"),
        "area": ("tests/fpga/test_unit_areas.py", "-k", f"[{unit}]"),
        **_common(unit),
    }


def _rows(unit: str, family: str, oracle: str, test: str) -> dict[str, Arguments]:
    """Return the items of a unit of rows that there are so far.

    Not ``formal``: of its rules of order and time there is no proof for all time.
    """
    return {
        "oracle": (f"{_GOLDEN}/{family}/{oracle}",),
        "simulation": (f"tests/hw/{family}/{test}",),
        "parsers": _common(unit)["parsers"],
    }


_GOLDEN = "tests/sim/golden"
_FORMATS = (f"{_GOLDEN}/test_formats.py", f"{_GOLDEN}/test_encode.py")

#: unit -> item of the ladder -> arguments of pytest.
TESTS: dict[str, dict[str, Arguments]] = {
    "pe": {
        "oracle": (*_FORMATS, f"{_GOLDEN}/test_groups.py", f"{_GOLDEN}/pe"),
        # Every pair of codes; streams under stalls; any architecture on any formats; each alone.
        "simulation": (
            "tests/verilog/test_pairs.py",
            "tests/verilog/test_stream.py",
            "tests/verilog/test_any.py",
            "tests/hw/pe",
        ),
        "throughput": ("tests/hw/pe/test_pe.py", "-k", "latency_throughput"),
        "largest_sum": ("tests/hw/pe/test_pe.py", "-k", "largest_sum"),
        "area": ("tests/hw/pe/test_recorded.py",),
        "model_data": ("tests/sim/test_dot.py",),
        **_common("pe", "pe-axi", "pe-uart"),
    },
    "fma": _around(
        "fma", (f"{_GOLDEN}/fp/test_fma.py",), "tests/hw/fp/test_fma.py", "stream_under_stalls"
    ),
    "mul": _around(
        "mul", (f"{_GOLDEN}/fp/test_mul.py",), "tests/hw/fp/test_mul.py", "stream_under_stalls"
    ),
    "quantize": _around(
        "quantize",
        (*_FORMATS, f"{_GOLDEN}/test_quantize.py"),
        "tests/hw/encode/test_quantize.py",
        "test_stream",
    ),
    "block-quantize": _around(
        "block-quantize",
        (f"{_GOLDEN}/test_blocks.py", f"{_GOLDEN}/test_block_quantize.py"),
        "tests/hw/encode/test_block.py",
        "test_stream",
    ),
    "requant": _around(
        "requant",
        (f"{_GOLDEN}/test_requant.py",),
        "tests/hw/quant/test_requant.py",
        "test_streams",
    ),
    "dequant": _around(
        "dequant",
        (f"{_GOLDEN}/test_dequant.py",),
        "tests/hw/quant/test_dequant.py",
        "test_streams",
    ),
    "pe-axi": {
        "oracle": ("tests/verilog/test_pe_axi.py",),
        "simulation": ("tests/hw/coprocessor", "tests/hw/axi"),
        **_common("pe-axi"),
    },
    "pe-uart": {
        "simulation": ("tests/hw/axi", "tests/verilog/test_pe_uart.py"),
        "parsers": _common("pe-uart")["parsers"],
    },
    "coprocessor": {
        "oracle": (f"{_GOLDEN}/coprocessor/test_accelerator.py",),
        "simulation": (
            "tests/verilog/test_coprocessor.py",
            "tests/sim/test_coprocessor.py",
            "tests/sim/test_coprocessor_errors.py",
            "tests/sim/test_coprocessor_faults.py",
            "tests/hw/coprocessor",
            "-k",
            "not test_sizes.py",  # which are no simulation
        ),
        "throughput": ("tests/sim/test_coprocessor.py", "-k", "test_rate"),
        "largest_sum": ("tests/verilog/test_extremes.py", "-k", "test_coprocessor_"),
        # Not "formal": the rules of AXI4-Lite are searched, not proved.
        "parsers": _common("coprocessor", "coprocessor-uart")["parsers"],
    },
    "coprocessor-uart": {
        "oracle": (f"{_GOLDEN}/coprocessor/test_accelerator.py",),
        "simulation": ("tests/sim/test_board.py",),
        "parsers": _common("coprocessor-uart")["parsers"],
    },
    "cfu": {
        "oracle": (f"{_GOLDEN}/coprocessor/test_cfu.py",),
        "simulation": ("tests/verilog/test_cfu.py",),
        "largest_sum": ("tests/verilog/test_extremes.py", "-k", "test_cfu_"),
        "parsers": _common("cfu")["parsers"],
        "formal": _common("cfu")["formal"],
    },
    "butterfly": {
        "oracle": tuple(f"{_GOLDEN}/butterfly/test_{n}.py" for n in ("fft", "linear", "engine")),
        "simulation": ("tests/hw/butterfly/test_butterfly.py",),
        "throughput": ("tests/hw/butterfly/test_butterfly.py", "-k", "cycles"),
        "parsers": _common("butterfly")["parsers"],
    },
    "fnet-mixing": _rows("fnet-mixing", "butterfly", "test_mixing.py", "test_mixing.py"),
    "lut-table": {
        "oracle": (f"{_GOLDEN}/test_lut_table.py",),
        "simulation": ("tests/hw/mpgemm/test_lut_table.py",),
        "throughput": ("tests/hw/mpgemm/test_lut_table.py", "-k", "traffic"),
        "largest_sum": ("tests/verilog/test_extremes.py", "-k", "test_lut_table_"),
        "area": ("tests/fpga/test_unit_areas.py", "-k", "[lut-table]"),
        **_common("lut-table"),
    },
    "array": {
        "oracle": (f"{_GOLDEN}/mpgemm/test_array.py", f"{_GOLDEN}/mpgemm/test_scaled.py"),
        "simulation": ("tests/verilog/test_array.py", "tests/verilog/test_epilogue.py"),
        # Exact cycles of every job alone.
        "throughput": (f"{_GOLDEN}/mpgemm/test_cycles.py", "tests/verilog/test_array.py"),
        **_engine("array"),
    },
    "mpgemm": {
        "oracle": tuple(
            f"{_GOLDEN}/mpgemm/test_{name}.py"
            for name in ("lut", "lut_ternary", "ternary_add", "tmac", "transcode", "engines")
        ),
        "simulation": ("tests/verilog/test_mpgemm.py", "tests/verilog/test_epilogue.py"),
        "throughput": ("tests/verilog/test_mpgemm.py", "-k", "test_engine"),
        **_engine("mpgemm"),
    },
    "activation": _rows("activation", "attention", "test_activation.py", "test_activation.py"),
    "norm": _rows("norm", "attention", "test_norm.py", "test_norm.py"),
    "scalar": _rows("scalar", "attention", "test_scalar.py", "test_scalar.py"),
    "softmax": _rows("softmax", "attention", "test_softmax.py", "test_softmax.py"),
    "attention": _rows("attention", "attention", "test_attention.py", "test_attention.py"),
    "attention-tiles": _rows(
        "attention-tiles", "attention", "test_attention_tiles.py", "test_tiles.py"
    ),
    "kv-cache": _rows("kv-cache", "attention", "test_kv_cache.py", "test_kv_cache.py"),
    "merge": _rows("merge", "attention", "test_merge.py", "test_merge.py"),
    "rope": _rows("rope", "attention", "test_rope.py", "test_rope.py"),
}

#: Units in work: recorded only where asked for by name.
UNDERWAY = (
    *("activation", "attention", "attention-tiles", "kv-cache", "merge", "norm", "rope"),
    *("scalar", "softmax"),
)


def rests_on(arguments: Arguments, test: str) -> bool:
    """Return whether pytest with these arguments runs the test of that node id."""
    words = list(arguments)
    expression = words.pop() if "-k" in words else ""
    paths = paths_of(arguments)
    under = any(test == p or test.startswith((f"{p}/", f"{p}::", f"{p}[")) for p in paths)
    terms = expression.lower().split(" and ") if expression else []
    return under and all(
        (term.removeprefix("not ") in test.lower()) != term.startswith("not ") for term in terms
    )


def paths_of(arguments: Arguments) -> Arguments:
    """Return the paths without the options."""
    return arguments[: next((k for k, a in enumerate(arguments) if a[0] == "-"), None)]


def command(arguments: Arguments) -> str:
    """Return the command for a person."""
    return " ".join(["pytest", *(f"'{a}'" if " " in a or "[" in a else a for a in arguments)])


def _wanted(units: Iterable[str]) -> list[Arguments]:
    return [arguments for unit in units for arguments in TESTS[unit].values()]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what no item of the chosen units rests on."""
    wanted = _wanted(shlex.split(os.environ[_CHOSEN]))
    kept = [item for item in items if any(rests_on(a, item.nodeid) for a in wanted)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


class _Results:
    """What became of each test: node id -> whether it passed."""

    def __init__(self) -> None:
        self.passed: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or (report.when == "call" and report.passed):
            before = self.passed.get(report.nodeid, True)
            self.passed[report.nodeid] = before and report.passed


def evidence(items: dict[str, Arguments], passed: dict[str, bool]) -> dict[str, Any]:
    """Return what the results show of each item."""
    found = {}
    for item, arguments in items.items():
        ran = [ok for test, ok in passed.items() if rests_on(arguments, test)]
        found[item] = {
            "passed": bool(ran) and all(ran),
            "tests": len(ran),
            "command": command(arguments),
        }
    return found


def main(argv: list[str]) -> int:
    """Run the tests and write the records; exit status 1 if an item is without evidence."""
    units = argv or [unit for unit in TESTS if unit not in UNDERWAY]
    if unknown := [unit for unit in units if unit not in TESTS]:
        print(f"no tests are named for {', '.join(unknown)}", file=sys.stderr)
        return 2
    os.environ[_CHOSEN] = shlex.join(units)
    wanted = _wanted(units)
    paths = dict.fromkeys(path for a in wanted for path in paths_of(a))
    results = _Results()
    ended = pytest.main(["-q", "-p", "tests.evidence", *paths], plugins=[results])
    if ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return 2
    status = 0
    for unit in units:
        found = evidence(TESTS[unit], results.passed)
        path = FOLDER / f"{unit}.json"
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        failed = [item for item, one in found.items() if not one["passed"]]
        missing = [i for needed in LADDER.values() for i in needed if i not in found]
        print(f"{unit}: {len(found) - len(failed)} of {len(found)}; failed: {failed or 'none'};"
              f" without tests: {missing or 'none'}")  # fmt: skip
        status |= bool(failed)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
