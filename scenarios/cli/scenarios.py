"""``alenv scenarios``."""

from __future__ import annotations

import dataclasses
import json

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from alenv.errors import AlenvError
from scenarios.cli.options import settings_of
from scenarios.plan import registry
from scenarios.plan.scenario import Published, Scenario
from scenarios.report.fitted import Fitted

ANALYSES = {
    "TwoWay": "training by strategy, and each published lead split into training and choice",
    "Ladder": "rank correlations of the strategies between the trainings",
}


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--probe", metavar="SIZE", help="Estimate how long NAME takes here in this size, such as small."
)
@click.option("--option", "pairs", multiple=True, metavar="NAME=VALUE", help="An option of the scenario.")
def scenarios(name: str | None, as_json: bool, probe: str | None, pairs: tuple[str, ...]) -> None:
    """List the paper's experiments, or explain the experiment NAME."""
    if name is None and (probe or pairs):
        raise AlenvError("--probe or --option was given without a scenario; name one.")
    options = settings_of(pairs)
    if probe is not None:
        _estimate(registry.build(str(name), **options), probe, as_json)
        return
    if as_json:
        chosen = [name] if name else registry.names()
        rows = [dataclasses.asdict(registry.build(each, **options)) for each in chosen]
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
    _explain(registry.build(name, **options), registry.options(name), console)


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
    for analysis in found.analyses:
        console.print(f"Then: {ANALYSES[type(analysis).__name__]}")
    for check in found.checks:
        console.print(f"Check: {escape(str(check))}")
    if found.published:
        console.print(_published(found.published))


def _estimate(found: Scenario, size: str, as_json: bool) -> None:
    """Prints how long a size takes here, which a short training in each of its environments tells."""
    from scenarios.bench import probe  # noqa: PLC0415  (explaining a scenario loads no torch)

    grid = found.grid(size)
    with Console(stderr=True).status("Training two epochs in every environment"):
        guess = probe.estimate(grid)
    runs = len(grid.arms) * grid.seeds
    if as_json:
        said = {"scenario": found.name, "size": size, "runs": runs, **dataclasses.asdict(guess)}
        click.echo(json.dumps(said, indent=2))
        return
    click.echo(
        f"{found.name}, {size}: {runs} runs, an estimated {lasting(guess.seconds)} one after the other on this machine "
        f"(two epochs in each of {guess.environments} environments, extrapolated by the images that are trained; "
        f"{' and '.join(guess.left_out)} not counted)."
    )


def lasting(seconds: float) -> str:
    """Returns a duration in words, with two digits that count."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return (
                f"{seconds / length:.2g} {unit}"
                if seconds < 100 * length
                else f"{seconds / length:,.0f} {unit}"
            )
    return f"{seconds:.2g} seconds" if seconds < 100 else f"{seconds:.0f} seconds"


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
