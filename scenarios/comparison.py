"""Plays a comparison: arms x seeds in one folder, then table, pictures and curves from what has finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import gymnasium as gym
import joblib

import agents
import alenv
from agents.spelling import POLICY, parse
from alenv.errors import CorruptRun, InvalidProtocol, MissingHead, RunConflict
from alenv.presets import resolve
from alenv.training.objectives import providing
from scenarios import siblings, stats
from scenarios.engines import play
from scenarios.events import Event, Report
from scenarios.pictures import draw
from scenarios.results import Curves, gather, long_csv
from scenarios.run_folder import Run, RunFolder, difference
from scenarios.runner import env_kwargs
from scenarios.scenario import Arm, View, check_environment
from scenarios.storage import make_folder, write_text, writing
from scenarios.summary import ArmSummary, summarize


@dataclass(frozen=True)
class Comparison:
    """Arms x seeds, where they are kept and how they are shown.

    Attributes:
        title: Heading of the pictures.
        arms: Resolved arms (see ``Arm.resolved``).
        seeds: Seeds that every arm plays.
        out: Folder of all runs.
        facts: What all arms of the folder share, now and later; JSON values.
        views: Pictures and tables of this command's arms.
    """

    title: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    out: Path
    facts: Mapping[str, Any]
    views: tuple[View, ...]

    def runs(self, threads: int | None, jobs: int) -> list[Run]:
        """Returns all runs, seeds in blocks of ``jobs``: no process waits for another's first cycle."""
        blocks = [self.seeds[start : start + jobs] for start in range(0, len(self.seeds), jobs)]
        return [Run(arm, seed, self.out, threads) for block in blocks for arm in self.arms for seed in block]


@dataclass(frozen=True)
class Shown:
    """What one view of a comparison came to: its numbers, its picture, and the arms they rest on."""

    view: View
    reference: str | None
    arms: list[ArmSummary]
    penalties: list[list[float]] | None
    picture: Path

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "view": self.view.name,
            "title": self.view.title,
            "reference": self.reference,
            "arms": [arm.as_json() for arm in self.arms],
            "penalty_matrix": self.penalties,
            "picture": str(self.picture),
        }


@dataclass(frozen=True)
class Outcome:
    """What a comparison came to.

    Attributes:
        shown: One entry per view that has a finished run.
        failed: Run name -> one sentence.
        curves: Path of the long-form curves of all finished runs in the folder; None when there are none.
    """

    shown: list[Shown]
    failed: dict[str, str]
    curves: Path | None


def prepare(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Resolves arms, checks that each can be made, and gives all one validation split if an agent needs it.

    What the files behind an arm hold is recorded in ``Arm.content``.

    That split is the one that some arms name, else a tenth of the smallest pool.

    Raises:
        AlenvError: An environment, a setting or an agent does not exist or does not fit.
        InvalidProtocol: An agent reads validation accuracy, and two arms name different splits.
        MissingHead: An agent needs scores that its environment does not give.
    """
    siblings.check()
    resolved = [arm.resolved() for arm in arms]
    players = [agents.make(arm.agent, **arm.agent_kwargs) for arm in resolved]
    made: dict[str, _Facts] = {}  # not the environments: their networks and images may be large
    sizes = []
    for position, (arm, player) in enumerate(zip(resolved, players, strict=True)):
        key = json.dumps([arm.env_id, dict(arm.env_kwargs)], sort_keys=True)
        if key not in made:
            made[key] = _facts(arm)
        facts = made[key]
        _check_needs(arm, player, facts)
        sizes.append((facts.pool, facts.validation))
        resolved[position] = replace(arm, content=_content(arm, facts))
    if not any(player.needs_validation for player in players):
        return tuple(resolved)
    named = sorted({split for _, split in sizes if split})
    if len(named) > 1:
        raise InvalidProtocol(
            f"Arms with validation={' and '.join(map(str, named))} were given beside an agent that reads validation "
            "accuracy; give all arms one split."
        )
    split = named[0] if named else min(pool for pool, _ in sizes) // 10
    return tuple(
        arm if own else replace(arm, env_kwargs={**arm.env_kwargs, "validation": split})
        for arm, (_, own) in zip(resolved, sizes, strict=True)
    )


class _Facts(NamedTuple):
    """What ``prepare`` asks of an environment."""

    pool: int
    validation: int
    checksum: str
    offers: tuple[str, ...]
    ridge: bool


def _facts(arm: Arm) -> _Facts:
    """Makes an arm's environment once and lets it go."""
    check_environment(arm.env_id)
    env = gym.make(arm.env_id, **env_kwargs(arm, None))
    core: Any = env.unwrapped
    env.close()
    return _Facts(
        pool=len(core.rows),
        validation=int(core.protocol.validation),
        checksum=core.dataset_checksum,
        offers=core.offers,
        ridge=core.recipe.head == "ridge",
    )


def _check_needs(arm: Arm, player: agents.Agent, facts: _Facts) -> None:
    """Raises ``MissingHead`` where an agent needs scores that its environment does not give."""
    for score in player.needs:
        if score in facts.offers or not (objectives := providing(score)):
            continue
        advice = (
            "a ridge head gives none, so leave the agent out"
            if facts.ridge
            else f"spell it {arm.agent}@joint={objectives[0]}"
        )
        raise MissingHead(f"{arm.agent} needs {score}, which {arm.env_id} does not give; {advice}.")


def _content(arm: Arm, facts: _Facts) -> dict[str, str]:
    """Returns the checksums of all files that an arm's results depend on."""
    found = {"dataset": facts.checksum}
    for name in ("embedding", "pretraining"):
        file = arm.env_kwargs.get(name)
        if isinstance(file, str) and Path(file).expanduser().is_file():
            found[name] = _digest(Path(file).expanduser())
    spelled = parse(arm.agent)
    if spelled.names == (POLICY,):
        folder = Path(spelled.options["path"])
        for file in sorted(folder.iterdir()):
            found[f"policy/{file.name}"] = _digest(file)
    return found


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def execute(comparison: Comparison, jobs: int, threads: int | None, report: Report) -> Outcome:
    """Plays what is not finished yet and draws everything anew from the folders.

    Args:
        comparison: What to play.
        jobs: Processes.
        threads: Threads of each run; None keeps those of the folder, or shares the cores among the jobs.
        report: Called for every event.

    Raises:
        RunConflict: The folder holds another comparison; the message names the difference.
        StorageError: The folder cannot be written.
    """
    make_folder(comparison.out)
    with _held(comparison.out):
        threads = _settle(comparison, threads, jobs)
    runs = comparison.runs(threads, jobs)
    failed: dict[str, str] = {}

    def listen(event: Event) -> None:
        if event.kind == "failed":
            failed[event.run] = event.error
        report(event)

    play(runs, jobs, listen)
    with _held(comparison.out):
        curves = gather([run for run in runs if run.name not in failed], failed)
        everything = gather(_all_runs(comparison, threads), {})
        if not everything:
            return Outcome([], failed, None)
        path = comparison.out / "curves.csv"
        write_text(path, long_csv(everything))
        shown = [found for view in comparison.views if (found := _show(comparison, view, curves)) is not None]
    return Outcome(shown, failed, path)


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Lets one process at a time read and rewrite the files that all runs of a folder share."""
    with writing(out / ".lock"), filelock.FileLock(out / ".lock"):
        yield


def _all_runs(comparison: Comparison, threads: int | None) -> list[Run]:
    """Returns the runs of this and of all earlier commands with the same folder, arm by arm."""
    arms = {arm.label: arm for arm in comparison.arms}
    for label, known in json.loads((comparison.out / "settings.json").read_text())["arms"].items():
        arms.setdefault(label, Arm(label, **known))
    seeds: dict[str, set[int]] = {label: set(comparison.seeds) for label in arms}
    for file in comparison.out.glob("*/meta.json"):
        try:
            meta = RunFolder(file.parent).meta() or {}
        except CorruptRun:
            continue
        if meta["label"] in arms:
            seeds[meta["label"]].add(int(meta["configuration"]["seed"]))
    return [
        Run(arm, seed, comparison.out, threads)
        for label, arm in sorted(arms.items())
        for seed in sorted(seeds[label])
    ]


def _show(comparison: Comparison, view: View, curves: Sequence[Curves]) -> Shown | None:
    """Draws one view from the arms that have finished runs."""
    present = [arm for label in view.labels for arm in curves if arm.label == label]
    if not present:
        return None
    reference = view.reference if view.reference in [arm.label for arm in present] else None
    picture = comparison.out / f"{view.name}.png"
    title = comparison.title if len(comparison.views) == 1 else f"{comparison.title}: {view.title}"
    draw(present, reference, title, picture)
    return Shown(view, reference, summarize(present, reference), _penalties(present), picture)


def _penalties(curves: Sequence[Curves]) -> list[list[float]] | None:
    """Returns the penalty matrix over the seeds that all arms share; None where their label counts differ."""
    seeds = [seed for seed in curves[0].seeds if all(seed in arm.seeds for arm in curves)]
    same = all(arm.labeled.tolist() == curves[0].labeled.tolist() for arm in curves)
    if not same or len(seeds) < 2:
        return None
    matrix: list[list[float]] = stats.penalty_matrix([arm.at(seeds) for arm in curves]).tolist()
    return matrix


def _settle(comparison: Comparison, threads: int | None, jobs: int) -> int | None:
    """Compares the folder's ``settings.json`` with what is asked for, writes it, and returns the threads."""
    path = comparison.out / "settings.json"
    try:
        found = json.loads(path.read_text()) if path.exists() else None
        if found is not None and not (
            isinstance(found["arms"], dict) and {"facts", "threads"} <= found.keys()
        ):
            raise ValueError("something is missing")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CorruptRun(f"{path} cannot be read; delete it and repeat the command.") from error
    if threads is None:
        threads = found["threads"] if found else _share(comparison.arms, jobs)
    wanted = {arm.label: arm.configuration() for arm in comparison.arms}
    settings = {"facts": dict(comparison.facts), "threads": threads, "arms": wanted}
    if found:
        _check(found, settings, comparison.out)
        settings["arms"] = {**found["arms"], **wanted}
    write_text(path, json.dumps(settings, indent=2, sort_keys=True) + "\n")
    return threads


def _check(found: Mapping[str, Any], wanted: Mapping[str, Any], out: Path) -> None:
    """Raises ``RunConflict`` when the folder was begun with other settings; further arms may join."""
    known = {label: arm for label, arm in wanted["arms"].items() if label in found["arms"]}
    before = {label: found["arms"][label] for label in known}
    pairs = [(found[name], wanted[name], name) for name in ("facts", "threads")]
    for old, new, name in [*pairs, (before, known, "arms")]:
        if (change := difference(old, new, name)) is not None:
            raise RunConflict(
                f"The runs in {out} were begun with {change}; choose another folder with --out or delete it."
            )


def _share(arms: Sequence[Arm], jobs: int) -> int | None:
    """Returns the threads of each run, or None where the environments bring their own number."""
    for arm in arms:
        own = "threads" in arm.env_kwargs
        if arm.env_id in alenv.ENVIRONMENTS:
            dataset, recipe = alenv.ENVIRONMENTS[arm.env_id]
            own = own or resolve(dataset, recipe, {}).options.threads is not None
        if not own:
            return max(1, int(joblib.cpu_count()) // jobs)
    return None
