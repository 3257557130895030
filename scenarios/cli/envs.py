"""``alenv envs``."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Column

from alenv import ENVIRONMENTS
from alenv.presets import resolve
from scenarios.report.fitted import Fitted


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def envs(as_json: bool) -> None:
    """List the environments that gym.make knows."""
    rows = []
    for name, (dataset, recipe) in ENVIRONMENTS.items():
        settings = resolve(dataset, recipe, {})
        how, what = settings.recipe, settings.protocol
        rows.append(
            {
                "id": name,
                "dataset": dataset,
                "classifier": how.backbone if how.head == "network" else f"{how.head} on {how.embedding}",
                "initial_size": what.initial_size,
                "query_size": what.query_size,
                "budget": what.budget,
                "validation": what.validation,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    numbers = ("initial labels", "query size", "budget", "validation")
    columns = [Column("id", no_wrap=True), Column("classifier")]
    columns += [Column(heading, justify="right") for heading in numbers]
    table = Fitted(columns, ["validation", "initial labels", "query size", "budget", "classifier"])
    for row in rows:
        shown = [value for key, value in row.items() if key != "dataset"]
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in shown))
    Console().print(table)
