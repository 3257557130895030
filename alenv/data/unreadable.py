"""Why an image file cannot be decoded, in words, and what to do about it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from alenv.data.files_below import looks_like_image

EMPTY = "empty"
CUT_OFF = "cut off"
DAMAGED = "damaged"
NO_IMAGE = "not an image"
UNKNOWN_KIND = "of a kind that this Pillow cannot read"
TOO_LARGE = "with too many pixels"
FLOAT = "with floating-point pixels, whose range is unknown"
NEGATIVE = "with negative pixels, whose range is unknown"
DEEP_COLOR = "with 16-bit colors of which the folder uses fewer bits"
FORBIDDEN = "without permission to read"
DEAD_LINK = "a link to nowhere"
GONE = "gone since the folder was listed"
NO_TEXT = "with a name that is no UTF-8"

_ADVICE = {
    EMPTY: "copy again",
    CUT_OFF: "copy again",
    DAMAGED: "repair or remove",
    NO_IMAGE: "remove or give its true extension",
    UNKNOWN_KIND: "convert to PNG or JPEG",
    TOO_LARGE: "make smaller",
    FLOAT: "save with 8 or 16 bits",
    NEGATIVE: "save with 8 or 16 bits",
    DEEP_COLOR: "save with 8 bits a color",
    FORBIDDEN: "make readable",
    DEAD_LINK: "mend or remove the link",
    GONE: "load again",
    NO_TEXT: "rename",
}
_NAMED_FILES = 5
_UNKNOWN_EXTENSIONS = frozenset((".avif", ".heic", ".heif", ".jxl"))


class UnusablePixels(ValueError):
    """Pixels that decode, but not to a picture of known range; the message is the reason."""


def reason(file: Path, problem: Exception) -> str:
    """Returns why ``file`` could not be decoded, given what its decoder raised."""
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  (`import alenv` stays light)

    truncated = "truncated" in str(problem).lower() or isinstance(problem, EOFError)
    if isinstance(problem, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        found = TOO_LARGE
    elif isinstance(problem, OSError) and problem.errno is not None:
        found = _refused(file, problem)
    elif file.stat().st_size == 0:
        found = EMPTY
    elif isinstance(problem, UnidentifiedImageError):
        found = _unidentified(file)
    elif truncated:
        found = CUT_OFF
    elif isinstance(problem, (OSError, SyntaxError, LookupError, struct.error, zlib.error)):
        found = DAMAGED
    else:
        found = (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")
    return found


def _refused(file: Path, problem: OSError) -> str:
    if isinstance(problem, PermissionError):
        return FORBIDDEN
    if isinstance(problem, FileNotFoundError):
        return DEAD_LINK if file.is_symlink() else GONE
    return str(problem.strerror)


def _unidentified(file: Path) -> str:
    if file.suffix.lower() in _UNKNOWN_EXTENSIONS:
        return UNKNOWN_KIND
    return CUT_OFF if looks_like_image(file) else NO_IMAGE


def by_reason(unreadable: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns {reason: sorted files} of {file: reason}, the most frequent reason first."""
    grouped: dict[str, list[str]] = {}
    for file, why in sorted(unreadable.items()):
        grouped.setdefault(why, []).append(file)
    return dict(sorted(grouped.items(), key=lambda pair: -len(pair[1])))


def counted(unreadable: Mapping[str, str]) -> str:
    """Returns how many files there are of each reason: "2 empty, 1 cut off"."""
    return ", ".join(f"{len(files)} {why}" for why, files in by_reason(unreadable).items())


def described(unreadable: Mapping[str, str]) -> str:
    """Returns the same with some files of each reason and what to do about them."""
    said = []
    for why, files in by_reason(unreadable).items():
        some = ", ".join(files[:_NAMED_FILES]) + (", ..." if len(files) > _NAMED_FILES else "")
        said.append(f"{len(files)} {why} ({some}: {_ADVICE.get(why, 'convert to PNG or remove')})")
    return ", ".join(said)
