"""Makes everything that is shown of a comparison from its folder alone, wherever the folder lies now."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from alenv.errors import CorruptRun, StorageError
from alenv.files import write_bytes, write_text
from scenarios.plan.scenario import Picture
from scenarios.play.comparison_folder import ComparisonFolder, ComparisonSettings, Shown
from scenarios.play.run_folder import Run
from scenarios.report import crossings, stats
from scenarios.report.curves import Curves, gather, long_csv
from scenarios.report.details import Known, gather_details, results_csv
from scenarios.report.html.page import Content, page
from scenarios.report.html.pictured import Pictured
from scenarios.report.pictures import draw
from scenarios.report.ranking import draw_ranking
from scenarios.report.summary import ArmSummary, summarize
from scenarios.report.verdicts import Verdict, judge

_ADVICE = (
    "the pictures, tables and report.html stay as they were, so free some space or copy the folder elsewhere"
)


@dataclass(frozen=True)
class Drawn:
    """What one picture came to: its numbers, the arms they rest on, and the file.

    Attributes:
        picture: What was to be shown.
        arms: The arms that have finished runs.
        penalties: See ``stats.penalty_matrix``, without ceilings; None where the arms cannot be compared at every
            cycle.
        file: The picture; None where it could not be written.
    """

    picture: Picture
    arms: list[ArmSummary]
    penalties: list[list[float]] | None
    file: Path | None

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        against = {arm.label: arm.against for arm in self.arms if arm.against is not None}
        references = set(against.values())
        single = len(self.picture.references) == 1 and len(references) == 1
        return {
            "name": self.picture.name,
            "title": self.picture.title,
            "reference": references.pop() if single else None,
            "against": against,
            "arms": [arm.as_json() for arm in self.arms],
            "penalty_matrix": self.penalties,
            "file": None if self.file is None else str(self.file),
        }


@dataclass(frozen=True)
class Outcome:
    """What the folder of a comparison shows.

    Attributes:
        out: The folder.
        settings: What it was played with.
        shown: What the last command shows.
        pictures: One entry per picture that has a finished run.
        analyses: What is computed of all arms together.
        failed: Name of a run -> why it is not shown, in one sentence; a run that is not finished is absent.
        curves: The long-form curves of all finished runs; None where there are none, or they cannot be written.
        report: The page with all of it; None as above.
        unwritten: Why pictures and curves could not be written, in one sentence; empty where they were.
        verdicts: What the runs say of the scenario's checks.
    """

    out: Path
    settings: ComparisonSettings
    shown: Shown
    pictures: list[Drawn]
    analyses: list[crossings.Found]
    failed: dict[str, str]
    curves: Path | None
    unwritten: str
    verdicts: list[Verdict] = field(default_factory=list)
    report: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            **self.settings.facts,
            "seeds": list(self.shown.seeds),
            "out": str(self.out),
            "curves": None if self.curves is None else str(self.curves),
            "report": None if self.report is None else str(self.report),
            "pictures": [drawn.as_json() for drawn in self.pictures],
            "claim": self.shown.claim,
            "verdicts": [verdict.as_json() for verdict in self.verdicts],
            "analyses": [found.as_json() for found in self.analyses],
            "failed": self.failed,
        }

    def runs(self) -> list[Run]:
        """Returns the runs that are shown, finished or not, in the order of the arms."""
        arms = [self.settings.arms[label] for label in self.shown.labels]
        return [Run(arm, seed, self.out) for arm in arms for seed in self.shown.seeds_of(arm.label)]


def make_report(out: Path, shown: Shown | None = None) -> Outcome:
    """Reads a folder, writes pictures, ``report.html`` and the tables anew, and returns the numbers.

    Where nothing can be written, the numbers are all there is.

    Args:
        out: The folder that ``alenv compare`` or ``alenv run`` has played into; it may have moved since.
        shown: What to show of it; None shows what the last command did.

    Raises:
        CorruptRun: It is no such folder, or its settings cannot be read or hold too little.
    """
    folder = ComparisonFolder(out)
    settings = _settings(folder)
    shown = shown or _last_shown(folder, settings)
    try:
        with folder.held(_ADVICE):
            outcome, curves = _read(folder, settings, shown)
            return _written(outcome, folder, curves)
    except StorageError as error:
        outcome, _ = _read(folder, settings, shown)
        return replace(outcome, unwritten=str(error))


def _settings(folder: ComparisonFolder) -> ComparisonSettings:
    settings = folder.settings()
    if settings is None:
        raise CorruptRun(
            f"{folder.path} holds no settings.json; give a folder that alenv compare or alenv run has made."
        )
    return settings


def _last_shown(folder: ComparisonFolder, settings: ComparisonSettings) -> Shown:
    if settings.shown is None:
        raise CorruptRun(
            f"{folder.path} was played by an earlier version and does not say what to show; repeat its compare "
            "or run command once, which adds that and plays no finished run again."
        )
    return settings.shown


def _read(
    folder: ComparisonFolder, settings: ComparisonSettings, shown: Shown
) -> tuple[Outcome, list[Curves]]:
    """Returns all numbers, nothing written yet, and the curves that they come from."""
    failed: dict[str, str] = {}
    outcome = Outcome(folder.path, settings, shown, [], [], failed, None, "")
    curves = gather(outcome.runs(), failed)
    outcome.analyses.extend(crossings.analyze(curves, shown.analyses))
    for picture in shown.pictures:
        if present := _present(picture, curves):
            arms = summarize(present, picture.against)
            outcome.pictures.append(Drawn(picture, arms, _penalties(present), None))
    if outcome.pictures:
        outcome.verdicts.extend(judge(shown.checks, curves))
    return outcome, curves


def _present(picture: Picture, curves: Sequence[Curves]) -> list[Curves]:
    """Returns the arms of a picture that have finished runs."""
    return [arm for label in picture.labels for arm in curves if arm.label == label]


def _written(outcome: Outcome, folder: ComparisonFolder, curves: Sequence[Curves]) -> Outcome:
    """Writes pictures and page, and ``curves.csv`` and ``results.csv`` with the finished runs of all commands.

    Raises:
        StorageError: The folder cannot be written.
    """
    runs = folder.runs(outcome.settings)
    everything = gather(runs, {})
    if not everything:
        return outcome
    path = folder.path / "curves.csv"
    known = gather_details(runs, everything)
    write_text(path, long_csv(everything), _ADVICE)
    write_text(folder.path / "results.csv", results_csv(everything, known), _ADVICE)
    pictures = []
    for drawn in outcome.pictures:
        picture, title = drawn.picture, outcome.shown.title
        heading = title if len(outcome.shown.pictures) == 1 else f"{title}: {picture.title}"
        file = folder.path / f"{picture.name}.png"
        if picture.ranked:
            _save(draw_ranking(drawn.arms, heading), file)
        else:
            _save(draw(_present(picture, curves), picture.against, heading), file)
        pictures.append(replace(drawn, file=file))
    report = folder.path / "report.html"
    write_text(report, page(_content(outcome, curves, known)), _ADVICE)
    return replace(outcome, pictures=pictures, curves=path, report=report)


def _content(outcome: Outcome, curves: Sequence[Curves], known: Known) -> Content:
    """Returns what the page is made of: what is shown, of the details of all finished runs."""
    shown = outcome.shown
    names = {run.name: run.title for run in outcome.runs()}
    of_shown = {(arm.label, seed) for arm in curves for seed in arm.seeds}
    known = {key: details for key, details in known.items() if key in of_shown}
    published = frozenset(number.label for number in shown.published)
    return Content(
        settings=outcome.settings,
        shown=shown,
        pictures=[
            Pictured(
                drawn.picture,
                f"p{place}",
                drawn.arms,
                _present(drawn.picture, curves),
                drawn.penalties,
                known,
                published,
            )
            for place, drawn in enumerate(outcome.pictures)
        ],
        curves=curves,
        known=known,
        runs=outcome.runs(),
        failed=[f"{names[run]} is not shown: {error}" for run, error in outcome.failed.items()],
        claims=[str(verdict) for verdict in outcome.verdicts],
        analyses=[crossings.text(found) for found in outcome.analyses],
    )


def _save(figure: Figure, path: Path) -> None:
    """Writes a picture as PNG and, for print, as SVG and PDF, without dates: equal pictures are equal bytes."""
    undated: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    for ending, metadata in undated.items():
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": path.stem}):
            figure.savefig(buffer, format=ending, metadata=metadata)
        write_bytes(path.with_suffix(f".{ending}"), buffer.getvalue(), _ADVICE)


def _penalties(curves: Sequence[Curves]) -> list[list[float]] | None:
    """Returns the penalty matrix of all but ceilings over the seeds they share; None where label counts differ."""
    curves = [arm for arm in curves if not arm.ceiling]
    if not curves:
        return None
    seeds = [seed for seed in curves[0].seeds if all(seed in arm.seeds for arm in curves)]
    same = all(arm.labeled.tolist() == curves[0].labeled.tolist() for arm in curves)
    if not same or len(seeds) < 2:
        return None
    matrix: list[list[float]] = stats.penalty_matrix([arm.at(seeds) for arm in curves]).tolist()
    return matrix
