# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks [NAME]``: one of :data:`NAMES`, ``speed`` if none is given."""

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
)


def main(argv: list[str]) -> int:
    """Run the benchmark that ``argv`` names."""
    name = argv[0] if argv else "speed"
    if name not in NAMES or len(argv) > 1:
        given = " ".join(argv)
        print(f"python -m benchmarks: NAME must be one of {', '.join(NAMES)}, not {given!r}",
              file=sys.stderr)  # fmt: skip
        return 2
    status: int = importlib.import_module(f"benchmarks.{name}").main()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
