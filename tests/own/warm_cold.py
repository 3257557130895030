"""A scenario that subtracts per agent: each strategy with a warm start minus the same with a cold one."""

import scenarios


def warm_cold(epochs=1):
    """Warm minus cold start on digits."""
    plain = {"epochs": epochs, "width": 4, "initial_size": 20, "query_size": 10, "budget": 20}
    variants = {f" {start}": {"start": start} for start in ("warm", "cold")}
    arms = scenarios.product("ALDigits-v0", ["random", "margin"], plain, variants)
    against = {"random warm": "random cold", "margin warm": "margin cold"}
    return scenarios.Scenario(
        name="warm_cold",
        title="Warm minus cold start",
        claim="A warm start is as good as a cold one.",
        source="the paper, Figure 3",
        sizes={size: scenarios.Grid(arms, 2, "seconds") for size in ("paper", "small", "smoke")},
        pictures=(scenarios.Picture("curve", "", tuple(arm.label for arm in arms), against),),
        checks=tuple(scenarios.Check(warm, cold, 0) for warm, cold in against.items()),
    )
