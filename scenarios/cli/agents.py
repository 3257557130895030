"""``alenv agents``."""

from __future__ import annotations

import click
from rich.console import Console

import agents as registry


@click.command()
@click.argument("name", required=False)
def agents(name: str | None) -> None:
    """List the agents, or explain the agent NAME."""
    console = Console()
    for listed in [name] if name else registry.names():
        console.print(f"[bold]{listed}[/bold]  {registry.describe(listed)}", highlight=False)
