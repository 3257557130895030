"""The final table on the terminal; it fits 80 columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Column
from rich.text import Text

from scenarios.plan.scenario import Picture
from scenarios.report.fitted import Fitted
from scenarios.report.stats import Difference
from scenarios.report.summary import ArmSummary, ranked

LONG = 30  # characters of a label


def table(arms: Sequence[ArmSummary], picture: Picture) -> Group:
    """Returns final accuracy, area under the curve and paired differences, with remarks.

    Without queries there is no area; ``shows="labels"`` compares the labels that it takes instead of areas.

    Args:
        arms: The arms that have finished runs, in the order of the picture.
        picture: Its title, what each arm is subtracted from, what it shows, and whether arms are ranked.
    """
    title = picture.title
    if picture.shows == "labels":
        return _labels_table(arms, title)
    if all(math.isnan(arm.area) for arm in arms):
        return _final_table(arms, title)
    numbers = ["labels", "accuracy (%)\nmean ± sd", "area\n(%)", "difference\n[95 % interval]", "seeds"]
    spare = [numbers[i] for i in (0, 4, 2, 3)]
    if picture.ranked:
        numbers += ["query\n(s)", "query\n(MB)"]
        spare[:0] = numbers[-1:]
        spare[2:2] = [numbers[-2], numbers[1]]
    columns = [Column("agent"), *(Column(heading, justify="right", no_wrap=True) for heading in numbers)]
    result = Fitted(columns, spare, title=title or None, title_justify="left", title_style="bold")
    for arm in ranked(arms) if picture.ranked else arms:
        cells = (
            f"{arm.labels:,}",
            f"{arm.mean:.2f} ± {_number(arm.sd)}",
            _number(arm.area),
            _difference(arm.gain, arm.ceiling),
            str(arm.seeds),
        )
        costs = (_number(arm.query_seconds), _number(arm.query_megabytes, 0)) if picture.ranked else ()
        result.add_row(Text(_lines(arm.label)), *cells, *costs)
    if picture.ranked:
        remarks = [_usual_and_others(arms)]
    else:
        remarks = _what_differs(arms, picture.against)
        remarks += [said for arm in arms if not arm.ceiling and (said := _remark(arm)) is not None]
    return Group(result, *map(Text, remarks))


def _final_table(arms: Sequence[ArmSummary], title: str) -> Group:
    """Returns the accuracies of arms that buy nothing."""
    numbers = ("labels", "accuracy (%)\nmean ± sd", "seeds")
    columns = [Column("agent"), *(Column(heading, justify="right", no_wrap=True) for heading in numbers)]
    result = Fitted(columns, ["seeds"], title=title or None, title_justify="left", title_style="bold")
    for arm in arms:
        accuracy = f"{arm.mean:.2f} ± {_number(arm.sd)}"
        result.add_row(Text(_lines(arm.label)), f"{arm.labels:,}", accuracy, str(arm.seeds))
    return Group(result)


def _labels_table(arms: Sequence[ArmSummary], title: str) -> Group:
    """Returns how many labels each reference needs for one of an arm, at the accuracy that the reference ends with."""
    numbers = ("labels", "accuracy (%)\nmean ± sd", "labeling\nefficiency", "seeds")
    columns = [Column("agent"), *(Column(heading, justify="right", no_wrap=True) for heading in numbers)]
    spare = [numbers[i] for i in (3, 0)]
    result = Fitted(columns, spare, title=title or None, title_justify="left", title_style="bold")
    for arm in arms:
        accuracy = f"{arm.mean:.2f} ± {_number(arm.sd)}"
        efficiency = "" if arm.efficiency is None else _number(arm.efficiency)
        result.add_row(Text(_lines(arm.label)), f"{arm.labels:,}", accuracy, efficiency, str(arm.seeds))
    references = ", ".join(dict.fromkeys(arm.against for arm in arms if arm.against is not None))
    said = f"labeling efficiency: labels that {references} needs for its last accuracy over those that the agent needs"
    return Group(result, Text(f"{said}; - where it never gets there"))


def _lines(label: str) -> str:
    """Puts each setting of a long label on a line of its own, so that the numbers beside it have room."""
    return label if len(label) <= LONG else label.replace("@", "\n@")


def pair(label: str, reference: str) -> str:
    """Names a difference where an arm's label alone would not say which."""
    return f"{label} against {reference}"


def usual_reference(arms: Sequence[ArmSummary]) -> str | None:
    """Returns the arm that most arms are compared with; None where none is compared."""
    counts = Counter(arm.against for arm in arms if arm.against is not None)
    return counts.most_common(1)[0][0] if counts else None


def _usual_and_others(arms: Sequence[ArmSummary]) -> str:
    """Says what the column of differences holds where many arms share a reference and a few have others."""
    usual = usual_reference(arms)
    if usual is None:
        return "no differences: no reference arm has a finished run"
    others = [arm for arm in arms if arm.against not in (None, usual)]
    said = "".join(f"; {pair(arm.label, arm.against or '')}" for arm in others)
    return f"difference: of the area under the curve to that of {usual}, paired by seed{said}"


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


def _number(value: float, digits: int = 2) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _difference(gain: Difference | None, ceiling: bool) -> Text:
    if gain is None:
        return Text("")
    low, high = gain.interval
    bounds = "one seed" if math.isnan(low) else f"{low:+.2f}, {high:+.2f}"
    style = "" if ceiling else "green" if low > 0 else "red" if high < 0 else ""
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
