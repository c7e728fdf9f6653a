# SPDX-License-Identifier: Apache-2.0
"""Figures that are recorded, not tested: speed of the tools, area of the units."""
