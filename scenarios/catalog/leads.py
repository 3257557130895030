"""How much of a published lead is training and how much is choice; how far cheap rungs rank strategies alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.plan.analyses import Group, Ladder, TwoWay
from scenarios.plan.arm import product
from scenarios.plan.registry import check_option, register
from scenarios.plan.scenario import Grid, Picture, Scenario, against_one
from scenarios.plan.sizes import (
    FEW,
    NAMES,
    OWN_SCORE,
    RANDOM,
    Place,
    lenet_place,
    paper_place,
    smoke_place,
)

PLAIN = "plain"
JOINTS: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {},
    "loss module": {"joint": "loss_prediction"},
    "discriminator": {"joint": "discriminator"},
    "critic": {"joint": "wasserstein", "joint_length": "labeled"},
    "cold": {"start": "cold"},
    "rotation": {"pretraining": "rotation", "start": "pretrained"},
    "FixMatch": {"joint": "fixmatch"},
}
CAME_WITH = {"ll4al": "loss module", "jls": "discriminator", "waal": "critic"}
AGENTS = {
    regime: (*OWN_SCORE, *(method for method, own in CAME_WITH.items() if own == regime)) for regime in JOINTS
}


def _label(strategy: str, variant: str) -> str:
    return f"{strategy} ({variant})"


def _picture(group: Group, name: str) -> Picture:
    """Returns the strategies of one training minus Random in it."""
    labels = tuple(group.arms.values())
    return Picture(name, group.name, labels, against_one(labels, group.arms[RANDOM]))


def _grid(place: Place, **rotation: Any) -> Grid:
    """Crosses every regime with the strategies that it has what they need for."""
    arms = [
        arm
        for regime, settings in JOINTS.items()
        for arm in product(
            place.env_id,
            AGENTS[regime],
            place.settings,
            {f" ({regime})": {**settings, **(rotation if regime == "rotation" else {})}},
        )
    ]
    return Grid(tuple(arms), place.seeds, place.note)


@register
def regime_by_strategy(dataset: str = "cifar10") -> Scenario:
    """Every training regime with every strategy, and each published lead split into training and choice.

    Args:
        dataset: One of the paper's datasets.
    """
    note = (
        "FashionMNIST, three convolutions at half width, 20 epochs, 200 labels + 4 x 200: 11 s of one core a run, "
        "71 s with FixMatch"
    )
    small = Place(
        "ALFashionMnistConvnet-v0", {**FEW, "width": 16, "epochs": 20, "start": "warm", "threads": 1}, 3, note
    )
    regimes = tuple(
        Group(regime, {strategy: _label(strategy, regime) for strategy in AGENTS[regime]})
        for regime in JOINTS
    )
    return Scenario(
        name="regime_by_strategy",
        title="Training regimes by strategies",
        claim="How much of the lead of LL4AL, JLS and WAAL over plain Random is training, and how much is choice?",
        source="beyond the paper, which compares regimes one at a time (Figures 3, 8 and 10)",
        sizes={
            "paper": _grid(paper_place(dataset, note="seven trainings, 200 epochs: a GPU's work")),
            "small": _grid(small, pretraining_epochs=2),
            "smoke": _grid(smoke_place(), pretraining_epochs=1),
        },
        pictures=tuple(
            _picture(regime, "curve" + f"_{regime.name.replace(' ', '_').lower()}" * (regime.name != PLAIN))
            for regime in regimes
        ),
        analyses=(TwoWay(regimes, RANDOM, CAME_WITH),),
    )


RANKED = (RANDOM, "margin", "entropy", "least_confidence", "coreset", "badge", "kmeans")
RUNGS = ("ridge", "convnet", "fast", "paper")


def _rungs(name: str, settings: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> tuple[Any, ...]:
    """Returns the strategies on every rung of one dataset's ladder, all with the same labels."""
    linear = {"reward": "accuracy", "validation": 0, "candidates": None}
    return tuple(
        arm
        for rung in RUNGS
        for arm in product(
            name,
            RANKED,
            {**settings, "recipe": rung, **(linear if rung == "ridge" else {}), **own.get(rung, {})},
            {f" ({rung})": {}},
        )
    )


@register
def fidelity_ladder(dataset: str = "cifar10") -> Scenario:
    """Seven strategies on four rungs, from a frozen head to the paper's training: do they rank alike?

    Args:
        dataset: ``cifar10``, ``svhn`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, ("cifar10", "svhn", "fashion_mnist"))
    place, lenet = paper_place(dataset), lenet_place(dataset)
    shorter = {"width": 8, "epochs": 20, "batch_size": 32, "threads": 1}
    own = {
        "convnet": {"width": 16, "epochs": 20, "threads": 1},
        "fast": {**shorter, "width": 16},
        "paper": {key: value for key, value in lenet.settings.items() if key not in FEW},
    }
    digits = {rung: {"epochs": 1, "width": 4} for rung in RUNGS[1:]}
    bought = {"initial_size": 40, "query_size": 20, "budget": 40}
    rungs = tuple(Group(rung, {strategy: _label(strategy, rung) for strategy in RANKED}) for rung in RUNGS)
    return Scenario(
        name="fidelity_ladder",
        title="A ladder of trainings",
        claim="Do cheap trainings rank the strategies as the paper's does?",
        source="beyond the paper",
        sizes={
            "paper": Grid(
                _rungs(
                    place.env_id, {}, {"ridge": {"initial_size": 1_000, "query_size": 1_000, "budget": 9_000}}
                ),
                5,
                f"{NAMES[dataset]}, ridge head, three convolutions, Fast and ResNet-18: a GPU's work",
            ),
            "small": Grid(
                _rungs(lenet.env_id, FEW, own),
                5,
                "FashionMNIST (or the dataset asked for), ridge head, three convolutions, Fast at a quarter of its "
                "width, and a LeNet in the place of the paper's training, 200 labels + 4 x 200",
            ),
            "smoke": Grid(
                _rungs("ALDigits-v0", bought, digits), 3, "Digits, four trainings of 1 epoch: seconds"
            ),
        },
        pictures=tuple(_picture(rung, "curve" + f"_{rung.name}" * (rung.name != RUNGS[0])) for rung in rungs),
        analyses=(Ladder(rungs),),
    )
