"""``alenv bench``."""

from __future__ import annotations

import click

from scenarios.cli.lazy import LazyGroup

COMMANDS = {
    "train": (
        "scenarios.cli.bench_train",
        "Images trained per second, beside ceiling and usual loop.",
    ),
    "query": ("scenarios.cli.bench_query", "Seconds and memory of a query, per agent."),
    "regimes": ("scenarios.cli.bench_regimes", "Cost of a cycle under every training regime."),
    "env": ("scenarios.cli.bench_env", "Milliseconds per step of an environment."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def bench() -> None:
    """Measure training, query and step speed on this machine."""
