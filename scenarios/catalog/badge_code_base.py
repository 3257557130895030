"""The settings of BADGE's public code beside the paper's."""

from __future__ import annotations

from typing import Any

from scenarios.plan.registry import check_option, register
from scenarios.plan.scenario import Scenario
from scenarios.plan.sizes import (
    STRATEGIES,
    crossed,
    further,
    lenet_place,
    minus,
    pairwise,
    paper_place,
    smoke_place,
)

PAPER, CODE_BASE = " paper", " BADGE's code"
RECIPES = {PAPER: {"recipe": "paper"}, CODE_BASE: {"recipe": "badge2019"}}
ADAM = {"optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "schedule": "constant", "nesterov": False}
LENETS = {
    PAPER: {},
    CODE_BASE: {**ADAM, "warmup": 0.0, "stop_accuracy": 0.99, "augment": False, "start": "cold"},
}
LABELS: dict[str, Any] = {"initial_size": 100, "query_size": 1_000, "budget": 10_000}  # those of BADGE's code


@register
def badge_code_base(dataset: str = "cifar10") -> Scenario:
    """The strategies under the training of BADGE's public code, and under the paper's (Figures 6b and 13).

    Args:
        dataset: ``cifar10`` or ``svhn``.
    """
    check_option("dataset", dataset, ("cifar10", "svhn"))
    on_cifar = dataset == "cifar10"
    small = lenet_place(dataset, {"initial_size": 100, "query_size": 500, "budget": 2_000}, seeds=5)
    smoke = {
        suffix: {**settings, "backbone": "convnet", "nesterov": False} for suffix, settings in RECIPES.items()
    }
    return Scenario(
        name="badge_code_base",
        title="The training of BADGE's public code",
        claim="The training of BADGE's code is 20 to almost 50 points below the paper's, and there Random often beats "
        "the strategies."
        if on_cifar
        else "How far is BADGE's training below the paper's, and what does it leave of the strategies' lead?",
        source="Figures 6b and 13",
        sizes=crossed(
            STRATEGIES,
            RECIPES,
            paper=paper_place(
                dataset, **LABELS, note="both trainings, 100 labels + 10 x 1,000: a GPU's work"
            ),
            small=small.but(variants=LENETS),
            smoke=smoke_place().but(variants=smoke),
        ),
        pictures=(
            minus("curve", "BADGE's code minus the paper's training", STRATEGIES, CODE_BASE, PAPER),
            *further(STRATEGIES, RECIPES),
        ),
        checks=pairwise(STRATEGIES, CODE_BASE, PAPER, -1, "{} is worse with BADGE's training.")
        if on_cifar
        else (),
    )
