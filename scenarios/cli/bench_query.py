"""``alenv bench query``."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from scenarios.bench import query as querying
from scenarios.report.fitted import STYLE


@click.command()
@click.option("--pool", type=click.IntRange(2), default=50_000, show_default=True, help="Images.")
@click.option("--features", type=click.IntRange(1), default=512, show_default=True, help="Features of each.")
@click.option("--classes", type=click.IntRange(2), default=10, show_default=True, help="Classes.")
@click.option("--query-size", type=click.IntRange(1), default=1000, show_default=True, help="Images to pick.")
@click.option("--agents", "spelled", help="Agents, separated by commas.  [default: all that train nothing]")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def query(
    *,
    pool: int,
    features: int,
    classes: int,
    query_size: int,
    spelled: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure seconds and memory of one query on a made-up pool, for each agent in a process of its own."""
    chosen = [text for text in spelled.split(",") if text] if spelled else querying.usual()
    with Console(stderr=True).status("Querying"):
        found = querying.measure(
            pool=pool,
            features=features,
            classes=classes,
            query_size=query_size,
            chosen=chosen,
            threads=threads,
        )
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table("agent", "seconds", "extra MB", "exact", **STYLE)
    for agent, row in found["agents"].items():
        exact = {True: "yes", False: "NO", None: ""}[row.get("exact")]
        table.add_row(
            agent, str(row.get("seconds", row.get("error"))), str(row.get("extra_megabytes", "")), exact
        )
    Console().print(table)
