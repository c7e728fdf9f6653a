# SPDX-License-Identifier: Apache-2.0
"""Synthesis of one module for one target: the parts of :mod:`fpga.report`."""
