# SPDX-License-Identifier: Apache-2.0
"""Posit arithmetic on codes as they are: negative ones are never complemented."""
