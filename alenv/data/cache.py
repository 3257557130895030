"""The folder that keeps every dataset once, safe against concurrent starts, kills and full disks.

A finished folder appears by one rename. Whatever is written before lies in a sibling named
``NAME.partial-...``, which no reader looks at and the next writer of that name removes. One lock file per
name lets a single process write; readers of a finished folder need no lock and no write permission.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from alenv import files
from alenv.errors import StorageError

Value = TypeVar("Value")

META = "meta.json"
ADVICE = "free some space or set ALENV_DATA to a folder that can be written"


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

    with files.writing(folder, ADVICE):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            _recover(folder)
            if keep():
                return
            for leftover in files.partial_folders(folder):
                shutil.rmtree(leftover)
            files.publish_folder(folder, fill, ADVICE, _replace)


def computed(
    folder: Path,
    compute: Callable[[], Value],
    write: Callable[[Value, Path], None],
    read: Callable[[], Value | None],
) -> Value:
    """Returns what a folder holds, computed first where it holds nothing, and only once however many ask.

    Where it cannot be written nothing is lost but time: digits, for one, must work without a disk.

    Args:
        folder: The folder.
        compute: Computes the value.
        write: Writes it, ``meta.json`` included, into the empty folder it is given.
        read: Reads the finished folder; None where it is absent or damaged, and then it is replaced.
    """
    made: list[Value] = []

    def fill(place: Path) -> None:
        made.append(compute())
        write(made[0], place)

    stored = read()
    if stored is not None:
        return stored
    try:
        make_folder(folder, fill, keep=lambda: read() is not None)
    except StorageError:
        return made[0] if made else compute()
    stored = read()
    return made[0] if stored is None else stored


def remove_folder(folder: Path) -> int:
    """Removes a folder and what unfinished writers have left beside it, under the lock of its writers.

    A process that has it open keeps its memory maps until it lets go.

    Returns:
        How many bytes of the folder were freed.

    Raises:
        StorageError: It cannot be removed.
    """
    from filelock import FileLock  # noqa: PLC0415  (`import alenv` stays light)

    with files.writing(folder, "make it writable"), FileLock(f"{folder}.lock"):
        freed = size(folder)
        for leftover in files.partial_folders(folder):
            shutil.rmtree(leftover)
        if folder.exists():
            outgoing = folder.with_name(f"{folder.name}.partial-removed")
            folder.rename(outgoing)  # it is gone whole, for every reader
            shutil.rmtree(outgoing)
        return freed


def size(folder: Path) -> int:
    """Returns how many bytes the files of a folder take, 0 where another process has just removed it."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except FileNotFoundError:
        return 0


def _outgoing(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.partial-replaced")


def _recover(folder: Path) -> None:
    """Brings back the folder of a process that stopped between the two renames of a replacement."""
    if not folder.exists() and is_finished(_outgoing(folder)):
        _outgoing(folder).rename(folder)


def _replace(filled: Path, folder: Path) -> None:
    if not folder.exists():
        filled.rename(folder)
        return
    outgoing = _outgoing(folder)
    folder.rename(outgoing)
    try:
        filled.rename(folder)
    except BaseException:
        _recover(folder)
        raise
    # Another process may still hold memory maps of these files; they stay valid until it lets go.
    shutil.rmtree(outgoing, ignore_errors=True)
