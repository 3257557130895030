"""What a scenario's analyses come to, and how the terminal shows them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.console import Group as Lines
from rich.table import Column
from rich.text import Text

from scenarios.plan.analyses import Analysis, TwoWay
from scenarios.report.curves import Curves
from scenarios.report.fitted import Fitted
from scenarios.report.ladder import Agreement, Correlation, agreements
from scenarios.report.stats import Difference
from scenarios.report.two_way import Crossed, split


@dataclass(frozen=True)
class Climbed:
    """What a ladder comes to: one row for every two rungs."""

    rows: tuple[Agreement, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {"agreements": [row.as_json() for row in self.rows]}


Found = Crossed | Climbed


def analyze(curves: Sequence[Curves], asked: Sequence[Analysis]) -> list[Found]:
    """Computes all analyses from the arms that have finished runs."""
    return [
        split(curves, each) if isinstance(each, TwoWay) else Climbed(tuple(agreements(curves, each)))
        for each in asked
    ]


def shown(found: Found) -> Lines:
    """Returns an analysis as tables of the terminal."""
    return _two_way(found) if isinstance(found, Crossed) else _ladder(found)


def text(found: Found, width: int = 100) -> str:
    """Returns an analysis as plain text, so many characters wide."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(shown(found))
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO above
    return "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n")


def _two_way(found: Crossed) -> Lines:
    strategies = list(dict.fromkeys(name for row in found.regimes for name in row.choices))
    trained, titles = (
        f"{found.reference}\nminus plain",
        [f"{name}\nminus {found.reference}" for name in strategies],
    )
    columns = [Column("training"), *(Column(title, justify="right") for title in (trained, *titles))]
    table = Fitted(columns, titles[::-1], title="Training by strategy", **_TITLE)
    for row in found.regimes:
        gains = (row.training, *(row.choices.get(name) for name in strategies))
        table.add_row(row.regime, *map(_gain, gains))
    parts: list[Fitted | Text] = [table]
    if found.leads:
        heads = (f"lead over\nplain {found.reference}", "of which\ntraining", "of which\nchoice")
        named = [Column("method"), Column("came with")]
        leads = Fitted(
            [*named, *(Column(head, justify="right", no_wrap=True) for head in heads)],
            ["came with"],
            title="What is training and what is choice",
            **_TITLE,
        )
        for lead in found.leads:
            leads.add_row(lead.method, lead.regime, *map(_gain, (lead.total, lead.training, lead.choice)))
        parts.append(leads)
    said = "points of area under the curve, paired by seed, with 95 % intervals"
    return Lines(*parts, Text(said))


def _ladder(found: Climbed) -> Lines:
    heads = ("Spearman's rho\n[95 % interval]", "Kendall's tau\n[95 % interval]", "strategies", "seeds")
    columns = [Column("rungs"), *(Column(head, justify="right", no_wrap=True) for head in heads)]
    table = Fitted(columns, heads[::-1], title="Do the rungs rank the strategies alike?", **_TITLE)
    for row in found.rows:
        correlations = (_correlation(row.spearman), _correlation(row.kendall))
        table.add_row(" and ".join(row.rungs), *correlations, str(row.strategies), str(row.seeds))
    return Lines(table, Text("of mean areas under the curve; intervals: bootstrap over seeds"))


_TITLE: dict[str, Any] = {"title_justify": "left", "title_style": "bold"}


def _gain(gain: Difference | None) -> str:
    if gain is None:
        return ""
    low, high = gain.interval
    bounds = "one seed" if math.isnan(low) else f"{low:+.2f}, {high:+.2f}"
    return f"{gain.mean:+.2f}\n[{bounds}]"


def _correlation(found: Correlation) -> str:
    if math.isnan(found.value):
        return "-"
    low, high = found.interval
    bounds = "one seed" if math.isnan(low) else f"{low:+.2f}, {high:+.2f}"
    return f"{found.value:+.2f} [{bounds}]"
