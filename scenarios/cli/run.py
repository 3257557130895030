"""``alenv run``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from alenv.errors import AlenvError
from scenarios.cli.options import playing, say, seeds_of, settings_of
from scenarios.plan import registry
from scenarios.plan.settling import settle
from scenarios.play.comparison import Comparison
from scenarios.play.engines import Engine
from scenarios.play.run_folder import slug


@click.command()
@click.argument("names", metavar="NAME ...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Run every experiment, one after the other.")
@click.option(
    "--size",
    default="small",
    show_default=True,
    help="smoke (seconds), small (a CPU) or paper (as published).",
)
@click.option("--seeds", help="How many, or a range such as 3:8.  [default: the scenario's]")
@click.option("--option", "pairs", multiple=True, metavar="NAME=VALUE", help="An option of the scenario.")
@playing
def run(
    *,
    names: tuple[str, ...],
    everything: bool,
    size: str,
    seeds: str | None,
    pairs: tuple[str, ...],
    engine: Engine,
    tracker: str | None,
    keep_weights: bool,
    render: bool,
    out: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run the experiment NAME, or several; `alenv scenarios` lists them.

    Several go each into a folder of its own below --out; one that fails does not stop the others.
    """
    chosen = _chosen(names, everything)
    options = settings_of(pairs)

    def comparison(name: str, folder: Path | None) -> Comparison:
        found = registry.build(name, **options)
        grid = found.grid(size)
        return Comparison(
            title=f"{found.title} ({size})",
            arms=settle(grid.arms, say),
            seeds=seeds_of(seeds) if seeds else tuple(range(grid.seeds)),
            out=folder or Path("runs") / slug("-".join([name, size, *sorted(pairs)])),
            facts={"scenario": name, "size": size, "options": options},
            pictures=found.pictures,
            claim=found.claim,
            checks=found.checks,
            published=found.published,
            analyses=found.analyses,
            keep_weights=keep_weights,
            render=render,
            fewer={} if seeds else grid.fewer,
        )

    from scenarios.cli import playing as cli  # noqa: PLC0415  (pictures take a second to load)

    if len(chosen) == 1 and not everything:
        cli.play_and_report(
            comparison(chosen[0], out), engine=engine, threads=threads, as_json=as_json, tracker=tracker
        )
        return
    if options:
        raise AlenvError(
            "--option was given with several scenarios, which have other options; run that one alone."
        )
    for name in chosen:  # before anything is played, which may take days
        registry.build(name).grid(size)
    rows = []
    for name in chosen:
        folder = None if out is None else out / slug(f"{name}-{size}")
        make = partial(comparison, name, folder)
        rows.append(
            cli.play_one_of_many(name, make, engine=engine, threads=threads, as_json=as_json, tracker=tracker)
        )
    cli.conclude(rows, as_json)


def _chosen(names: tuple[str, ...], everything: bool) -> tuple[str, ...]:
    """Returns the scenarios to run, each once.

    Raises:
        AlenvError: None is named, or some beside all.
    """
    if everything == bool(names):
        raise AlenvError(
            "Name a scenario, or several, or give --all; `alenv scenarios` lists them."
            if not names
            else "--all was given beside names; give either."
        )
    return registry.names() if everything else tuple(dict.fromkeys(names))
