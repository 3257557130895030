"""The learning rate, under warm and cold start."""

from __future__ import annotations

from scenarios.plan.registry import check_option, register
from scenarios.plan.scenario import Check, Scenario
from scenarios.plan.sizes import (
    STRATEGIES,
    crossed,
    further,
    labels_of,
    lenet_place,
    minus,
    pairwise,
    paper_place,
    smoke_place,
)

DATASETS = ("cifar10", "svhn", "fashion_mnist")
RATES = {
    f" {start} {rate}": {"start": start, "lr": rate} for start in ("warm", "cold") for rate in (0.1, 0.01)
}


@register
def learning_rate(dataset: str = "cifar10") -> Scenario:
    """A learning rate of 0.1 minus one of 0.01, under warm and cold start (Figures 4, 18 and 19).

    Args:
        dataset: ``cifar10``, ``svhn`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, DATASETS)
    better = "With a {} start 0.1 is better than 0.01 for {{}}."
    return Scenario(
        name="learning_rate",
        title="Learning rate 0.1 minus 0.01",
        claim="A learning rate of 0.1 is better than 0.01 under warm and cold start, except on the initial set; under "
        "cold start LL4AL leads no more.",
        source="Figures 4, 18 and 19",
        sizes=crossed(
            STRATEGIES, RATES, paper=paper_place(dataset), small=lenet_place(dataset), smoke=smoke_place()
        ),
        pictures=(
            minus("curve", "Warm start: 0.1 minus 0.01", STRATEGIES, " warm 0.1", " warm 0.01"),
            minus("curve_cold", "Cold start: 0.1 minus 0.01", STRATEGIES, " cold 0.1", " cold 0.01"),
            *further(STRATEGIES, RATES),
        ),
        checks=(
            *pairwise(STRATEGIES, " warm 0.1", " warm 0.01", 1, better.format("warm")),
            *pairwise(STRATEGIES, " cold 0.1", " cold 0.01", 1, better.format("cold")),
            Check("random cold 0.1", "random cold 0.01", -1, "start", "On the initial set 0.01 is better."),
            *(
                Check("ll4al cold 0.1", f"{label} cold 0.1", 0, None, f"Cold, LL4AL leads {label} no more.")
                for label in labels_of(STRATEGIES)[1:-1]
            ),
        ),
    )
