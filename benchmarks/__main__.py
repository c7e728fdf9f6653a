# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks [NAME]``: one of :data:`NAMES`, ``speed`` if none is given.

``mutation`` may be followed by the units that are to be measured anew.
"""

import importlib
import sys

NAMES = (
    "speed",
    "report",
    "units",
    "engines",
    "areas",
    "figure",
    "mutation",
    "architectures",
    "goals",
    "published",
    "presets",
)


def main(argv: list[str]) -> int:
    """Run the benchmark that ``argv`` names."""
    name = argv[0] if argv else "speed"
    if name not in NAMES or (len(argv) > 1 and name != "mutation"):
        given = " ".join(argv)
        print(f"python -m benchmarks: NAME must be one of {', '.join(NAMES)}, not {given!r}",
              file=sys.stderr)  # fmt: skip
        return 2
    main_of = importlib.import_module(f"benchmarks.{name}").main
    status: int = main_of(argv[1:]) if name == "mutation" else main_of()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
