"""The final table on the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from scenarios.stats import Difference
from scenarios.summary import ArmSummary


def table(arms: Sequence[ArmSummary], reference: str, title: str = "") -> Table:
    """Returns a table of final accuracy, area under the curve and paired difference to the reference arm."""
    result = Table(title=title or None, title_justify="left", title_style="bold")
    result.add_column("agent")
    for heading in (
        "labels",
        "accuracy (%)",
        "sd",
        "area (%)",
        f"area - {reference} (95 % interval)",
        "seeds",
    ):
        result.add_column(heading, justify="right")
    result.add_column("verdict")
    for arm in arms:
        result.add_row(
            arm.label,
            f"{arm.labels:,}",
            _number(arm.mean),
            _number(arm.sd),
            _number(arm.area),
            _difference(arm.gain),
            str(arm.seeds),
            _verdict(arm),
        )
    return result


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _difference(gain: Difference | None) -> str:
    if gain is None:
        return ""
    low, high = gain.interval
    bounds = "one seed has no interval" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"
    return f"{gain.mean:+.2f} ({bounds})"


def _verdict(arm: ArmSummary) -> Text:
    """Says whether the interval excludes zero or, where it does not, how many seeds would be enough."""
    if arm.gain is None:
        return Text("")
    if arm.gain.interval.low > 0:
        return Text("better", style="green")
    if arm.gain.interval.high < 0:
        return Text("worse", style="red")
    if arm.more_seeds:
        return Text(f"undecided: about {arm.more_seeds:,} more seeds needed", style="yellow")
    return Text("undecided: more seeds needed", style="yellow")
