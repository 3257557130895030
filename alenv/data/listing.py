"""Which image of a folder a path means that was written down somewhere."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

_UPLOADED = re.compile(r"(?:^|/)upload/(?:[^/]+/)?[0-9a-f]{8}-([^/]+)$")  # how Label Studio stores files


class Listing:
    """Finds the image that a path means: relative to the folder, absolute, or of the same folder elsewhere.

    Attributes:
        root: The folder.
    """

    def __init__(self, files: Iterable[str], root: Path) -> None:
        """Takes the images of a folder, relative to it, with forward slashes."""
        self.root = root
        self._exact = dict.fromkeys(files)
        self._own = {_plain(file): file for file in self._exact}
        self._by_name: dict[str, list[str]] = {}
        for plain in self._own:
            self._by_name.setdefault(PurePosixPath(plain).name, []).append(plain)

    def __contains__(self, given: str) -> bool:
        return given in self._exact or _plain(given) in self._own

    def find(self, given: str) -> str | None:
        """Returns the image, or None where none or more than one may be meant."""
        if given in self._exact:
            return given
        plain = _plain(given)
        if plain in self._own:
            return self._own[plain]
        parts = PurePosixPath(plain).parts
        for start in range(1, len(parts)):  # the same folder, as it is called elsewhere
            rest = "/".join(parts[start:])
            if rest in self._own and (len(parts) - start > 1 or parts[start - 1] == self.root.name):
                return self._own[rest]
        name = parts[-1] if parts else ""
        if uploaded := _UPLOADED.search(plain):
            name = uploaded[1]
        same = self._by_name.get(name, []) if uploaded or len(parts) == 1 else []
        return self._own[same[0]] if len(same) == 1 else None


def _plain(path: str) -> str:
    """Returns a path with forward slashes, no leading ``./``, and composed characters."""
    text = unicodedata.normalize("NFC", path.strip().replace("\\", "/"))
    return str(PurePosixPath(text)) if text else ""
