"""Labels of images as people keep them: CSV files, folders named by class, and exports of Label Studio."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from alenv import errors
from alenv.data.listing import Listing

# How the columns may be called, the first one when they are written.
FILE_COLUMNS = ("file", "filename", "file_name", "filepath", "file_path", "path", "image")
NOTE, UNCLEAR = "note", "unclear"
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target")
_DELIMITERS = ",;\t|"
_SHOWN = 3  # examples that a sentence names
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Label:
    """What one line says of one image.

    Attributes:
        file: The image as the line names it.
        label: Its class; empty for an unclear image.
        place: Where it stands, for a sentence: ``"line 3"``.
        more: Further columns of the line.
    """

    file: str
    label: str
    place: str
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Labels:
    """The labels of some of the images of a folder.

    Attributes:
        classes: file -> class, files as they were listed.
        more: file -> further columns, where there are any.
        columns: Names of the further columns, in their order.
        unclear: Files without a label whose note says that nobody can tell.
        gone: Images that are not there, as the file names them, where they may be missing.
    """

    classes: Mapping[str, str]
    more: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    unclear: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, sorted."""
        return tuple(sorted(set(self.classes.values())))


def read(
    path: Path, files: Iterable[str] | Listing, root: Path, once: Collection[str] | None = None
) -> Labels:
    """Reads which class some images of a folder have.

    Args:
        path: A CSV file with a column for files and one for labels, others kept; or a JSON export of Label Studio. A
            line without a label says nothing, unless its column ``note`` says unclear.
        files: The images of the folder, relative to it, with forward slashes; a ``Listing`` serves many label files.
        root: The folder, which paths may begin with.
        once: Names of images that were there once; then any may be named that is not there, and is listed as ``gone``.

    Returns:
        The labels, of files as they are called in ``files``.

    Raises:
        InvalidLabels: The file cannot be read, has no such columns, names images that are not there, or gives one
            image two classes.
    """
    listing = files if isinstance(files, Listing) else Listing(files, root)
    found = _of_json(path) if path.suffix.lower() == ".json" else _of_csv(path)
    return _matched(found, path, listing, once)


def joined(parts: Iterable[tuple[str, Labels]]) -> Labels:
    """Puts the labels of several sources together.

    Args:
        parts: What each source is called, and its labels.

    Raises:
        InvalidLabels: Two give an image different classes.
    """
    classes: dict[str, str] = {}
    origin: dict[str, str] = {}
    more: dict[str, dict[str, str]] = {}
    columns: dict[str, None] = {}
    unclear: set[str] = set()
    gone: set[str] = set()
    for name, labels in parts:
        unclear |= labels.unclear
        gone |= labels.gone
        for file, label in labels.classes.items():
            if classes.setdefault(file, label) != label:
                raise errors.InvalidLabels(
                    f"{file} is {classes[file]!r} in {origin[file]} and {label!r} in {name}; keep one of the two."
                )
            origin.setdefault(file, name)
        for file, extra in labels.more.items():
            more.setdefault(file, {}).update(extra)
        columns.update(dict.fromkeys(labels.columns))
    return Labels(classes, more, tuple(columns), frozenset(unclear - classes.keys()), frozenset(gone))


# ---- which file is meant -------------------------------------------------------------------------------------


def _matched(found: Iterable[Label], path: Path, files: Listing, once: Collection[str] | None) -> Labels:
    classes: dict[str, str] = {}
    first: dict[str, Label] = {}
    more: dict[str, Mapping[str, str]] = {}
    columns: dict[str, None] = {}
    unknown: list[Label] = []
    unclear: set[str] = set()
    for each in found:
        columns.update(dict.fromkeys(each.more))
        file = None if once and each.file in once and each.file not in files else files.find(each.file)
        if file is None:
            unknown.append(each)
            continue
        if not each.label:
            unclear.add(file)
            continue
        if classes.setdefault(file, each.label) != each.label:
            raise errors.InvalidLabels(
                f"{path} says that {file} is {classes[file]!r} ({first[file].place}) and {each.label!r} "
                f"({each.place}); keep one of the two."
            )
        first.setdefault(file, each)
        if each.more:
            more[file] = each.more
    if unknown and once is None:
        shown = ", ".join(f"{each.file} ({each.place})" for each in unknown[:_SHOWN])
        others = f" and {len(unknown) - _SHOWN} others" if len(unknown) > _SHOWN else ""
        raise errors.InvalidLabels(
            f"{path} names {len(unknown)} images that are not in {files.root}: {shown}{others}; correct the paths, "
            "which are relative to that folder, or remove the lines."
        )
    gone = frozenset(each.file for each in unknown)
    return Labels(classes, more, tuple(columns), frozenset(unclear - classes.keys()), gone)


# ---- CSV -----------------------------------------------------------------------------------------------------


def _of_csv(path: Path) -> Iterator[Label]:
    text = _text(path)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        header = [name.strip() for name in next(filter(any, lines), [])]
        file_at, label_at = (_column(header, names, path) for names in (FILE_COLUMNS, LABEL_COLUMNS))
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) <= max(file_at, label_at):
                raise errors.InvalidLabels(
                    f"{path} has {len(cells)} columns in line {lines.line_num} and {len(header)} in its first line; "
                    "give every line the same."
                )
            more = {
                name: cell
                for at, (name, cell) in enumerate(zip(header, cells, strict=False))
                if at not in (file_at, label_at) and name
            }
            label = cells[label_at].strip()
            if label or more.get(NOTE, "").strip().lower() == UNCLEAR:
                yield Label(cells[file_at], label, f"line {lines.line_num}", more)
    except csv.Error as error:
        raise errors.InvalidLabels(
            f"{path} cannot be read as CSV in line {lines.line_num} ({error}); save it as CSV anew."
        ) from error


def _text(path: Path) -> str:
    content = _bytes(path)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise errors.InvalidLabels(
            f"{path} is not UTF-8 text (line {line}); save it as UTF-8, in a spreadsheet as 'CSV UTF-8'."
        ) from error
    if "\0" in text:
        raise errors.InvalidLabels(f"{path} holds no text; give a CSV file or an export of Label Studio.")
    return text


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.InvalidLabels(
            f"{path} cannot be read ({error.strerror}); give a CSV file with the columns file and label."
        ) from error


def _delimiter(text: str) -> str:
    """Returns what parts the first line most often; a comma where nothing does."""
    first = next(filter(str.strip, text.splitlines()), "")
    return max(_DELIMITERS, key=first.count)


def _column(header: list[str], names: tuple[str, ...], path: Path) -> int:
    """Returns the place of the column that is called one of ``names``."""
    lower = [name.lower() for name in header]
    for name in names:
        if lower.count(name) == 1:
            return lower.index(name)
        if name in lower:
            raise errors.InvalidLabels(f"{path} has two columns {name!r}; keep one of the two.")
    raise errors.InvalidLabels(
        f"{path} has the columns {', '.join(header) or 'of an empty file'}; its first line must name file and label."
    )


# ---- Label Studio --------------------------------------------------------------------------------------------


def _of_json(path: Path) -> Iterator[Label]:
    """Yields the labels of a JSON or JSON-MIN export; what was skipped or has no choice says nothing."""
    text = _text(path)
    try:
        tasks = json.loads(text)
    except ValueError as error:
        raise errors.InvalidLabels(
            f"{path} is no JSON ({error}); export from Label Studio as JSON or JSON-MIN."
        ) from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise errors.InvalidLabels(
            f"{path} is no list of tasks; export from Label Studio as JSON or JSON-MIN."
        )
    for number, task in enumerate(tasks, 1):
        place = f"task {task.get('id', number)}"
        image, choices = _image_of(task), _choices_of(task)
        if len(choices) > 1:
            raise errors.InvalidLabels(
                f"{path} gives {place} the classes {', '.join(sorted(choices))}; an image has one class here, so "
                "keep one of them."
            )
        if image is None:
            raise errors.InvalidLabels(
                f"{path} has no image in {place}; export from Label Studio as JSON or JSON-MIN."
            )
        yield from (Label(image, label, place) for label in choices)


def _image_of(task: Mapping[str, Any]) -> str | None:
    """Returns the file of a task: what alenv wrote beside it, or the path in its address."""
    data = task.get("data", task)
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("file"), str):
        return str(data["file"])
    address = next((data[name] for name in ("image", "img", "url") if name in data), None)
    if not isinstance(address, str):
        return None
    parts = urlsplit(address)
    if "d" in (asked := parse_qs(parts.query)):  # /data/local-files/?d=folder/a.jpg
        return asked["d"][0]
    return unquote(parts.path) if parts.scheme or address.startswith("/") else address


def _choices_of(task: Mapping[str, Any]) -> set[str]:
    """Returns the classes that the annotations of a task give."""
    if "annotations" not in task and "completions" not in task:  # JSON-MIN
        found = next((task[name] for name in ("choice", *LABEL_COLUMNS) if name in task), None)
        values = found.get("choices", []) if isinstance(found, dict) else [found]
        return {value.strip() for value in values if isinstance(value, str) and value.strip()}
    chosen: set[str] = set()
    for annotation in task.get("annotations") or task.get("completions") or []:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled") or annotation.get("skipped"):
            continue
        for result in annotation.get("result", []):
            chosen.update(result.get("value", {}).get("choices", []))
    return chosen
