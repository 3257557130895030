"""What ``alenv run``, ``compare`` and ``report`` have in common: play, print, say where things are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace

import click
from rich.console import Console

from scenarios.cli.watch import Watch
from scenarios.play.comparison import Comparison, play_comparison
from scenarios.report.report import Outcome, make_report
from scenarios.report.tables import table


def play_and_report(comparison: Comparison, *, jobs: int, threads: int | None, as_json: bool) -> None:
    """Plays a comparison and prints its table and paths, or one JSON object.

    Ends the program with 1 when a run has failed or the pictures could not be written.

    Args:
        comparison: What to play.
        jobs: Processes.
        threads: Threads of each run; None leaves the choice to the comparison.
        as_json: Whether to print JSON.
    """
    names = {run.name: run.title for run in comparison.runs(threads, jobs)}
    with Watch(Console(stderr=True), names) as watch:
        failed = play_comparison(comparison, jobs, threads, watch)
    try:
        found = make_report(comparison.out, comparison.shown)
    except Exception:  # whatever stops the report must not hide why runs have failed
        _complain(_sentences(failed, names))
        raise
    outcome = replace(found, failed={**found.failed, **failed})
    advice = "the same command tries the failed runs again and skips the finished ones." if failed else ""
    show(outcome, as_json, advice)


def show(outcome: Outcome, as_json: bool, advice: str = "") -> None:
    """Prints tables and paths, or one JSON object, and what is missing.

    Ends the program with 1 when a run has failed or cannot be read, or the pictures could not be written.

    Args:
        outcome: What to show.
        as_json: Whether to print JSON.
        advice: What to do about failed runs, in one sentence.
    """
    if as_json:
        click.echo(json.dumps(outcome.as_json(), indent=2))
    else:
        _print(outcome)
    names = {run.name: run.title for run in outcome.runs()}
    missing = _sentences(outcome.failed, names)
    missing += [sentence for sentence in (advice, outcome.unwritten) if sentence]
    _complain(missing)
    if missing:
        sys.exit(1)


def _sentences(failed: Mapping[str, str], names: Mapping[str, str]) -> list[str]:
    return [f"{names[run]} failed: {error}" for run, error in failed.items()]


def _complain(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        click.echo(f"alenv: {sentence}", err=True)


def _print(outcome: Outcome) -> None:
    console = Console()
    for drawn in outcome.pictures:
        console.print(table(drawn.arms, drawn.picture.against, drawn.picture.title))
    for path in (*(drawn.file for drawn in outcome.pictures), outcome.curves, outcome.report):
        if path is not None:
            click.echo(str(path))
    if outcome.curves is not None:
        click.echo(f"{outcome.out} holds a folder for every run.")
