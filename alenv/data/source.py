"""A published dataset: its facts, and how its official files come into the cache."""

from __future__ import annotations

import gzip
import http.client
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from alenv import errors
from alenv.data.class_folders import ORDER_SEED
from alenv.data.storage import Provenance, RowBlock, Writer
from alenv.files import STORAGE_CODES
from alenv.progress import hushed

# What unpacking and parsing raise on files that are cut off or something else.
_BAD_FILE = (
    RuntimeError,
    ValueError,
    LookupError,
    EOFError,
    gzip.BadGzipFile,
    pickle.UnpicklingError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


class Official(NamedTuple):
    """Both splits as the official files give them.

    Attributes:
        train: Rows in the order to store.
        test: Rows in the order to store.
        class_names: The name of each label.
        whole: False where there are other images than the official ones, in the official layout.
        shuffled: True where the files come sorted by class and were put in the order of ``ORDER_SEED``.
    """

    train: Iterable[RowBlock]
    test: Iterable[RowBlock]
    class_names: tuple[str, ...]
    shuffled: bool = False
    whole: bool = True


@dataclass(frozen=True)
class Source:
    """One published dataset.

    Attributes:
        name: The name it is loaded by.
        image_shape: Height, width and channels.
        num_classes: The number of classes.
        counts: Train and test images of the official set.
        class_names: The official names in label order; None where only the files know them.
        mean: Per channel on [0, 1]; None to compute it from the train images.
        std: Per channel on [0, 1].
        archives: Returns {file name: MD5} of the official files; of a ``.gz`` file it is that of its content.
        folder: Where below a root the reader expects those files.
        unpacked: Name of the folder an archive unpacks to; None where there is none to take instead.
        read: ``read(root, download)`` returns the official contents found below a root. With ``download``
            it unpacks, and fetches what is missing; without, it only reads.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_classes: int
    counts: tuple[int, int]
    class_names: tuple[str, ...] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    archives: Callable[[], Mapping[str, str]]
    folder: str
    unpacked: str | None
    read: Callable[[Path, bool], Official]

    def download(self, writer: Writer) -> Provenance:
        """Fetches the official files and writes them to the cache.

        Raises:
            DatasetNotFound: They cannot be fetched whole.
        """
        try:
            with hushed():
                official = self.read(writer.scratch, True)
        except (OSError, http.client.HTTPException, *_BAD_FILE) as problem:
            if isinstance(problem, OSError) and problem.errno in STORAGE_CODES:
                raise
            raise errors.DatasetNotFound(
                f"{self.name} is not cached and could not be downloaded ({_first_line(problem)}); connect to "
                f"the internet once, or run `alenv data add {self.name} --from DIR` with a local copy."
            ) from problem
        return self.write_official(writer, official)

    def write_official(self, writer: Writer, official: Official) -> Provenance:
        """Writes what :attr:`read` returned."""
        writer.split("train", self.image_shape, official.train)
        writer.split("test", self.image_shape, official.test)
        kind = "official archive" if official.whole else "other images in the official layout"
        return self.describe(official.class_names, kind, official.shuffled)

    def describe(self, class_names: tuple[str, ...], kind: str, shuffled: bool) -> Provenance:
        """Describes the written splits; ``kind`` is the dataset's ``source``."""
        notes = {"order_seed": ORDER_SEED} if shuffled else {}
        return Provenance(self.name, class_names, kind, self.mean, self.std, notes)


@contextmanager
def reading_official(name: str, place: Path) -> Iterator[None]:
    """Turns whatever a reader says about bad official files into one sentence.

    Raises:
        CorruptDataset: The files below ``place`` are not the official ones.
    """
    try:
        yield
    except (FileNotFoundError, *_BAD_FILE) as problem:
        raise errors.CorruptDataset(
            f"{place} does not hold the official files of {name} ({_first_line(problem)}); download them "
            "again."
        ) from problem


def _first_line(problem: BaseException) -> str:
    lines = str(getattr(problem, "reason", problem)).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(problem).__name__
