"""The images of a folder, and what is known of them: label files, folders named by class, labeled batches."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alenv import errors
from alenv.data import files_below, folder_names, label_files, unreadable
from alenv.data.label_files import Labels
from alenv.data.listing import Listing
from scenarios.suggest.project import files_asked

OWN_FILES = ("batch.json", "labelstudio.json")  # of a batch folder, in which nobody writes labels
_UNLABELED = frozenset(("unlabeled", "unlabelled"))


@dataclass(frozen=True)
class Gathered:
    """What a folder holds.

    Attributes:
        files: Its images, relative to it, with forward slashes, sorted.
        labels: What is known of them.
        passed: How many files of each kind are no images.
        failed: {file: why it cannot be used}.
        class_folders: Whether subfolders were taken for classes.
    """

    files: tuple[str, ...]
    labels: Labels
    passed: Counter[str]
    failed: Mapping[str, str]
    class_folders: bool


def found(
    root: Path,
    given: Sequence[Path],
    batches: Sequence[Path],
    outside: Path,
    class_folders: bool | None,
    own: Labels | None = None,
) -> Gathered:
    """Lists the images below a folder and reads their labels from everywhere.

    Args:
        root: The folder.
        given: Label files.
        batches: Batch folders, of which every CSV or JSON file is read: ``labels.csv``, ``batch.csv`` with labels
            filled in, exports of Label Studio.
        outside: The project, whose own pictures are none of the images.
        class_folders: Whether subfolders are named by class; None = where a folder ``unlabeled`` lies beside them.
        own: Labels that came with the images.

    Raises:
        UnreadableImages: It holds no images.
        InvalidLabels: A file of labels cannot be read or does not fit, or two disagree.
    """
    below = files_below.find(root)
    files, failed = _writable(_relative(below.images, root, outside))
    if not files:
        raise errors.UnreadableImages(f"{root} holds no images; give the folder that holds them.")
    tops = {top for file in files if (top := _top(file))}
    named = (
        any(folder_names.letters(top) in _UNLABELED for top in tops)
        if class_folders is None
        else class_folders
    )
    listing = Listing(files, root)
    sources = [(str(path), label_files.read(path, listing, root)) for path in given]
    for batch in batches:
        asked = frozenset(files_asked(batch))
        for path in sorted(batch.glob("[!.]*")):
            if path.suffix.lower() in (".csv", ".json") and path.name not in OWN_FILES:
                sources.append((str(path), label_files.read(path, listing, root, asked)))
    if named:
        sources.append(("its class folder", Labels(dict(_of_folders(files)))))
    if own is not None:
        sources.append(("the labels that came with the images", own))
    return Gathered(files, label_files.joined(sources), below.passed, failed, named)


def _relative(images: Sequence[str], root: Path, outside: Path) -> Iterator[str]:
    """Yields images relative to their folder, with forward slashes, without the project's own pictures."""
    inside = root.is_relative_to(outside)
    hidden = [*outside.glob("batch-*"), *outside.glob("classes-*")] if inside else [outside]
    starts = tuple(os.path.join(folder, "") for folder in hidden)
    skip = len(os.path.join(root, ""))
    for file in images:
        if not file.startswith(starts):
            yield file[skip:].replace(os.sep, "/")


def _writable(names: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Returns the files whose names a table can hold, and {name, as far as it is text: reason} of the others."""
    files, failed = [], {}
    for name in names:
        shown = os.fsencode(name).decode(errors="replace")
        if shown == name:
            files.append(name)
        else:
            failed[shown] = unreadable.NO_TEXT
    return tuple(files), failed


def _top(file: str) -> str:
    """Returns the topmost folder of a file, empty for a loose one."""
    return file.partition("/")[0] if "/" in file else ""


def _of_folders(files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the class that each file's topmost folder names; loose files and those of other folders have none."""
    for file in files:
        if (top := _top(file)) and not folder_names.role(top):
            yield file, unicodedata.normalize("NFC", top)
