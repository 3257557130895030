"""How the first labels are chosen: at random, or spread over the features of a pretrained network."""

from __future__ import annotations

from scenarios.plan.registry import check_option, register
from scenarios.plan.scenario import Check, Scenario
from scenarios.plan.sizes import (
    STRATEGIES,
    crossed,
    further,
    lenet_place,
    minus,
    paper_place,
    smoke_place,
)

DATASETS = ("cifar10", "svhn", "fashion_mnist")
DRAWN, SEEDED, COVER = " random set", " k-means++ set", " k-center set"
SETS = {
    DRAWN: {"initial_set": "random"},
    SEEDED: {"initial_set": "kmeans++"},
    COVER: {"initial_set": "kcenter"},
}


def _checks(dataset: str) -> tuple[Check, ...]:
    if dataset == "fashion_mnist":
        return ()
    sign, word = (1, "better") if dataset == "cifar10" else (-1, "worse")
    said = f"The first accuracy is {word} with k-means++."
    return (
        Check("random" + SEEDED, "random" + DRAWN, sign, "start", said),
        Check("random" + COVER, "random" + DRAWN, -1, "start", "The first accuracy is worse with k-center."),
        Check("random" + SEEDED, "random" + DRAWN, 0, "end", "At the end k-means++ makes no difference."),
        Check("random" + COVER, "random" + DRAWN, 0, "end", "At the end k-center makes no difference."),
    )


@register
def initial_sets(dataset: str = "cifar10") -> Scenario:
    """A first set chosen by k-means++ or k-center minus a random one (Figures 9 and 28 to 31).

    Args:
        dataset: ``cifar10``, ``svhn`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, DATASETS)
    claims = {
        "cifar10": "k-means++ adds 2 points to the first accuracy (not for LL4AL), k-center takes more than 10; both "
        "vanish within a few queries.",
        "svhn": "Both make the first accuracy worse, k-center less so; both vanish within a few queries.",
        "fashion_mnist": "What does a first set that is spread over pretrained features change?",
    }
    return Scenario(
        name="initial_sets",
        title="First sets that are not random",
        claim=claims[dataset],
        source="Figures 9 and 28 to 31, sections 7 and A.11.1; which layer of VGG-16 it takes the paper does not say",
        sizes=crossed(
            STRATEGIES,
            SETS,
            paper=paper_place(dataset, embedding="imagenet-vgg16"),
            small=lenet_place(dataset, embedding="patches"),
            smoke=smoke_place(embedding="pixels"),
        ),
        pictures=(
            minus("curve", "k-means++ minus random set", STRATEGIES, SEEDED, DRAWN),
            minus("curve_kcenter", "k-center minus random set", STRATEGIES, COVER, DRAWN),
            *further(STRATEGIES, SETS),
        ),
        checks=_checks(dataset),
    )
