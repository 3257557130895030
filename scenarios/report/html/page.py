"""The page: one HTML text that holds everything, and asks for nothing outside itself."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from scenarios.play.comparison_folder import ComparisonSettings, Shown
from scenarios.play.run_folder import Run
from scenarios.report.curves import Curves
from scenarios.report.details import Known, results_csv
from scenarios.report.html import beside, repeat, sections
from scenarios.report.html.charts import Mark, dashes, marker
from scenarios.report.html.pictured import Pictured, said, seconds
from scenarios.report.html.sheets import contact_sheets
from scenarios.report.html.svg import drawing, tag
from scenarios.report.html.verdicts import verdicts
from scenarios.report.pictures import FEW_SEEDS
from scenarios.report.stats import spread

HERE = Path(__file__).parent
LONGEST = 100_000  # characters of CSV that the page shows; the link holds all of it


@dataclass(frozen=True)
class PublishedRow:
    """A published number beside ours, in percent; ours is NaN where no run stops there."""

    label: str
    labeled: int
    accuracy: float
    sd: float | None
    source: str
    own: float
    own_sd: float


@dataclass(frozen=True)
class Content:
    """Everything that the page is made of.

    Attributes:
        settings: What the folder was played with.
        shown: What the last command shows.
        pictures: Its pictures, those that have a finished run.
        curves: The finished runs of all arms that are shown.
        known: What these have kept beside accuracy.
        runs: The runs.
        failed: Sentences about runs that are not shown.
        claims: Sentences about what the comparison claims, shown at the top.
        analyses: Tables of all arms together, as text.
    """

    settings: ComparisonSettings
    shown: Shown
    pictures: Sequence[Pictured]
    curves: Sequence[Curves]
    known: Known
    runs: Sequence[Run]
    failed: Sequence[str] = ()
    claims: Sequence[str] = ()
    analyses: Sequence[str] = ()


def page(content: Content) -> str:
    """Returns the report as one HTML text; the same content gives the same bytes."""
    table = results_csv(content.curves, content.known)
    shared, own = repeat.settings_of_all(content.known)
    sheets = contact_sheets(_most_important(content), content.runs, content.known)
    return _template().render(
        title=content.shown.title,
        subtitle=_subtitle(content),
        claim=content.shown.claim,
        claims=content.claims,
        analyses=content.analyses,
        failed=content.failed,
        pictures=[_picture(each) for each in content.pictures],
        several=len(content.pictures) > 1,
        published=_published(content),
        no_published=_why_no_published(content),
        sheets=sheets,
        commands=repeat.commands(content.settings, content.shown),
        facts=repeat.facts(content.known),
        shared=shared,
        own=own,
        csv=table if len(table) <= LONGEST else table[:LONGEST].rsplit("\n", 1)[0],
        cut=len(table) > LONGEST,
        link=_link(table),
        style=Markup((HERE / "style.css").read_text()),
        script=Markup((HERE / "script.js").read_text()),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(said=said, seconds=seconds)
    return environment.get_template("page.html.jinja")


def _subtitle(content: Content) -> str:
    arms, seeds = len(content.curves), sorted({len(arm.seeds) for arm in content.curves})
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    labels = [int(end) for arm in content.curves for end in (arm.labeled[0], arm.labeled[-1])]
    return (
        f"{arms} arm{'' if arms == 1 else 's'}, {count} seed{'' if seeds == [1] else 's'} each, "
        f"{min(labels):,} to {max(labels):,} labels"
    )


def _most_important(content: Content) -> list[Curves]:
    """Returns the arms with those first that are switched on in a picture."""
    on = {label for picture in content.pictures for label in picture.switched_on}
    return sorted(content.curves, key=lambda arm: arm.label not in on)


# ---- pictures -----------------------------------------------------------------------------------------------


def _picture(shown: Pictured) -> dict[str, Any]:
    """Returns what the template needs of one picture."""
    on, marks = shown.switched_on, shown.marks
    return {
        "key": shown.key,
        "title": shown.picture.title,
        "verdicts": verdicts(shown.arms),
        "summary": shown.ranked,
        "switches": [
            {
                "key": marks[arm.label].key,
                "label": arm.label,
                "on": arm.label in on,
                "swatch": _swatch(marks[arm.label]),
            }
            for arm in shown.ranked
        ],
        "few": len(on) < len(shown.arms),
        "cut": len(shown.of_matrices) if len(shown.of_matrices) < len(shown.arms) else 0,
        "forest": sections.differences(shown),
        "curves": [sections.learning_curves(shown), sections.difference_curves(shown)],
        "lines": _what_lines_are(shown),
        "savings": sections.savings(shown),
        "saved": sections.saved_curve(shown),
        "costs": beside.costs(shown),
        "cost_charts": beside.cost_charts(shown),
        "nll": beside.nll_curves(shown),
        "balance": beside.balance_curves(shown),
        "maps": beside.class_maps(shown),
        "penalties": sections.penalty_map(shown),
    }


def _what_lines_are(shown: Pictured) -> str:
    counts = {len(arm.seeds) for arm in shown.curves}
    text = "Lines are means over seeds"
    if any(1 < count < FEW_SEEDS for count in counts):
        text += "; thin lines are single seeds"
    if any(count >= FEW_SEEDS for count in counts):
        text += "; bands are 95 % confidence intervals"
    return "Lines are single runs of one seed." if counts == {1} else text + "."


def _swatch(mark: Mark) -> Markup:
    """Returns a short piece of an arm's line."""
    line = tag("line", x1=2, x2=34, y1=7, y2=7, class_="mean", stroke_dasharray=dashes(mark.look))
    group = tag("g", line, marker(mark.look, 18, 7), style=f"--c:{mark.look.color}")
    return drawing(f"line of {mark.label}", 14, [group], 36)


# ---- published numbers --------------------------------------------------------------------------------------


def _is_of_the_paper(content: Content) -> bool:
    return bool(content.settings.facts.get("size", "paper") == "paper")


def _published(content: Content) -> list[PublishedRow]:
    """Returns the published numbers of arms that are shown, beside ours at the same number of labels."""
    if not _is_of_the_paper(content):
        return []
    curves = {arm.label: arm for arm in content.curves}
    rows = []
    for number in content.shown.published:
        if number.label in curves:
            arm = curves[number.label]
            at = np.flatnonzero(arm.labeled == number.labeled)
            own = 100 * arm.accuracy[:, at[0]] if len(at) else np.full(1, np.nan)
            rows.append(
                PublishedRow(
                    number.label,
                    number.labeled,
                    number.accuracy,
                    number.sd,
                    number.source,
                    float(own.mean()),
                    spread(own),
                )
            )
    return rows


def _why_no_published(content: Content) -> str:
    if not content.shown.published:
        return "This comparison has no published numbers."
    if not _is_of_the_paper(content):
        size = content.settings.facts["size"]
        return f"The published numbers are those of the size paper; these runs are of the size {size}."
    return "No arm with a published number has finished a run."


# ---- the data -----------------------------------------------------------------------------------------------


def _link(table: str) -> Mapping[str, str]:
    """Returns name and data URI of the whole table, compressed where it is long."""
    content, name, kind = table.encode(), "results.csv", "text/csv"
    if len(table) > LONGEST:
        content, name, kind = gzip.compress(content, mtime=0), "results.csv.gz", "application/gzip"
    return {"name": name, "uri": f"data:{kind};base64,{base64.b64encode(content).decode()}"}
