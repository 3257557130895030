"""A stand-in for a ``datasets.Dataset`` of Hugging Face: the few methods that alenv calls, and no more."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image as Pictures


class Image:
    """The kind of a column of images; alenv knows it by its name."""


class Value:
    """The kind of a column of words or numbers."""


@dataclass
class ClassLabel:
    """The kind of a column of classes, which are stored as numbers."""

    names: list[str]


class Column(list[Any]):
    """What Arrow calls a column."""

    def to_pylist(self) -> list[Any]:
        return list(self)


class Table(dict[str, Sequence[Any]]):
    """What Arrow calls a table."""

    def column(self, name: str) -> Column:
        return Column(self[name])


class Dataset:
    """Rows by column; in the format "arrow" a slice is a table, and images are dictionaries of bytes and path."""

    def __init__(
        self, columns: Mapping[str, Sequence[Any]], features: Mapping[str, Any], arrow: bool = False
    ) -> None:
        self.columns, self.features, self.arrow = columns, features, arrow

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, rows: slice) -> Table:
        assert self.arrow, "otherwise a slice is a dictionary of decoded images"
        return Table({name: values[rows] for name, values in self.columns.items()})

    def with_format(self, kind: str) -> Dataset:
        return Dataset(self.columns, self.features, arrow=kind == "arrow")


def stored(image: Pictures.Image, kind: str = "PNG", path: str | None = None) -> dict[str, Any]:
    """Returns an image as such a dataset stores it."""
    held = io.BytesIO()
    image.save(held, kind)
    return {"bytes": held.getvalue(), "path": path}
