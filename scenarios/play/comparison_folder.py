"""The folder of a comparison: its lock, and ``settings.json``, which holds all that a later report needs."""

from __future__ import annotations

import dataclasses
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from alenv.errors import AlenvError, CorruptRun, RunConflict
from alenv.files import write_text, writing
from scenarios.plan import analyses
from scenarios.plan.analyses import Analysis
from scenarios.plan.arm import Arm
from scenarios.plan.scenario import Check, Picture, Published
from scenarios.play.changes import difference
from scenarios.play.run_folder import ADVICE, FIRST_CYCLES, Run, RunFolder


@dataclass(frozen=True)
class Shown:
    """What the last command with a folder shows; the next one may show something else.

    Attributes:
        title: Heading of the pictures.
        labels: The arms, in their order.
        seeds: The seeds.
        pictures: Pictures and tables of these arms.
        claim: What the runs should show; may be empty.
        checks: What decides the claim.
        published: Numbers to compare with.
        fewer: Label -> how many of the seeds an arm plays that plays fewer.
        analyses: What is computed of all arms together.
    """

    title: str
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    pictures: tuple[Picture, ...]
    claim: str = ""
    checks: tuple[Check, ...] = ()
    published: tuple[Published, ...] = ()
    fewer: Mapping[str, int] = field(default_factory=dict)
    analyses: tuple[Analysis, ...] = ()

    def seeds_of(self, label: str) -> tuple[int, ...]:
        """Returns the seeds that an arm plays."""
        return self.seeds[: self.fewer.get(label)]

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Shown:
        """Reads what ``dataclasses.asdict`` and JSON have made of it."""
        pictures = [{**picture, "labels": tuple(picture["labels"])} for picture in found["pictures"]]
        return cls(
            title=found["title"],
            labels=tuple(found["labels"]),
            seeds=tuple(found["seeds"]),
            pictures=tuple(Picture(**picture) for picture in pictures),
            claim=found["claim"],
            checks=tuple(Check(**check) for check in found["checks"]),
            published=tuple(Published(**number) for number in found["published"]),
            fewer=found.get("fewer", {}),  # earlier versions had none
            analyses=tuple(analyses.from_json(each) for each in found.get("analyses", ())),
        )


@dataclass(frozen=True)
class ComparisonSettings:
    """The content of ``settings.json``.

    Attributes:
        facts: What all arms of the folder share, now and later; JSON values.
        threads: Threads of each run; None where the environments bring their own number.
        arms: Label -> arm, of this and of all earlier commands.
        shown: What the last command shows; None in a folder that an earlier version has written.
    """

    facts: Mapping[str, Any]
    threads: int | None
    arms: Mapping[str, Arm]
    shown: Shown | None

    def text(self) -> str:
        """Returns the content of the file."""
        content = {
            "facts": dict(self.facts),
            "threads": self.threads,
            "arms": {label: arm.configuration() for label, arm in self.arms.items()},
            "shown": None if self.shown is None else dataclasses.asdict(self.shown),
        }
        return json.dumps(content, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_text(cls, text: str) -> ComparisonSettings:
        """Reads the file; whatever is wrong with it is a ValueError, LookupError, TypeError or AttributeError."""
        found = json.loads(text)
        arms = {label: Arm(label, **known) for label, known in found["arms"].items()}
        shown = found.get("shown")
        return cls(found["facts"], found["threads"], arms, None if shown is None else Shown.from_json(shown))


@dataclass(frozen=True)
class ComparisonFolder:
    """Reads and writes what all runs of a folder share."""

    path: Path

    @contextmanager
    def held(self, advice: str = ADVICE) -> Iterator[None]:
        """Lets one process at a time read and rewrite the files that all runs share.

        Raises:
            StorageError: The folder cannot be written.
        """
        with writing(self.path / ".lock", advice), filelock.FileLock(self.path / ".lock"):
            yield

    def settings(self) -> ComparisonSettings | None:
        """Returns the settings, or None where there are none yet.

        Raises:
            CorruptRun: The file cannot be read.
        """
        path = self.path / "settings.json"
        try:
            return ComparisonSettings.from_text(path.read_text()) if path.exists() else None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise CorruptRun(
                f"{path} cannot be read as the settings of a comparison; delete it and repeat the command."
            ) from error

    def begin(self, wanted: ComparisonSettings) -> list[str]:
        """Writes the settings of a command, with the arms of all earlier ones.

        Returns:
            The labels of arms whose own code was edited; their runs are played anew, the old ones stay.

        Raises:
            RunConflict: The folder was begun with other facts, threads or settings of an arm.
            StorageError: The folder cannot be written.
        """
        found, edited = self.settings(), []
        if found is not None:
            self.check(found, wanted)
            known = [label for label in wanted.arms if label in found.arms]
            edited = [label for label in known if found.arms[label].content != wanted.arms[label].content]
            wanted = dataclasses.replace(wanted, arms={**found.arms, **wanted.arms})
        write_text(self.path / "settings.json", wanted.text(), ADVICE)
        return edited

    def check(self, found: ComparisonSettings, wanted: ComparisonSettings) -> None:
        """Raises ``RunConflict`` when the folder was begun with other settings; further arms may join."""
        known = [label for label in wanted.arms if label in found.arms]
        before, now = (
            {label: settings.arms[label].without_code() for label in known} for settings in (found, wanted)
        )
        pairs = ((found.facts, wanted.facts, "facts"), (found.threads, wanted.threads, "threads"))
        for old, new, name in (*pairs, (before, now, "arms")):
            if (change := difference(old, new, name)) is not None:
                raise RunConflict(
                    f"The runs in {self.path} were {change}; choose another folder with --out or delete it."
                )

    def enter(self) -> filelock.BaseFileLock:
        """Marks the folder, which is held, as one that this process plays into, until ``leave`` or its end.

        Raises:
            StorageError: The folder cannot be written.
        """
        path = self.path / f".playing-{secrets.token_hex(4)}"
        lock = filelock.FileLock(path)
        with writing(path, ADVICE):
            lock.acquire(blocking=False)
        return lock

    def leave(self, playing: filelock.BaseFileLock) -> None:
        """Takes the mark of ``enter`` back; the last process to leave removes first cycles that nobody can need.

        What cannot be removed stays.
        """
        with suppress(AlenvError, OSError), self.held():
            playing.release()
            Path(playing.lock_file).unlink(missing_ok=True)
            if not self._is_played_into() and not self._needs_first_cycles():
                shutil.rmtree(self.path / FIRST_CYCLES, ignore_errors=True)
        playing.release()

    def _is_played_into(self) -> bool:
        """Tells whether another process plays into the folder; marks of processes that were killed are removed."""
        for mark in self.path.glob(".playing-*"):
            other = filelock.FileLock(mark)
            try:
                other.acquire(blocking=False)
            except filelock.Timeout:
                return True
            other.release()
            mark.unlink(missing_ok=True)
        return False

    def _needs_first_cycles(self) -> bool:
        """Tells whether a run of this or an earlier command is not finished, or the weights were asked for."""
        settings = self.settings()
        if settings is None or settings.shown is None:
            return True
        shown = {(label, seed) for label in settings.shown.labels for seed in settings.shown.seeds_of(label)}
        begun = {(run.arm.label, run.seed): run for run in self.runs(settings)}
        runs = [begun.get(key) or Run(settings.arms[key[0]], key[1], self.path) for key in {*shown, *begun}]
        return not all(
            run.folder.finished(run.configuration) and not run.folder.keeps_weights() for run in runs
        )

    def runs(self, settings: ComparisonSettings) -> list[Run]:
        """Returns every run of this and of all earlier commands that has begun, arm by arm."""
        seeds: dict[str, set[int]] = {label: set() for label in settings.arms}
        for file in self.path.glob("*/meta.json"):
            try:
                meta = RunFolder(file.parent).meta() or {}
            except CorruptRun:
                continue
            if meta["label"] in seeds:
                seeds[meta["label"]].add(int(meta["configuration"]["seed"]))
        return [
            Run(arm, seed, self.path)
            for label, arm in sorted(settings.arms.items())
            for seed in sorted(seeds[label])
        ]
