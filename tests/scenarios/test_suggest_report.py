"""``report.html`` of a batch, in every state of a project."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import photos
import pytest
from command import run
from labeling import FEATURES, answer, asked, files_of, first, label_file

from scenarios.suggest import Suggestion
from scenarios.suggest.findings.label_findings import LabelFindings
from scenarios.suggest.pages import telling


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """60 images of three kinds, and their classes."""
    root = tmp_path / "my photos"
    return root, photos.write(root, 3, 20)


def page_of(found: Suggestion) -> str:
    return found.report.read_text(encoding="utf-8")


def section(page: str, name: str) -> str:
    return page.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def test_the_page_before_the_first_label(folder: tuple[Path, dict[str, str]]) -> None:
    found = asked(folder[0])
    page = page_of(found)
    assert found.findings == LabelFindings()
    assert "No image is labeled yet" in section(page, "next")
    assert section(page, "batch").count("<img") == 10
    assert section(page, "accuracy") == ""


def test_the_page_of_one_class(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    one = {file: label for file, label in first(truth, 6).items() if label == "kind 0"}
    found = asked(root, (label_file(root.parent / "labels.csv", one),))
    assert [(each.name, each.labels, each.held_out) for each in found.findings.classes] == [
        ("kind 0", 6, (1, 1))
    ]
    assert found.findings.gain is None
    assert "cannot be foretold" in section(page_of(found), "next")
    assert "once two classes have five" in section(page_of(found), "wrong")


def test_the_page_without_held_out_labels(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    found = asked(root, (label_file(root.parent / "labels.csv", first(truth, 4)),))
    assert found.findings.batches.labels == ()
    assert found.findings.few == ("kind 0", "kind 1", "kind 2")
    assert "No label is held out yet" in section(page_of(found), "accuracy")
    assert "kind 0, kind 1, kind 2" in section(page_of(found), "classes")


def test_the_page_of_twenty_classes_of_five(tmp_path: Path) -> None:
    truth = photos.write(tmp_path / "many", 20, 7)
    found = asked(tmp_path / "many", (label_file(tmp_path / "labels.csv", first(truth, 5)),), 20)
    findings = found.findings
    assert findings.crossed.labels[-1] == 80
    assert findings.gain is not None
    assert findings.brings == 16
    assert findings.law.labels[-1] == 96
    assert sum(each.crossed[1] for each in findings.classes) == 100
    assert section(page_of(found), "classes").count("<tr") == 21


def test_the_page_after_batches(tmp_path: Path) -> None:
    root = tmp_path / "my photos"
    truth = photos.write(root, 3, 60)
    labels = label_file(tmp_path / "labels.csv", first(truth, 5))
    counts = []
    for _ in range(4):
        found = asked(root, (labels,), size=15)
        counts.append(sum(found.labels.values()) - found.validation[1])
        answer(found, truth)
    findings = found.findings
    assert findings.batches.labels == tuple(counts)
    assert findings.batches.accuracy[-1][0] == found.validation[0] / found.validation[1]
    assert findings.batches.accuracy[-1][1:] == found.interval
    assert findings.chosen
    assert findings.missing == 0
    assert findings.agreement is not None
    page = page_of(found)
    assert telling.NO_SAMPLE in page
    assert page.count("<svg") == 2
    assert "kappa" in section(page, "next")
    assert f'href="../../my%20photos/{found.wanted[0].file}"' in page


def test_wrong_labels_and_near_duplicates_are_shown(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    known = first(truth, 15)
    known["00-0.png"] = "kind 1"
    shutil.copy(root / "03-2.png", root / "03-copy.png")
    for number in range(5):
        shutil.copy(root / "19-1.png", root / f"19-copy {number}.png")
    labels = label_file(root.parent / "labels.csv", {**known, "03-copy.png": "kind 1"})
    found = asked(root, (labels,), 8, agent="random")
    assert {each.file for each in found.findings.wrong} == {"00-0.png", "03-copy.png"}
    assert {each.likelier for each in found.findings.wrong} == {"kind 0", "kind 2"}
    assert ("03-2.png", "03-copy.png") in [each.files for each in found.findings.clashes]
    assert found.near_duplicates
    for passed, taken in found.near_duplicates:
        assert passed not in files_of(found)
        assert taken in files_of(found)
        assert truth.get(passed, "kind 1") == truth.get(taken, "kind 1")
    page = page_of(found)
    assert section(page, "wrong").count("<img") == 2 + len(found.findings.doubtful) + 2 * len(
        found.findings.clashes
    )
    assert section(page, "duplicates").count("<img") == 2 * len(found.near_duplicates)
    assert "Probably wrong labels: 2" in section(page, "next")


def test_names_are_text_and_the_page_asks_nothing_of_a_network(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    evil = '<img src=x onerror="alert(1)"> & {{ 7 * 7 }}'
    (root / "00-0.png").rename(root / f"00{evil}.png")
    known = {**first(truth, 10), f"00{evil}.png": f"<b>{evil}"}
    for number in range(5):
        known[f"0{number}-1.png"] = f"<b>{evil}"
    del known["00-0.png"]
    page = page_of(asked(root, (label_file(root.parent / "labels.csv", known),), 35))
    assert "<img src=x" not in page
    assert "<b><img" not in page
    assert "&lt;b&gt;&lt;img src=x" in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|fetch\(|<script", page)


def test_what_the_command_says_of_findings(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    labels = label_file(root.parent / "labels.csv", first(truth, 10))
    arguments = ("suggest", str(root), "--labels", str(labels), "--size", "9", "--features", FEATURES)
    _, out, _ = run(*arguments)
    assert "is expected to bring" in out
    assert "Whether it is time to stop is not told" in out
    assert "report.html" in out
    assert telling.NO_SAMPLE not in out
    batch = json.loads(Path("my photos-labeling/batch-001/batch.json").read_text(encoding="utf-8"))
    for each in batch["wanted"]:
        each["label"] = truth[each["file"]]
    answered = {each["file"]: truth[each["file"]] for each in batch["wanted"]}
    label_file(Path("my photos-labeling/batch-001/labels.csv"), answered)
    code, out, _ = run(*arguments)
    assert code == 0
    assert telling.NO_SAMPLE in out
    _, out, _ = run(*arguments, "--json")
    told: dict[str, Any] = json.loads(out)
    assert told["report"].endswith("report.html")
    assert set(told["findings"]) >= {"gain", "stop", "agreement", "wrong", "doubtful", "clashes", "classes"}
    assert told["findings"]["stop"] is False
