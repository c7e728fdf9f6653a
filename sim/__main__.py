# SPDX-License-Identifier: Apache-2.0
"""``python -m sim COMMAND``."""

import sys

from gen.cli import main

DESCRIPTION = "Checks, simulated boards and studies of generated hardware."

if __name__ == "__main__":
    sys.exit(main("sim", DESCRIPTION))
