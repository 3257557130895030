"""The datasets by name: loading, filling the cache from local copies, listing and checking it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alenv import errors
from alenv.data import cache, digits, image_folder, local_copy, storage
from alenv.data.cifar import CIFAR10, CIFAR100
from alenv.data.dataset import Dataset
from alenv.data.fashion_mnist import FASHION_MNIST
from alenv.data.source import Source
from alenv.data.svhn import SVHN
from alenv.data.tiny_imagenet import TINY_IMAGENET

_PUBLISHED: dict[str, Source] = {
    source.name: source for source in (CIFAR10, CIFAR100, SVHN, FASHION_MNIST, TINY_IMAGENET)
}

_OWN: dict[str, Callable[[], Dataset]] = {}  # a user's datasets, loaded at their first use

# One record per process, so that environments share memory maps, and forked workers share them too.
_LOADED: dict[tuple[str, str], Dataset] = {}


@dataclass(frozen=True)
class Entry:
    """One line of the list of datasets.

    Attributes:
        name: The dataset's name.
        state: ``"built in"``, ``"cached"``, ``"not cached"`` or ``"damaged"``.
        train_count: Train images; of the official set where nothing is cached.
        test_count: Test images.
        num_classes: The number of classes, 0 where it is not known yet.
        image_shape: Height, width and channels, zeros where not known yet.
        source: Where the pixels come from, empty where nothing is cached.
        path: The cache folder, or None.
        size_bytes: What the folder takes on disk.
        root: The user's folder, for image folders.
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


def names() -> tuple[str, ...]:
    """Returns the name of every dataset."""
    return (digits.NAME, *_PUBLISHED, image_folder.NAME, *_OWN)


def register(name: str, load: Callable[[], Dataset]) -> None:
    """Adds a user's dataset, or replaces an earlier one of that name.

    Args:
        name: A lower-case name.
        load: Returns it; called at the first use.

    Raises:
        UnknownName: A dataset of alenv's own has the name.
    """
    if name in names() and name not in _OWN:
        raise errors.UnknownName(f"There is a dataset {name!r} already; choose another name.")
    _OWN[name] = load
    _LOADED.pop((name, "own"), None)


def load(name: str, **options: Any) -> Dataset:
    """Returns a dataset, from the cache where it is there and else from its source.

    Args:
        name: One of :func:`names`.
        **options: For ``"image_folder"`` those of :func:`alenv.data.image_folder.inspect` (``root``,
            ``image_size``, ``test_share``, ``split_seed``, ``on_corrupt``); the others take none. None means
            not given.

    Raises:
        UnknownName: There is no such dataset or option.
        DatasetNotFound: The dataset is not cached and cannot be downloaded, or the folder does not exist.
        CorruptDataset: The cached files are damaged.
        UnreadableImages: Images of an image folder cannot be decoded.
        StorageError: The cache cannot be written.
    """
    _check_name(name)
    given = {option: value for option, value in options.items() if value is not None}
    if name == image_folder.NAME:
        return _load_image_folder(given)
    if given:
        raise errors.UnknownName(
            f"The dataset {name!r} takes no option {next(iter(given))!r}; {', '.join(image_folder.OPTIONS)} "
            f"belong to {image_folder.NAME!r}."
        )
    if name in _OWN:
        if (name, "own") not in _LOADED:
            _LOADED[name, "own"] = _OWN[name]()
        return _LOADED[name, "own"]
    folder = cache.root() / name
    key = (name, "") if name == digits.NAME else (str(folder), "")
    if key not in _LOADED:
        if name == digits.NAME:
            _LOADED[key] = digits.load()
        else:
            if not cache.is_finished(folder):
                storage.store(folder, _PUBLISHED[name].download, keep=lambda: cache.is_finished(folder))
            _LOADED[key] = storage.read(folder)
    return _LOADED[key]


def add(name: str, place: str | Path, *, replace: bool = False) -> Dataset:
    """Fills the cache of a published dataset from a local copy.

    Args:
        name: One of the published datasets.
        place: An official archive or the folder that holds all official files, the folder they unpack to,
            or a folder with ``train/CLASS/`` and ``test/CLASS/`` image files.
        replace: Whether other data that is cached under this name may go.

    Raises:
        UnknownName: There is no such dataset, or it is not one that is cached by name.
        DatasetNotFound: ``place`` holds no copy of it.
        CorruptDataset: Official files do not have the published checksum.
        UnreadableImages: Image files cannot be decoded, or their folders are not the dataset's classes.
        StorageError: Other data is cached already, or the cache cannot be written.
    """
    _check_name(name)
    if name not in _PUBLISHED:
        ready = "comes with scikit-learn" if name == digits.NAME else "is made by its own code"
        ready = "is read from its root=" if name == image_folder.NAME else ready
        raise errors.UnknownName(f"{name} {ready} and is never added; add one of {', '.join(_PUBLISHED)}.")
    folder, origin = cache.root() / name, Path(place).expanduser().absolute()

    def fill(writer: storage.Writer) -> storage.Provenance:
        description = local_copy.add(_PUBLISHED[name], origin, writer)
        if not replace and cache.is_finished(folder):
            cached = storage.read_meta(folder)
            if cached["checksum"] != writer.checksum:
                raise errors.StorageError(
                    f"{name} is cached already, with other pixels ({cached['source']}, in {folder}); pass "
                    "replace=True (--replace) to put this copy in its place."
                )
        return description

    storage.store(folder, fill, keep=lambda: False)
    _LOADED.pop((str(folder), ""), None)
    return load(name)


def verify(name: str) -> tuple[Path, ...]:
    """Recomputes the checksums of what is cached under a name.

    Args:
        name: One of :func:`names`; ``"image_folder"`` means every cached image folder.

    Returns:
        The folders that were read, all of them sound; none for those that lie in memory.

    Raises:
        UnknownName: There is no such dataset.
        DatasetNotFound: It is not cached.
        CorruptDataset: A file differs from what was stored; the message names it and the way out.
    """
    _check_name(name)
    if name == digits.NAME or name in _OWN:
        return ()
    folders = _folders(name)
    if not folders:
        raise errors.DatasetNotFound(
            f"{name} is not cached in {cache.root()}, so there is nothing to verify."
        )
    for folder in folders:
        storage.verify(folder)
    return folders


def listing() -> tuple[Entry, ...]:
    """Returns every dataset and, for image folders, every cached one; reads only the records."""
    embedded = digits.load()
    entries = [
        Entry(
            name=digits.NAME,
            state="built in",
            train_count=len(embedded.train_labels),
            test_count=len(embedded.test_labels),
            num_classes=embedded.num_classes,
            image_shape=embedded.image_shape,
            source=embedded.source,
        )
    ]
    for name, source in _PUBLISHED.items():
        folders = _folders(name)
        if folders:
            entries.append(_entry(name, folders[0]))
        else:
            entries.append(Entry(name, "not cached", *source.counts, source.num_classes, source.image_shape))
    found = [_entry(image_folder.NAME, folder) for folder in _folders(image_folder.NAME)]
    return (*entries, *(found or [Entry(image_folder.NAME, "not cached")]))


def _load_image_folder(given: dict[str, Any]) -> Dataset:
    for option in given:
        if option not in image_folder.OPTIONS:
            raise errors.unknown("option of image_folder", option, image_folder.OPTIONS)
    found = image_folder.inspect(**given)
    key = (str(found.folder), found.fingerprint)
    if key not in _LOADED:
        if not found.is_cached():
            storage.store(found.folder, found.fill, keep=found.is_cached)
        _LOADED[key] = storage.read(found.folder)
    return _LOADED[key]


def _check_name(name: str) -> None:
    if name not in names():
        raise errors.unknown("dataset", name, names())


def _folders(name: str) -> tuple[Path, ...]:
    root = cache.root()
    if name != image_folder.NAME:
        return (root / name,) if cache.is_finished(root / name) else ()
    found = root.glob(f"{name}-*")
    return tuple(sorted(p for p in found if ".partial-" not in p.name and cache.is_finished(p)))


def _entry(name: str, folder: Path) -> Entry:
    size = sum(file.stat().st_size for file in folder.iterdir())
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
    )
