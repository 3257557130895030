"""The final table on the terminal; it fits 80 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from scenarios.stats import Difference
from scenarios.summary import ArmSummary

STYLE: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}


def table(arms: Sequence[ArmSummary], reference: str | None, title: str = "") -> Group:
    """Returns final accuracy, area under the curve and paired difference to the reference arm, with remarks.

    Args:
        arms: The arms, in the order of their rows.
        reference: Label of the reference arm; None where it has no finished run.
        title: Heading; empty for none.
    """
    result = Table(title=title or None, title_justify="left", title_style="bold", **STYLE)
    result.add_column("agent")
    for heading in ("labels", "accuracy (%)\nmean ± sd", "area\n(%)"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("difference\n[95 % interval]", justify="right", no_wrap=True)
    result.add_column("seeds", justify="right", no_wrap=True)
    for arm in arms:
        result.add_row(
            Text(arm.label),
            f"{arm.labels:,}",
            f"{arm.mean:.2f} ± {_number(arm.sd)}",
            _number(arm.area),
            _difference(arm.gain),
            str(arm.seeds),
        )
    if reference is None:
        return Group(result, Text("no differences: the reference arm has no finished run"))
    remarks = [Text(f"difference: of the area under the curve to that of {reference}, paired by seed")]
    remarks += [remark for arm in arms if (remark := _remark(arm, reference)) is not None]
    return Group(result, *remarks)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _difference(gain: Difference | None) -> Text:
    if gain is None:
        return Text("")
    low, high = gain.interval
    bounds = "one seed" if math.isnan(low) else f"{low:+.2f}, {high:+.2f}"
    style = "green" if low > 0 else "red" if high < 0 else ""
    return Text(f"{gain.mean:+.2f} [{bounds}]", style=style)


def _remark(arm: ArmSummary, reference: str) -> Text | None:
    """Says what the difference does not: that there is none, rests on fewer seeds, or is undecided."""
    said = None
    if not arm.comparable:
        said = "other label counts, so their areas are not compared"
    elif arm.gain is not None and arm.gain.seeds < arm.seeds:
        said = f"only {arm.gain.seeds} of {arm.seeds} seeds are shared"
    elif arm.gain is not None and not (arm.gain.interval.low > 0 or arm.gain.interval.high < 0):
        said = _undecided(arm, arm.gain)
    return None if said is None else Text(f"{arm.label} and {reference}: {said}.")


def _undecided(arm: ArmSummary, gain: Difference) -> str:
    """Says how many seeds would be enough where the interval holds zero."""
    if gain.seeds < 2:
        return "undecided; give at least 2 seeds"
    if gain.sd == 0:
        return "the same area for every seed"
    if arm.more_seeds is None:
        return "no difference that more seeds could show"
    more = f"about {arm.more_seeds:,}" if arm.more_seeds else "a few"
    return f"undecided; {more} more {'seed is' if arm.more_seeds == 1 else 'seeds are'} needed"
