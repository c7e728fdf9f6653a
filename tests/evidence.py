# SPDX-License-Identifier: Apache-2.0
"""Record the evidence from which ``gen list`` computes the status of each unit.

``python -m tests.evidence`` runs the tests that each item of :data:`gen.status.LADDER` rests on and
writes ``gen/evidence/<unit>.json``: the command, how many tests ran, whether all passed. An item
without tests here stays without evidence.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: unit -> item of the ladder -> arguments of pytest.
TESTS = {
    "pe": {
        "oracle": ["tests/sim/golden"],
        "simulation": ["tests/verilog/test_pairs.py", "tests/verilog/test_stream.py"],
        "parsers": ["tests/gen/test_units.py", "-k", "three_parsers and pe-"],
        "formal": ["tests/formal/test_units.py"],
        "throughput": ["tests/hw/pe/test_pe.py", "-k", "latency_throughput"],
        "largest_sum": ["tests/hw/pe/test_pe.py", "-k", "largest_sum"],
        "area": ["tests/hw/pe/test_recorded.py"],
        "model_data": ["tests/sim/test_dot.py"],
    },
    "pe-axi": {
        "oracle": ["tests/verilog/test_pe_axi.py"],
        "simulation": ["tests/hw/coprocessor", "tests/hw/axi"],
        "parsers": ["tests/gen/test_units.py", "-k", "three_parsers and pe-axi"],
        "formal": ["tests/formal/test_units.py", "-k", "pe-axi"],
    },
    "pe-uart": {
        "simulation": ["tests/hw/axi", "tests/verilog/test_pe_uart.py"],
        "parsers": ["tests/gen/test_units.py", "-k", "three_parsers and pe-uart"],
    },
}


def gather(arguments: list[str]) -> dict[str, object]:
    """Run pytest and return what it found."""
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    passed = re.search(r"(\d+) passed", done.stdout)
    count = int(passed[1]) if passed else 0
    text = " ".join(f"'{a}'" if " " in a else a for a in arguments)
    return {
        "passed": done.returncode == 0 and count > 0,
        "tests": count,
        "command": f"pytest {text}",
    }


def main() -> int:
    for unit, items in TESTS.items():
        evidence = {item: gather(arguments) for item, arguments in items.items()}
        path = ROOT / "gen" / "evidence" / f"{unit}.json"
        path.write_text(json.dumps(evidence, indent=2) + "\n", encoding="utf-8")
        failed = [item for item, found in evidence.items() if not found["passed"]]
        print(f"{unit}: {len(evidence) - len(failed)} of {len(evidence)}", *failed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
