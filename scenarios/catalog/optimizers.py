"""SGD or Adam."""

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

DATASETS = ("cifar10", "svhn", "fashion_mnist")
SGD, ADAM, SLOW_ADAM = " SGD", " Adam", " Adam 0.01"
OPTIMIZERS: dict[str, dict[str, Any]] = {
    SGD: {"optimizer": "sgd"},
    ADAM: {"optimizer": "adam", "lr": 0.1},
    SLOW_ADAM: {"optimizer": "adam", "lr": 0.01},
}
# A LeNet has no BatchNorm, without which Adam at 0.1 does not train, so a narrow ResNet-18 it is.
RESNET: dict[str, Any] = {"backbone": "resnet18", "width": 8, "budget": 400, "lr": 0.1, "nesterov": False}


@register
def optimizers(dataset: str = "cifar10") -> Scenario:
    """SGD minus Adam for every strategy, and Adam at two learning rates (Figures 5, 16, 17 and 36).

    Args:
        dataset: ``cifar10``, ``svhn`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, DATASETS)
    points = {"cifar10": "about 6", "svhn": "0.5 to 1", "fashion_mnist": "0.5 to 1.5"}[dataset]
    small = lenet_place(dataset, seeds=3).but(
        "FashionMNIST (or the dataset asked for), ResNet-18 at an eighth of its width, 20 epochs, 200 labels + 2 x 200",
        **RESNET,
    )
    return Scenario(
        name="optimizers",
        title="SGD minus Adam",
        claim=f"SGD is {points} points above Adam for every strategy; Adam at 0.01 is slightly worse than at 0.1.",
        source="Figures 5, 16, 17 and 36, section A.13",
        sizes=crossed(STRATEGIES, OPTIMIZERS, paper=paper_place(dataset), small=small, smoke=smoke_place()),
        pictures=(
            minus("curve", "SGD minus Adam", STRATEGIES, SGD, ADAM),
            minus("curve_rate", "Adam at 0.1 minus Adam at 0.01", STRATEGIES, ADAM, SLOW_ADAM),
            *further(STRATEGIES, OPTIMIZERS),
        ),
        checks=(
            *pairwise(STRATEGIES, SGD, ADAM, 1, "SGD is better than Adam for {}."),
            *pairwise(STRATEGIES, ADAM, SLOW_ADAM, 1, "Adam is better at 0.1 than at 0.01 for {}."),
        ),
    )
