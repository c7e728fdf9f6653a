# SPDX-License-Identifier: Apache-2.0
"""Floating-point and posit arithmetic."""
