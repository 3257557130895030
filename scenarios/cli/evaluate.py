"""``alenv evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Column

import agents
from agents import index
from agents.policies.training import REPORT_SEEDS
from agents.spelling import POLICY_CONFIG
from alenv.errors import UnknownName
from alenv.registration import MIX, known_id
from scenarios.cli.options import settings_of, with_settings
from scenarios.plan.arm import check_environment
from scenarios.play.evaluation import play
from scenarios.play.policy_training import BEST
from scenarios.report import stats
from scenarios.report.fitted import Fitted

BESIDE = "random,margin,badge,uherding:pool=candidates"


@click.command()
@click.argument("agent", metavar="AGENT")
@click.option("--env", "env_id", required=True, metavar="ID", help="The environment.")
@with_settings
@click.option(
    "--beside", default=BESIDE, show_default=True, help="Agents to compare with, separated by commas."
)
@click.option("--episodes", type=click.IntRange(2), default=200, show_default=True, help="Episodes of each.")
@click.option(
    "--first-seed",
    type=click.IntRange(0),
    default=REPORT_SEEDS,
    show_default=True,
    help="Seed of the first episode.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    agent: str,
    env_id: str,
    pairs: tuple[str, ...],
    beside: str,
    episodes: int,
    first_seed: int,
    as_json: bool,
) -> None:
    """Play AGENT, or the best policy in the folder of a training, in many episodes beside others.

    The episodes of all agents are the same; areas are those of test accuracy. Training draws its episodes from seeds
    below 10,000 and selects on those from there on; the default first seed is one that neither has seen.
    """
    check_environment(env_id)
    if known_id(env_id) == MIX:
        raise UnknownName(
            f"{env_id} was given, which has no test set to report on; give another environment."
        )
    settings, seeds = settings_of(pairs), range(first_seed, first_seed + episodes)
    chosen = list(dict.fromkeys([_policy_in(agent), *(text for text in beside.split(",") if text)]))
    for spelled in chosen:
        agents.make(spelled)
    areas = {spelled: 100 * np.asarray(play(spelled, env_id, settings, seeds).area) for spelled in chosen}
    rows = [
        _row(spelled, areas[spelled], None if at == 0 else areas[chosen[0]])
        for at, spelled in enumerate(chosen)
    ]
    if as_json:
        click.echo(
            json.dumps(
                {"environment": env_id, "settings": settings, "episodes": episodes, "agents": rows}, indent=2
            )
        )
        return
    columns = [Column(name, justify="right", no_wrap=True) for name in ("area (%)", f"{chosen[0]} minus it")]
    table = Fitted([Column("agent"), *columns], [])
    for row in rows:
        low, high = row["interval"] or (0, 0)
        said = f"{row['difference']:+.2f} [{low:+.2f}, {high:+.2f}]" if row["interval"] else ""
        table.add_row(index.shown(row["agent"]), f"{row['area']:.2f} \u00b1 {row['sd']:.2f}", said)
    Console(highlight=False).print(table)
    click.echo(
        f"Area under the curve of test accuracy, mean and sd of {episodes} episodes; paired differences, 95 %."
    )


def _policy_in(agent: str) -> str:
    """Returns an agent's spelling; the folder of a training stands for its best policy."""
    folder = Path(agent.removeprefix("policy="))
    return f"policy={folder / BEST}" if (folder / BEST / POLICY_CONFIG).is_file() else agent


def _row(agent: str, areas: np.ndarray, first: np.ndarray | None) -> dict[str, Any]:
    """Returns what is told of an agent; ``first`` are the areas of the first one, None for that itself."""
    row = {
        "agent": agent,
        "ceiling": index.shown(agent) != agent,
        "area": float(areas.mean()),
        "sd": stats.spread(areas),
        "difference": None,
        "interval": None,
    }
    if first is None:
        return row
    found = stats.paired(first, areas)
    return {**row, "difference": found.mean, "interval": list(found.interval)}
