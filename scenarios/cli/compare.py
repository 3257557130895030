"""``alenv compare``."""

from __future__ import annotations

from pathlib import Path

import click

from agents.index import shown
from alenv.errors import AlenvError
from scenarios.cli.options import playing, say, seeds_of, settings_of, with_settings
from scenarios.plan.arm import Arm
from scenarios.plan.scenario import Picture, against_one
from scenarios.plan.settling import settle
from scenarios.play.comparison import Comparison
from scenarios.play.engines import Engine
from scenarios.play.run_folder import slug


@click.command()
@click.argument("env", metavar="ENV")
@click.option("--agents", "spelled", required=True, help="Agents, separated by commas.")
@click.option("--seeds", default="5", show_default=True, help="How many, or a range such as 3:8.")
@with_settings
@click.option(
    "--reference", help="The agent that differences are taken to.  [default: random, else the first]"
)
@playing
def compare(
    *,
    env: str,
    spelled: str,
    seeds: str,
    pairs: tuple[str, ...],
    reference: str | None,
    engine: Engine,
    tracker: str | None,
    keep_weights: bool,
    render: bool,
    out: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare agents on the environment ENV over paired seeds.

    An agent is spelled NAME, NAME:OPTION=VALUE, FIRST+THEN or NAME@SETTING=VALUE (its own environment
    settings): alenv compare ALDigits-v0 --agents random,coreset+margin,ll4al@joint=loss_prediction
    """
    labels = [text.strip() for text in spelled.split(",") if text.strip()]
    if not labels:
        raise AlenvError("--agents names no agent; write for instance --agents random,margin.")
    if len(set(labels)) < len(labels):
        raise AlenvError(f"--agents {spelled} names an agent twice; name each once.")
    if reference is not None and reference not in labels:
        raise AlenvError(
            f"--reference {reference} is not among the agents; choose one of {', '.join(labels)}."
        )
    settings = settings_of(pairs)
    arms = settle([Arm(shown(label), env, label, settings) for label in labels], say)
    base = shown(reference or ("random" if "random" in labels else labels[0]))
    labels = [shown(label) for label in labels]
    name = slug("-".join([env.rsplit(":", maxsplit=1)[-1], *sorted(pairs)]))
    comparison = Comparison(
        title=" ".join([env, *sorted(pairs)]),
        arms=arms,
        seeds=seeds_of(seeds),
        out=out or Path("runs") / name,
        facts={"environment": env, "settings": settings},
        pictures=(Picture("curve", "", tuple(labels), against_one(labels, base)),),
        keep_weights=keep_weights,
        render=render,
    )
    from scenarios.cli.playing import play_and_report  # noqa: PLC0415  (pictures take a second to load)

    play_and_report(comparison, engine=engine, tracker=tracker, threads=threads, as_json=as_json)
