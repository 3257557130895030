"""Learning curves and paired differences, drawn without pyplot and its global state."""

from __future__ import annotations

import re
import textwrap
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scenarios.report import stats
from scenarios.report.curves import Curves
from scenarios.report.summary import shared_seeds
from scenarios.report.tables import pair

HEADING_LETTER = 0.125  # inches that one bold letter of the heading takes, with some to spare
LABEL_SIZE = 9
FEW_SEEDS = 5  # with fewer, an interval says next to nothing, and every seed can be shown
INK, SOFT, GRID = "#222222", "#666666", "#e6e6e6"

# Tol's "bright" and "muted" qualitative schemes: apart for every common kind of color blindness. The agents
# that stand in most pictures have colors of their own, so that one agent looks the same everywhere.
COLORS = {
    "random": "#777777",
    "least_confidence": "#999933",
    "margin": "#228833",
    "entropy": "#4477aa",
    "coreset": "#ccbb44",
    "badge": "#ee6677",
    "kmeans": "#66ccee",
    "ll4al": "#aa3377",
}
_OTHERS = ("#332288", "#88ccee", "#44aa99", "#117733", "#ddcc77", "#cc6677", "#882255", "#994455")
_DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_MARKERS = "osD^v"


@dataclass(frozen=True)
class Look:
    """How one arm is drawn everywhere in a picture."""

    color: str
    dash: str | tuple[float, tuple[float, ...]]
    marker: str


def looks(curves: Sequence[Curves]) -> dict[str, Look]:
    """Gives every agent a color, and arms of one color (one agent, or more agents than colors) other dashes."""
    colors: dict[str, str] = {}
    seen: dict[str, int] = {}
    found = {}
    for arm in curves:
        name = _name(arm.agent)
        if name not in colors:
            colors[name] = COLORS.get(name) or _free_color(name, colors.values())
        color = colors[name]
        variant = seen.get(color, 0)
        seen[color] = variant + 1
        found[arm.label] = Look(color, _DASHES[variant % len(_DASHES)], _MARKERS[variant % len(_MARKERS)])
    return found


def _free_color(name: str, taken: Iterable[str]) -> str:
    """Returns the color that a name leads to, or the next one that nobody has yet."""
    first = zlib.crc32(name.encode()) % len(_OTHERS)
    turned = _OTHERS[first:] + _OTHERS[:first]
    return next((color for color in turned if color not in taken), turned[0])


_OPTIONS = re.compile(r":\w+=.*")  # behind a name; FILE.py:CLASS is one


def _name(agent: str) -> str:
    """Returns an agent's name without options: ``margin:pool=all`` is a margin too."""
    return _OPTIONS.sub("", agent)


@dataclass(frozen=True)
class Gains:
    """What one line of the right panel shows: an arm minus its reference, in percentage points.

    Attributes:
        arm: The arm.
        base: Its reference.
        labeled: Label counts that both have, int64 (P,).
        points: Gains there, one row per shared seed, float64 (S, P).
    """

    arm: Curves
    base: Curves
    labeled: np.ndarray
    points: np.ndarray


def draw(curves: Sequence[Curves], against: Mapping[str, str], title: str) -> Figure:
    """Draws mean learning curves beside paired differences.

    Both have 95 % bands, or a thin line per seed where those are fewer than ``FEW_SEEDS``.

    Args:
        curves: The arms, at least one.
        against: Label -> label of the arm it is subtracted from. Arms that are not in it, or whose reference
            is not among the arms, have no line among the differences.
        title: Heading; the number of seeds is added below it.
    """
    compared = paired_gains(curves, against)
    own_names = len({gains.base.label for gains in compared}) > 1
    labels = [arm.label for arm in curves]
    panels = [labels]
    if compared:
        panels.append(
            [pair(gains.arm.label, gains.base.label) for gains in compared] if own_names else labels
        )
    figure = Figure(dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = _lay_out(figure, panels)
    style = looks(curves)
    _draw_curves(axes[0], curves, style)
    if own_names:
        _draw_pairs(axes[1], compared, style)
    elif compared:
        _draw_differences(axes[1], compared, style)
    write_heading(figure, title, _subtitle(curves, compared))
    return figure


def write_heading(figure: Figure, title: str, subtitle: str) -> None:
    """Writes a title and the line below it, whatever the figure's size."""
    left, height = 0.15 / figure.get_figwidth(), figure.get_figheight()
    # A heading of many settings is cut at the frame; all of them are in the run's settings.json.
    heading = textwrap.shorten(title, int(figure.get_figwidth() / HEADING_LETTER), placeholder=" ...")
    style: dict[str, Any] = {"ha": "left", "va": "top", "parse_math": False}
    figure.text(left, 1 - 0.13 / height, heading, fontsize=13, fontweight="bold", color=INK, **style)
    figure.text(left, 1 - 0.442 / height, subtitle, fontsize=9.5, color=SOFT, **style)


def paired_gains(curves: Sequence[Curves], against: Mapping[str, str]) -> list[Gains]:
    """Returns the differences that can be drawn, in the order of the arms."""
    found = {arm.label: arm for arm in curves}
    pairs = [(arm, found[against[arm.label]]) for arm in curves if against.get(arm.label) in found]
    compared = []
    for arm, base in pairs:
        seeds = shared_seeds(arm, base)
        labeled, own, other = np.intersect1d(arm.labeled, base.labeled, return_indices=True)
        if seeds and labeled.size > 1:  # without queries there is nothing to subtract
            points = 100 * (arm.at(seeds)[:, own] - base.at(seeds)[:, other])
            compared.append(Gains(arm, base, labeled, points))
    return compared


def _lay_out(figure: Figure, panels: Sequence[Sequence[str]]) -> list[Axes]:
    """Places panels of a fixed size in inches, each with room for the longest of its labels beside it."""
    left, plot, height = 0.75, 4.6, 5.2
    rights = [_text_width(figure, max(labels, key=len)) + 0.4 for labels in panels]
    width = sum(left + plot + right for right in rights)
    figure.set_size_inches(width, height)
    starts = [sum(left + plot + right for right in rights[:i]) + left for i in range(len(panels))]
    return [
        figure.add_axes((start / width, 0.6 / height, plot / width, (height - 1.55) / height))
        for start in starts
    ]


def _text_width(figure: Figure, label: str) -> float:
    """Returns the width of a label in inches."""
    probe = figure.text(0, 0, label, fontsize=LABEL_SIZE, parse_math=False)
    width: float = probe.get_window_extent().width / figure.dpi
    probe.remove()
    return width


def _subtitle(curves: Sequence[Curves], compared: Sequence[Gains]) -> str:
    counts = sorted({len(arm.seeds) for arm in curves})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    noun = "seed" if counts == [1] else "seeds"
    drawn = {*counts, *(len(gains.points) for gains in compared)}
    few = "; thin lines: single seeds" if any(1 < count < FEW_SEEDS for count in drawn) else ""
    band = "; bands: 95 % confidence interval over seeds" if max(drawn) >= FEW_SEEDS else ""
    return f"mean of {seeds} {noun}{few}{band}"


def _draw_curves(axes: Axes, curves: Sequence[Curves], style: dict[str, Look]) -> None:
    _prepare(axes, "test accuracy (%)", "Learning curves")
    ends = [_draw_line(axes, arm.labeled, 100 * arm.accuracy, style[arm.label], arm.label) for arm in curves]
    _scale(axes, [100 * arm.accuracy for arm in curves])
    _label_ends(axes, ends)


def _draw_differences(axes: Axes, compared: Sequence[Gains], style: dict[str, Look]) -> None:
    """Draws differences to one reference arm, which is the zero line."""
    base = compared[0].base
    look = style[base.label]
    _prepare(axes, "difference (percentage points)", f"Paired difference to {base.label}")
    axes.axhline(0, color=look.color, linewidth=1.2, zorder=1)
    ends = [_draw_line(axes, g.labeled, g.points, style[g.arm.label], g.arm.label) for g in compared]
    _scale(axes, [np.zeros(1), *(gains.points for gains in compared)])
    if not any(gains.arm.labeled[-1] < base.labeled[-1] for gains in compared):
        ends.append((float(base.labeled[-1]), 0.0, base.label, look.color))
    _label_ends(axes, ends)


def _draw_pairs(axes: Axes, compared: Sequence[Gains], style: dict[str, Look]) -> None:
    """Draws differences to several reference arms; every line says which two arms it compares."""
    _prepare(axes, "difference (percentage points)", "Paired difference of each arm to its own reference")
    axes.axhline(0, color=SOFT, linewidth=1.2, zorder=1)
    ends = [
        _draw_line(axes, g.labeled, g.points, style[g.arm.label], pair(g.arm.label, g.base.label))
        for g in compared
    ]
    _scale(axes, [np.zeros(1), *(gains.points for gains in compared)])
    _label_ends(axes, ends)


def _scale(axes: Axes, drawn: Sequence[np.ndarray]) -> None:
    """Shows every seed's value; a band may leave the picture, since that of few seeds is wide."""
    low, high = min(float(values.min()) for values in drawn), max(float(values.max()) for values in drawn)
    room = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)


def _prepare(axes: Axes, unit: str, heading: str) -> None:
    axes.set_title(heading, loc="left", fontsize=10.5, color=INK, pad=8, parse_math=False)
    axes.set_xlabel("labeled images", color=INK)
    axes.set_ylabel(unit, color=INK)
    axes.grid(True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#aaaaaa")
    axes.tick_params(colors=SOFT, labelsize=9, length=3)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _draw_line(
    axes: Axes, labeled: np.ndarray, values: np.ndarray, look: Look, label: str
) -> tuple[float, float, str, str]:
    """Draws the mean of (S, P) values with its band, or with every seed where they are few.

    Returns:
        Where the line ends, and how it is labeled.
    """
    mean = values.mean(axis=0)
    if 1 < len(values) < FEW_SEEDS:
        for seed in values:
            axes.plot(
                labeled, seed, color=look.color, linestyle=look.dash, linewidth=0.6, alpha=0.6, zorder=1.5
            )
    elif len(values) > 1:
        low, high = np.array([stats.interval(column) for column in values.T]).T
        axes.fill_between(labeled, low, high, color=look.color, alpha=0.10, linewidth=0)
    axes.plot(
        labeled,
        mean,
        color=look.color,
        linestyle=look.dash,
        linewidth=1.8,
        marker=look.marker,
        markersize=3.5,
        clip_on=False,  # the last marker sits on the edge
    )
    return float(labeled[-1]), float(mean[-1]), label, look.color


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Writes each label beside the end of its line, moved apart so that none covers another."""
    axes.figure.canvas.draw()  # fixes the limits, and with them the height of a line of text
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top)
    height = axes.get_window_extent().height * 72 / axes.figure.dpi  # in points
    gap = 11.5 / height * (top - bottom)
    ends = sorted(ends, key=lambda end: end[1])
    places = spread_apart([end[1] for end in ends], gap, bottom, top)
    right = max(end[0] for end in ends)
    for (x, y, label, color), place in zip(ends, places, strict=True):
        axes.annotate(
            label,
            xy=(x, y),
            xycoords="data",
            xytext=(1.05, (place - bottom) / (top - bottom)),
            textcoords="axes fraction",
            color=color,
            fontsize=LABEL_SIZE,
            va="center",
            annotation_clip=False,
            parse_math=False,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 0.6,
                "alpha": 0.6,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )
    axes.set_xlim(right=right)


def spread_apart(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves ascending values as little as possible, to be ``gap`` apart and within ``low`` and ``high``.

    Least squares under the gaps, which is isotonic regression after the gaps are subtracted: values that
    would collide form a group around their common mean.
    """
    groups: list[tuple[float, int]] = []  # (mean, size) after subtracting i * gap
    for i, value in enumerate(values):
        mean, size = value - i * gap, 1
        while groups and groups[-1][0] > mean:
            last, count = groups.pop()
            mean, size = (mean * size + last * count) / (size + count), size + count
        groups.append((mean, size))
    room = high - (len(values) - 1) * gap
    flat = [max(low, min(mean, room)) for mean, size in groups for _ in range(size)]
    return [mean + i * gap for i, mean in enumerate(flat)]
