# SPDX-License-Identifier: Apache-2.0
"""Build flows. Each module has ``TOOLS``, ``top(board, manifest)`` and ``run(job)``."""
