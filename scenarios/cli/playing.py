"""What ``alenv run``, ``compare`` and ``report`` have in common: play, print, say where things are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click
import gymnasium as gym
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from alenv.errors import AlenvError
from scenarios.cli.watch import Watch
from scenarios.play import trackers
from scenarios.play.comparison import Comparison, play_comparison
from scenarios.play.engines import Engine
from scenarios.play.events import Event
from scenarios.report import crossings
from scenarios.report.fitted import Fitted
from scenarios.report.report import Outcome, make_report
from scenarios.report.tables import table


def play_and_report(
    comparison: Comparison, *, engine: Engine, threads: int | None, as_json: bool, tracker: str | None
) -> None:
    """Plays a comparison and prints its table and paths, or one JSON object.

    Ends the program with 1 when a run has failed or the pictures could not be written.

    Args:
        comparison: What to play.
        engine: Where it is played.
        threads: Threads of each run; None leaves the choice to the comparison.
        as_json: Whether to print JSON.
        tracker: Name of the experiment tracker that finished runs are handed to; None for none.
    """
    outcome, advice = _played(comparison, engine, threads, tracker)
    show(outcome, as_json, advice)


def _played(
    comparison: Comparison, engine: Engine, threads: int | None, tracker: str | None
) -> tuple[Outcome, str]:
    """Plays a comparison; returns what it shows, and what to do about failed runs."""
    tracked = None if tracker is None else trackers.tracker(tracker, comparison.title)
    runs = {run.name: run for run in comparison.runs(threads, engine.jobs)}
    names = {name: run.title for name, run in runs.items()}
    untracked: dict[str, str] = {}

    def listen(event: Event) -> None:
        watch(event)
        if tracked is not None and event.kind == "finished":
            try:
                tracked.log(runs[event.run])
            except Exception as error:  # whatever a tracker's server does, the runs go on
                untracked[event.run] = f"{tracker} did not take it ({' '.join(str(error).split())})"

    with Watch(Console(stderr=True), names) as watch:
        failed = play_comparison(comparison, engine, threads, listen)
    _complain(f"{names[run]}: {why}." for run, why in untracked.items())
    try:
        found = make_report(comparison.out, comparison.shown)
    except Exception:  # whatever stops the report must not hide why runs have failed
        _complain(_sentences(failed, names))
        raise
    advice = "the same command tries the failed runs again and skips the finished ones." if failed else ""
    return replace(found, failed={**found.failed, **failed}), advice


def play_one_of_many(
    name: str,
    make: Callable[[], Comparison],
    *,
    engine: Engine,
    threads: int | None,
    as_json: bool,
    tracker: str | None,
) -> dict[str, Any]:
    """Plays one of several scenarios and prints its tables; whatever goes wrong becomes a row.

    Args:
        name: The scenario.
        make: Returns its comparison.
        engine: Where it is played.
        threads: Threads of each run; None leaves the choice to the comparison.
        as_json: Whether tables are left out.
        tracker: See ``play_and_report``.

    Returns:
        ``scenario``, ``runs``, ``failed``, ``out``, ``error`` (one sentence, or empty) and ``report`` as JSON values.
    """
    row: dict[str, Any] = {"scenario": name, "runs": 0, "failed": 0, "out": "", "error": "", "report": None}
    try:
        comparison = make()
        row |= {"out": str(comparison.out), "runs": len(comparison.runs(threads, engine.jobs))}
        outcome, _ = _played(comparison, engine, threads, tracker)
    except (AlenvError, OSError, ModuleNotFoundError, gym.error.Error) as error:
        row["error"] = " ".join(str(error).split())
        _complain([f"{name}: {row['error']}"])
        return row
    if not as_json:
        Console().rule(name)
        _print(outcome)
    row |= {"failed": len(outcome.failed), "error": outcome.unwritten, "report": outcome.as_json()}
    _complain(_sentences(outcome.failed, {run.name: run.title for run in outcome.runs()}))
    return row


def conclude(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Prints one line for every scenario, or all as JSON.

    Ends the program with 1 when a run has failed, or a scenario could not be played.

    Args:
        rows: What ``play_one_of_many`` returned.
        as_json: Whether to print JSON.
    """
    if as_json:
        click.echo(json.dumps(list(rows), indent=2))
    else:
        counts = [Column(head, justify="right", no_wrap=True) for head in ("runs", "failed")]
        table = Fitted([Column("scenario", no_wrap=True), *counts, Column("where")], ["where"])
        for row in rows:
            table.add_row(row["scenario"], str(row["runs"]), _failed(row), row["error"] or row["out"])
        Console().print(table)
    if any(row["failed"] or row["error"] for row in rows):
        sys.exit(1)


def _failed(row: Mapping[str, Any]) -> str:
    """Says how many runs have failed; without a report none was finished that could be shown."""
    return "all" if row["report"] is None else str(row["failed"])


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
        console.print(table(drawn.arms, drawn.picture))
    for found in outcome.analyses:
        console.print(crossings.shown(found))
    if outcome.verdicts:
        console.print(f"\nClaim: {escape(outcome.shown.claim)}", highlight=False)
        for verdict in outcome.verdicts:
            console.print(f"- {escape(str(verdict))}", highlight=False)
        console.print()
    for path in (*(drawn.file for drawn in outcome.pictures), outcome.curves, outcome.report):
        if path is not None:
            click.echo(str(path))
    if outcome.curves is not None:
        click.echo(f"{outcome.out} holds a folder for every run.")
