"""How many labels at first, how many at a time, and how many it takes to be as accurate as Random."""

from __future__ import annotations

from collections.abc import Sequence

from scenarios.plan.registry import check_option, register
from scenarios.plan.scenario import Picture, Scenario, against_one
from scenarios.plan.sizes import (
    MANY,
    RANDOM,
    STRATEGIES,
    Variants,
    crossed,
    each_over_random,
    labels_of,
    lenet_place,
    paper_place,
    smoke_place,
)

SIZES = {f" B={size}": {"query_size": size, "budget": 10_000} for size in (100, 1_000, 2_000)}
STARTS = {
    f" from {start}": {"initial_size": start, "budget": budget}
    for start, budget in ((200, 9_000), (1_000, 9_000), (5_000, 5_000))
}


def _smaller(variants: Variants, setting: str, values: Sequence[int], budget: int) -> Variants:
    """Returns the variants of a smaller size: other values of their setting, and one budget for all."""
    return {
        suffix: {setting: value, "budget": budget} for suffix, value in zip(variants, values, strict=True)
    }


@register
def query_sizes(dataset: str = "cifar10") -> Scenario:
    """Three sizes of the query (Figures 23 and 24).

    Args:
        dataset: One of the paper's datasets.
    """
    return Scenario(
        name="query_sizes",
        title="Three sizes of the query",
        claim="Does the size of the query change the lead of a strategy over Random?",
        source="Figures 23 and 24, section A.8",
        sizes=crossed(
            STRATEGIES,
            SIZES,
            paper=paper_place(dataset, note="ResNet-18 for 200 epochs, 1,000 labels + 10,000: a GPU's work"),
            small=lenet_place(dataset, MANY, seeds=3).but(
                "FashionMNIST (or the dataset asked for), LeNet for 20 epochs, 200 labels + 2,000",
                initial_size=200,
                variants=_smaller(SIZES, "query_size", (100, 500, 1_000), budget=2_000),
            ),
            smoke=smoke_place().but(variants=_smaller(SIZES, "query_size", (10, 20, 40), budget=40)),
        ),
        pictures=each_over_random(STRATEGIES, SIZES),
    )


@register
def starting_points(dataset: str = "cifar10") -> Scenario:
    """Three sizes of the first set (Figure 37).

    Args:
        dataset: One of the paper's datasets.
    """
    return Scenario(
        name="starting_points",
        title="Three sizes of the first set",
        claim="Does the size of the first set change the lead of a strategy over Random?",
        source="Figure 37, section A.14",
        sizes=crossed(
            STRATEGIES,
            STARTS,
            paper=paper_place(
                dataset, note="ResNet-18 for 200 epochs, then 1,000 labels a query: a GPU's work"
            ),
            small=lenet_place(dataset, MANY, seeds=3).but(
                "FashionMNIST (or the dataset asked for), LeNet for 20 epochs, then 500 labels a query",
                query_size=500,
                variants=_smaller(STARTS, "initial_size", (100, 500, 2_500), budget=2_000),
            ),
            smoke=smoke_place().but(variants=_smaller(STARTS, "initial_size", (20, 40, 80), budget=40)),
        ),
        pictures=each_over_random(STRATEGIES, STARTS),
    )


@register
def labeling_efficiency(dataset: str = "cifar10") -> Scenario:
    """The default setting, told in labels that a strategy saves (Figure 35).

    Args:
        dataset: ``cifar10``, ``svhn`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, ("cifar10", "svhn", "fashion_mnist"))
    labels = labels_of(STRATEGIES)
    return Scenario(
        name="labeling_efficiency",
        title="Labels that a strategy saves",
        claim="How many labels does Random need for each that a strategy needs?",
        source="Figure 35, section A.12",
        sizes=crossed(
            STRATEGIES,
            {"": {}},
            paper=paper_place(dataset),
            small=lenet_place(dataset, MANY, seeds=3),
            smoke=smoke_place(),
        ),
        pictures=(Picture("curve", "", labels, against_one(labels, RANDOM), shows="labels"),),
    )
