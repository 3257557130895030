"""The folder that keeps every dataset once, safe against concurrent starts, kills and full disks.

A finished folder appears by one rename. Whatever is written before lies in a sibling named
``NAME.partial-PID``, which no reader looks at and the next writer of that name removes. One lock file per
name lets a single process write; readers of a finished folder need no lock and no write permission.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alenv import errors

META = "meta.json"

STORAGE_CODES = frozenset(
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.EISDIR,
        errno.EIO,
    )
)


def root() -> Path:
    """Returns the data folder: ``ALENV_DATA`` where it is set, else the user's cache folder."""
    given = os.environ.get("ALENV_DATA")
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs  # noqa: PLC0415  (`import alenv` stays light)

    return Path(platformdirs.user_cache_dir("alenv"))


def is_finished(folder: Path) -> bool:
    """Tells whether a folder was published; a killed writer never leaves one."""
    return (folder / META).is_file()


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Turns the system's refusal to write into one sentence.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    try:
        yield
    except OSError as problem:
        if problem.errno not in STORAGE_CODES:
            raise
        place = problem.filename or folder
        raise errors.StorageError(
            f"{place} cannot be used ({problem.strerror}); free some space or set ALENV_DATA to a folder "
            "that can be written."
        ) from problem


def make_folder(folder: Path, fill: Callable[[Path], None], keep: Callable[[], bool]) -> None:
    """Makes a folder whole or not at all, and only once however many processes ask.

    Args:
        folder: The folder to publish; one that exists already is replaced.
        fill: Writes the content, ``meta.json`` included, into the empty folder it is given.
        keep: Asked under the lock; when True, ``folder`` stays as it is and nothing is written.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    from filelock import FileLock  # noqa: PLC0415  (`import alenv` stays light)

    with storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            _recover(folder)
            if keep():
                return
            for leftover in folder.parent.glob(f"{folder.name}.partial-*"):
                shutil.rmtree(leftover)
            partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
            partial.mkdir()
            try:
                fill(partial)
                _publish(partial, folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)


def _outgoing(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.partial-replaced")


def _recover(folder: Path) -> None:
    """Brings back the folder of a process that stopped between the two renames of a replacement."""
    if not folder.exists() and is_finished(_outgoing(folder)):
        _outgoing(folder).rename(folder)


def _publish(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    outgoing = _outgoing(folder)
    folder.rename(outgoing)
    try:
        partial.rename(folder)
    except BaseException:
        _recover(folder)
        raise
    # Another process may still hold memory maps of these files; they stay valid until it lets go.
    shutil.rmtree(outgoing, ignore_errors=True)
