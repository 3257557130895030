"""Whether weights are kept from cycle to cycle."""

from __future__ import annotations

from scenarios.plan.registry import check_option, register
from scenarios.plan.scenario import Check, Scenario
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

WARM, COLD = " warm", " cold"
STARTS = {WARM: {"start": "warm"}, COLD: {"start": "cold"}}
CLAIMS = {
    "cifar10": "A cold start helps in the first cycles; LL4AL is better with a warm one.",
    "svhn": "A warm start is better for every strategy.",
    "fashion_mnist": "It makes no difference; LL4AL is better with a warm start.",
}
OTHERS = STRATEGIES[:-1]


def _checks(dataset: str) -> tuple[Check, ...]:
    ll4al = Check("ll4al" + WARM, "ll4al" + COLD, 1, None, "LL4AL is better with a warm start.")
    if dataset == "cifar10":
        early = pairwise(OTHERS, COLD, WARM, 1, "A cold start helps {} after its first query.", "first")
        return (*early, ll4al)
    if dataset == "svhn":
        return (*pairwise(OTHERS, WARM, COLD, 1, "A warm start helps {}."), ll4al)
    return (*pairwise(OTHERS, WARM, COLD, 0, "The start makes no difference to {}."), ll4al)


@register
def warm_cold(dataset: str = "cifar10") -> Scenario:
    """Warm minus cold start for every strategy (Figures 3 and 20 to 22).

    Args:
        dataset: ``cifar10``, ``svhn`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, CLAIMS)
    return Scenario(
        name="warm_cold",
        title="Warm minus cold start",
        claim=CLAIMS[dataset],
        source="Figures 3 and 20 to 22, section 5",
        sizes=crossed(
            STRATEGIES,
            STARTS,
            paper=paper_place(dataset),
            small=lenet_place(dataset),
            smoke=smoke_place(),
        ),
        pictures=(
            minus("curve", "Warm minus cold start", STRATEGIES, WARM, COLD),
            *further(STRATEGIES, STARTS),
        ),
        checks=_checks(dataset),
    )
