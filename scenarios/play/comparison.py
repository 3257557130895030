"""Plays a comparison: arms x seeds into one folder, which then holds all that a report needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib

import alenv
from alenv.errors import StorageError
from alenv.files import make_folder
from alenv.presets import resolve
from scenarios.plan.analyses import Analysis
from scenarios.plan.arm import Arm
from scenarios.plan.scenario import Check, Picture, Published
from scenarios.play.comparison_folder import ComparisonFolder, ComparisonSettings, Shown
from scenarios.play.engines import Engine
from scenarios.play.events import Event, Listener
from scenarios.play.run_folder import ADVICE, Run


@dataclass(frozen=True)
class Comparison:
    """Arms x seeds, where they are kept and how they are shown.

    Attributes:
        title: Heading of the pictures.
        arms: Settled arms (see ``settling.settle``).
        seeds: Seeds that every arm plays.
        out: Folder of all runs.
        facts: What all arms of the folder share, now and later; JSON values.
        pictures: Pictures and tables of this command's arms.
        claim: What the runs should show; may be empty.
        checks: What decides the claim.
        published: Numbers to compare with.
        analyses: What is computed of all arms together.
        keep_weights: Whether the weights of the last cycles and the first cycles stay.
        render: Whether the picture of every cycle is kept.
        fewer: Label -> how many of the seeds an arm plays that plays fewer.
    """

    title: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    out: Path
    facts: Mapping[str, Any]
    pictures: tuple[Picture, ...]
    claim: str = ""
    checks: tuple[Check, ...] = ()
    published: tuple[Published, ...] = ()
    analyses: tuple[Analysis, ...] = ()
    keep_weights: bool = False
    render: bool = False
    fewer: Mapping[str, int] = field(default_factory=dict)

    def runs(self, threads: int | None, jobs: int) -> list[Run]:
        """Returns all runs, seeds in blocks of ``jobs``: no process waits for another's first cycle."""
        blocks = [self.seeds[start : start + jobs] for start in range(0, len(self.seeds), jobs)]
        return [
            Run(arm, seed, self.out, threads, self.keep_weights, self.render)
            for block in blocks
            for arm in self.arms
            for seed in block
            if seed in self.shown.seeds_of(arm.label)
        ]

    @property
    def shown(self) -> Shown:
        """What this comparison shows."""
        return Shown(
            title=self.title,
            labels=tuple(arm.label for arm in self.arms),
            seeds=self.seeds,
            pictures=self.pictures,
            claim=self.claim,
            checks=self.checks,
            published=self.published,
            fewer=self.fewer,
            analyses=self.analyses,
        )


def play_comparison(
    comparison: Comparison, engine: Engine, threads: int | None, listener: Listener
) -> dict[str, str]:
    """Plays what is not finished yet.

    Args:
        comparison: What to play.
        engine: Where it is played.
        threads: Threads of each run; None keeps those of the folder, or shares the cores among the jobs.
        listener: Called for every event.

    Returns:
        The failed runs: name -> one sentence.

    Raises:
        RunConflict: The folder holds another comparison; the message names the difference.
        CorruptRun: The folder's ``settings.json`` cannot be read.
        StorageError: The folder cannot be written, and a run is not finished.
    """
    folder, jobs = ComparisonFolder(comparison.out), engine.jobs
    failed: dict[str, str] = {}

    def listen(event: Event) -> None:
        if event.kind == "failed":
            failed[event.run] = event.error
        listener(event)

    try:
        make_folder(comparison.out, ADVICE)
        with folder.held():
            threads = _begin(folder, comparison, jobs, threads, listener)
            playing = folder.enter()
    except StorageError:
        # A finished comparison needs no writing: it can be shown wherever it lies.
        if not _is_whole(folder, comparison, jobs, threads):
            raise
        Engine().play(comparison.runs(threads, jobs), listen)
        return failed
    try:
        engine.play(comparison.runs(threads, jobs), listen)
    finally:
        folder.leave(playing)
    return failed


def _wanted(
    comparison: Comparison, jobs: int, threads: int | None, found: ComparisonSettings | None
) -> ComparisonSettings:
    """Returns the settings of a command; ``found`` are those that its folder has already."""
    if threads is None:
        threads = _share(comparison.arms, jobs) if found is None else found.threads
    arms = {arm.label: arm for arm in comparison.arms}
    return ComparisonSettings(comparison.facts, threads, arms, comparison.shown)


def _begin(
    folder: ComparisonFolder, comparison: Comparison, jobs: int, threads: int | None, listener: Listener
) -> int | None:
    """Writes the settings into a folder that is held, and returns the threads of each run."""
    wanted = _wanted(comparison, jobs, threads, folder.settings())
    for label in folder.begin(wanted):
        listener(Event(label, "edited"))
    return wanted.threads


def _is_whole(folder: ComparisonFolder, comparison: Comparison, jobs: int, threads: int | None) -> bool:
    """Tells whether every run of a comparison is finished and undamaged; raises as ``ComparisonFolder.begin`` does."""
    found = folder.settings()
    if found is None:
        return False
    wanted = _wanted(comparison, jobs, threads, found)
    folder.check(found, wanted)
    known = all(label in found.arms for label in wanted.arms)
    return known and all(run.folder.whole(run.configuration) for run in comparison.runs(threads, jobs))


def _share(arms: Sequence[Arm], jobs: int) -> int | None:
    """Returns the threads of each run, or None where the environments bring their own number."""
    for arm in arms:
        own = "threads" in arm.env_kwargs
        if arm.env_id in alenv.ENVIRONMENTS:
            dataset, recipe = alenv.ENVIRONMENTS[arm.env_id]
            recipe = arm.env_kwargs.get("recipe", recipe)
            own = own or resolve(dataset, recipe, {}).options.threads is not None
        if not own:
            return max(1, int(joblib.cpu_count()) // jobs)
    return None
