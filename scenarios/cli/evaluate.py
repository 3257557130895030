"""``alenv evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column

import agents
from agents import index
from agents.policies.training import REPORT_SEEDS
from agents.spelling import POLICY_CONFIG
from alenv import core, needs
from alenv.errors import InvalidProtocol, MissingHead, UnknownName
from alenv.registration import MIX, known_id
from scenarios.cli.options import settings_of, with_settings
from scenarios.plan.arm import check_environment
from scenarios.play.evaluation import BUDGETS, play_and_keep
from scenarios.play.policy_training import BEST
from scenarios.report import stats
from scenarios.report.fitted import Fitted

Areas = NDArray[np.float64]
BESIDE = "random,margin,badge,uherding:pool=candidates"


ALL = "all"
HINDSIGHT = "best of each in hindsight"


@click.command()
@click.argument("agent", metavar="AGENT")
@click.option("--env", "env_id", required=True, metavar="ID", help="The environment.")
@with_settings
@click.option(
    "--beside",
    default=BESIDE,
    show_default=True,
    help="Agents to compare with, separated by commas; all = every strategy that can be played there.",
)
@click.option("--budgets", is_flag=True, help="Play at six label budgets, from 20+10x10 to 1000+10x100.")
@click.option("--episodes", type=click.IntRange(2), default=200, show_default=True, help="Episodes of each.")
@click.option(
    "--first-seed",
    type=click.IntRange(0),
    default=REPORT_SEEDS,
    show_default=True,
    help="Seed of the first episode.",
)
@click.option("--out", metavar="PATH", default="runs/evaluate", show_default=True, help="What was played.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    agent: str,
    env_id: str,
    pairs: tuple[str, ...],
    beside: str,
    budgets: bool,
    episodes: int,
    first_seed: int,
    out: str,
    as_json: bool,
) -> None:
    """Play AGENT, or the best policy in the folder of a training, in many episodes beside others.

    The episodes of all agents are the same; areas are those of test accuracy. Training draws its episodes from seeds
    below 10,000 and selects on those from there on; the default first seed is one that neither has seen. Episodes
    that were played are kept, so that the same command goes on where it was stopped.
    """
    check_environment(env_id)
    if known_id(env_id) == MIX:
        raise UnknownName(
            f"{env_id} was given, which has no test set to report on; give another environment."
        )
    settings, seeds = settings_of(pairs), range(first_seed, first_seed + episodes)
    offered = _offered(env_id, settings)
    others = _all(offered) if beside == ALL else [text for text in beside.split(",") if text]
    chosen = list(dict.fromkeys([_policy_in(agent), *others]))
    for spelled in chosen:
        if lacking := needs.missing(agents.make(spelled).needs, offered):
            raise MissingHead(
                f"{spelled} needs {lacking[0]}, which {env_id} does not give as it is set; leave {spelled} out, or see "
                f"`alenv agents {spelled.partition(':')[0]}`."
            )
    grounds = _grounds(env_id, settings) if budgets else {"": settings}
    areas = {
        spelled: {
            title: 100 * np.asarray(play_and_keep(Path(out), spelled, env_id, ground, seeds).area)
            for title, ground in grounds.items()
        }
        for spelled in chosen
    }
    rivals = [other for other in chosen[1:] if index.shown(other) == other]
    if budgets and rivals:
        areas[HINDSIGHT] = {
            title: max((areas[other][title] for other in rivals), key=np.mean) for title in grounds
        }
    rows = [
        _row(spelled, found, areas[chosen[0]] if at else None)
        for at, (spelled, found) in enumerate(areas.items())
    ]
    if as_json:
        told = {"environment": env_id, "settings": settings, "episodes": episodes, "agents": rows}
        click.echo(json.dumps(told, indent=2))
        return
    Console(highlight=False).print(_table(rows, list(grounds) if budgets else []))
    over = ", over the budgets" if budgets else ""
    click.echo(
        f"Area under the curve of test accuracy, mean{over} and sd of {episodes} episodes; {chosen[0]} minus each, "
        "paired, 95 %."
    )


def _grounds(env_id: str, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the settings of every budget that the pool is large enough for."""
    found, refusal = {}, None
    for each in BUDGETS:
        ground = {**settings, **each.settings}
        try:
            gym.make(env_id, **ground).close()
        except InvalidProtocol as error:
            refusal = error
            click.echo(f"{each.title} is left out: {error}", err=True)
        else:
            found[each.title] = ground
    if refusal is not None and not found:
        raise refusal
    return found


def _offered(env_id: str, settings: dict[str, Any]) -> frozenset[str]:
    """Returns what the environment offers to agents."""
    env = gym.make(known_id(env_id), **settings)
    offered = core(env).offers
    env.close()
    return offered


def _all(offered: frozenset[str]) -> list[str]:
    """Returns every registered strategy that needs no more than there is, all on the candidates."""
    found = []
    for name in agents.names():
        said = agents.describe(name)
        if said.pool and not needs.missing(said.needs, offered):
            found.append(name if said.pool == "candidates" else f"{name}:pool=candidates")
    return found


def _table(rows: list[dict[str, Any]], budgets: list[str]) -> Fitted:
    """Returns a line per agent; of each budget the difference alone."""
    shown = [title.replace("+", "\n+") for title in budgets]
    columns = [Column(name, justify="right", no_wrap=True) for name in ("area (%)", "minus it", *shown)]
    table = Fitted([Column("agent"), *columns], ["area (%)", *shown])
    for row in rows:
        said = [f"{row['area']:.2f} \u00b1 {row['sd']:.2f}", *[""] * (1 + len(budgets))]
        if row["interval"] is not None:
            low, high = row["interval"]
            said[1:] = [f"{row['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"]
            said += [f"{row['budgets'][title]['difference']:+.2f}" for title in budgets]
        table.add_row(index.shown(row["agent"]), *said)
    return table


def _policy_in(agent: str) -> str:
    """Returns an agent's spelling; the folder of a training stands for its best policy."""
    folder = Path(agent.removeprefix("policy="))
    return f"policy={folder / BEST}" if (folder / BEST / POLICY_CONFIG).is_file() else agent


def _row(agent: str, areas: dict[str, Areas], first: dict[str, Areas] | None) -> dict[str, Any]:
    """Returns what is told of an agent; ``first`` are the areas of the first one, None for that itself."""
    row = _compared(_mean(areas), None if first is None else _mean(first))
    parts = {title: _compared(areas[title], None if first is None else first[title]) for title in areas}
    ceiling = index.shown(agent) != agent
    return {"agent": agent, "ceiling": ceiling, **row, **({"budgets": parts} if len(parts) > 1 else {})}


def _mean(areas: dict[str, Areas]) -> Areas:
    return np.asarray(np.mean(list(areas.values()), axis=0))


def _compared(areas: Areas, first: Areas | None) -> dict[str, Any]:
    found = None if first is None else stats.paired(first, areas)
    return {
        "area": float(areas.mean()),
        "sd": stats.spread(areas),
        "difference": None if found is None else found.mean,
        "interval": None if found is None else list(found.interval),
    }
