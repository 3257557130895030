"""Pictures, tables and the numbers that both show."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from scenarios import against_one
from scenarios.plan.scenario import Picture
from scenarios.report import pictures, stats
from scenarios.report.curves import Curves, long_csv
from scenarios.report.ranking import draw_ranking
from scenarios.report.summary import summarize
from scenarios.report.tables import table


def arm(label: str, gain: float, seeds: int = 5, cycles: int = 4, agent: str | None = None) -> Curves:
    rng = np.random.default_rng(0)
    labeled = np.arange(1, cycles + 2) * 100
    accuracy = 0.5 + 0.05 * np.arange(cycles + 1) + rng.normal(0, 0.01, (seeds, 1)) + 0 * labeled
    noise = np.random.default_rng(len(label)).normal(0, 0.002, (seeds, cycles + 1))
    return Curves(
        label, agent or label, tuple(range(seeds)), labeled, accuracy + (gain + noise) * (labeled > 100)
    )


def to(reference: str | None, curves: list[Curves]) -> dict[str, str]:
    return {} if reference is None else against_one([arm.label for arm in curves], reference)


def shown(curves: list[Curves], reference: str | None) -> str:
    return printed(curves, to(reference, curves))


def picture(against: dict[str, str], ranked: bool = False, *labels: str) -> Picture:
    named = dict.fromkeys([*labels, *against, *against.values()])
    return Picture("curve", "", tuple(named), against, ranked)


def printed(curves: list[Curves], against: dict[str, str], ranked: bool = False) -> str:
    console = Console(width=100 if ranked else 80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115  (the console keeps it)
    with console.file:
        console.print(
            table(summarize(curves, against), picture(against, ranked, *(each.label for each in curves)))
        )
    return console.export_text()


def pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_summary_numbers() -> None:
    base, better = arm("random", 0.0), arm("margin", 0.02)
    _, found = summarize([base, better], to("random", [base, better]))
    areas = 100 * better.accuracy[:, 1:].mean(axis=1)
    gains = areas - 100 * base.accuracy[:, 1:].mean(axis=1)
    assert found.gain == stats.paired(areas, areas - gains)
    assert found.mean == pytest.approx(100 * better.accuracy[:, -1].mean())
    assert found.labels == 500
    assert found.improvement == 1.0
    assert found.efficiency is not None
    assert found.efficiency > 1
    without_costs = {key: value for key, value in found.as_json().items() if not key.startswith("query_")}
    assert "null" not in json.dumps(without_costs)


def test_only_shared_seeds_are_paired() -> None:
    base, other = arm("random", 0.0), arm("margin", 0.02)
    late = Curves("margin", "margin", (3, 4, 5), other.labeled, other.accuracy[[3, 4, 0]])
    found = summarize([base, late], to("random", [base, late]))[1]
    assert found.gain is not None
    assert found.gain.seeds == 2
    assert found.gain.mean == pytest.approx(100 * (other.accuracy - base.accuracy)[3:5, 1:].mean())
    alone = Curves("margin", "margin", (7,), other.labeled, other.accuracy[:1])
    assert summarize([base, alone], to("random", [base, alone]))[1].gain is None


def test_table_fits_80_columns_and_says_what_is_undecided() -> None:
    text = shown([arm("random", 0.0), arm("coreset + loss module", 0.02), arm("badge", 0.0002)], "random")
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "coreset + loss module and random" not in text
    assert "badge and random: undecided; about" in text.replace("\n", " ")


def test_a_label_of_many_settings_leaves_room_for_the_numbers() -> None:
    label = "random@pretraining=rotation@pretraining_epochs=15@start=pretrained"
    text = shown([arm("random", 0.0), arm(label, 0.02)], "random")
    assert max(map(len, text.splitlines())) <= 80
    assert "95 % interval" in text
    lines = [line.split()[0] for line in text.splitlines() if line.startswith((" @", " random"))]
    assert "".join(lines[1:5]) == label


def test_the_zero_line_is_in_the_picture_of_differences() -> None:
    curves = [arm("random", 0.0), arm("margin", 0.3)]
    (low, high) = pictures.draw(curves, to("random", curves), "A title").axes[1].get_ylim()
    assert low < 0 < 30 < high + 5


def test_table_without_queries_and_with_one_seed() -> None:
    assert "-" in shown([arm("random", 0.0, seeds=1, cycles=0)], "random")
    assert "one seed" in shown([arm("random", 0.0, seeds=1), arm("badge", 0.1, seeds=1)], "random")


def test_areas_of_other_label_counts_are_not_compared() -> None:
    base, short = arm("random", 0.0), arm("margin", 0.0, cycles=3)
    found = summarize([base, short], to("random", [base, short]))[1]
    assert not found.comparable
    assert found.gain is found.improvement is found.more_seeds is None
    assert "margin and random: other label counts" in shown([base, short], "random")


def test_remarks_say_what_the_difference_rests_on() -> None:
    base = arm("random", 0.0, seeds=2)
    alike = Curves("margin", "margin", (0, 1), base.labeled, base.accuracy + np.array([[0.01], [-0.01]]))
    assert "no difference that more seeds could show" in shown([base, alike], "random")
    assert "only 2 of 5 seeds are shared" in shown([base, arm("margin", 0.1)], "random")
    assert "[one seed]" in shown([arm("random", 0.0, seeds=1), arm("margin", 0.1, seeds=1)], "random")
    assert "p[b]x" in shown([base, arm("p[b]x", 0.1, seeds=2)], "random")


def test_without_a_reference_nothing_is_compared() -> None:
    curves = [arm("margin", 0.0), arm("badge", 0.0)]
    assert all(found.gain is None for found in summarize(curves, {}))
    assert "difference:" not in shown(curves, None)
    missing = {"margin": "random", "badge": "random"}
    assert "no differences: the reference arm has no finished run" in printed(curves, missing)
    one, also_one = pictures.draw(curves, {}, "A title"), pictures.draw(curves, missing, "A title")
    two = pictures.draw(curves, to("margin", curves), "A title")
    assert one.get_figwidth() == also_one.get_figwidth() < two.get_figwidth()


def warm_and_cold() -> tuple[list[Curves], dict[str, str]]:
    names = ("margin", "badge")
    curves = [
        arm(f"{name} {start}", 0.01 * len(start), agent=name) for name in names for start in ("cold", "warm!")
    ]
    return curves, {f"{name} warm!": f"{name} cold" for name in names}


def test_each_arm_is_subtracted_from_its_own_reference() -> None:
    curves, against = warm_and_cold()
    found = {summary.label: summary for summary in summarize(curves, against)}
    alone = summarize(curves[2:], {"badge warm!": "badge cold"})[1]
    assert found["badge warm!"] == alone
    assert alone.against == alone.as_json()["against"] == "badge cold"
    assert found["badge cold"].against is found["badge cold"].gain is None
    text = " ".join(printed(curves, against).split())
    assert "paired by seed, margin warm! against margin cold; badge warm! against badge cold" in text
    text = " ".join(printed(curves[1:], against).split())
    assert "margin warm!: no difference, since margin cold has no finished run" in text
    assert "badge warm! against badge cold" in text


def texts(figure: Figure) -> list[list[str]]:
    """Returns heading and end labels of every panel."""
    return [[axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)] for axes in figure.axes]


def test_the_right_panel_names_what_it_subtracts() -> None:
    curves, against = warm_and_cold()
    (_, *lines), right = texts(pictures.draw(curves, against, "A title"))
    assert sorted(lines) == sorted(arm.label for arm in curves)
    assert right[0] == "Paired difference of each arm to its own reference"
    assert sorted(right[1:]) == ["badge warm! against badge cold", "margin warm! against margin cold"]
    _, right = texts(pictures.draw(curves, to("margin cold", curves), "A title"))
    assert right[0] == "Paired difference to margin cold"
    assert sorted(right[1:]) == sorted(arm.label for arm in curves)
    _, right = texts(pictures.draw(curves[1:], against, "A title"))  # one pair is left
    assert right[0] == "Paired difference to badge cold"
    assert sorted(right[1:]) == ["badge cold", "badge warm!"]


def test_long_csv_reads_back_exactly() -> None:
    curves = [arm("random", 0.0, seeds=2)]
    lines = long_csv(curves).splitlines()[1:]
    assert [float(line.split(",")[-1]) for line in lines] == curves[0].accuracy.ravel().tolist()


@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("cycles", [0, 4])
def test_every_shape_of_comparison_is_drawn(seeds: int, cycles: int) -> None:
    curves = [arm(label, 0.01 * i, seeds, cycles) for i, label in enumerate(("random", "margin", "badge"))]
    for shown_arms in (curves[:1], curves):
        image = pixels(pictures.draw(shown_arms, to("random", shown_arms), "A title"))
        assert image.shape[0] == 780
        for other in shown_arms:
            name = pictures.looks(shown_arms)[other.label].color
            color = tuple(int(name[i : i + 2], 16) for i in (1, 3, 5))
            assert (image == color).all(axis=2).any(), other.label


@pytest.mark.parametrize(("seeds", "thin", "bands"), [(1, 0, 0), (2, 2, 0), (4, 4, 0), (5, 0, 1)])
def test_few_seeds_are_drawn_one_by_one(seeds: int, thin: int, bands: int) -> None:
    curves = [arm("random", 0.0, seeds), arm("margin", 0.01, seeds)]
    figure = pictures.draw(curves, to("random", curves), "A title")
    left, right = figure.axes
    assert [len([line for line in axes.lines if line.get_linewidth() < 1]) for axes in (left, right)] == [
        2 * thin,
        thin,
    ]
    assert [len(axes.collections) for axes in (left, right)] == [2 * bands, bands]
    (said,) = [text.get_text() for text in figure.texts if text.get_text().startswith("mean of")]
    assert ("thin lines: single seeds" in said, "bands: 95 %" in said) == (thin > 0, bands > 0)
    drawn = [line.get_ydata() for line in left.lines if line.get_linewidth() < 1][:thin]
    for line, seed in zip(drawn, curves[0].accuracy[:thin], strict=True):
        assert np.allclose(np.asarray(line), 100 * seed)


def test_few_and_many_seeds_in_one_picture() -> None:
    curves = [arm("random", 0.0, 6), arm("margin", 0.01, 3)]
    figure = pictures.draw(curves, to("random", curves), "A title")
    (said,) = [text.get_text() for text in figure.texts if text.get_text().startswith("mean of")]
    assert (
        said == "mean of 3 to 6 seeds; thin lines: single seeds; bands: 95 % confidence interval over seeds"
    )


@pytest.mark.parametrize("width", [45, 60, 80])
def test_a_narrow_terminal_loses_columns_and_no_name(width: int) -> None:
    long = "ll4al@joint=loss_prediction"
    curves = [arm("random", 0.0), arm(long, 0.02)]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(summarize(curves, to("random", curves)), picture(to("random", curves))))
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert f" {long} " in text
    assert "70.07" in text
    assert ("no room for: labels" in text) == (width < 100)


def test_an_agent_keeps_its_color_and_its_arms_differ() -> None:
    curves = [arm("random", 0), arm("x", 0, agent="margin:pool=all"), arm("y", 0, agent="margin")]
    looks = pictures.looks(curves)
    assert looks["x"].color == looks["y"].color == pictures.COLORS["margin"]
    assert looks["x"].dash != looks["y"].dash
    two = pictures.looks([arm("a", 0, agent="something_new"), arm("b", 0, agent="something_new:a=1")])
    assert two["a"].color == two["b"].color


def test_no_two_arms_look_the_same() -> None:
    names = [f"{one}+{two}" for one in ("random", "coreset", "kmeans") for two in ("margin", "entropy")]
    names += ["random", "margin", "policy=a", "policy=b", "policy=c", "badge+entropy"]
    looks = list(pictures.looks([arm(name, 0.0) for name in names]).values())
    assert len({(look.color, look.dash) for look in looks}) == len(names)
    assert len({look.color for look in looks[:6]}) == 6


def test_a_label_is_text_and_no_formula() -> None:
    curves = [arm("policy=p$a_$", 0.0), arm("random", 0.1)]
    assert pixels(pictures.draw(curves, to("policy=p$a_$", curves), "$x_$")).size


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8))
def test_labels_never_overlap(values: list[float]) -> None:
    places = pictures.spread_apart(sorted(values), 1.0, 0.0, 10.0)
    assert all(b - a >= 1.0 - 1e-9 for a, b in pairwise(places))
    assert places[0] >= 0
    assert places[-1] <= 10 + 1e-9


def test_labels_that_are_apart_stay() -> None:
    assert pictures.spread_apart([1.0, 5.0, 9.0], 1.0, 0.0, 10.0) == [1.0, 5.0, 9.0]
    assert pictures.spread_apart([5.0, 5.0], 1.0, 0.0, 10.0) == pytest.approx([4.5, 5.5])


def test_nan_is_never_json() -> None:
    (found,) = summarize(
        [arm("random", 0.0, seeds=1, cycles=0)], to("random", [arm("random", 0.0, seeds=1, cycles=0)])
    )
    assert math.isnan(found.sd)
    assert found.as_json()["accuracy_sd"] is None


def test_a_ranking_shows_the_largest_difference_first_and_what_a_query_costs() -> None:
    curves = [arm("random", 0.0), arm("coreset", -0.03), arm("margin", 0.02), arm("badge", 0.01)]
    costs = {"margin": (0.25, 12.4), "coreset": (1234.5, 1000.0)}
    curves = [
        dataclasses.replace(each, query_seconds=found[0], query_megabytes=found[1])
        if (found := costs.get(each.label))
        else each
        for each in curves
    ]
    text = printed(curves, to("random", curves), ranked=True)
    labels = {each.label for each in curves}
    rows = [first for line in text.splitlines() if line.strip() and (first := line.split()[0]) in labels]
    assert rows == ["margin", "badge", "coreset", "random"]
    (line,) = [line for line in text.splitlines() if line.split()[:1] == ["coreset"]]
    assert line.split()[-2:] == ["1,234.50", "1,000"]
    figure = draw_ranking(summarize(curves, to("random", curves)), "Everything")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["margin", "badge", "coreset"]
    gains = [found.gain for found in summarize(curves, to("random", curves))[1:]]
    dots = {float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"}
    assert dots == {gain.mean for gain in gains}
    ends = {tuple(map(float, line.get_xdata())) for line in axes.lines[1:] if line.get_marker() != "o"}
    assert ends == {tuple(gain.interval) for gain in gains}
    assert "5 paired seeds" in figure.texts[1].get_text()


def test_a_ranking_names_the_usual_reference_once() -> None:
    curves = [arm(label, 0.001 * place) for place, label in enumerate(("random", "a", "b", "cold", "c"))]
    against = {"a": "random", "b": "random", "c": "cold"}
    text = " ".join(printed(curves, against, ranked=True).split())
    assert text.endswith("to that of random, paired by seed; c against cold")
    (axes,) = draw_ranking(summarize(curves, against), "Everything").axes
    assert sorted(label.get_text() for label in axes.get_yticklabels()) == ["a", "b", "c against cold"]
    assert axes.get_xlabel() == "difference to random in area under the curve (percentage points)"
    alone = " ".join(printed(curves[:1], {}, ranked=True).split())
    assert alone.endswith("no differences: no reference arm has a finished run")
