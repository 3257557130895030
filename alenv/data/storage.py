"""How one dataset lies on disk: four ``.npy`` arrays, ``meta.json``, and the file list of an image folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from alenv import errors
from alenv.data import cache
from alenv.data.dataset import ARRAYS, Dataset, array_digest, channel_statistics, combined_checksum

FORMAT = 1
FILES = "files.json"


class RowBlock(NamedTuple):
    """Some rows of a split, in the order in which they are stored."""

    images: np.ndarray  # uint8 (b, H, W, C)
    labels: np.ndarray  # int64 (b,)
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """What a source says about the dataset it has just written.

    Attributes:
        name: The dataset's name.
        class_names: The name of each label.
        source: ``"official archive"``, ``"other images in the official layout"``, ``"re-encoded images"`` or
            ``"image folder"``.
        mean: Per channel on [0, 1]; None to compute it, with ``std``, from the train images.
        std: Per channel on [0, 1].
        notes: Further facts to record, JSON values: the origin, the seed of the order, skipped files.
    """

    name: str
    class_names: tuple[str, ...]
    source: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


class _RowFile:
    """A ``.npy`` file written row block by row block, its digest taken on the way.

    Ordinary writes rather than a writable memory map: on a full disk a write is an error one can report,
    while a memory map kills the process.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: str) -> None:
        self._file = path.open("wb")
        self._row_shape, self._dtype = row_shape, np.dtype(dtype)
        self._count, self._digest = 0, hashlib.sha256()
        self._write_header()
        self._start = self._file.tell()

    def __enter__(self) -> _RowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, rows: np.ndarray) -> None:
        content = np.ascontiguousarray(rows, dtype=self._dtype)
        if content.shape[1:] != self._row_shape:
            raise ValueError(f"rows of shape {content.shape[1:]} do not fit {self._row_shape}")
        self._file.write(content.data)
        self._digest.update(content.data)
        self._count += len(content)

    def finish(self) -> dict[str, Any]:
        """Writes the final header, flushes to the disk and returns the facts to record."""
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._start:  # NumPy pads the header so that the row count can grow.
            raise RuntimeError("the header of a .npy file changed its length with the number of rows")
        self._file.flush()
        os.fsync(self._file.fileno())
        shape = [self._count, *self._row_shape]
        return {"shape": shape, "dtype": self._dtype.str, "sha256": self._digest.hexdigest()}

    def _write_header(self) -> None:
        shape = (self._count, *self._row_shape)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


class Writer:
    """What a source writes its splits with.

    Attributes:
        scratch: An empty folder for downloads and unpacked archives, removed afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arrays: dict[str, dict[str, Any]] = {}
        self._files: dict[str, list[str]] = {}
        self.scratch = folder / "scratch"
        self.scratch.mkdir()

    def split(self, name: str, image_shape: tuple[int, int, int], blocks: Iterable[RowBlock]) -> None:
        """Writes the ``"train"`` or the ``"test"`` split from blocks of rows."""
        images = _RowFile(self._folder / f"{name}_images.npy", image_shape, "|u1")
        labels = _RowFile(self._folder / f"{name}_labels.npy", (), "<i8")
        files: list[str] = []
        with images, labels:
            for block in blocks:
                images.append(block.images)
                labels.append(block.labels)
                files.extend(block.files)
            self._arrays[f"{name}_images"] = images.finish()
            self._arrays[f"{name}_labels"] = labels.finish()
        self._files[name] = files

    @property
    def checksum(self) -> str:
        """The checksum of the dataset, once both splits are written."""
        return combined_checksum({name: facts["sha256"] for name, facts in self._arrays.items()})

    def finish(self, description: Provenance) -> None:
        """Writes ``meta.json`` once both splits are there."""
        mean, std = description.mean, description.std
        if mean is None or std is None:
            mean, std = channel_statistics(np.load(self._folder / "train_images.npy", mmap_mode="r"))
        meta = {
            "format": FORMAT,
            "name": description.name,
            "source": description.source,
            "class_names": list(description.class_names),
            "mean": list(mean),
            "std": list(std),
            "checksum": self.checksum,
            "arrays": self._arrays,
            **description.notes,
        }
        if any(self._files.values()):
            # File names need not be valid Unicode; JSON's escapes carry them either way.
            (self._folder / FILES).write_text(json.dumps(self._files), encoding="ascii")
        (self._folder / cache.META).write_text(json.dumps(meta, indent=1), encoding="ascii")


def store(folder: Path, fill: Callable[[Writer], Provenance], keep: Callable[[], bool]) -> None:
    """Writes a dataset into its cache folder, whole or not at all.

    Args:
        folder: The cache folder of the dataset.
        fill: Writes both splits and describes them.
        keep: Asked under the lock; when True, what is cached stays.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """

    def write(partial: Path) -> None:
        writer = Writer(partial)
        description = fill(writer)
        writer.finish(description)
        shutil.rmtree(writer.scratch)

    cache.make_folder(folder, write, keep)


def damaged(name: str, file: Path) -> errors.CorruptDataset:
    """Builds the error for a cached file that is not what was stored."""
    return errors.CorruptDataset(
        f"{file} is damaged; delete the folder {file.parent} and load or add {name} again."
    )


def read_meta(folder: Path) -> dict[str, Any]:
    """Returns the record of a cached dataset.

    Raises:
        CorruptDataset: It cannot be read.
    """
    file = folder / cache.META
    try:
        meta: dict[str, Any] = json.loads(file.read_text(encoding="ascii"))
        if meta["format"] != FORMAT or set(meta["arrays"]) != set(ARRAYS):
            raise ValueError("another format")
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise damaged(folder.name, file) from problem
    return meta


def read(folder: Path) -> Dataset:
    """Opens a cached dataset; sizes and shapes are checked, not the bytes.

    Raises:
        CorruptDataset: A file is missing, cut off, or of another shape.
    """
    meta = read_meta(folder)
    arrays = {name: _open(folder, name, facts) for name, facts in meta["arrays"].items()}
    paths = None
    if meta["source"] == "image folder":
        paths = _paths(folder, meta)
    return Dataset(
        name=meta["name"],
        **arrays,
        class_names=tuple(meta["class_names"]),
        checksum=meta["checksum"],
        source=meta["source"],
        mean=tuple(meta["mean"]),
        std=tuple(meta["std"]),
        paths=paths,
        found=meta.get("found"),
    )


def verify(folder: Path) -> None:
    """Reads every stored byte and compares it with the recorded checksums.

    Raises:
        CorruptDataset: A file is not what was stored; the message names it.
    """
    meta = read_meta(folder)
    for name, facts in meta["arrays"].items():
        if array_digest(_open(folder, name, facts)) != facts["sha256"]:
            raise damaged(meta["name"], folder / f"{name}.npy")
    digests = {name: facts["sha256"] for name, facts in meta["arrays"].items()}
    if combined_checksum(digests) != meta["checksum"]:
        raise damaged(meta["name"], folder / cache.META)


def _open(folder: Path, name: str, facts: dict[str, Any]) -> np.ndarray:
    file = folder / f"{name}.npy"
    try:
        array: np.ndarray = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError) as problem:
        raise damaged(folder.name, file) from problem
    if list(array.shape) != facts["shape"] or array.dtype.str != facts["dtype"]:
        raise damaged(folder.name, file)
    return array


def _paths(folder: Path, meta: dict[str, Any]) -> tuple[str, ...]:
    file = folder / FILES
    try:
        names = json.loads(file.read_text(encoding="ascii"))["train"]
        if len(names) != meta["arrays"]["train_labels"]["shape"][0]:
            raise ValueError("another number of rows")
        return tuple(os.path.join(meta["root"], name) for name in names)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise damaged(folder.name, file) from problem
