"""Pools in which images stand many times, and subsets that spare them."""

from __future__ import annotations

from scenarios.plan.registry import register
from scenarios.plan.scenario import Check, Scenario
from scenarios.plan.sizes import (
    MANY,
    STRATEGIES,
    crossed,
    each_over_random,
    lenet_place,
    minus,
    paper_place,
    smoke_place,
)

ONCE, TWICE, TWENTY = " 1x", " 2x", " 20x"
COPIES = {ONCE: {"redundancy": 1}, TWICE: {"redundancy": 2}, TWENTY: {"redundancy": 20}}
MODULE = "@joint=loss_prediction"
SUBSETS = (
    *STRATEGIES,
    *(f"{by}+{then}" for then in ("entropy", f"ll4al{MODULE}") for by in ("badge", "coreset")),
)
START, LATE = " from 1,000", " from 5,000"
PROTOCOLS = {
    START: {"initial_size": 1_000, "query_size": 1_000, "budget": 9_000},
    LATE: {"initial_size": 5_000, "query_size": 2_500, "budget": 15_000},
}
POOLS = (
    "random",
    "entropy",
    "entropy:pool=all",
    "coreset",
    "badge",
    STRATEGIES[-1],
    f"ll4al:pool=all{MODULE}",
)


@register
def redundancy(dataset: str = "cifar10") -> Scenario:
    """Pools whose images stand there once, twice and twenty times (Figure 38).

    Args:
        dataset: One of the paper's datasets.
    """
    return Scenario(
        name="redundancy",
        title="Redundant pools",
        claim="With twenty copies of most images Core-set and BADGE, which look for diversity, are ahead of "
        "Uncertainty and LL4AL; Uncertainty on a random subset still beats Random.",
        source="Figure 38, section A.15",
        sizes=crossed(
            STRATEGIES,
            COPIES,
            paper=paper_place(dataset),
            small=lenet_place(dataset, MANY, seeds=5),
            smoke=smoke_place(),
        ),
        pictures=(
            *each_over_random(STRATEGIES, COPIES),
            minus("curve_copies", "20x minus 1x", STRATEGIES, TWENTY, ONCE),
        ),
        checks=(
            *(
                Check(diverse + TWENTY, other + TWENTY, 1, None, f"At 20x {diverse} is ahead of {other}.")
                for diverse in ("coreset", "badge")
                for other in ("entropy", "ll4al")
            ),
            Check("entropy" + TWENTY, "random" + TWENTY, 1, None, "At 20x Uncertainty still beats Random."),
        ),
    )


@register
def subset_choice(dataset: str = "cifar10") -> Scenario:
    """The subset that Uncertainty and LL4AL choose from is chosen by BADGE or Core-set (Figures 39 to 41).

    Args:
        dataset: One of the paper's datasets.
    """
    ends = {ONCE: COPIES[ONCE], TWENTY: COPIES[TWENTY]}

    return Scenario(
        name="subset_choice",
        title="Subsets chosen for diversity",
        claim="On the plain pool a chosen subset is about as good as a random one. At 20x LL4AL with either subset is "
        "ahead of all, and Uncertainty with one is on par with BADGE and Core-set.",
        source="Figures 39 to 41, sections A.15 and A.16",
        sizes=crossed(
            SUBSETS,
            ends,
            paper=paper_place(dataset),
            small=lenet_place(dataset, MANY, seeds=3),
            smoke=smoke_place(),
        ),
        pictures=(
            *each_over_random(SUBSETS, ends),
            minus("curve_copies", "20x minus 1x", SUBSETS, TWENTY, ONCE),
        ),
        checks=(
            *(
                Check(
                    f"{by}+{then}{ONCE}",
                    then + ONCE,
                    0,
                    None,
                    f"Plain, {by} helps {then} as little as chance.",
                )
                for by in ("badge", "coreset")
                for then in ("entropy", "ll4al")
            ),
            *(
                Check(
                    f"{by}+ll4al{TWENTY}", other + TWENTY, 1, None, f"At 20x {by}+ll4al is ahead of {other}."
                )
                for by in ("badge", "coreset")
                for other in ("entropy", "coreset", "badge", "ll4al")
            ),
            *(
                Check(
                    f"{by}+entropy{TWENTY}", by + TWENTY, 0, None, f"At 20x {by}+entropy is on par with {by}."
                )
                for by in ("badge", "coreset")
            ),
        ),
    )


@register
def subset_or_pool(dataset: str = "cifar10") -> Scenario:
    """Uncertainty and LL4AL choose from a random subset or from the whole pool, in two protocols (Figures 42 and 43).

    Args:
        dataset: One of the paper's datasets.
    """
    ahead = "From 5,000 labels on, Uncertainty on the whole pool is ahead of {}."
    others = ("random", "entropy", "coreset", "badge", "ll4al")
    return Scenario(
        name="subset_or_pool",
        title="Random subset or whole pool",
        claim="With 5,000 labels and 2,500 a query, Uncertainty on the whole pool is far ahead of all others.",
        source="Figures 42 and 43, section A.16.1",
        sizes=crossed(
            POOLS,
            PROTOCOLS,
            paper=paper_place(dataset, note="ResNet-18 for 200 epochs, two protocols: a GPU's work"),
            small=lenet_place(dataset, MANY, seeds=3).but(
                "FashionMNIST (or the dataset asked for), LeNet for 20 epochs, 200 labels + 5 x 200 and "
                "1,000 + 3 x 500",
                variants={
                    START: {"initial_size": 200, "query_size": 200, "budget": 1_000},
                    LATE: {"initial_size": 1_000, "query_size": 500, "budget": 1_500},
                },
            ),
            smoke=smoke_place().but(
                variants={
                    START: {"initial_size": 20, "query_size": 20, "budget": 40},
                    LATE: {"initial_size": 40, "query_size": 20, "budget": 40},
                }
            ),
        ),
        pictures=each_over_random(POOLS, PROTOCOLS),
        checks=tuple(
            Check("entropy:pool=all" + LATE, other + LATE, 1, None, ahead.format(other)) for other in others
        ),
    )
