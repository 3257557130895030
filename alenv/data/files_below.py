"""The files below a folder: which of them are images, and how many others there are of each kind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alenv import errors

# What a file with such a name holds must be decoded, or the file is named as unreadable.
EXTENSIONS = frozenset(
    f".{extension}"
    for extension in (
        *(
            "apng",
            "avif",
            "bmp",
            "dib",
            "gif",
            "heic",
            "heif",
            "j2k",
            "jfif",
            "jp2",
            "jpe",
            "jpeg",
            "jpg",
            "jxl",
        ),
        *("mpo", "pbm", "pgm", "png", "pnm", "ppm", "qoi", "tga", "tif", "tiff", "webp"),
    )
)

# Never opened: text lies beside every image in some sets, and a camera's raw file is a TIFF of a thumbnail.
_NO_IMAGES = frozenset(
    (".csv", ".json", ".txt", ".xml", ".arw", ".cr2", ".dng", ".nef", ".nrw", ".orf", ".pef", ".rw2", ".srw")
)

# What file managers, archivers and editors leave behind, besides names that start with a dot.
_LITTER = frozenset(("__macosx", "@eadir", "desktop.ini", "icon\r", "thumbs.db", "ehthumbs.db"))

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")
_HEIF_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1")


@dataclass(frozen=True)
class Found:
    """What lies below a folder.

    Attributes:
        images: Paths of the image files, sorted.
        passed: How many other files there are of each kind: an extension, or words for what has none.
    """

    images: tuple[str, ...] = ()
    passed: Counter[str] = field(default_factory=Counter)


def is_litter(name: str) -> bool:
    """Tells whether a name belongs to a hidden file or to the leftovers of some program."""
    return name.startswith(".") or name.lower() in _LITTER


def looks_like_image(file: str | Path) -> bool:
    """Tells from its first bytes whether a file is an image, whatever its name."""
    try:
        with open(file, "rb") as opened:
            start = opened.read(16)
    except OSError:
        return False
    return (
        start.startswith(_STARTS)
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS)
        or (start[:2] == b"BM" and start[6:10] == b"\0\0\0\0")
    )


def find(folder: Path, deep: bool = True) -> Found:
    """Lists the files below a folder, those behind links included; hidden files and litter do not count.

    Args:
        folder: Where to look.
        deep: Whether to look into subfolders.

    Raises:
        UnreadableImages: A folder cannot be listed.
    """
    images: list[str] = []
    passed: Counter[str] = Counter()
    above = frozenset(_identity(parent) for parent in folder.parents)
    for file, kind in _walk(os.fspath(folder), deep, above):
        if kind:
            passed[kind] += 1
        else:
            images.append(file)
    return Found(tuple(sorted(images)), passed)


def _identity(folder: str | Path) -> tuple[int, int]:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino


def _walk(folder: str, deep: bool, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Yields every file with its kind, which is empty for an image; ``above`` tells circles of links."""
    try:
        here = _identity(folder)
        with os.scandir(folder) as listed:
            entries = [entry for entry in listed if not is_litter(entry.name)]
    except OSError as problem:
        raise errors.UnreadableImages(
            f"{folder} cannot be listed ({problem.strerror}); make it readable or move it elsewhere."
        ) from problem
    if here in above:
        yield folder, "link in a circle"
        return
    for entry in entries:
        if not _answer(entry.is_dir):
            yield entry.path, _kind(entry)
        elif deep:
            yield from _walk(entry.path, deep, above | {here})


def _answer(question: Callable[[], bool]) -> bool:
    """Asks what an entry is; a link that leads to itself is nothing."""
    try:
        return question()
    except OSError:
        return False


def _kind(entry: os.DirEntry[str]) -> str:
    extension = os.path.splitext(entry.name)[1].lower()
    if not _answer(entry.is_file) and not (entry.is_symlink() and extension in EXTENSIONS):
        return "dead link" if entry.is_symlink() else "special file"
    if extension in EXTENSIONS or (extension not in _NO_IMAGES and looks_like_image(entry.path)):
        return ""
    return extension or "file without extension"
