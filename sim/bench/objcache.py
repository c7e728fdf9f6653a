# SPDX-License-Identifier: Apache-2.0
"""Compiler wrapper that keeps the objects of Verilator's run-time library between builds.

``python objcache.py FOLDER c++ ... -c verilated.cpp``: nine tenths of a small Verilator build is
this library, whose sources never change. Everything else is compiled as usual, above all cocotb's
``verilator.cpp``, which includes the header of the model. Standard library only, so that the
interpreter starts fast.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys

__all__ = ["main"]


def _source(command: list[str]) -> str | None:
    """Return the library source that ``command`` compiles, or None for any other command."""
    found = [word for word in command if os.path.basename(word).startswith("verilated")]
    sources = [word for word in found if word.endswith(".cpp")]
    return sources[0] if len(sources) == 1 and "-c" in command and "-o" in command else None


def _key(command: list[str], source: str) -> str:
    """Return what the object depends on: the words, the compiler and the library's release."""
    version = subprocess.run([command[0], "--version"], capture_output=True, check=False).stdout
    stat = os.stat(source)
    parts = [*command, version.decode(errors="replace"), f"{stat.st_size} {stat.st_mtime_ns}"]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def main(folder: str, command: list[str]) -> int:
    """Run ``command``, or copy its object from ``folder``; return the exit status."""
    source = _source(command)
    if source is None or not os.path.exists(source):
        return subprocess.run(command, check=False).returncode
    target = command[command.index("-o") + 1]
    kept = os.path.join(folder, _key(command, source) + ".o")
    if os.path.exists(kept):
        shutil.copyfile(kept, target)
        return 0
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        # A cache that cannot be written is no error.
        with contextlib.suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            part = f"{kept}.{os.getpid()}"
            shutil.copyfile(target, part)
            # A rename is atomic: parallel builds never see half an object.
            os.replace(part, kept)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
