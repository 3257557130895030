"""Pools as they come in practice: rare classes, wrong labels, images of no class. Beyond the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.plan.registry import register
from scenarios.plan.scenario import Scenario
from scenarios.plan.sizes import (
    OWN_SCORE,
    Place,
    crossed,
    each_over_random,
    minus,
    paper_place,
    ridge_place,
)

AGENTS = (OWN_SCORE[0], "margin", *OWN_SCORE[1:])
BEYOND = "beyond the paper"
_SMOKE = {"initial_size": 20, "query_size": 10, "budget": 20}


def _scenario(name: str, title: str, claim: str, variants: Mapping[str, Mapping[str, Any]]) -> Scenario:
    """Crosses strategies with pools; the last one is subtracted from the first."""
    first, *_, last = variants
    smoke = Place("ALDigitsRidge-v0", _SMOKE, 2, "Digits, ridge head: seconds")
    pictures = each_over_random(AGENTS, variants)
    return Scenario(
        name=name,
        title=title,
        claim=claim,
        source=BEYOND,
        sizes=crossed(AGENTS, variants, paper=paper_place(), small=ridge_place(), smoke=smoke),
        pictures=(
            *pictures,
            minus("curve_change", f"{last.strip()} minus {first.strip()}", AGENTS, last, first),
        ),
    )


@register
def imbalance() -> Scenario:
    """Classes of equal size, and sizes that fall to a tenth and a hundredth."""
    return _scenario(
        "imbalance",
        "Rare classes",
        "Which strategies find the rare classes, and does that change their lead over Random on a balanced test set?",
        {f" 1:{ratio}": {"imbalance": float(ratio)} for ratio in (1, 10, 100)},
    )


@register
def label_noise() -> Scenario:
    """An oracle that never errs, and one that errs in a tenth and three tenths of the labels."""
    return _scenario(
        "label_noise",
        "Wrong labels",
        "How much of each strategy's lead over Random is left when the oracle errs?",
        {f" {share:.0%} wrong": {"label_noise": share} for share in (0.0, 0.1, 0.3)},
    )


@register
def outliers() -> Scenario:
    """Two and four classes whose images stand in the pool and belong to no class."""
    return _scenario(
        "outliers",
        "Images of no class",
        "Which strategies spend their labels on images that belong to no class, and what does it cost them?",
        {f" {count} classes out": {"outliers": count} for count in (2, 4)},
    )
