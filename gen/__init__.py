# SPDX-License-Identifier: Apache-2.0
"""Bitloom's generator: units in, Verilog and manifests out."""

__version__ = "0.1.0"
