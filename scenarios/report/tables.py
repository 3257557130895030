"""Tables on the terminal; they fit 80 columns, and lose columns before they cut a name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Column, Table
from rich.text import Text

from scenarios.report.stats import Difference
from scenarios.report.summary import ArmSummary

STYLE: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
_GAP, _EDGES = 2, 1  # characters between two columns in this style, and at its edges


class Fitted:
    """A table whose words are never cut, least of all the names in its first column.

    Where the terminal is too narrow for them, columns are left out, and a line says which.
    """

    def __init__(self, columns: Sequence[Column], spare: Sequence[str], **style: Any) -> None:
        """Takes the columns; ``add_row`` fills them.

        Args:
            columns: The columns; the first one holds the names.
            spare: Headers of those that may be left out, the least important first.
            **style: Further settings of the table.
        """
        self._columns = [replace(column, overflow="fold") for column in columns]
        self._spare = spare
        self._style = {**STYLE, **style}
        self._rows: list[tuple[str | Text, ...]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Adds a row, one cell per column."""
        self._rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the table with as many columns as there is room for."""
        left_out = self._left_out(options.max_width)
        widths = self._widths(self._kept(left_out), options.max_width)
        shown = Table(
            *(replace(self._columns[i], _cells=[], width=w) for i, w in widths.items()), **self._style
        )
        for cells in self._rows:
            shown.add_row(*(cells[i] for i in widths))
        yield shown
        if left_out:
            names = ", ".join(" ".join(header.split()) for header in left_out)
            yield Text(f"no room for: {names}")

    def _left_out(self, room: int) -> list[str]:
        """Returns the headers of columns that a table of so many characters must do without."""
        left_out: list[str] = []
        for header in self._spare:
            if self._needs(self._kept(left_out)) <= room:
                break
            left_out.append(header)
        for header in left_out[::-1]:  # the last to go may have made room for a narrower one
            rest = [other for other in left_out if other != header]
            if self._needs(self._kept(rest)) <= room:
                left_out = rest
        return left_out

    def _kept(self, left_out: Sequence[str]) -> list[int]:
        return [i for i, column in enumerate(self._columns) if column.header not in left_out]

    def _needs(self, kept: Sequence[int]) -> int:
        """Returns the width of a table of some columns, whose words are whole."""
        return sum(self._extent(i, whole=self._columns[i].no_wrap) + _GAP for i in kept) + _EDGES

    def _widths(self, kept: Sequence[int], room: int) -> dict[int, int | None]:
        """Returns the width of each column that is kept; None where a name must be broken, however."""
        spare = room - self._needs(kept)
        if spare < 0:
            return dict.fromkeys(kept)
        widths = {i: self._extent(i, whole=self._columns[i].no_wrap) for i in kept}
        most = {i: self._extent(i, whole=True) for i in kept}
        while spare and (tight := [i for i in kept if widths[i] < most[i]]):
            widths[max(tight, key=lambda i: most[i] / widths[i])] += 1
            spare -= 1
        return dict(widths)

    def _extent(self, position: int, whole: bool) -> int:
        """Returns the width of a column's longest line, or without ``whole`` of its longest word."""
        texts = [self._columns[position].header, *(cells[position] for cells in self._rows)]
        parts = [part for text in map(str, texts) for part in (text.splitlines() if whole else text.split())]
        return max(map(cell_len, parts), default=1) or 1


def table(arms: Sequence[ArmSummary], against: Mapping[str, str], title: str = "") -> Group:
    """Returns final accuracy, area under the curve and paired differences, with remarks.

    Args:
        arms: The arms, in the order of their rows.
        against: Label -> the label it is subtracted from, whether that has a finished run or not.
        title: Heading; empty for none.
    """
    numbers = ("labels", "accuracy (%)\nmean ± sd", "area\n(%)", "difference\n[95 % interval]", "seeds")
    columns = [Column("agent"), *(Column(heading, justify="right", no_wrap=True) for heading in numbers)]
    spare = [numbers[i] for i in (0, 4, 2, 3)]
    result = Fitted(columns, spare, title=title or None, title_justify="left", title_style="bold")
    for arm in arms:
        result.add_row(
            Text(arm.label),
            f"{arm.labels:,}",
            f"{arm.mean:.2f} ± {_number(arm.sd)}",
            _number(arm.area),
            _difference(arm.gain),
            str(arm.seeds),
        )
    remarks = [*_what_differs(arms, against), *(said for arm in arms if (said := _remark(arm)) is not None)]
    return Group(result, *map(Text, remarks))


def pair(label: str, reference: str) -> str:
    """Names a difference where an arm's label alone would not say which."""
    return f"{label} against {reference}"


def _what_differs(arms: Sequence[ArmSummary], against: Mapping[str, str]) -> list[str]:
    """Says what the column of differences holds, and which of them a missing reference leaves out."""
    compared = [arm for arm in arms if arm.against is not None]
    missing = [arm for arm in arms if arm.against is None and arm.label in against]
    if len(set(against.values())) == 1:
        (reference,) = set(against.values())
        if missing:
            return ["no differences: the reference arm has no finished run"]
        return [f"difference: of the area under the curve to that of {reference}, paired by seed"]
    said = []
    if compared:
        pairs = "; ".join(pair(arm.label, arm.against or "") for arm in compared)
        said.append(f"difference: of the area under the curve, paired by seed, {pairs}")
    said += [f"{arm.label}: no difference, since {against[arm.label]} has no finished run" for arm in missing]
    return said


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _difference(gain: Difference | None) -> Text:
    if gain is None:
        return Text("")
    low, high = gain.interval
    bounds = "one seed" if math.isnan(low) else f"{low:+.2f}, {high:+.2f}"
    style = "green" if low > 0 else "red" if high < 0 else ""
    return Text(f"{gain.mean:+.2f} [{bounds}]", style=style)


def _remark(arm: ArmSummary) -> str | None:
    """Says what the difference does not: that there is none, rests on fewer seeds, or is undecided."""
    said = None
    if not arm.comparable:
        said = "other label counts, so their areas are not compared"
    elif arm.gain is not None and arm.gain.seeds < arm.seeds:
        said = f"only {arm.gain.seeds} of {arm.seeds} seeds are shared"
    elif arm.gain is not None and not (arm.gain.interval.low > 0 or arm.gain.interval.high < 0):
        said = _undecided(arm, arm.gain)
    return None if said is None else f"{arm.label} and {arm.against}: {said}."


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
