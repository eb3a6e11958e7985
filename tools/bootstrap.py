"""Make the environment, or say in one line what is missing. Runs on any Python 3.

A .venv that is there already is completed: what it has in the pinned version stays, as PyTorch's
build without CUDA does (2.13.0+cpu is 2.13.0 to pip).
"""

import os
import shutil
import subprocess
import sys

PYTHON = os.path.join(".venv", "Scripts" if os.name == "nt" else "bin", "python")
NEEDED = 5  # gigabytes


def fail(message):
    """Print one line and stop."""
    sys.exit("error: " + message)


def pip(*arguments):
    """Run pip inside the environment; explain the commonest failure."""
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command + list(arguments), stderr=subprocess.PIPE)
    if done.returncode:
        text = done.stderr.decode("utf-8", "replace")
        if "No space left" in text:
            fail("the disk is full; the environment needs %d GB" % NEEDED)
        if "No matching distribution" in text or "onnection" in text or "timed out" in text:
            # Without a network pip says that the first package does not exist.
            last = [line for line in text.splitlines() if line.startswith("ERROR")][-1:]
            fail("a package cannot be reached, check the network connection (%s)" % "".join(last))
        lines = [line for line in text.splitlines() if "ERROR" in line] or ["pip failed"]
        fail(lines[-1])


def inside(code):
    """Return what a line of Python prints in the environment, or None where it fails."""
    done = subprocess.run([PYTHON, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def complete():
    """Check that .venv can be used: its Python, and pip, which some tools leave out."""
    found = inside("import sys; print('%d.%d' % sys.version_info[:2])")
    if found not in ("3.11", "3.12", "3.13"):
        fail("Python 3.11 to 3.13 is needed, .venv has %s; run make clean" % (found or "none"))
    if inside("import pip") is None and inside("import ensurepip; ensurepip.bootstrap()") is None:
        fail("the Python in .venv has no pip; run make clean")
    torch = inside("from importlib.metadata import version; print(version('torch'))")
    if torch:
        print("PyTorch %s is in .venv already" % torch, flush=True)


def create():
    """Make .venv, if there is room for what comes into it."""
    free = shutil.disk_usage(".").free / 1e9
    if free < NEEDED:
        fail("%d GB of disk are needed for the environment, %.1f are free" % (NEEDED, free))
    subprocess.run([sys.executable, "-m", "venv", ".venv"], check=True)


def main():
    """Make .venv what requirements.txt says."""
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        fail(
            "Python 3.11 to 3.13 is needed, this is %d.%d; try: make PYTHON=python3.11"
            % sys.version_info[:2]
        )
    if os.path.exists(PYTHON):
        complete()
    else:
        create()
    print("installing what requirements.txt names into .venv (a few minutes, once)", flush=True)
    pip("-r", "requirements.txt")
    pip("--no-deps", "-e", ".")


if __name__ == "__main__":
    main()
