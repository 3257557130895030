"""Files and folders that are whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import io
import os
import secrets
import shutil
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from alenv.errors import RunConflict, StorageError

OTHER_FOLDER = "free some space or choose another folder"
STORAGE_CODES = frozenset(  # how a system says that it will not write
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.EISDIR,
        errno.EIO,
    )
)
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date that a zip archive can hold


@contextmanager
def writing(path: Path, advice: str = OTHER_FOLDER) -> Iterator[None]:
    """Turns the system's refusal to write inside the block into one sentence; other errors pass.

    Args:
        path: What is being written.
        advice: The end of the sentence: what to do.

    Raises:
        StorageError: The disk is full, the folder is read-only, or a file stands in the way.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in STORAGE_CODES:
            raise
        # The temporary file beside the path means nothing to the reader; any other place does.
        named = error.filename is not None and Path(str(error.filename)).parent != path.parent
        place = error.filename if named else path
        raise StorageError(f"{place} cannot be written ({error.strerror}); {advice}.") from error


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


@contextmanager
def held(lock: Path, advice: str = OTHER_FOLDER) -> Iterator[None]:
    """Holds the folder of a lock file for this process; it ends with the process, however that ends.

    Args:
        lock: The file; its folder is made where it is missing.
        advice: What to do where it cannot be written.

    Raises:
        RunConflict: Another process holds it.
        StorageError: The folder cannot be written.
    """
    import filelock  # noqa: PLC0415  (`import alenv` stays light)

    make_folder(lock.parent, advice)
    holder = filelock.FileLock(lock)
    with writing(lock, advice):
        try:
            holder.acquire(blocking=False)
        except filelock.Timeout:  # an OSError too, but not one of writing
            raise RunConflict(
                f"Another process is working on {lock.parent}; wait for it or stop it, then repeat this."
            ) from None
    try:
        yield
    finally:
        holder.release()


def make_folder(path: Path, advice: str = OTHER_FOLDER) -> None:
    """Creates a folder and its parents; an existing one is left as it is.

    Raises:
        StorageError: It cannot be made.
    """
    with writing(path, advice):
        path.mkdir(parents=True, exist_ok=True)


def write_bytes(path: Path, content: bytes, advice: str = OTHER_FOLDER) -> None:
    """Writes a whole file atomically and durably: a reader sees the old bytes or the new ones.

    Raises:
        StorageError: It cannot be written; the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path, advice):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str, advice: str = OTHER_FOLDER) -> None:
    """Writes a whole UTF-8 text file atomically; see ``write_bytes``."""
    write_bytes(path, content.encode(), advice)


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


def partial_folders(folder: Path) -> Iterator[Path]:
    """Yields what unfinished writers of a folder have left beside it, or are still writing."""
    return folder.parent.glob(f"{folder.name}.partial-*")


def publish_folder(
    folder: Path,
    fill: Callable[[Path], None],
    advice: str = OTHER_FOLDER,
    put: Callable[[Path, Path], object] = Path.rename,
) -> None:
    """Makes a folder whole or not at all: it is filled beside its place and appears by one rename.

    A killed writer leaves a sibling named ``NAME.partial-...``, which no reader looks at.

    Args:
        folder: The folder to publish; one with content is refused, unless ``put`` replaces it.
        fill: Writes the content into the empty folder it is given.
        advice: See ``writing``.
        put: ``put(filled, folder)`` gives the filled folder its place.

    Raises:
        StorageError: The disk is full, or the place cannot be written or is taken.
    """
    with writing(folder, advice):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f"{folder.name}.partial-{secrets.token_hex(4)}")
        partial.mkdir()  # not mkdtemp, whose folders are closed to everyone else
        try:
            fill(partial)
            put(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
