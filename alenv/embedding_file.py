"""Embeddings in files of the user: an array by dataset row, with a record of what it belongs to beside it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from alenv import errors, files
from alenv.data import Dataset
from alenv.data.dataset import array_digest


def record_of(file: Path) -> Path:
    """Returns the place of the record beside an embedding: ``FILE.json`` of ``FILE.npy``."""
    return file.with_suffix(".json")


def check_free(file: Path) -> None:
    """Checks that an embedding can be written there without overwriting anything.

    Raises:
        AlenvError: The name does not end in ``.npy``, or there is such a file or such a record.
    """
    if file.suffix != ".npy":
        raise errors.AlenvError(f"{file} was given for an embedding; give a name that ends in .npy.")
    for each in (file, record_of(file)):
        if each.exists():
            raise errors.AlenvError(f"{each} exists already; delete it or give another name.")


def write(file: Path, rows: np.ndarray, dataset: Dataset, name: str) -> None:
    """Writes an embedding, and beside it the record by which ``read`` knows dataset and order again.

    Args:
        file: Where to; ``FILE.npy``, with the record in ``FILE.json``.
        rows: float32 (n, D) by dataset row, train rows first.
        dataset: Whose images they describe.
        name: The embedding they are.

    Raises:
        AlenvError: Something is there already.
        StorageError: It cannot be written.
    """
    check_free(file)
    content = io.BytesIO()
    np.save(content, rows)
    record = {
        "dataset": dataset.name,
        "checksum": dataset.checksum,
        "train": len(dataset.train_labels),
        "test": len(rows) - len(dataset.train_labels),
        "dimensions": rows.shape[1],
        "embedding": name,
        "sha256": array_digest(rows),
    }
    files.make_folder(file.absolute().parent)
    with files.uninterrupted():
        # The record goes first: no embedding is ever there without it.
        files.write_text(record_of(file), json.dumps(record, indent=2) + "\n")
        files.write_bytes(file, content.getvalue())


def opened(file: Path) -> np.ndarray:
    """Returns the array of a file, memory-mapped.

    Raises:
        InvalidRecipe: There is none, or it is no plain ``.npy`` file.
    """
    try:
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise errors.InvalidRecipe(
            f"The embedding {file} cannot be read as a .npy array; give a file written by numpy.save."
        ) from problem
    return array


def read(dataset: Dataset, file: Path) -> np.ndarray:
    """Returns an embedding, float32 (n, D), rows of length 1, read-only.

    The rows must be those of the dataset, train rows first, or its train rows alone. Where a record lies beside
    the file, dataset and content must be those that it names; else their number alone can be checked.

    Raises:
        InvalidRecipe: The file cannot be read or does not fit.
    """
    array = opened(file)
    train, test = len(dataset.train_labels), len(dataset.test_labels)
    if array.ndim != 2 or array.dtype.kind != "f" or len(array) not in (train, train + test):
        raise errors.InvalidRecipe(
            f"The embedding {file} is {array.dtype} of shape {array.shape}; {dataset.name} needs a 2-D float "
            f"array of {train + test} rows (train, then test) or of {train} (train alone)."
        )
    _check_record(dataset, file, array)
    rows = np.array(array, dtype=np.float32)
    if not np.isfinite(rows).all():
        raise errors.InvalidRecipe(f"The embedding {file} holds NaN or infinite values; give finite numbers.")
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    rows.setflags(write=False)
    return rows


def _check_record(dataset: Dataset, file: Path, array: np.ndarray) -> None:
    """Raises ``InvalidRecipe`` where the record beside a file names another dataset or other rows."""
    try:
        record: Any = json.loads(record_of(file).read_text(encoding="utf-8"))
        name, checksum, digest = (record[key] for key in ("dataset", "checksum", "sha256"))
    except (OSError, ValueError, LookupError, TypeError):
        return  # there is none, or a file of the user's that is something else
    if checksum != dataset.checksum:
        raise errors.InvalidRecipe(
            f"The embedding {file} was written for {name} with checksum {str(checksum)[:12]}, not for {dataset.name} "
            f"with {dataset.checksum[:12]}, so its rows are other images; write it anew with alenv embed."
        )
    if digest != array_digest(array):
        raise errors.InvalidRecipe(
            f"The embedding {file} is not the one that {record_of(file)} describes; write it anew with alenv embed, or "
            "delete that record if the rows are in the dataset's order."
        )
