"""A labeling project in tests: label files, batches, and a person who answers them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from scenarios.suggest import Suggestion, suggest

FEATURES = "photos:quadrants"


def label_file(path: Path, classes: dict[str, str]) -> Path:
    """Writes a label file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *classes.items()])
    return path


def first(truth: dict[str, str], each: int) -> dict[str, str]:
    """Returns the labels of the first few images of every class."""
    return {file: label for file, label in truth.items() if int(file[:2]) < each}


def asked(root: Path, labels: tuple[Path, ...] = (), size: int = 10, **more: Any) -> Suggestion:
    """Asks for a batch of images that ``photos`` has written."""
    return suggest(root, labels, size, **{"features": FEATURES, **more})


def answer(found: Suggestion, truth: dict[str, str], count: int | None = None) -> None:
    """Writes ``labels.csv`` into a batch folder, as ``label.html`` does."""
    lines = [f"{each.file},{truth[each.file]}," for each in found.wanted[:count]]
    (found.folder / "labels.csv").write_text("\n".join(["file,label,note", *lines, ""]), encoding="utf-8")


def files_of(found: Suggestion) -> list[str]:
    """Returns the files that a batch asks for."""
    return [each.file for each in found.wanted]
