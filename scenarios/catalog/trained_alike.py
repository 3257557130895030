"""Every strategy in the training that one method brought along: its loss module, discriminator, critic, guesses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alenv.recipes import RECIPES
from scenarios.plan.registry import check_option, register
from scenarios.plan.scenario import Check, Grid, Picture, Scenario
from scenarios.plan.sizes import (
    MANY,
    OWN_SCORE,
    RANDOM,
    Place,
    labels_of,
    lenet_place,
    minus,
    over_random,
    paper_place,
    smoke_place,
)

ALIKE = " alike"


def _grid(place: Place, plain: Mapping[str, Any], alike: Mapping[str, Any], method: str | None) -> Grid:
    """Returns the strategies in plain training, then in that of the method, and the method itself."""
    agents = place.grid(OWN_SCORE, {"": plain, ALIKE: alike})
    own = () if method is None else place.grid((method,), {"": alike}).arms
    return Grid((*agents.arms, *own), place.seeds, place.note)


def _trained_alike(
    name: str,
    *,
    method: str | None,
    title: str,
    claim: str,
    source: str,
    recipe: Mapping[str, Any],
    joint: Mapping[str, Any],
    paper: Place,
    small: Place,
    checks: tuple[Check, ...],
) -> Scenario:
    """Builds one of these scenarios; ``recipe`` is what trains the paper size, ``joint`` the others."""
    labels, alike = OWN_SCORE, labels_of(OWN_SCORE, ALIKE)
    own = () if method is None else (method,)
    within = dict.fromkeys((*alike[1:], *own), RANDOM + ALIKE)
    return Scenario(
        name=name,
        title=title,
        claim=claim,
        source=source,
        sizes={
            "paper": _grid(paper, {}, recipe, method),
            "small": _grid(small, {}, joint, method),
            "smoke": _grid(smoke_place(), {}, joint, method),
        },
        pictures=(
            Picture("curve", "All trained alike", (*alike, *own), within),
            over_random("curve_plain", "Plain training", labels),
            minus("curve_training", "What the training gives", labels, ALIKE, ""),
        ),
        checks=checks,
    )


def _behind(method: str, *labels: str) -> tuple[Check, ...]:
    """Checks that strategies are ahead of a method in its own training."""
    return tuple(
        Check(label + ALIKE, method, 1, None, f"Trained as {method} is, {label} is ahead of it.")
        for label in labels
    )


@register
def jls_for_all(dataset: str = "cifar10") -> Scenario:
    """All strategies train with the discriminator of JLS (Figures 8a and 25).

    Args:
        dataset: ``cifar10``, ``cifar100`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, RECIPES["jls"].bought)
    bought = RECIPES["jls"].bought[dataset]
    return _trained_alike(
        "jls_for_all",
        method="jls",
        title="All train with the discriminator of JLS",
        claim="Core-set and Uncertainty are ahead of JLS when all train as it does.",
        source="Figures 8a and 25",
        recipe={**RECIPES["jls"].settings},
        joint={"joint": "discriminator"},
        paper=paper_place(dataset, note="both trainings, the labels of JLS: a GPU's work", **bought),
        small=lenet_place(dataset),
        checks=_behind("jls", "entropy", "coreset"),
    )


@register
def waal_for_all(dataset: str = "cifar10") -> Scenario:
    """All strategies train with the critic of WAAL (Figures 8b and 26).

    Args:
        dataset: ``cifar10``, ``svhn`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, RECIPES["waal"].bought)
    bought = RECIPES["waal"].bought[dataset]
    return _trained_alike(
        "waal_for_all",
        method="waal",
        title="All train with the critic of WAAL",
        claim="Core-set and Uncertainty are ahead of WAAL when all train as it does.",
        source="Figures 8b and 26",
        recipe={**RECIPES["waal"].settings},
        joint={"joint": "wasserstein", "joint_length": "labeled"},
        paper=paper_place(dataset, note="both trainings, the labels of WAAL: a GPU's work", **bought),
        small=lenet_place(dataset),
        checks=_behind("waal", "entropy", "coreset"),
    )


@register
def loss_module_for_all(dataset: str = "cifar10") -> Scenario:
    """All strategies train with the loss module of LL4AL (Figures 8c and 27).

    Args:
        dataset: One of the paper's datasets.
    """
    lead = "The lead of ll4al over {} is gone once that has the module."
    return _trained_alike(
        "loss_module_for_all",
        method="ll4al",
        title="All train with the loss module of LL4AL",
        claim="LL4AL is no longer ahead when all train with its module.",
        source="Figures 8c and 27",
        recipe={"joint": "loss_prediction"},
        joint={"joint": "loss_prediction"},
        paper=paper_place(dataset),
        small=lenet_place(dataset, MANY, seeds=3),
        checks=tuple(
            Check("ll4al", label + ALIKE, 0, None, lead.format(label)) for label in ("entropy", "badge")
        ),
    )


@register
def semi_supervised() -> Scenario:
    """All strategies train with FixMatch, which learns from the unlabeled images as well; beyond the paper."""
    digits = Place("ALDigits-v0", {"budget": 40}, 5, "Digits, 20 labels + 2 x 20, 30 epochs")
    shown = {"joint": "fixmatch", "joint_length": "longest"}
    return _trained_alike(
        "semi_supervised",
        method=None,
        title="All train semi-supervised",
        claim="Does a strategy's lead over Random survive semi-supervised training, and which is larger, that lead or "
        "what the training gives?",
        source="beyond the paper; the training is that of Sohn et al. 2020",
        recipe={**RECIPES["fixmatch"].settings},
        joint=shown,
        paper=paper_place(note="plain and FixMatch, the labels of the paper: a GPU's work"),
        small=digits,
        checks=(),
    )
