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


def table(arms: Sequence[ArmSummary], reference: str, title: str = "") -> Group:
    """Returns final accuracy, area under the curve and paired difference to the reference arm, with remarks.

    Args:
        arms: The arms, in the order of their rows.
        reference: Label of the reference arm.
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
            arm.label,
            f"{arm.labels:,}",
            f"{arm.mean:.2f} ± {_number(arm.sd)}",
            _number(arm.area),
            _difference(arm.gain),
            str(arm.seeds),
        )
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
    """Says how many seeds would be enough where the interval holds zero."""
    if arm.gain is None or arm.gain.interval.low > 0 or arm.gain.interval.high < 0:
        return None
    if arm.gain.sd == 0:
        return Text(f"{arm.label} and {reference}: the same area for every seed.")
    if arm.more_seeds is None:
        return Text(f"{arm.label} and {reference}: undecided; give at least 2 seeds.")
    more = f"about {arm.more_seeds:,}" if arm.more_seeds else "a few"
    noun = "seed is" if arm.more_seeds == 1 else "seeds are"
    return Text(f"{arm.label} and {reference}: undecided; {more} more {noun} needed.")
