"""The datasets by name: loading them, and filling the cache from local copies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
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

PUBLISHED: dict[str, Source] = {
    source.name: source for source in (CIFAR10, CIFAR100, SVHN, FASHION_MNIST, TINY_IMAGENET)
}

_OWN: dict[str, Callable[[], Dataset]] = {}  # a user's datasets, loaded at their first use

# One record per process, so that environments share memory maps, and forked workers share them too.
_LOADED: dict[tuple[str, str], Dataset] = {}


def names() -> tuple[str, ...]:
    """Returns the name of every dataset."""
    return (digits.NAME, *PUBLISHED, image_folder.NAME, *_OWN)


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
            ``image_size``, ``test_share``, ``split_seed``, ``on_corrupt``, ``labels``); the others take none. None
            means not given.

    Raises:
        UnknownName: There is no such dataset or option.
        DatasetNotFound: The dataset is not cached and cannot be downloaded, or the folder does not exist.
        CorruptDataset: The cached files are damaged.
        UnreadableImages: Images of an image folder cannot be decoded.
        InvalidLabels: A file of labels cannot be read or does not fit.
        StorageError: The cache cannot be written.
    """
    check_name(name)
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

            def is_cached() -> bool:
                return cache.is_finished(folder)

            _LOADED[key] = _stored(folder, PUBLISHED[name].download, is_cached, lambda: storage.read(folder))
    return _LOADED[key]


def at_hand(checksum: str) -> Dataset:
    """Returns the dataset with a checksum where this machine has it; nothing is downloaded and nothing written.

    Raises:
        DatasetNotFound: It is not here.
    """
    for loaded in (*_LOADED.values(), load(digits.NAME)):
        if loaded.checksum == checksum:
            return loaded
    for meta in sorted(cache.root().glob(f"*/{cache.META}")):
        with suppress(errors.CorruptDataset):
            if storage.read_meta(meta.parent)["checksum"] == checksum:
                return storage.read(meta.parent)
    raise errors.DatasetNotFound(
        f"The dataset with checksum {checksum[:12]}... is not in {cache.root()}; load it there, or set ALENV_DATA to "
        "the folder that holds it."
    )


def add(name: str, place: str | Path, *, replace: bool = False) -> Dataset:
    """Fills the cache of a published dataset from a local copy.

    Args:
        name: One of the published datasets.
        place: An official archive or the folder that holds all official files, the folder they unpack to,
            or a folder with ``train/CLASS/`` and ``test/CLASS/`` image files (or other clear names of splits).
        replace: Whether other data that is cached under this name may go.

    Raises:
        UnknownName: There is no such dataset, or it is not one that is cached by name.
        DatasetNotFound: ``place`` holds no copy of it.
        CorruptDataset: Official files do not have the published checksum.
        UnreadableImages: Image files cannot be decoded, or their folders are not the dataset's classes.
        StorageError: Other data is cached already, or the cache cannot be written.
    """
    check_name(name)
    if name not in PUBLISHED:
        ready = "comes with scikit-learn" if name == digits.NAME else "is made by its own code"
        ready = "is read from its root=" if name == image_folder.NAME else ready
        raise errors.UnknownName(f"{name} {ready} and is never added; add one of {', '.join(PUBLISHED)}.")
    folder, origin = cache.root() / name, Path(place).expanduser().absolute()

    def fill(writer: storage.Writer) -> storage.Provenance:
        description = local_copy.add(PUBLISHED[name], origin, writer)
        if not replace and cache.is_finished(folder):
            cached = storage.read_meta(folder)
            if cached["checksum"] != writer.checksum:
                raise errors.StorageError(
                    f"{name} is cached already, with other pixels ({cached['source']}, in {folder}); pass "
                    "replace=True (--replace) to put this copy in its place."
                )
        return description

    storage.store(folder, fill, keep=lambda: False)
    forget(folder)
    return load(name)


def _load_image_folder(given: dict[str, Any]) -> Dataset:
    for option in given:
        if option not in image_folder.OPTIONS:
            raise errors.unknown("option of image_folder", option, image_folder.OPTIONS)
    found = image_folder.inspect(**given)
    key = (str(found.folder), f"{found.fingerprint} {found.findings}")  # the same images, beside other files
    if key not in _LOADED:
        _LOADED[key] = _stored(found.folder, found.fill, found.is_cached, found.read)
    return _LOADED[key]


def _stored(
    folder: Path,
    fill: Callable[[storage.Writer], storage.Provenance],
    is_cached: Callable[[], bool],
    read: Callable[[], Dataset],
) -> Dataset:
    """Opens a cached dataset, stored first where it is not there or is removed while it is opened."""
    while True:
        try:
            if not is_cached():
                storage.store(folder, fill, keep=is_cached)
            return read()
        except errors.CorruptDataset:
            if folder.exists():
                raise


def forget(folder: Path) -> None:
    """Lets go of what this process has loaded from a cache folder, so that it is looked up anew."""
    for key in [key for key in _LOADED if key[0] == str(folder)]:
        del _LOADED[key]


def check_name(name: str) -> None:
    """Raises ``UnknownName`` where there is no dataset of that name."""
    if name not in names():
        raise errors.unknown("dataset", name, names())
