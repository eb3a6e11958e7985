"""Run a command: one line if it succeeds, everything that it said if it fails.

python -m tools.stage NAME COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time

COLOR = re.compile(r"\x1b\[[0-9;]*m")


def stage(name: str, command: list[str]) -> int:
    """Print the name, then the last words of the command and its seconds; return its exit code."""
    beside_others = "--jobserver" in os.environ.get("MAKEFLAGS", "")  # make -j: one line at once
    begin = f"{name:24} "
    if not beside_others:
        print(begin, end="", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode
        output.seek(0)
        said = output.read()
    lines = (COLOR.sub("", line).strip(" =") for line in reversed(said.splitlines()))
    last = next((line for line in lines if line), "done")
    end = f"{last} [{time.monotonic() - start:.0f} s]" if code == 0 else "FAILED"
    print(begin + end if beside_others else end)
    if code:
        print(said, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(stage(sys.argv[1], sys.argv[2:]))
