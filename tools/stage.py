"""Run a command: one line if it succeeds, everything that it said if it fails.

python -m tools.stage NAME COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time


def stage(name: str, command: list[str]) -> int:
    """Print the name, then the command's last line and its seconds; return its exit code."""
    print(f"{name:24} ", end="", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode
        output.seek(0)
        said = output.read()
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "done")
    print(f"{last.strip(' =')} [{time.monotonic() - start:.0f} s]" if code == 0 else "FAILED")
    if code:
        print(said, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(stage(sys.argv[1], sys.argv[2:]))
