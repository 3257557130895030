"""``alenv bench regimes``."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Column

from scenarios.bench import regimes as bench
from scenarios.cli.options import say, settings_of, with_settings
from scenarios.report.fitted import Fitted


@click.command()
@click.argument("env", metavar="ENV")
@with_settings
@click.option(
    "--repeats", type=click.IntRange(1), default=3, show_default=True, help="Cycles of each regime."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def regimes(env: str, pairs: tuple[str, ...], repeats: int, as_json: bool) -> None:
    """Time the first cycle of ENV under every training regime, beside plain training."""
    found = bench.measure(env, settings_of(pairs), repeats)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if found["found"]:
        say(found["found"])
    names = ("seconds", "times plain", "test accuracy")
    table = Fitted([Column("regime", no_wrap=True), *(Column(name, justify="right") for name in names)], [])
    for row in found["rows"]:
        cells = (f"{row['seconds']:.2f}", f"{row['multiple']:.2f}", f"{100 * row['accuracy']:.2f} %")
        table.add_row(row["regime"], *cells)
    Console(highlight=False).print(table)
    click.echo(
        f"{env}: training and test on {found['labels']:,} labels, median of {repeats}, seed 0, on {found['device']} "
        f"with {found['threads']} threads in {found['precision']}, torch {found['torch']}."
    )
