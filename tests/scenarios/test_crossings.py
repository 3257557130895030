"""Two-way tables of regimes and strategies, and ladders: against planted effects and SciPy."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import math

import numpy as np
import pytest
from rich.console import Console
from scipy import stats as scipy_stats

from alenv.errors import AlenvError, UnknownName
from scenarios import Group, Ladder, TwoWay
from scenarios.plan.analyses import from_json
from scenarios.report.crossings import analyze, shown
from scenarios.report.curves import Curves
from scenarios.report.ladder import agreements, correlations, kendall, spearman
from scenarios.report.two_way import split

SEEDS = 6


def curves(label: str, area: float, seeds: int = SEEDS, labeled: tuple[int, ...] = (10, 20, 30)) -> Curves:
    """Returns an arm whose area is ``area`` percent on average; each seed moves all arms alike."""
    shared = np.random.default_rng(3).normal(0, 0.05, SEEDS)[:seeds, None]
    shape = np.array([0.0, -0.02, 0.02])[: len(labeled)]
    accuracy = area / 100 + shared + shape
    return Curves(label, label, tuple(range(seeds)), np.array(labeled), accuracy)


TRAININGS = TwoWay(
    (
        Group("plain", {"random": "r", "margin": "m"}),
        Group("module", {"random": "r+", "margin": "m+", "ll4al": "l+"}),
    ),
    "random",
    {"ll4al": "module"},
)
AREAS = {"r": 50.0, "m": 52.0, "r+": 53.0, "m+": 57.0, "l+": 52.0}


def test_a_planted_lead_is_split_into_training_and_choice() -> None:
    found = split([curves(label, area) for label, area in AREAS.items()], TRAININGS)
    plain, module = found.regimes
    assert plain.training is None
    assert module.training is not None
    assert module.training.mean == pytest.approx(3.0)
    assert {name: round(gain.mean, 6) for name, gain in plain.choices.items()} == {"margin": 2.0}
    assert {n: round(gain.mean, 6) for n, gain in module.choices.items()} == {"margin": 4.0, "ll4al": -1.0}
    (lead,) = found.leads
    assert [round(part.mean, 6) for part in (lead.total, lead.training, lead.choice)] == [2.0, 3.0, -1.0]
    assert lead.total.seeds == SEEDS


def test_the_parts_of_a_lead_add_up_where_arms_lack_seeds() -> None:
    arms = [curves(label, area, 3 if label == "r+" else SEEDS) for label, area in AREAS.items()]
    (lead,) = split(arms, TRAININGS).leads
    assert (lead.total.seeds, lead.training.seeds, lead.choice.seeds) == (3, 3, 3)
    assert lead.total.mean == pytest.approx(lead.training.mean + lead.choice.mean)


def test_arms_that_are_missing_or_bought_other_labels_leave_gaps() -> None:
    arms = [curves(label, area) for label, area in AREAS.items() if label != "r"]
    found = split(arms, TRAININGS)
    assert found.leads == ()
    assert found.regimes[0].choices == {}
    assert set(found.regimes[1].choices) == {"margin", "ll4al"}
    others = [
        curves(label, area, labeled=(10, 30, 50) if label == "l+" else (10, 20, 30))
        for label, area in AREAS.items()
    ]
    assert set(split(others, TRAININGS).regimes[1].choices) == {"margin"}
    assert split([], TRAININGS).leads == ()


def test_rank_correlations_equal_scipys() -> None:
    random = np.random.default_rng(0)
    for ties in (False, True):
        first, second = random.normal(size=(2, 20, 7))
        if ties:
            first, second = np.round(first), np.round(second)
        for measure, theirs in ((spearman, scipy_stats.spearmanr), (kendall, scipy_stats.kendalltau)):
            wanted = [theirs(a, b).statistic for a, b in zip(first, second, strict=True)]
            np.testing.assert_allclose(measure(first, second), wanted, atol=1e-12)
    assert np.isnan(spearman(np.ones((1, 4)), np.arange(4.0)[None])).all()
    assert np.isnan(kendall(np.ones((1, 4)), np.arange(4.0)[None])).all()


def test_the_interval_is_of_seeds_that_are_drawn_alike_on_both_rungs() -> None:
    areas = np.arange(5.0)[:, None] + np.random.default_rng(1).normal(0, 2, (5, 8))
    same, turned = correlations(areas, areas), correlations(areas, -areas)
    for found in same:
        assert found == (1.0, (1.0, 1.0))  # whatever seeds are drawn, a rung agrees with itself
    for found in turned:
        assert found == (-1.0, (-1.0, -1.0))
    noisy = correlations(areas, np.arange(5.0)[:, None] + np.random.default_rng(2).normal(0, 2, (5, 8)))
    for found in noisy:
        assert found.interval.low < found.value <= found.interval.high
        assert found.interval.high - found.interval.low > 0.05
    single = correlations(areas[:, :1], areas[:, :1])
    assert single[0].value == 1.0
    assert math.isnan(single[0].interval.low)


LADDER = Ladder(
    tuple(Group(rung, {name: f"{name} ({rung})" for name in "abcd"}) for rung in ("low", "middle", "high"))
)


def test_a_ladder_compares_every_two_rungs() -> None:
    rising = {"a": 50.0, "b": 52.0, "c": 54.0, "d": 56.0}
    falling = dict(zip(rising, reversed(rising.values()), strict=True))
    tables = {"low": rising, "middle": falling, "high": rising}
    arms = [
        curves(f"{name} ({rung})", area) for rung, areas in tables.items() for name, area in areas.items()
    ]
    found = agreements(arms, LADDER)
    assert [row.rungs for row in found] == list(itertools.combinations(tables, 2))
    assert [row.spearman.value for row in found] == [-1.0, 1.0, -1.0]
    assert [row.kendall.value for row in found] == [-1.0, 1.0, -1.0]
    fewer = agreements([arm for arm in arms if arm.label != "b (high)"], LADDER)
    assert [row.strategies for row in fewer] == [4, 3, 3]
    assert agreements([], LADDER) == []


def test_analyses_are_printed_and_survive_json() -> None:
    arms = [curves(label, area) for label, area in AREAS.items()]
    arms += [curves(label, 50.0 + at) for at, label in enumerate(LADDER.labels)]
    asked = [
        from_json(json.loads(json.dumps(dataclasses.asdict(each), sort_keys=True)))
        for each in (TRAININGS, LADDER)
    ]
    assert asked == [TRAININGS, LADDER]
    stream = io.StringIO()
    for found in analyze(arms, asked):
        assert json.loads(json.dumps(found.as_json(), allow_nan=False))
        Console(file=stream, width=100).print(shown(found))
    text = stream.getvalue()
    for word in ("module", "-1.00", "lead over", "low and middle", "Spearman", "+1.00 [+1.00, +1.00]"):
        assert word in text


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(UnknownName, match="'random'"):
        TwoWay((Group("plain", {"margin": "m"}),), "random")
    with pytest.raises(UnknownName, match="regime"):
        dataclasses.replace(TRAININGS, leads={"ll4al": "modul"})
    with pytest.raises(UnknownName, match="'ll4al'"):
        dataclasses.replace(TRAININGS, leads={"ll4al": "plain"})
    with pytest.raises(AlenvError, match="two rungs or more"):
        Ladder(LADDER.rungs[:1])
    with pytest.raises(AlenvError, match="the same strategies"):
        Ladder((LADDER.rungs[0], Group("other", {"a": "x"})))
