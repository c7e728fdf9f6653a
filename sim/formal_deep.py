# SPDX-License-Identifier: Apache-2.0
"""Unbounded proofs of deep pipelines, whose data is too much for what :mod:`sim.formal` does.

Rules that speak of control alone are proved on a model from which the data has fallen out, with
the ``places`` that the contract names (see :mod:`sim.bench.properties`). That a payload waits
unchanged is proved of the whole. Neither needs to know what the data is, so nothing is said of the
numbers that come out.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["connections", "prove_deep"]

#: Registers that always are equal are merged before the proof.
_SCRIPT = """\
backup
read_aiger model.aig
fold
strash
set abcout pdr.log
{commands}
unset abcout
restore
"""


def connections(manifest: Mapping[str, Any], top: str) -> str:
    """Return commands that connect the harness to the registers where a row can be."""
    lines = [f"cd {top}"]
    for number, (name, _, counter, _) in enumerate(manifest["contract"]["places"]):
        lines.append(f"connect -set place{number} dut.{name}")
        if counter:
            lines.append(f"connect -set count{number} dut.{counter}")
    return "\n".join([*lines, "cd .."])


def prove_deep(
    harness: str, folder: Path, depth: int, seconds: int, call: Callable[[str, bool], None]
) -> tuple[str | None, int]:
    """Return what is refuted, if anything, and the number of cover statements reached.

    ``call(props, places)`` makes ``model.aig`` of the harness in the file ``props``, with or
    without the places, and runs ``pdr.abc``.
    """
    labels = re.findall(r"(\w+): assert", harness)
    payload = [label for label in labels if label.endswith("_payload_kept")]
    control = [label for label in labels if label not in payload]
    for chosen, simpler in ((control, "scorr"), (payload, "")):
        log = _run(harness, folder, chosen, f"{simpler}\nprint_stats\npdr -T {seconds}", call)
        if "asserted in frame" in log:
            number = re.search(r"Output +(\d+) of", log)
            names = json.loads((folder / "model.json").read_text(encoding="utf-8"))["asserts"]
            return str(names[int(number[1]) if number else 0][0]).lstrip("\\"), 0
        # Where merging has left nothing, there is nothing to be proved.
        empty = re.search(r"and = +0 ", log) and "All outputs solved" in log
        if "Property proved" not in log and not empty:
            return f"no verdict in time on {', '.join(chosen)}", 0
    covers = len(re.findall(r"cover \(", harness))
    harness = re.sub(r"cover \((.*)\);", r"assert (!(\1));", harness)
    log = _run(harness, folder, [], f"bmc3 -a -F {depth} -T {seconds}", call)
    reached = len(set(re.findall(r"Output +(\d+) .*asserted", log)))
    return (None if reached == covers else f"{covers - reached} covers not reached"), reached


def _run(
    harness: str, folder: Path, labels: list[str], commands: str, call: Callable[[str, bool], None]
) -> str:
    """Return what ABC says of the assertions with these labels and of those without any."""
    kept = "|".join(labels) or "none"
    text = re.sub(rf"\b(?!(?:{kept})\b)\w+: assert \(.*\);", ";", harness)
    (folder / "deep.sv").write_text(text, encoding="utf-8")
    (folder / "pdr.abc").write_text(_SCRIPT.format(commands=commands), encoding="utf-8")
    (folder / "pdr.log").unlink(missing_ok=True)
    call("deep.sv", bool(labels))
    return (folder / "pdr.log").read_text(encoding="utf-8", errors="replace")
