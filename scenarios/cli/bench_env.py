"""``alenv bench env``."""

from __future__ import annotations

import json

import click

from scenarios.bench import stepping
from scenarios.cli.options import say, settings_of, with_settings


@click.command()
@click.argument("env", metavar="ENV")
@with_settings
@click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="Steps to time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def env(env: str, pairs: tuple[str, ...], steps: int, as_json: bool) -> None:
    """Time steps of the environment ENV with random queries."""
    found = stepping.measure(env, settings_of(pairs), steps)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if found["found"]:
        say(found["found"])
    click.echo(
        f"{found['milliseconds_per_step']} ms per step ({found['steps_per_second']} steps a second) over "
        f"{found['steps']} steps of {env} on {found['device']} with {found['threads']} threads; "
        f"reset takes {found['reset_milliseconds']} ms."
    )
