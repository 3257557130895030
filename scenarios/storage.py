"""Files that are whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import io
import os
import signal
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from alenv.errors import StorageError

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date that a zip archive can hold


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the operating system's errors inside the block into one sentence.

    Raises:
        StorageError: The disk is full, the folder is read-only, or a file stands in the way.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path} cannot be written ({reason}); free some space or choose another folder with --out."
        ) from error


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds Ctrl-C and SIGTERM back until the block has ended, so that related files stay in step."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    held: list[int] = []
    previous = {
        number: signal.signal(number, lambda n, _: held.append(n))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for caught in dict.fromkeys(held):  # all kinds: a worker ignores Ctrl-C, and then must hear SIGTERM
            signal.raise_signal(caught)


def make_folder(path: Path) -> None:
    """Creates a folder and its parents; an existing one is left as it is."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a whole file atomically and durably: a reader sees the old bytes or the new ones."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Writes a whole UTF-8 text file atomically."""
    write_bytes(path, content.encode())


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Returns an ``.npz`` archive whose bytes depend on nothing but names, dtypes and values."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # otherwise the archive names the operating system
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()
