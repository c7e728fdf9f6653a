# SPDX-License-Identifier: Apache-2.0
"""``python -m fpga COMMAND``."""

import sys

from gen.cli import main

DESCRIPTION = "Reports, bitstreams, boards and the host driver."

if __name__ == "__main__":
    sys.exit(main("fpga", DESCRIPTION))
