"""``alenv advise``."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Column

from scenarios.cli.options import with_labels
from scenarios.report.fitted import Fitted

if TYPE_CHECKING:
    from scenarios.suggest import Advice


@click.command()
@click.argument("root", metavar="DIR")
@with_labels
@click.option(
    "--out", metavar="PATH", help="Folder of the project of alenv suggest, whose labels are read too."
)
@click.option("--agents", metavar="NAMES", help="Who is compared, separated by commas.  [default: eight]")
@click.option(
    "--features",
    metavar="NAME",
    multiple=True,
    help="What describes the images; repeated, others are compared with the first.  [default: imagenet, else patches]",
)
@click.option("--splits", type=click.IntRange(2), default=50, show_default=True, help="Splits of the labels.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the splits.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def advise(
    *,
    root: str,
    labels: tuple[str, ...],
    out: str | None,
    agents: str | None,
    features: tuple[str, ...],
    splits: int,
    seed: int,
    class_folders: bool | None,
    as_json: bool,
) -> None:
    """Say which strategy saves most labels on images like those of the folder DIR.

    Plays every strategy again on the labels that there are, on many splits of them, and says one of: use another
    strategy; keep the default one, for no difference can be told; other features or more labels would help more.
    No batch is made.
    """
    from scenarios.suggest import advising  # noqa: PLC0415  (torch loads only for what has passed)

    chosen = [name for name in (agents or "").split(",") if name] or advising.AGENTS
    found = advising.advise(
        root,
        labels,
        out=out,
        agents=chosen,
        features=features,
        splits=splits,
        seed=seed,
        class_folders=class_folders,
    )
    if as_json:
        click.echo(json.dumps(found.numbers(), ensure_ascii=False))
        return
    Console(highlight=False).print(_table(found))
    click.echo(_told(found))


def _table(found: Advice) -> Fitted:
    from scenarios.suggest.advising import said  # noqa: PLC0415  (as above)

    names = ("area (%)", f"minus {found.default}", "random needs")
    table = Fitted(
        [Column("agent"), *(Column(name, justify="right", no_wrap=True) for name in names)], [names[0]]
    )
    for each in found.agents:
        needs = "" if math.isnan(each.random_needs) else f"{each.random_needs:.0f}"
        table.add_row(each.agent, f"{each.area:.1f}", "" if each.gain is None else said(each.gain), needs)
    return table


def _told(found: Advice) -> str:
    """Returns what was played, and what to do."""
    plan = found.plan
    return (
        f"Mean accuracy from {plan.initial_size} to {plan.budget} labels of {plan.pool} images, on {plan.test} others; "
        f"{plan.splits} splits of {found.labels:,} labels, 95 % intervals for splits that overlap.\n"
        f"random needs: labels that random choice needs for what an agent reaches with {plan.budget}.\n"
        f"{found.sentence}"
    )
