"""``alenv settings``."""

from __future__ import annotations

import dataclasses
import json

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from alenv.errors import unknown
from alenv.explained import Explained, explained
from alenv.presets import DATASETS
from alenv.recipes import RECIPES
from scenarios.report.fitted import Fitted


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def settings(name: str | None, as_json: bool) -> None:
    """List every setting of an environment, or explain the setting NAME.

    They are keywords of gym.make, and NAME=VALUE after --set. NAME may be a joint objective, whose own
    settings are listed then.
    """
    rows = _chosen(name)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
        return
    console = Console(highlight=False)
    if all(row.name == name for row in rows):
        for row in rows:
            _explain(row, console)
        return
    table = Fitted([Column("setting"), Column("default"), Column("allowed"), Column("meaning")], ["allowed"])
    for row in rows:
        table.add_row(row.name, escape(_spelled(row.default)), escape(row.allowed), escape(row.meaning))
    console.print(table)


def _chosen(name: str | None) -> list[Explained]:
    """Returns all settings, those of a name (several objectives may have it), or those of a joint objective."""
    rows = {row.name: row for row in explained()}
    if name is None:
        return list(rows.values())
    if name in rows:
        return [rows[name]]
    from alenv.learners import objectives  # noqa: PLC0415  (torch loads only where an objective is named)

    if name in objectives.names() or ":" in name:
        return objectives.explained(name)
    of_objectives = [row for each in objectives.names() for row in objectives.explained(each)]
    found = [row for row in of_objectives if row.name == name]
    if not found:
        raise unknown("setting", name, {*rows, *(row.name for row in of_objectives), *objectives.names()})
    return found


def _explain(row: Explained, console: Console) -> None:
    console.print(f"[bold]{escape(row.name)}[/bold] ({row.group}): {escape(row.meaning)}")
    console.print(f"Allowed: {escape(row.allowed)}")
    console.print(f"Default: {escape(_spelled(row.default))}")
    for title, presets in (("dataset", DATASETS), ("recipe", RECIPES)):
        for preset, known in presets.items():
            if row.name in known.settings:
                value = escape(_spelled(known.settings[row.name]))
                console.print(f"  {title} {preset}: {value}")


def _spelled(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
