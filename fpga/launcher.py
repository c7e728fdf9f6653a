# SPDX-License-Identifier: Apache-2.0
"""``EDALIZE_LAUNCHER``: run a command of edalize's makefile with the tools found here.

Edalize names the tools as their projects do and hands Yosys a Tcl script. The packages on PyPI have
other names, and their Yosys has no Tcl, so that the flows give Yosys a script of its own instead.
"""

import sys
from pathlib import Path

from fpga import tools
from gen.cli import guarded

__all__ = ["main", "translate"]

TIMEOUT = 4 * 3600  #: Seconds that one tool may take.


def translate(command: list[str]) -> list[str]:
    """Return ``command`` with ``-p 'tcl FILE.ys'``, all that edalize can say, as ``-s FILE.ys``."""
    words: list[str] = []
    for word in command:
        if command[0] == "yosys" and words[-1:] == ["-p"] and word.startswith("tcl "):
            words[-1:] = ["-q", "-s", word.removeprefix("tcl ")]
        else:
            words.append(word)
    return words


def main(command: list[str]) -> int:
    """Run ``command`` in the current folder; return its exit status."""
    name, *arguments = translate(command)
    try:
        print(tools.run(name, arguments, Path(), timeout=TIMEOUT), end="")
    except tools.ToolError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(guarded("ERROR", lambda: main(sys.argv[1:])))
