"""What a batch folder holds: a table, tasks of Label Studio, a contact sheet, the page to label in, and the report."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from alenv import files
from alenv.errors import StorageError
from scenarios.suggest.pages import pictures
from scenarios.suggest.pages.labeling_page import ShownImage, labeling_page
from scenarios.suggest.pages.report_page import LinkedImage, report_page
from scenarios.suggest.suggestion import PAGE, REPORT, Suggestion, Wanted

COLUMNS = ("rank", "file", "label", "predicted", "confidence", "reason", "note")
_FROM, _TO = "class", "image"  # names of Label Studio's two controls
_VERSION = "alenv"


def write(found: Suggestion, root: Path, classes: Sequence[str]) -> None:
    """Writes a new batch folder, whole or not at all.

    Args:
        found: The batch; its folder does not exist.
        root: The folder of the images.
        classes: Names of the classes so far.

    Raises:
        StorageError: It cannot be written, or is there already.
    """
    folder, wanted = found.folder, found.wanted
    if folder.exists():
        raise StorageError(f"{folder} exists already; repeat the command.")
    thumbs = [pictures.thumb(root / each.file) for each in wanted]
    shown = [
        ShownImage(
            each.file,
            _address(root / each.file, folder),
            pictures.data_url(thumb),
            pictures.preview(root / each.file),
            each.predicted,
            round(each.confidence, 4),
            each.reason,
        )
        for each, thumb in zip(wanted, thumbs, strict=True)
    ]
    key = hashlib.sha256(json.dumps([str(folder), *(each.file for each in wanted)]).encode()).hexdigest()
    title = f"{root.name}, {folder.name.replace('-', ' ')}"
    small = {each.file: each.thumb for each in shown}

    def picture(file: str) -> LinkedImage:
        if file not in small:
            small[file] = pictures.small(root / file)
        return LinkedImage(file, _address(root / file, folder), small[file])

    def fill(place: Path) -> None:
        (place / "batch.csv").write_text(_table(wanted), encoding="utf-8")
        summary = json.dumps(found.numbers(), indent=1, ensure_ascii=False)
        (place / "batch.json").write_text(summary, encoding="utf-8")
        tasks = json.dumps(_tasks(root, wanted), indent=1, ensure_ascii=False)
        (place / "labelstudio.json").write_text(tasks, encoding="utf-8")
        (place / "labelstudio.xml").write_text(_interface(classes), encoding="utf-8")
        captions = [each.predicted for each in wanted]
        pictures.sheet(thumbs, captions).save(place / "sheet.png")
        page = labeling_page(title, f"{folder.name} {key[:16]}", classes, shown)
        (place / PAGE).write_text(page, encoding="utf-8")
        (place / REPORT).write_text(report_page(title, found, picture), encoding="utf-8")

    files.publish_folder(folder, fill, "choose another folder with --out")


def _address(file: Path, folder: Path) -> str:
    """Returns where a file lies, seen from a folder, as a browser reads it."""
    try:
        return quote(Path(os.path.relpath(file, folder)).as_posix())
    except ValueError:  # another drive of Windows
        return file.as_uri()


def _table(wanted: Sequence[Wanted]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, each in enumerate(wanted, 1):
        confidence = f"{each.confidence:.4f}" if each.predicted else ""
        writer.writerow([rank, each.file, "", each.predicted, confidence, each.reason, ""])
    return text.getvalue()


def _tasks(root: Path, wanted: Sequence[Wanted]) -> list[dict[str, Any]]:
    """Returns tasks of Label Studio, which serves the images itself.

    For that, ``LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED`` is true, ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`` is the
    folder that ``root`` lies in, and ``root`` is a source storage of the project, of local files.
    """
    tasks = []
    for rank, each in enumerate(wanted, 1):
        data = {
            "image": f"/data/local-files/?d={quote(f'{root.name}/{each.file}')}",
            "file": each.file,
            "rank": rank,
            "reason": each.reason,
        }
        task: dict[str, Any] = {"data": data}
        if each.predicted:
            result = {
                "from_name": _FROM,
                "to_name": _TO,
                "type": "choices",
                "value": {"choices": [each.predicted]},
            }
            score = round(each.confidence, 4)
            task["predictions"] = [{"model_version": _VERSION, "score": score, "result": [result]}]
        tasks.append(task)
    return tasks


def _interface(classes: Sequence[str]) -> str:
    """Returns the labeling interface of Label Studio that fits the tasks; one without a choice is none."""
    shown = classes or ("class 1", "class 2")
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in shown)
    if not classes:
        choices = f"    <!-- Write your classes in place of these. -->\n{choices}"
    return (
        f'<View>\n  <Image name="{_TO}" value="$image"/>\n'
        f'  <Choices name="{_FROM}" toName="{_TO}" choice="single">\n{choices}\n  </Choices>\n</View>\n'
    )
