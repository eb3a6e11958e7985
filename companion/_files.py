"""Files that are there whole or not at all, and read whole or not at all."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def _part(path: Path) -> Path:
    """Return where the file is written before it takes its place."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def write(path: Path, content: bytes) -> None:
    """Put a file into its place in one step; whatever goes wrong, the old one stays.

    Raises
    ------
    OSError: a full disk, a folder that cannot be written; the message names the file.
    """
    _place(path, content, os.replace)


def create(path: Path, content: bytes) -> None:
    """Put a new file into its place in one step, where there is none.

    Raises
    ------
    FileExistsError: there is one, and it stays. OSError: as :func:`write`.
    """
    _place(path, content, _link)


def _link(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, where two at one moment are not told apart
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(part, path)


def _place(path: Path, content: bytes, put: Callable[[Path, Path], None]) -> None:
    part = _part(path)
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name without its bytes
        put(part, path)
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(error.errno, f"cannot write it: {error.strerror}", str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Make the file's folder, and raise unless a file could be put there; what is there stays.

    For work that takes long and writes at its end.

    Raises
    ------
    OSError: it could not; the message names the file.
    """
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        part.touch()
    except OSError as error:
        raise OSError(error.errno, f"cannot write it: {error.strerror}", str(path)) from error
    finally:
        if part.parent.is_dir():
            part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    write(path, as_json(value))


def as_json(value: Any) -> bytes:
    return f"{json.dumps(value, indent=1)}\n".encode()


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises
    ------
    FileNotFoundError: no such file. ValueError: it holds something else.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: not a JSON object")
    return value


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **dict[str, Any](arrays))
    write(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an npz file; zip's checksums find what is not as it was written.

    Raises
    ------
    FileNotFoundError: no such file. ValueError: it is damaged.
    """
    content = path.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # a damaged zip raises a dozen kinds of errors
        raise ValueError(f"{path} is damaged: {error}") from error
