"""Training with and without random crops and flips."""

from __future__ import annotations

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
WITH, WITHOUT = " augmented", " as they are"
AUGMENTATIONS = {WITH: {"augment": True}, WITHOUT: {"augment": False}}


@register
def augmentation(dataset: str = "cifar10") -> Scenario:
    """With minus without augmentation for every strategy (Figures 6a, 7, 14 and 15).

    Args:
        dataset: ``cifar10``, ``svhn`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, DATASETS)
    published = "Without augmentation every strategy loses 10 to more than 20 points, and Random beats each somewhere."
    asked = "How much does each strategy lose without augmentation, and does its lead over Random change?"
    on_cifar = dataset == "cifar10"
    # The small network's own training pads nothing before a crop, so that flips would be all there is.
    small = lenet_place(dataset).but(crop_padding=2)
    return Scenario(
        name="augmentation",
        title="With minus without augmentation",
        claim=published if on_cifar else asked,
        source="Figures 6a, 7, 14 and 15",
        sizes=crossed(
            STRATEGIES, AUGMENTATIONS, paper=paper_place(dataset), small=small, smoke=smoke_place()
        ),
        pictures=(
            minus("curve", "With minus without augmentation", STRATEGIES, WITH, WITHOUT),
            *further(STRATEGIES, AUGMENTATIONS),
        ),
        checks=pairwise(STRATEGIES, WITH, WITHOUT, 1, "Augmentation helps {}.") if on_cifar else (),
    )
