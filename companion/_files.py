"""Files for results: atomic writes, and reads that detect damage.

A write goes to a temporary file that then takes the place of the old one, so that a process that is
killed, or a full disk, leaves the old file or the new one and nothing in between.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write(path: Path, content: bytes) -> None:
    """Write a file, or replace it. OSError: it could not, and the old one stays."""
    with _temporary(path, content) as temporary:
        os.replace(temporary, path)


def create(path: Path, content: bytes) -> None:
    """Write a new file. FileExistsError: there is one, and it stays. OSError: it could not."""
    with _temporary(path, content) as temporary:
        try:
            os.link(temporary, path)
        except OSError:
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            # A file system without links, where two at one moment are not told apart.
            os.replace(temporary, path)


@contextlib.contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """Yield where the content has been written, beside the path; it is gone afterwards."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _naming(path):
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # else a power cut could leave the name without its bytes
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise ``OSError`` unless a file can be written there later; its folder is made."""
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=path.parent).close()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an ``OSError`` name the file that was to be written."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(error.errno, f"cannot write it: {error.strerror}", str(path)) from error


def as_json(value: Any) -> bytes:
    return f"{json.dumps(value, indent=1)}\n".encode()


def write_json(path: Path, value: Any) -> None:
    write(path, as_json(value))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **dict[str, Any](arrays))
    write(path, buffer.getvalue())


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Let a ``ValueError`` name the file, whatever error what it holds has led to."""
    try:
        yield
    except Exception as error:  # a damaged zip alone raises a dozen kinds
        raise ValueError(f"{path} is damaged: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. ValueError: it is damaged, or holds something else."""
    content = path.read_bytes()
    with reading(path):
        value = json.loads(content)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an npz file. ValueError: zip's checksums say that it is damaged."""
    content = path.read_bytes()
    with reading(path), np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
