"""Paired differences of many arms, sorted: a dot with its interval each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scenarios.report.pictures import GRID, INK, LABEL_SIZE, SOFT, write_heading
from scenarios.report.summary import ArmSummary, ranked
from scenarios.report.tables import pair, usual_reference

ROW, PLOT, LETTER = 0.21, 5.2, 0.075  # inches: height of an arm, width of the plot, width of a letter
ABOVE, BELOW, BETWEEN = "#117733", "#aa3333", "#777777"


def draw_ranking(arms: Sequence[ArmSummary], title: str) -> Figure:
    """Draws the difference of each arm's area to its reference with its 95 % interval, the largest on top.

    Args:
        arms: The arms; those without a difference and ceilings are left out.
        title: Heading.
    """
    shown = [arm for arm in ranked(arms) if arm.gain is not None and not arm.ceiling]
    usual = usual_reference(shown)
    names = [arm.label if arm.against == usual else pair(arm.label, arm.against or "") for arm in shown]
    left = LETTER * max(map(len, names), default=0) + 0.5
    width, height = left + PLOT + 0.4, ROW * max(len(shown), 1) + 1.5
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((left / width, 0.55 / height, PLOT / width, (height - 1.5) / height))
    axes.axvline(0, color=SOFT, linewidth=1.2, zorder=1)
    for row, arm in enumerate(shown):
        assert arm.gain is not None
        low, high = arm.gain.interval
        color = ABOVE if low > 0 else BELOW if high < 0 else BETWEEN
        if not math.isnan(low):
            axes.plot([low, high], [row, row], color=color, linewidth=1.6, solid_capstyle="butt", zorder=2)
        axes.plot([arm.gain.mean], [row], marker="o", markersize=4.5, color=color, zorder=3)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(range(len(shown)), names, fontsize=LABEL_SIZE, color=INK, parse_math=False)
    axes.grid(True, axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors=SOFT, labelsize=9, length=3)
    axes.set_xlabel(
        f"difference to {usual or 'the reference'} in area under the curve (percentage points)", color=INK
    )
    counts = sorted({arm.gain.seeds for arm in shown if arm.gain is not None})
    seeds = "-".join(map(str, {counts[0]: 0, counts[-1]: 0})) if counts else "0"
    write_heading(figure, title, f"mean and 95 % confidence interval over {seeds} paired seeds")
    return figure
