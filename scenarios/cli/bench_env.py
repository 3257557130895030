"""``alenv bench env``."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Column

from alenv import is_batched
from alenv.registration import MIX, known_id
from scenarios.bench import rates, stepping
from scenarios.cli.options import say, settings_of, with_settings
from scenarios.report.fitted import Fitted


@click.command()
@click.argument("env", metavar="ENV")
@with_settings
@click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="Steps to time.")
@click.option(
    "--agents",
    "spelled",
    help=f"Agents to play environments with a ridge head, separated by commas.  [default: {','.join(rates.AGENTS)}]",
)
@click.option(
    "--num-envs",
    type=click.IntRange(1),
    default=rates.EPISODES,
    show_default=True,
    help="Episodes of a batch.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def env(
    env: str, pairs: tuple[str, ...], steps: int, spelled: str | None, num_envs: int, as_json: bool
) -> None:
    """Time steps of the environment ENV with random queries.

    One with a ridge head is also played by agents: alone, in Gymnasium's SyncVectorEnv, and as a batch of episodes,
    beside what this machine's matrix products would allow.
    """
    settings = settings_of(pairs)
    found = stepping.measure(env, settings, steps)
    batched = is_batched(env, settings) and known_id(env) != MIX  # whose tasks have no one floor
    if not batched and spelled:
        raise click.UsageError(f"--agents was given, and {env} has no batch to time them on; leave it out.")
    if batched:
        chosen = [text for text in (spelled or ",".join(rates.AGENTS)).split(",") if text]
        found |= rates.measure(env, settings, steps, chosen, num_envs)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if found["found"]:
        say(found["found"])
    click.echo(
        f"{found['milliseconds_per_step']} ms per step ({found['steps_per_second']} steps a second) over "
        f"{found['steps']} steps of {env} on {found['device']} with {found['threads']} threads; "
        f"reset takes {found['reset_milliseconds']} ms."
    )
    if batched:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    """Prints the table of agents, and the floor below it."""
    names = ("at once", "steps a second", "without the agent")
    table = Fitted(
        [
            Column("episodes", no_wrap=True),
            Column("agent"),
            *(Column(name, justify="right") for name in names),
        ],
        [],
    )
    for row in found["rows"]:
        numbers = (row["steps_per_second"], row["environment_steps_per_second"])
        table.add_row(
            row["episodes"], row["agent"], str(row["together"]), *(f"{each:,.0f}" for each in numbers)
        )
    Console(highlight=False).print(table)
    floor = found["floor"]
    click.echo(
        f"Resets are in it, test accuracy is not. The {floor['operations_per_step'] / 1e6:.1f} million operations of a "
        f"batched step would take 1/{floor['steps_per_second']:,.0f} s at this machine's "
        f"{floor['operations_per_second'] / 1e9:.0f} GFLOP/s."
    )
