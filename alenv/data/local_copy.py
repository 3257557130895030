"""Published datasets from a local copy: official archives, their unpacked folder, or image files."""

from __future__ import annotations

import gzip
import hashlib
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from alenv import errors
from alenv.data.class_folders import Splits, find_splits, list_splits
from alenv.data.findings import Findings
from alenv.data.images import write_splits
from alenv.data.source import Source, reading_official
from alenv.data.storage import Provenance, Writer
from alenv.data.unreadable import described
from alenv.progress import hushed


def add(source: Source, place: Path, writer: Writer) -> Provenance:
    """Writes a local copy of a published dataset to the cache.

    Args:
        source: The dataset.
        place: An official file or the folder that holds all of them, the folder they unpack to, or a folder
            with ``train/CLASS/`` and ``test/CLASS/`` image files.
        writer: Where it goes.

    Raises:
        DatasetNotFound: ``place`` is none of these.
        CorruptDataset: Official files have another checksum than the published one.
        UnreadableImages: Image files cannot be decoded, or their folders are not the dataset's classes.
    """
    if not place.exists():
        raise errors.DatasetNotFound(f"{place} does not exist; give {_wanted(source)}.")
    folder = _folder_of_archives(source, place)
    if folder is not None:
        _copy_archives(source, folder, writer.scratch / source.folder)
        with reading_official(source.name, folder), hushed():
            official = source.read(writer.scratch, True)
        return source.write_official(writer, official)
    if source.unpacked is not None:
        root = place.parent if place.name == source.unpacked else place
        if (root / source.unpacked).is_dir():
            with reading_official(source.name, root / source.unpacked):
                official = source.read(root, False)
            return source.write_official(writer, official)
    splits = find_splits(place) if place.is_dir() else None
    if splits is not None:
        return _add_images(source, place, splits, writer)
    raise errors.DatasetNotFound(f"{place} does not hold {_wanted(source)}.")


def _wanted(source: Source) -> str:
    files = " and ".join(source.archives())
    return f"{source.name} as {files}, or as train/ and test/ with one folder of images per class"


def _folder_of_archives(source: Source, place: Path) -> Path | None:
    wanted = set(source.archives())
    if place.is_file():
        if place.name not in wanted:
            raise errors.DatasetNotFound(f"{place} is not {_wanted(source)}.")
        candidates = [place.parent]
    else:
        candidates = [place, place / source.folder]
    for folder in candidates:
        missing = sorted(name for name in wanted if not (folder / name).is_file())
        if not missing:
            return folder
        if len(missing) < len(wanted):
            raise errors.DatasetNotFound(
                f"{folder} lacks {' and '.join(missing)}; put all official files of {source.name} there."
            )
    return None


def _copy_archives(source: Source, folder: Path, target: Path) -> None:
    """Copies the official files to where the reader looks for them, ``.gz`` files unpacked."""
    target.mkdir(parents=True, exist_ok=True)
    for name, wanted in source.archives().items():
        packed = Path(name).suffixes == [".gz"]
        copy = target / (name.removesuffix(".gz") if packed else name)
        found = hashlib.md5(usedforsecurity=False)
        opener = gzip.open if packed else open
        with (
            reading_official(source.name, folder / name),
            opener(folder / name, "rb") as file,
            copy.open("wb") as written,
        ):
            while chunk := file.read(1 << 20):
                written.write(chunk)
                found.update(chunk)
        if found.hexdigest() != wanted:
            raise errors.CorruptDataset(
                f"{folder / name} is not the official file of {source.name} (its MD5 is {found.hexdigest()}, "
                f"not {wanted}); download it again."
            )


def _add_images(source: Source, place: Path, folders: Splits, writer: Writer) -> Provenance:
    train, test = list_splits(place, folders)
    label_of = _labels_of_folders(source, train.class_names, place)
    counts = (len(train.files), len(test.files))
    if counts != source.counts:
        warnings.warn(
            f"{place} holds {counts[0]} train and {counts[1]} test images; the official {source.name} has "
            f"{source.counts[0]} and {source.counts[1]}.",
            stacklevel=2,
        )
    splits = {"train": train, "test": test}
    relabeled = {name: replace(split, labels=label_of[split.labels]) for name, split in splits.items()}
    reading = write_splits(place, relabeled, source.image_shape, writer)
    if reading.failed:
        raise errors.UnreadableImages(
            f"{len(reading.failed)} images below {place} cannot be decoded: {described(reading.failed)}; mend "
            "them first."
        )
    made = source.describe(source.class_names or train.class_names, "re-encoded images", shuffled=True)
    found = Findings.of(place, train, test, folders).sentence(train, test, {}, reading.several)
    return replace(made, notes={**made.notes, "found": found})


def _labels_of_folders(source: Source, folders: tuple[str, ...], place: Path) -> np.ndarray:
    """Returns the official label of each class folder, int64 (num_classes,)."""
    if source.class_names is None:
        if len(folders) == source.num_classes:
            return np.arange(source.num_classes)
    else:
        official = {_plain(name): label for label, name in enumerate(source.class_names)}
        found = [_plain(name) for name in folders]
        if sorted(found) == sorted(official):
            return np.asarray([official[name] for name in found])
        if sorted(found) == sorted(str(label) for label in range(source.num_classes)):
            return np.asarray([int(name) for name in found])
    allowed = ", ".join(source.class_names or ("one per class",))
    raise errors.UnreadableImages(
        f"{place} has {len(folders)} class folders ({', '.join(folders[:10])}), which are not the "
        f"{source.num_classes} of {source.name}; name them {allowed}, or by label 0 to "
        f"{source.num_classes - 1}."
    )


def _plain(name: str) -> str:
    """Strips what a folder name cannot carry: "T-shirt/top" and "tshirt_top" are the same class."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
