"""A batch of images to label next, and what is known when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenarios.suggest.findings.label_findings import LabelFindings

PAGE, REPORT = "label.html", "report.html"


@dataclass(frozen=True)
class Wanted:
    """An image that is to be labeled.

    Attributes:
        file: Relative to the folder of the images.
        predicted: Its class, or empty.
        confidence: Its probability.
        reason: Why it is asked for.
    """

    file: str
    predicted: str
    confidence: float
    reason: str


@dataclass(frozen=True)
class Suggestion:
    """A batch of images to label next, and what is known so far.

    Attributes:
        folder: The batch folder.
        wanted: The images, the first one to be labeled first.
        agent: Who chose them.
        features: What describes the images.
        recipe: How a network was trained on the labels; None = the classifier is a head on the features.
        images: Images that can be read.
        unreadable: {file: why it cannot be read}.
        labels: How many labels of each class there are.
        unclear: Images that were marked unclear, and are not asked for again.
        validation: Right ones of the held-out labels, and how many there are.
        interval: Of validation accuracy, Wilson's at 95 %; None without held-out labels.
        near_duplicates: Images that were passed over, each with the one of the batch that looks the same.
        class_folders: Whether subfolders were taken for classes.
        findings: What the labels say.
        gone: Images that labels of earlier batches name, and that are not there any more.
        passed: How many files of each kind are no images.
        indices: int64 (B,), which images of an array or dataset are wanted; None for a folder.
    """

    folder: Path
    wanted: tuple[Wanted, ...]
    agent: str
    features: str
    recipe: str | None
    images: int
    unreadable: Mapping[str, str]
    labels: Mapping[str, int]
    unclear: int
    validation: tuple[int, int]
    interval: tuple[float, float] | None
    near_duplicates: tuple[tuple[str, str], ...]
    class_folders: bool
    findings: LabelFindings
    gone: tuple[str, ...] = ()
    passed: Mapping[str, int] = field(default_factory=dict)
    indices: NDArray[np.int64] | None = field(default=None, compare=False)

    @property
    def page(self) -> Path:
        """Where the batch is labeled."""
        return self.folder / PAGE

    @property
    def report(self) -> Path:
        """Where the findings are shown."""
        return self.folder / REPORT

    def numbers(self) -> dict[str, Any]:
        """Returns all of it as JSON values."""
        paths = {"folder": str(self.folder), "page": str(self.page), "report": str(self.report)}
        found = asdict(self)
        found["findings"]["stop"] = self.findings.stop
        found["indices"] = None if self.indices is None else self.indices.tolist()
        return {**found, **paths}
