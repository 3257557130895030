"""``alenv bench query``."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scenarios.bench import query as querying
from scenarios.cli.options import whole_numbers
from scenarios.report.fitted import STYLE


@click.command()
@click.option("--pool", type=click.IntRange(2), default=50_000, show_default=True, help="Images.")
@click.option("--features", type=click.IntRange(1), default=512, show_default=True, help="Features of each.")
@click.option(
    "--classes",
    default="10",
    show_default=True,
    help="Classes; several numbers, separated by commas, in turn.",
)
@click.option("--query-size", type=click.IntRange(1), default=1000, show_default=True, help="Images to pick.")
@click.option("--agents", "spelled", help="Agents, separated by commas.  [default: --all]")
@click.option("--all", "everything", is_flag=True, help="All agents that train nothing.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; of several numbers of classes, a list.")
def query(
    *,
    pool: int,
    features: int,
    classes: str,
    query_size: int,
    spelled: str | None,
    everything: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure seconds and memory of one query on a made-up pool, for each agent in a process of its own.

    Exact are agents that pick on a small pool what a slow, explicit version picks.
    """
    if spelled and everything:
        raise click.UsageError("--agents and --all were both given; give one of them.")
    counts = whole_numbers("--classes", classes, least=2)
    chosen = [text for text in spelled.split(",") if text] if spelled else querying.usual()
    with Console(stderr=True).status("Querying") as status:
        found = [
            querying.measure(
                pool=pool,
                features=features,
                classes=number,
                query_size=query_size,
                chosen=chosen,
                threads=threads,
                tell=lambda what: status.update(f"Querying: {escape(what)}"),
            )
            for number in counts
        ]
    if as_json:
        click.echo(json.dumps(found[0] if len(found) == 1 else found, indent=2))
        return
    for each in found:
        _show(each, Console())


def _show(found: dict[str, Any], console: Console) -> None:
    """Prints a table of the agents, and below it what is to be known of some."""
    table = Table("agent", "seconds", "extra MB", "exact", title=f"{found['classes']} classes", **STYLE)
    rows = found["agents"].items()
    for agent, row in rows:
        exact = {True: "yes", False: "NO", None: ""}[row.get("exact")]
        seconds, megabytes = str(row.get("seconds", row.get("error"))), str(row.get("extra_megabytes", ""))
        table.add_row(escape(agent), escape(seconds), megabytes, exact)
    console.print(table)
    for agent, row in rows:
        if "reason" in row:
            console.print(f"{escape(agent)}: {escape(row['reason'])}", highlight=False)
