# SPDX-License-Identifier: Apache-2.0
"""Save files for GTKWave, made from a manifest: the ports in groups, numbers as numbers."""

from collections.abc import Mapping
from typing import Any

__all__ = ["save_file"]

_HEX, _SIGNED = 0x22, 0x424
_COMMENT = 0x200


def save_file(manifest: Mapping[str, Any], waves: str) -> str:
    """Return the text of a save file that shows the ports of the top module in ``waves``."""
    lines = [f'[dumpfile] "{waves}"', "[timestart] 0"]
    heading = None
    for port in manifest["ports"]:
        group = f"stream {port['stream']}" if "stream" in port else "ports"
        if group != heading:
            heading = group
            lines += [f"@{_COMMENT:x}", f"-{group}"]
        span = f"[{port['width'] - 1}:0]" if port["width"] > 1 else ""
        lines.append(f"@{_SIGNED if port.get('signed') else _HEX:x}")
        lines.append(f"{manifest['module']}.{port['name']}{span}")
    return "\n".join(lines) + "\n"
