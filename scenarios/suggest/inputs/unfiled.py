"""Images that are no files: arrays, and datasets of Hugging Face. They are written once, and then are a folder."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alenv import errors, files
from alenv.data import files_below, label_files
from alenv.data.dataset import array_digest
from alenv.data.label_files import Labels
from alenv.progress import progress

NAME = "images"  # of a project's folder, and of the folder in it
_ADVICE = "choose another folder with --out"
_WANTED = "give uint8 of shape (n, H, W), (n, H, W, 1) or (n, H, W, 3)"
_ROWS = 256  # that are read from a dataset at a time
_MADE_BY_DATASETS = ("dataset_info.json", "state.json")  # what Dataset.save_to_disk leaves in a folder
_SPLITS = "dataset_dict.json"  # what DatasetDict.save_to_disk leaves


@dataclass(frozen=True)
class Unfiled:
    """Images that are no files yet, with what is known of their classes.

    Attributes:
        count: n.
        classes: {position: class} of those that are labeled.
        identity: Tells these images, in this order, from all others.
        contents: Gives the image files in their order: the extension and the bytes of each.
    """

    count: int
    classes: Mapping[int, str]
    identity: str
    contents: Callable[[], Iterator[tuple[str, bytes]]]

    def folder(self, project: Path) -> Path:
        """Returns the folder of a project that holds them as files, whether or not it is there."""
        return project / f"{NAME}-{self.identity[:16]}"

    def write(self, project: Path) -> None:
        """Makes that folder, whole or not at all, where it is missing: ``0000000.png`` and so on.

        Raises:
            StorageError: It cannot be written.
        """
        folder = self.folder(project)

        def fill(place: Path) -> None:
            with progress("writing images", self.count) as advance:
                for position, (extension, content) in enumerate(self.contents()):
                    (place / f"{position:07d}{extension}").write_bytes(content)
                    advance(1)

        if not folder.is_dir():
            files.publish_folder(folder, fill, _ADVICE)

    def labels(self, folder: Path) -> Labels:
        """Returns what is known of the files in their folder."""
        return Labels(
            {
                path.name: self.classes[at]
                for path in folder.iterdir()
                if (at := int(path.stem)) in self.classes
            }
        )


def positions(names: Sequence[str]) -> NDArray[np.int64]:
    """Returns which of the images some files hold, int64 (n,)."""
    return np.array([int(Path(name).stem) for name in names], dtype=np.int64)


# ---- arrays --------------------------------------------------------------------------------------------------


def of_arrays(images: Any, labels: Any) -> Unfiled:
    """Takes images from an array.

    Args:
        images: uint8 (n, H, W), (n, H, W, 1) or (n, H, W, 3).
        labels: n whole numbers or words; -1, None and ``""`` where the label is not known. None = no label is.

    Raises:
        InvalidQuery: Shape or type are others.
        InvalidLabels: There is not one label per image, or a label is no class.
    """
    try:
        pixels = np.asarray(images)
    except (TypeError, ValueError, RuntimeError) as error:
        raise errors.InvalidQuery(f"images= is no array ({error}); {_WANTED}.") from error
    shape = pixels.shape if pixels.ndim == 4 else (*pixels.shape, 1)
    if pixels.dtype != np.uint8 or not pixels.size or len(shape) != 4 or shape[3] not in (1, 3):
        raise errors.InvalidQuery(f"images= has {pixels.dtype} values of shape {pixels.shape}; {_WANTED}.")

    def contents() -> Iterator[tuple[str, bytes]]:
        for each in pixels.reshape(shape):
            file = io.BytesIO()
            Image.fromarray(each[..., 0] if shape[3] == 1 else each).save(file, "PNG", compress_level=1)
            yield ".png", file.getvalue()

    identity = hashlib.sha256(f"{shape} {array_digest(pixels)}".encode()).hexdigest()
    return Unfiled(len(pixels), _classes(labels, len(pixels)), identity, contents)


def _classes(labels: Any, count: int) -> dict[int, str]:
    """Returns {position: class} of n labels."""
    if labels is None or (isinstance(labels, (tuple, list)) and not labels):
        return {}
    values = labels.tolist() if hasattr(labels, "tolist") else labels
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != count:
        given = f"{len(values)} labels" if isinstance(values, (list, tuple)) else f"labels={labels!r}"
        raise errors.InvalidLabels(
            f"{given} came with {count:,} images; give one label per image, -1 or None where it is not known."
        )
    return {at: found for at, value in enumerate(values) if (found := _class(value, at))}


def _class(value: Any, at: int) -> str:
    """Returns a label as the name of a class, empty where it is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):  # how tables mark what is missing
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= -1:
        return "" if value == -1 else str(value)
    raise errors.InvalidLabels(
        f"The label of image {at} is {value!r}; give a whole number from 0 or a word, and -1 or None where it is not "
        "known."
    )


# ---- datasets of Hugging Face --------------------------------------------------------------------------------


def is_saved_dataset(folder: Path) -> bool:
    """Tells whether ``save_to_disk`` of a dataset or of its splits wrote a folder."""
    return all((folder / name).is_file() for name in _MADE_BY_DATASETS) or (folder / _SPLITS).is_file()


def loaded(folder: Path) -> Any:
    """Reads a dataset that ``save_to_disk`` wrote.

    Raises:
        InvalidQuery: The folder holds several splits.
        InvalidRecipe: The package ``datasets`` is not installed.
        CorruptDataset: The folder cannot be read.
    """
    if (folder / _SPLITS).is_file():
        names = [path.name for path in sorted(folder.iterdir()) if is_saved_dataset(path)]
        raise errors.InvalidQuery(
            f"{folder} holds the splits {', '.join(names)} of a dataset; give one, such as {folder / names[0]}."
            if names
            else f"{folder} holds a dataset without splits; save it anew."
        )
    try:
        import datasets  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise errors.InvalidRecipe(
            f"{folder} holds a dataset of Hugging Face, and the package datasets is missing; install alenv[hf]."
        ) from error
    try:
        return datasets.load_from_disk(str(folder))
    except Exception as error:  # a damaged file fails in as many ways as it can be damaged
        reason = " ".join(str(error).split())
        raise errors.CorruptDataset(
            f"The dataset in {folder} cannot be read ({reason}); save it anew."
        ) from error


def of_dataset(dataset: Any, column: str | None = None) -> Unfiled:
    """Takes images, and labels where there are any, from a ``datasets.Dataset``; files keep their bytes.

    Args:
        dataset: With a column of images.
        column: Which one holds the labels; None = the only one of classes, or one that is called ``label``.

    Raises:
        InvalidQuery: It is no dataset, a dictionary of splits, a stream, empty, or has not one column of images.
        InvalidLabels: There is no such column, there are several, or a label is no class.
    """
    pictures, named = _columns(dataset, column)
    plain = dataset.with_format("arrow")  # nothing is decoded

    def rows(name: str) -> Iterator[Any]:
        for start in range(0, len(dataset), _ROWS):
            yield from plain[start : start + _ROWS].column(name).to_pylist()

    def contents() -> Iterator[tuple[str, bytes]]:
        return map(_file, rows(pictures))

    labels: list[Any] | None = None if named is None else list(rows(named))
    words = None if named is None else getattr(dataset.features[named], "names", None)
    if labels is not None and words is not None:
        labels = [None if value is None or value < 0 else words[value] for value in labels]
    classes = _classes(labels, len(dataset))
    whole = hashlib.sha256()
    with progress("reading images", len(dataset)) as advance:
        for extension, content in contents():
            whole.update(f"{extension} {len(content)} ".encode() + content)
            advance(1)
    return Unfiled(len(dataset), classes, whole.hexdigest(), contents)


def _columns(dataset: Any, column: str | None) -> tuple[str, str | None]:
    """Returns the columns of the images and of their labels, None where there is none."""
    if isinstance(dataset, Mapping) and dataset:
        raise errors.InvalidQuery(
            f"A dataset of the splits {', '.join(map(str, dataset))} was given; give one of them."
        )
    given = f"a {type(dataset).__name__}"
    if hasattr(dataset, "features"):
        given = "an empty dataset" if hasattr(dataset, "__len__") else "a dataset that is streamed"
    if not hasattr(dataset, "features") or not hasattr(dataset, "__len__") or not len(dataset):
        raise errors.InvalidQuery(
            f"Instead of a folder, {given} was given; give a datasets.Dataset of some images, or an array as images=."
        )
    kinds = {name: type(kind).__name__ for name, kind in dataset.features.items()}
    pictures = [name for name, kind in kinds.items() if kind == "Image"]
    if len(pictures) != 1:
        raise errors.InvalidQuery(
            f"The dataset has {len(pictures)} columns of images among {', '.join(kinds)}; give one with one, see its "
            "select_columns and cast_column."
        )
    if column is not None and column not in kinds:
        raise errors.InvalidLabels(f"The dataset has no column {column!r}; it has {', '.join(kinds)}.")
    classes = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    if column is None and len(classes) > 1:
        raise errors.InvalidLabels(
            f"The dataset has the label columns {', '.join(classes)}; name one of them as labels."
        )
    called = [name for name in kinds if name.lower() in (*label_files.LABEL_COLUMNS, "labels")]
    return pictures[0], column or next(iter(classes or called), None)


def _file(image: Mapping[str, Any] | None) -> tuple[str, bytes]:
    """Returns the extension and the bytes of an image as it is stored; what is missing becomes an empty file."""
    name, content = (image or {}).get("path") or "", (image or {}).get("bytes")
    if content is None:
        try:
            content = Path(name).read_bytes()
        except OSError:
            content = b""
    extension = Path(name).suffix.lower()
    if extension not in files_below.EXTENSIONS:
        extension = ".jpg" if content.startswith(b"\xff\xd8\xff") else ".png"
    return extension, content
