"""What the cache holds: listing it, checking it, and freeing its space."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alenv import errors
from alenv.data import cache, catalog, digits, image_folder, storage

# The folders of what is computed from datasets, by the state of their entries.
EMBEDDINGS, PRETRAINING = "embeddings", "pretraining"
_DERIVED = {"embedding": EMBEDDINGS, "pretraining": PRETRAINING}


@dataclass(frozen=True)
class Entry:
    """One line of the list of datasets.

    Attributes:
        name: The dataset's name; of an embedding or pretrained weights, that of their cache folder.
        state: ``"built in"``, ``"cached"``, ``"not cached"``, ``"damaged"``, ``"embedding"`` or ``"pretraining"``.
        train_count: Train images; of the official set where nothing is cached.
        test_count: Test images.
        num_classes: The number of classes, 0 where it is not known.
        image_shape: Height, width and channels, zeros where not known.
        source: Where the pixels come from, empty where nothing is cached; of what is computed, its dataset.
        path: The cache folder, or None.
        size_bytes: What the folder takes on disk.
        root: The user's folder, for image folders and what is computed from them.
        checksum: That of the dataset's pixels, empty where not known.
        found: What was found in a folder of images, in one line, else None.
    """

    name: str
    state: str
    train_count: int = 0
    test_count: int = 0
    num_classes: int = 0
    image_shape: tuple[int, int, int] = (0, 0, 0)
    source: str = ""
    path: Path | None = None
    size_bytes: int = 0
    root: str = ""
    checksum: str = ""
    found: str | None = None

    @property
    def handle(self) -> str:
        """The name by which this one entry can be removed."""
        return self.name if self.path is None else self.path.name


def listing() -> tuple[Entry, ...]:
    """Returns every dataset, every cached image folder, embedding and pretraining; reads only the records."""
    built_in = (*digits.COUNTS, digits.NUM_CLASSES, digits.IMAGE_SHAPE, digits.SOURCE)
    entries = [Entry(digits.NAME, "built in", *built_in)]
    for name, source in catalog.PUBLISHED.items():
        folders = _folders(name)
        if folders:
            entries.append(_entry(name, folders[0]))
        else:
            entries.append(Entry(name, "not cached", *source.counts, source.num_classes, source.image_shape))
    found = [_entry(image_folder.NAME, folder) for folder in _folders(image_folder.NAME)]
    roots = {entry.checksum: entry.root for entry in found}
    return (*entries, *(found or [Entry(image_folder.NAME, "not cached")]), *_derived(roots))


def verify(name: str) -> tuple[Path, ...]:
    """Recomputes the checksums of what is cached under a name.

    Args:
        name: One of :func:`alenv.data.names`; ``"image_folder"`` means every cached image folder.

    Returns:
        The folders that were read, all of them sound; none for those that lie in memory.

    Raises:
        UnknownName: There is no such dataset.
        DatasetNotFound: It is not cached.
        CorruptDataset: A file differs from what was stored; the message names it and the way out.
    """
    catalog.check_name(name)
    if name not in (*catalog.PUBLISHED, image_folder.NAME):
        return ()
    folders = _folders(name)
    if not folders:
        raise errors.DatasetNotFound(
            f"{name} is not cached in {cache.root()}, so there is nothing to verify."
        )
    for folder in folders:
        storage.verify(folder)
    return folders


def remove(given: Sequence[str | Path] = (), *, all_folders: bool = False) -> tuple[Entry, ...]:
    """Frees what the cache holds of some datasets, with what is computed from their images; no other file is touched.

    Args:
        given: Names as :func:`listing` gives them (``cifar10``, or the handle of one image folder, embedding or
            pretraining), paths of cache folders, or folders of the user's images, whose copies in the cache go.
        all_folders: Whether every cached image folder goes.

    Returns:
        What was removed, with the bytes that it took.

    Raises:
        UnknownName: Nothing has the name, or it is that of many folders or of a set that is never cached.
        DatasetNotFound: It is not cached.
        StorageError: A cache folder cannot be removed; those before it are gone.
    """
    cached = [entry for entry in listing() if entry.path is not None]
    chosen = [entry for name in given for entry in _chosen(name, cached)]
    if all_folders:
        chosen += [entry for entry in cached if entry.name == image_folder.NAME]
    staying = {entry.checksum for entry in cached if entry.state == "cached" and entry not in chosen}
    checksums = {entry.checksum for entry in chosen if entry.state == "cached"} - staying
    chosen += [entry for entry in cached if entry.state in _DERIVED and entry.checksum in checksums]
    going = {entry.path: entry for entry in chosen if entry.path is not None}
    for path in going:
        cache.remove_folder(path)
        catalog.forget(path)
    return tuple(going.values())


def _chosen(given: str | Path, cached: Sequence[Entry]) -> list[Entry]:
    """Returns the entries that a name or a path stands for, one at least."""
    name, handles = str(given), [entry.handle for entry in cached]
    if name == image_folder.NAME:
        raise errors.UnknownName(
            f"{name} stands for every image folder; give the root of one, its name in `alenv data list`, or "
            "--all-folders (all_folders=True)."
        )
    if name in catalog.names() and name not in catalog.PUBLISHED:
        raise errors.UnknownName(
            f"{name} is built in and takes no space in the cache; there is nothing to remove."
        )
    place = Path(given).expanduser().resolve()
    found = [entry for entry in cached if entry.handle == name]
    found = found or [
        entry for entry in cached if str(place) in (entry.root, str(entry.path and entry.path.resolve()))
    ]
    if found:
        return found
    if name in catalog.PUBLISHED or os.sep in name or not handles:
        raise errors.DatasetNotFound(
            f"Nothing is cached of {name} in {cache.root()}; `alenv data list` names what can be removed."
        )
    raise errors.unknown("cached dataset", name, handles)


def _folders(name: str) -> tuple[Path, ...]:
    root = cache.root()
    if name != image_folder.NAME:
        return (root / name,) if cache.is_finished(root / name) else ()
    return _finished(root, f"{name}-*")


def _finished(place: Path, pattern: str) -> tuple[Path, ...]:
    found = place.glob(pattern)
    return tuple(sorted(path for path in found if ".partial-" not in path.name and cache.is_finished(path)))


def _entry(name: str, folder: Path) -> Entry:
    size = cache.size(folder)
    try:
        data = storage.read(folder)
        root = str(storage.read_meta(folder).get("root", ""))
    except errors.CorruptDataset:
        return Entry(name, "damaged", path=folder, size_bytes=size)
    return Entry(
        name=name,
        state="cached",
        train_count=len(data.train_labels),
        test_count=len(data.test_labels),
        num_classes=data.num_classes,
        image_shape=data.image_shape,
        source=data.source,
        path=folder,
        size_bytes=size,
        root=root,
        checksum=data.checksum,
        found=data.found,
    )


def _derived(roots: Mapping[str, str]) -> Iterator[Entry]:
    """Yields the cached embeddings and pretrained weights; one with a damaged record has no dataset.

    Args:
        roots: {checksum: folder} of the cached image folders.
    """
    for state, place in _DERIVED.items():
        for folder in _finished(cache.root() / place, "*"):
            try:
                facts = json.loads((folder / cache.META).read_text(encoding="ascii"))
                source, checksum = f"{state} of {facts['dataset']}", str(facts["checksum"])
            except (OSError, ValueError, LookupError, TypeError):
                source, checksum = state, ""
            yield Entry(
                folder.name,
                state,
                source=source,
                path=folder,
                size_bytes=cache.size(folder),
                root=roots.get(checksum, ""),
                checksum=checksum,
            )
