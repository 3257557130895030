"""``alenv train``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from agents.policies.training import LearningTask, find_trainer, trainers
from alenv import ENVIRONMENTS
from alenv.errors import MissingHead
from alenv.presets import resolve
from alenv.registration import known_id
from scenarios.cli.options import settings_of, with_settings
from scenarios.plan.arm import check_environment
from scenarios.play.run_folder import slug

OUTSIDE_LISTS = re.compile(r",(?![^\[]*\])")  # a comma between environments, not one in classes=[4,10]


class ListingTrainers(click.Command):
    """A command whose help ends with the agents that can be trained."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists them from the registry, which imports what trains them."""
        rows = [(name, f"in {kind.unit}; source: {kind.source}") for name, kind in sorted(trainers().items())]
        with formatter.section("Agents"):
            formatter.write_dl(rows)


@click.command(cls=ListingTrainers)
@click.argument("agent", metavar="AGENT")
@click.option(
    "--env",
    "envs",
    required=True,
    metavar="ID[@NAME=VALUE...][,ID...]",
    help="Where to learn; all need a validation split.",
)
@with_settings
@click.option("--steps", type=click.IntRange(1), required=True, help="How long, in the trainer's unit.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides the training.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the trainer; a wrong one tells those there are.",
)
@click.option(
    "--episodes",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Played in each environment after every round, to select.",
)
@click.option("--out", metavar="PATH", help="Its folder.  [default: ./runs/train-AGENT-seedS]")
@click.option("--json", "as_json", is_flag=True, help="Print the rounds as JSON.")
def train(
    agent: str,
    envs: str,
    pairs: tuple[str, ...],
    steps: int,
    seed: int,
    options: tuple[str, ...],
    episodes: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Train AGENT in one or several environments.

    The folder keeps the best policy, the last one, and what TensorBoard shows. Stopped at any moment, the same command
    goes on from the last round. Play the result as the agent policy=FOLDER/best.
    """
    from scenarios.play.policy_training import (  # noqa: PLC0415  (torch loads for what trains, not for the help)
        BEST,
        LAST,
        PolicyTraining,
        train_in_folder,
    )

    shared = settings_of(pairs)
    tasks = tuple(_task(text, shared) for text in OUTSIDE_LISTS.split(envs) if text)
    if not tasks:
        raise click.UsageError("--env names no environment; give an id, such as ALDigitsRidge-v0")
    folder = Path(out) if out else Path("runs") / f"train-{slug(agent)}-seed{seed}"
    training = PolicyTraining(agent, tasks, steps, seed, folder, settings_of(options), episodes)
    unit = find_trainer(agent).unit
    rows = train_in_folder(training, lambda row: click.echo(_line(row, unit), err=True))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    best = max(rows, key=lambda row: (row["score"], row["round"]))
    click.echo(f"{folder / BEST}: round {best['round']:.0f}, score {best['score']:.2f}")
    click.echo(f"{folder / LAST}: round {rows[-1]['round']:.0f}, score {rows[-1]['score']:.2f}")


def _task(text: str, shared: dict[str, object]) -> LearningTask:
    """Reads an environment, and refuses one without a validation split before anything is trained."""
    env_id, *own = text.split("@")
    check_environment(env_id)
    settings = {**shared, **settings_of(own)}
    name = known_id(env_id)
    if name in ENVIRONMENTS and resolve(*ENVIRONMENTS[name], settings).protocol.validation == 0:
        raise MissingHead(
            f"{env_id} was given, which has no validation split, so that a policy would learn from test images; add "
            "--set validation=1000."
        )
    return LearningTask(env_id, settings)


def _line(row: dict[str, float], unit: str) -> str:
    """Says what a round came to; what each environment says is in ``rounds.csv``."""
    shown = [name for name in row if name == "return" or name.startswith("correlation/")]
    said = [f"{name} {row[name]:.3f}" for name in shown]
    return ", ".join(
        [f"round {row['round']:.0f}, {row['steps']:,.0f} {unit}: score {row['score']:.2f}", *said]
    )
