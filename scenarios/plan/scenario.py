"""A scenario as plain data: arms, seeds, sizes, pictures, the claim with its checks, the published numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import alenv
from alenv.errors import AlenvError, unknown
from alenv.presets import resolve
from scenarios.plan.analyses import Analysis
from scenarios.plan.arm import Arm

SIGNS = {1: "above", 0: "as good as", -1: "below"}
MOMENTS = {"start": "at the start", "first": "after the first query", "end": "at the end"}
SHOWS = ("area", "labels")
_COUNTS = ("initial_size", "query_size", "budget")


@dataclass(frozen=True)
class Grid:
    """One size of a scenario.

    Attributes:
        arms: The arms.
        seeds: How many seeds they play.
        note: What it asks of the machine.
        fewer: Label -> how many seeds an arm plays that plays fewer.
    """

    arms: tuple[Arm, ...]
    seeds: int
    note: str
    fewer: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = [arm.label for arm in self.arms]
        if len(set(labels)) != len(labels):
            raise AlenvError(f"Two arms share a label in {labels}; give every arm its own.")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the arms."""
        return tuple(arm.label for arm in self.arms)

    @property
    def runs(self) -> int:
        """How many runs it takes."""
        return sum(self.fewer.get(label, self.seeds) for label in self.labels)


@dataclass(frozen=True)
class Picture:
    """One picture and table: which arms are shown, and from which other arm each is subtracted.

    Attributes:
        name: Name of the file, without its ending.
        title: What it shows; empty for a comparison's only picture.
        labels: The arms, in the order of the table.
        against: Label -> the label it is subtracted from; an arm that is not in it has no difference.
        ranked: Whether the arms are shown in the order of their differences, with what a query costs, and as
            intervals rather than as curves: for more arms than curves can be told apart.
        shows: What the table compares: ``"area"`` under the curve, or ``"labels"`` that it takes to be as accurate as
            the other arm ends.

    Raises:
        UnknownName: An arm is subtracted that is not shown, or from one that is not; ``shows`` is neither.
        AlenvError: An arm is subtracted from itself.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    against: Mapping[str, str] = field(default_factory=dict)
    ranked: bool = False
    shows: str = "area"

    def __post_init__(self) -> None:
        if self.shows not in SHOWS:
            raise unknown(f"table of picture {self.name} named", self.shows, SHOWS)
        for label in (*self.against, *self.against.values()):
            if label not in self.labels:
                raise unknown(f"arm of picture {self.name} named", label, self.labels)
        for label, reference in self.against.items():
            if label == reference:
                raise AlenvError(f"Picture {self.name} subtracts {label} from itself; name another arm.")

    @property
    def references(self) -> tuple[str, ...]:
        """The arms that others are subtracted from, each once."""
        return tuple(dict.fromkeys(self.against[label] for label in self.labels if label in self.against))


def against_one(labels: Iterable[str], reference: str) -> dict[str, str]:
    """Subtracts every arm from one reference arm, the common case of ``Picture.against``."""
    return {label: reference for label in labels if label != reference}


@dataclass(frozen=True)
class Check:
    """One comparison that decides a part of the claim.

    Attributes:
        label: The arm that the claim is about.
        against: The arm it is compared with.
        sign: 1 (it is better), -1 (it is worse) or 0 (there is no difference).
        at: Where the accuracies are compared: a number of labeled images, ``"start"`` (before any query),
            ``"first"`` (after the first), ``"end"``, or None for the area under the curve.
        what: What that says, in one sentence; may be empty.
    """

    label: str
    against: str
    sign: int
    at: int | str | None = None
    what: str = ""

    def __str__(self) -> str:
        if isinstance(self.at, int):
            place = f"at {self.at:,} labels"
        else:
            place = "in the area under the curve" if self.at is None else MOMENTS[self.at]
        return f"{self.label} {SIGNS[self.sign]} {self.against} {place}"


@dataclass(frozen=True)
class Published:
    """A published number to compare with: accuracy in percent at a number of labeled images."""

    label: str
    labeled: int
    accuracy: float
    sd: float | None
    source: str


@dataclass(frozen=True)
class Scenario:
    """Arms x seeds in three sizes, the pictures drawn from them, and the claim they test.

    Attributes:
        name: The name on the command line.
        title: One line for headings.
        claim: What the paper says that the runs should show.
        source: Section or figure of the paper.
        sizes: ``paper`` (as published), ``small`` (a CPU, minutes to an hour), ``smoke`` (seconds).
        pictures: The pictures.
        checks: What decides the claim; label counts are those of the ``paper`` size.
        published: Published numbers of the ``paper`` size.
        analyses: What is computed of all arms together.

    Raises:
        UnknownName: A picture, a check, a published number or an analysis names an arm that a size does not have.
        AlenvError: A check has another sign, compares where no cycle ends, or an arm with itself.
    """

    name: str
    title: str
    claim: str
    source: str
    sizes: Mapping[str, Grid]
    pictures: tuple[Picture, ...]
    checks: tuple[Check, ...] = ()
    published: tuple[Published, ...] = ()
    analyses: tuple[Analysis, ...] = ()

    def __post_init__(self) -> None:
        named = [label for picture in self.pictures for label in picture.labels]
        named += [label for check in self.checks for label in (check.label, check.against)]
        named += [number.label for number in self.published]
        named += [label for analysis in self.analyses for label in analysis.labels]
        for size, grid in self.sizes.items():
            for label in (*named, *grid.fewer):
                if label not in grid.labels:
                    raise unknown(f"arm of size {size} named", label, grid.labels)
        for check in self.checks:
            self._check(check)

    def _check(self, check: Check) -> None:
        """Raises ``AlenvError`` for a check that nothing could decide."""
        if check.sign not in SIGNS:
            raise AlenvError(f"A check of {check.label} has sign={check.sign}; use 1, 0 or -1.")
        if check.label == check.against:
            raise AlenvError(f"A check compares {check.label} with itself; name another arm.")
        if isinstance(check.at, str) and check.at not in MOMENTS:
            raise unknown("moment of a check", check.at, MOMENTS)
        if not isinstance(check.at, int):
            return
        for arm in self.grid("paper").arms:
            if arm.label in (check.label, check.against) and not _stops_at(arm, check.at):
                raise AlenvError(
                    f"The check {str(check)!r} cannot be decided, since no cycle of {arm.label} ends there; use a "
                    "label count of the paper size."
                )

    def grid(self, size: str) -> Grid:
        """Returns the arms and seeds of one size.

        Raises:
            UnknownName: There is no such size.
        """
        if size not in self.sizes:
            raise unknown("size", size, self.sizes)
        return self.sizes[size]


def _stops_at(arm: Arm, labeled: int) -> bool:
    """Tells whether a cycle of an arm ends with so many labels; True where its protocol is not known here."""
    if arm.env_id not in alenv.ENVIRONMENTS:
        return True
    given = {name: arm.env_kwargs[name] for name in _COUNTS if name in arm.env_kwargs}
    protocol = resolve(*alenv.ENVIRONMENTS[arm.env_id], given).protocol
    bought = labeled - protocol.initial_size
    most = bought if protocol.budget == "all" else int(protocol.budget)
    return 0 <= bought <= most and bought % protocol.query_size == 0
