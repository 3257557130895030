"""``alenv agents``."""

from __future__ import annotations

import dataclasses
import json

import click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column
from rich.text import Text

import agents as registry
from agents import index
from alenv import Recipe, needs
from scenarios.report.fitted import Fitted


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def agents(name: str | None, as_json: bool) -> None:
    """List the agents, or explain the agent NAME."""
    described = {each: _describe(each) for each in ([name] if name else registry.names())}
    if as_json:
        rows = [{"name": each, **dataclasses.asdict(found)} for each, found in described.items()]
        click.echo(json.dumps(rows[0] if name else rows, indent=2))
        return
    console = Console(highlight=False)
    if name is not None:
        _explain(name, described[name], console)
        return
    table = Fitted(
        [Column("name", no_wrap=True), Column("what it chooses"), Column("source")], ["source"], leading=1
    )
    for listed, found in described.items():
        table.add_row(index.shown(listed), escape(found.what), escape(found.source))
    console.print(table)


def _describe(name: str) -> registry.Description:
    """Describes an agent; a plain name without loading torch."""
    plain = not any(mark in name for mark in ":+@=/")
    return index.describe(name) if plain else registry.describe(name)


def _from(need: str) -> str:
    """Says which setting of an environment gives what an agent needs."""
    settings = needs.settings_for(need, Recipe())
    spelled = " ".join(f"{name}={value}" for name, value in (settings or {}).items())
    return f"{need} ({spelled})" if spelled else need


def _explain(name: str, found: registry.Description, console: Console) -> None:
    console.print(f"[bold]{escape(index.shown(name))}[/bold]: {escape(found.what)}")
    if found.details:
        console.print()
        for line in reflowed(found.details):
            indent = len(line) - len(line.lstrip())
            console.print(Padding(Text(line.strip()), (0, 0, 0, indent), expand=False))
        console.print()
    if found.pool:
        chosen_from = "all unlabeled images" if found.pool == "all" else "the cycle's candidates"
        console.print(f"Chooses from: {chosen_from}")
    if found.needs:
        console.print(f"Needs: {escape(', '.join(map(_from, found.needs)))}")
    console.print(f"Cost: {escape(found.cost)}\nSource: {escape(found.source)}")


def reflowed(text: str) -> list[str]:
    """Joins the lines of each paragraph, and of each entry below a heading such as ``Args:``."""
    lines: list[str] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        last = lines[-1] if lines else ""
        goes_on = indent == 8 or (indent == 0 and not last.startswith(" ") and not last.endswith(":"))
        if line.strip() and last.strip() and goes_on:
            lines[-1] = f"{last} {line.strip()}"
        else:
            lines.append(line)
    return lines
