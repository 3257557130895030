"""The charts of the report: pure functions from numbers to SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from scenarios.report.html.svg import (
    BOTTOM,
    LEFT,
    LETTER,
    RIGHT,
    TOP,
    WIDTH,
    Frame,
    around,
    axis_title,
    drawing,
    number,
    points,
    shortened,
    tag,
    ticks,
)
from scenarios.report.pictures import Look, spread_apart

MANY_TIMES = 20.0  # a range this wide is shown on a logarithmic axis
MOST_TIPS = 40  # columns of a matrix whose cells say what they are when they are pointed at
_ABOVE = 6  # units above a forest plot


@dataclass(frozen=True)
class Mark:
    """Which arm something belongs to.

    Attributes:
        label: The arm's label.
        key: The class that a switch hides.
        look: Color, dash and marker.
    """

    label: str
    key: str
    look: Look


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        mark: Whose it is.
        x: float (P,).
        y: Means, float (P,).
        band: Lower and upper end at each point, float (2, P); or None.
        seeds: Values of single seeds, float (S, P), drawn thin; or None.
        extent: Lowest and highest value of a seed, for which there is room beside ``y``; or None. A band may leave
            the picture, since that of few seeds is wide.
    """

    mark: Mark
    x: np.ndarray
    y: np.ndarray
    band: np.ndarray | None = None
    seeds: np.ndarray | None = None
    extent: tuple[float, float] | None = None


@dataclass(frozen=True)
class Point:
    """One point of a scatter plot; ``named`` ones have the arm's label beside them."""

    mark: Mark
    x: float
    y: float
    named: bool = True


@dataclass(frozen=True)
class Row:
    """One row of a forest plot: a difference with its interval, whose ends are NaN where one seed says nothing."""

    mark: Mark
    name: str
    value: float
    low: float
    high: float


def _group(mark: Mark, *content: Markup) -> Markup:
    """Returns parts that are switched together, in the arm's color."""
    return tag(
        "g", tag("title", mark.label), *content, class_=f"arm {mark.key}", style=f"--c:{mark.look.color}"
    )


def dashes(look: Look) -> str | None:
    """Returns what ``stroke-dasharray`` takes; None for a solid line."""
    return None if isinstance(look.dash, str) else " ".join(f"{1.6 * each:g}" for each in look.dash[1])


def marker(look: Look, x: float, y: float, size: float = 3.0) -> Markup:
    """Returns an arm's marker: circle, square, diamond or a triangle."""
    shapes = {
        "s": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "D": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "^": ((0, -1.3), (1.2, 1), (-1.2, 1)),
        "v": ((0, 1.3), (1.2, -1), (-1.2, -1)),
    }
    if look.marker not in shapes:
        return tag("circle", cx=x, cy=y, r=size, class_="dot")
    shape = shapes[look.marker]
    corners = points((x + size * dx for dx, _ in shape), (y + size * dy for _, dy in shape))
    return tag("polygon", points=corners, class_="dot")


def line_chart(
    title: str, lines: Sequence[Line], *, x_title: str, y_title: str, zero: bool = False
) -> Markup:
    """Draws lines with bands or single seeds.

    Args:
        title: What the chart shows, for those who do not see it.
        lines: At least one.
        x_title: Name and unit of the axis below.
        y_title: Name and unit of the axis at the left.
        zero: Whether zero has a line of its own.
    """
    heights = [line.y if line.extent is None else np.array(line.extent) for line in lines]
    values = np.concatenate([*heights, np.zeros(int(zero))])
    across = np.concatenate([line.x for line in lines])
    x = (float(across.min()), float(across.max()))
    frame = Frame(x if x[0] < x[1] else around(x), around(values.tolist()))
    parts = frame.axes(x_title, y_title)
    if zero:
        at = frame.down(0.0)
        parts.append(tag("line", x1=frame.across(frame.x[0]), x2=WIDTH - RIGHT, y1=at, y2=at, class_="zero"))
    parts += [_line(frame, line) for line in lines]
    return drawing(title, frame.height, parts)


def _line(frame: Frame, line: Line) -> Markup:
    known = np.isfinite(line.y)
    xs = [frame.across(value) for value in line.x[known].tolist()]
    parts = []
    if line.band is not None:
        low, high = np.clip(line.band[:, known], *frame.y)
        edge = [frame.down(value) for value in (*low.tolist(), *high[::-1].tolist())]
        parts.append(tag("polygon", points=points([*xs, *xs[::-1]], edge), class_="band"))
    for seed in () if line.seeds is None else line.seeds:
        places = [frame.down(value) for value in seed[known].tolist()]
        parts.append(tag("polyline", points=points(xs, places), class_="seed"))
    ys = [frame.down(value) for value in line.y[known].tolist()]
    dash = dashes(line.mark.look)
    parts.append(tag("polyline", points=points(xs, ys), class_="mean", stroke_dasharray=dash))
    if len(xs) <= 25:
        parts += [marker(line.mark.look, x, y, 2.4) for x, y in zip(xs, ys, strict=True)]
    return _group(line.mark, *parts)


def scatter(title: str, found: Sequence[Point], *, x_title: str, y_title: str) -> Markup:
    """Draws one named point per arm; the axis below is logarithmic where values differ many times.

    Args:
        title: What the chart shows.
        found: At least one; all finite.
        x_title: Name and unit of the axis below.
        y_title: Name and unit of the axis at the left.
    """
    xs, ys = [point.x for point in found], [point.y for point in found]
    log = min(xs) > 0 and max(xs) > MANY_TIMES * min(xs)
    x = (min(xs) / 1.5, max(xs) * 1.5) if log else around(xs, 0.1)
    frame = Frame(x, around(ys, 0.12), log=log)
    parts = frame.axes(x_title + (", log scale" if log else ""), y_title)
    named = sorted((point for point in found if point.named), key=lambda point: frame.down(point.y))
    places = [frame.down(point.y) for point in named]
    apart = spread_apart(places, 12.0, TOP, frame.height - BOTTOM)
    names = {point.mark.label: place for point, place in zip(named, apart, strict=True)}
    for point in found:
        across, down = frame.across(point.x), frame.down(point.y)
        drawn = [marker(point.mark.look, across, down, 4)]
        if (place := names.get(point.mark.label)) is not None:
            left = across > WIDTH * 0.6
            room = across - LEFT if left else WIDTH - across - 8
            beside, kind = (across - 7, "name end") if left else (across + 7, "name")
            drawn.append(tag("text", shortened(point.mark.label, room), x=beside, y=place + 4, class_=kind))
        parts.append(_group(point.mark, *drawn))
    return drawing(title, frame.height, parts)


def forest(title: str, rows: Sequence[Row], *, x_title: str) -> Markup:
    """Draws differences with their intervals, one below the other, in the order given.

    Args:
        title: What the chart shows.
        rows: At least one.
        x_title: Name and unit of the axis.
    """
    longest = max(len(row.name) for row in rows) * LETTER
    beside = longest <= 110
    left, height = (longest + 12 if beside else 8.0), (22 if beside else 36)
    numbers = [_interval(row) for row in rows]
    right = WIDTH - 16 - 5.6 * max(map(len, numbers))  # their letters are smaller
    ends = [end for row in rows for end in (row.low, row.high, row.value)]
    low, high = around([*ends, 0.0])
    bottom = _ABOVE + height * len(rows)

    def across(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    parts = []
    for value in ticks(low, high, 4):
        at = across(value)
        parts.append(tag("line", x1=at, x2=at, y1=_ABOVE, y2=bottom, class_="grid"))
        parts.append(tag("text", number(value), x=at, y=bottom + 15, class_="tick middle"))
    parts.append(tag("line", x1=across(0), x2=across(0), y1=_ABOVE, y2=bottom, class_="zero"))
    for place, row in enumerate(rows):
        top = _ABOVE + place * height
        middle = top + (height / 2 if beside else height - 10)
        name = shortened(row.name, (left if beside else WIDTH) - 4)
        parts.append(
            tag(
                "text", tag("title", row.name), name, x=4, y=middle + 4 if beside else top + 12, class_="name"
            )
        )
        drawn = [marker(row.mark.look, across(row.value), middle, 4)]
        if math.isfinite(row.low):
            drawn.insert(
                0, tag("line", x1=across(row.low), x2=across(row.high), y1=middle, y2=middle, class_="mean")
            )
        parts.append(tag("g", tag("title", row.name), *drawn, style=f"--c:{row.mark.look.color}"))
        parts.append(tag("text", numbers[place], x=WIDTH - 2, y=middle + 4, class_="value end"))
    parts.append(axis_title(x_title, bottom + 34, (left + right) / 2))
    return drawing(title, bottom + 42, parts)


def _interval(row: Row) -> str:
    """Returns a difference and its interval in words."""
    return f"{row.value:+.2f}" + (f" [{row.low:+.2f}, {row.high:+.2f}]" if math.isfinite(row.low) else "")


def heat_map(
    title: str,
    values: np.ndarray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    x_title: str,
    y_title: str,
    shown: str = "{:.0f}",
) -> Markup:
    """Draws a matrix; darker is more.

    Args:
        title: What the chart shows.
        values: float (R, K), NaN where nothing is known.
        rows: R names.
        columns: K names.
        x_title: What the columns are, and the unit of the cells.
        y_title: What the rows are.
        shown: How a cell is written, where there is room.
    """
    longest = max(len(name) for name in rows) * LETTER
    left = min(longest, 130.0) + 14
    cell = (WIDTH - left - 4) / max(1, len(columns))
    height = min(24.0, max(13.0, cell))
    turned = max(len(name) for name in columns) * LETTER > cell - 4
    under = min(max(len(name) for name in columns) * LETTER, 90.0) + 10 if turned else 18.0
    bottom = TOP + height * len(rows)
    largest = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    parts = []
    for i, name in enumerate(rows):
        middle = TOP + (i + 0.5) * height
        short = shortened(name, left - 12)
        parts.append(tag("text", tag("title", name), short, x=left - 5, y=middle + 4, class_="name end"))
        for j, value in enumerate(values[i].tolist()):
            if math.isfinite(value):
                share = value / largest if largest else 0.0
                said = f"{name}, {columns[j]}: {shown.format(value)}"
                tip = [tag("title", said)] if len(columns) <= MOST_TIPS else []
                box = {"x": left + j * cell, "y": TOP + i * height, "width": cell, "height": height}
                parts.append(tag("rect", *tip, **box, class_="cell", fill_opacity=round(share, 3)))
                if cell >= 24:
                    kind = "inside deep" if share > 0.8 else "inside"
                    parts.append(
                        tag("text", shown.format(value), x=left + (j + 0.5) * cell, y=middle + 4, class_=kind)
                    )
    every = max(1, math.ceil(13 / cell))  # names that would run into each other are left out
    for j in range(0, len(columns), every):
        at, name = left + (j + 0.5) * cell, columns[j]
        if turned:
            place = f"translate({at + 4:.1f} {bottom + 6:.1f}) rotate(-90)"
            parts.append(
                tag(
                    "text",
                    tag("title", name),
                    shortened(name, under - 12),
                    transform=place,
                    class_="tick end",
                )
            )
        else:
            parts.append(tag("text", name, x=at, y=bottom + 14, class_="tick middle"))
    parts += [axis_title(x_title, bottom + under + 16, (left + WIDTH) / 2), axis_title(y_title, 14)]
    return drawing(title, bottom + under + 24, parts)
