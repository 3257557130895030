"""What ``alenv run`` and ``alenv compare`` have in common: play, print, say where things are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from scenarios import comparison as comparisons
from scenarios.comparison import Comparison, Outcome
from scenarios.tables import table
from scenarios.watch import Watch


def play(comparison: Comparison, *, jobs: int, threads: int | None, as_json: bool) -> None:
    """Plays a comparison and prints its table and paths, or one JSON object.

    Ends the program with 1 when a run has failed.

    Args:
        comparison: What to play.
        jobs: Processes.
        threads: Threads of each run; None leaves the choice to the comparison.
        as_json: Whether to print JSON.
    """
    names = {run.name: f"{run.arm.label} seed {run.seed}" for run in comparison.runs(threads, jobs)}
    with Watch(Console(stderr=True), names) as watch:
        outcome = comparisons.execute(comparison, jobs, threads, watch)
    if as_json:
        click.echo(json.dumps(_as_json(comparison, outcome), indent=2))
    else:
        _print(outcome, comparison.out)
    if outcome.failed:
        for run, error in outcome.failed.items():
            click.echo(f"alenv: {names[run]} failed: {error}", err=True)
        click.echo(
            "alenv: the same command tries the failed runs again and skips the finished ones.", err=True
        )
        sys.exit(1)


def _as_json(comparison: Comparison, outcome: Outcome) -> dict[str, Any]:
    return {
        **comparison.facts,
        "seeds": list(comparison.seeds),
        "out": str(comparison.out),
        "curves": None if outcome.curves is None else str(outcome.curves),
        "views": [shown.as_json() for shown in outcome.shown],
        "failed": outcome.failed,
    }


def _print(outcome: Outcome, out: Path) -> None:
    console = Console()
    for shown in outcome.shown:
        console.print(table(shown.arms, shown.reference, shown.view.title))
    if outcome.curves is None:
        return
    paths = [*(shown.picture for shown in outcome.shown), outcome.curves]
    for path in paths:
        click.echo(str(path))
    click.echo(f"{out} holds a folder for every run.")
