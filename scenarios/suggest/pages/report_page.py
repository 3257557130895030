"""``report.html``: one file that shows a batch and what the labels say, without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from scenarios.report import stats
from scenarios.report.html import charts
from scenarios.report.html.charts import Line, Mark
from scenarios.report.pictures import Look
from scenarios.suggest.findings.folds import FOLDS
from scenarios.suggest.findings.label_findings import ClassFound, Curve, LabelFindings
from scenarios.suggest.pages import telling
from scenarios.suggest.suggestion import Suggestion

HERE = Path(__file__).parent
_MOST_WANTED, _MOST_WRONG, _MOST_PAIRS = 200, 100, 50  # that are shown: pictures make a page heavy
_MEASURED, _FITTED = Look("#4477aa", "solid", "o"), Look("#aa3377", (0, (5, 2)), "s")
_LABELS, _ACCURACY = "labels that teach", "accuracy (%)"


@dataclass(frozen=True)
class LinkedImage:
    """An image that the page shows.

    Attributes:
        file: Its name.
        url: Where it lies, seen from the page.
        thumb: A small picture of it as a data URL, or empty.
    """

    file: str
    url: str
    thumb: str


def report_page(title: str, found: Suggestion, picture: Callable[[str], LinkedImage]) -> str:
    """Returns the page.

    Args:
        title: Its heading.
        found: What it shows.
        picture: Shows a file.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["percent"] = _percent
    findings = found.findings
    style = (Path(charts.__file__).parent / "style.css").read_text() + (HERE / "report.css").read_text()
    return environment.get_template("report.html.jinja").render(
        title=title,
        style=Markup(style),
        found=found,
        findings=findings,
        total=sum(found.labels.values()),
        verdicts=_verdicts(findings) if found.labels else [],
        of_head=telling.OF_HEAD if found.recipe else "",
        caution=telling.NO_SAMPLE if findings.chosen and found.validation[1] else "",
        charts=_charts(findings),
        classes=[_row(each) for each in sorted(findings.classes, key=_share)],
        weakest=_weakest(findings),
        wrong=[(picture(each.file), each) for each in findings.wrong[:_MOST_WRONG]],
        doubtful=[(picture(each.file), each) for each in findings.doubtful[:_MOST_WRONG]],
        clashes=[_pair(picture, each.files, each.labels) for each in findings.clashes[:_MOST_PAIRS]],
        passed=[_pair(picture, files, ("", "")) for files in found.near_duplicates[:_MOST_PAIRS]],
        wanted=[(picture(each.file), each) for each in found.wanted[:_MOST_WANTED]],
        judged_from=FOLDS,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _pair(
    picture: Callable[[str], LinkedImage], files: tuple[str, str], labels: tuple[str, str]
) -> list[tuple[LinkedImage, str]]:
    return [(picture(file), label) for file, label in zip(files, labels, strict=True)]


def _verdicts(found: LabelFindings) -> list[tuple[str, str]]:
    """Returns sentences, each after the kind that colors it."""
    lines = [("", telling.expected(found)), ("better" if found.stop else "", telling.stopping(found))]
    if said := telling.suspicion(found):
        lines.append(("worse" if found.wrong or found.clashes else "", said))
    return lines


# ---- charts --------------------------------------------------------------------------------------------------


def _charts(found: LabelFindings) -> list[tuple[str, Markup]]:
    drawn = []
    if len(found.batches.labels) > 1:
        mark = Mark("held-out labels", "held-out", _MEASURED)
        drawn.append(("Batch after batch, on the held-out labels", _chart([_line(found.batches, mark)])))
    if len(found.crossed.labels) > 1:
        lines = [_line(found.crossed, Mark("measured", "measured", _MEASURED))]
        if found.law.labels:
            lines.append(_line(found.law, Mark("fitted law", "fitted", _FITTED)))
        drawn.append(("With a part of the labels, in cross-validation", _chart(lines)))
    return drawn


def _chart(lines: Sequence[Line]) -> Markup:
    return charts.line_chart("Accuracy over labels", lines, x_title=_LABELS, y_title=_ACCURACY)


def _line(curve: Curve, mark: Mark) -> Line:
    values = 100 * np.array(curve.accuracy)
    extent = (float(values.min()), float(values.max()))
    return Line(mark, np.array(curve.labels, dtype=float), values[:, 0], values[:, 1:].T, extent=extent)


# ---- classes -------------------------------------------------------------------------------------------------


def _share(each: ClassFound) -> tuple[float, str]:
    right, total = each.crossed
    return (right / total if total else 0.0, each.name)


def _row(each: ClassFound) -> dict[str, Any]:
    return {
        "name": each.name,
        "labels": each.labels,
        "crossed": _recall(each.crossed) if each.labels >= FOLDS else "",
        "held_out": _recall(each.held_out),
    }


def _recall(counts: tuple[int, int]) -> str:
    """Returns right ones of all, and the interval of their share in percent; empty without any."""
    right, total = counts
    if not total:
        return ""
    low, high = stats.wilson(right, total)
    return f"{right:,} of {total:,} [{_percent(low)}, {_percent(high)}]"


def _weakest(found: LabelFindings) -> str:
    by_name = {each.name: each for each in found.classes}
    parts = []
    for name in found.weakest:
        right, total = by_name[name].crossed
        parts.append(f"{name} ({right:,} of {total:,} found)")
    return ", ".join(parts)
