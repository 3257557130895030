"""``alenv scenarios``."""

from __future__ import annotations

import dataclasses
import json

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from scenarios.plan import registry
from scenarios.plan.scenario import Published, Scenario
from scenarios.report.fitted import Fitted


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def scenarios(name: str | None, as_json: bool) -> None:
    """List the paper's experiments, or explain the experiment NAME."""
    if as_json:
        rows = [dataclasses.asdict(registry.build(each)) for each in ([name] if name else registry.names())]
        click.echo(json.dumps(rows[0] if name else rows, indent=2))
        return
    console = Console(highlight=False)
    if name is None:
        columns = [Column("name", no_wrap=True), Column("what it compares"), Column("source")]
        table = Fitted(columns, ["source", "what it compares"])
        for listed in registry.names():
            found = registry.build(listed)
            table.add_row(listed, found.title, found.source)
        console.print(table)
        return
    _explain(registry.build(name), registry.options(name), console)


def _explain(found: Scenario, options: dict[str, object], console: Console) -> None:
    console.print(f"[bold]{escape(found.name)}[/bold]: {escape(found.title)} ({escape(found.source)})")
    console.print(f"Claim: {escape(found.claim)}")
    for option, default in options.items():
        console.print(f"Option: --option {option}={default}")
    headings = ("arms", "seeds", "runs", "what it is")
    columns = [Column("size"), Column("environment", no_wrap=True), *map(Column, headings)]
    table = Fitted(columns, ["what it is", "arms", "seeds", "runs", "environment"])
    for size, grid in found.sizes.items():
        environments = ", ".join(sorted({arm.env_id for arm in grid.arms}))
        seeds = "-".join(map(str, sorted({grid.seeds, *grid.fewer.values()})))
        table.add_row(size, environments, str(len(grid.arms)), seeds, str(grid.runs), grid.note)
    console.print(table)
    for picture in found.pictures:
        arms = f"{len(picture.labels)} arms, ranked" if picture.ranked else ", ".join(picture.labels)
        console.print(f"{picture.name}.png: {escape(picture.title)} ({escape(arms)})")
    for check in found.checks:
        console.print(f"Check: {escape(str(check))}")
    if found.published:
        console.print(_published(found.published))


def _published(numbers: tuple[Published, ...]) -> Fitted:
    """Returns published accuracies, one row per arm and one column per number of labels."""
    labeled = sorted({number.labeled for number in numbers})
    columns = [
        Column("published (%)"),
        *(Column(f"{count:,}", justify="right", no_wrap=True) for count in labeled),
    ]
    spare = [f"{count:,}" for count in labeled]
    table = Fitted(columns, spare, title=f"Source: {numbers[0].source}", title_justify="left")
    for label in dict.fromkeys(number.label for number in numbers):
        row = {number.labeled: number for number in numbers if number.label == label}
        cells = [
            "" if count not in row else f"{row[count].accuracy:.2f}" + _plus_minus(row[count].sd)
            for count in labeled
        ]
        table.add_row(label, *cells)
    return table


def _plus_minus(sd: float | None) -> str:
    return "" if sd is None else f" ± {sd:.2f}"
