"""``alenv run``."""

from __future__ import annotations

from pathlib import Path

import click

from scenarios.cli.options import playing, say, seeds_of, settings_of
from scenarios.plan import registry
from scenarios.plan.settling import settle
from scenarios.play.comparison import Comparison
from scenarios.play.run_folder import slug


@click.command()
@click.argument("name")
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
    name: str,
    size: str,
    seeds: str | None,
    pairs: tuple[str, ...],
    jobs: int,
    keep_weights: bool,
    render: bool,
    out: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run the experiment NAME; `alenv scenarios` lists them."""
    options = settings_of(pairs)
    found = registry.build(name, **options)
    grid = found.grid(size)
    comparison = Comparison(
        title=f"{found.title} ({size})",
        arms=settle(grid.arms, say),
        seeds=seeds_of(seeds) if seeds else tuple(range(grid.seeds)),
        out=out or Path("runs") / slug("-".join([name, size, *sorted(pairs)])),
        facts={"scenario": name, "size": size, "options": options},
        pictures=found.pictures,
        claim=found.claim,
        checks=found.checks,
        published=found.published,
        analyses=found.analyses,
        keep_weights=keep_weights,
        render=render,
    )
    from scenarios.cli.playing import play_and_report  # noqa: PLC0415  (pictures take a second to load)

    play_and_report(comparison, jobs=jobs, threads=threads, as_json=as_json)
