"""Folders named by class that hold links to labeled images; no image is moved, copied or removed."""

from __future__ import annotations

import re
from pathlib import Path

from alenv import files
from alenv.data.label_files import Labels
from alenv.errors import InvalidLabels


def link(labels: Labels, root: Path, folder: Path) -> int:
    """Makes a new folder of class folders of symbolic links, whole or not at all.

    Args:
        labels: The classes.
        root: The folder of the images.
        folder: The new folder.

    Returns:
        How many links there are.

    Raises:
        InvalidLabels: There are no labels, or two classes would share a folder.
        StorageError: The folder cannot be written.
    """
    if not labels.classes:
        raise InvalidLabels("There are no labels to apply; fill in the column label first.")
    names: dict[str, str] = {}
    for label in labels.names:
        other = names.setdefault(_plain(label).casefold(), label)
        if other != label:
            raise InvalidLabels(
                f"The classes {other!r} and {label!r} would share the folder {_plain(label)}; rename one of them."
            )

    def fill(place: Path) -> None:
        for file, label in sorted(labels.classes.items()):
            home = place / _plain(label)
            home.mkdir(exist_ok=True)
            (home / _free(home, file)).symlink_to(root / file)

    files.publish_folder(folder, fill, "choose another folder with --out")
    return len(labels.classes)


def _plain(label: str) -> str:
    """Returns a class as the name of a folder."""
    text = re.sub(r'[/\\:*?"<>|\x00-\x1f]', "_", label).strip()
    return text if text.strip(".") else text.replace(".", "_") or "_"


def _free(home: Path, file: str) -> str:
    """Returns the name of a link: the whole path, since files of several folders may be called alike."""
    name = file.replace("/", "__")
    number = 1
    while (home / name).is_symlink():
        number += 1
        name = f"{number}__{file.replace('/', '__')}"
    return name
