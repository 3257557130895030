"""Whether a scenario's claim holds: every check of it is reproduced, contradicted or undecided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenarios.plan.scenario import Check
from scenarios.report import stats
from scenarios.report.curves import Curves
from scenarios.report.summary import shared_seeds

REPRODUCED, CONTRADICTED, UNDECIDED = "reproduced", "contradicted", "undecided"
LEVEL = 0.05
ALIKE = 1.0  # percentage points: "as good as" means a mean difference that is shown to be smaller


@dataclass(frozen=True)
class Verdict:
    """What the runs say of one check.

    Attributes:
        check: The check.
        outcome: ``"reproduced"``, ``"contradicted"`` or ``"undecided"``.
        difference: Paired difference in percentage points; None where there is none.
        p: p value of the test that decides, adjusted for the number of checks (Holm); NaN where there is none.
        more_seeds: How many more seeds would decide it with 80 % power; None where no number would, or nobody can say.
        why: Why it cannot be decided at all, in a clause; empty where it can.
    """

    check: Check
    outcome: str
    difference: stats.Difference | None
    p: float
    more_seeds: int | None
    why: str = ""

    def __str__(self) -> str:
        said = self.check.what or f"{self.check}."
        if self.outcome != UNDECIDED:
            return f"{self.outcome.capitalize()}: {said} {self._figures()}"
        if self.why:
            return f"Undecided, {self.why}: {said}"
        seeds = "1 more seed" if self.more_seeds == 1 else f"{self.more_seeds or 0:,} more seeds"
        more = f"about {seeds}" if self.more_seeds is not None else "which more seeds would hardly change"
        return f"Undecided, {more}: {said} {self._figures()}"

    def _figures(self) -> str:
        assert self.difference is not None, "only what cannot be decided has no difference"
        mean, (low, high), seeds = self.difference.mean, self.difference.interval, self.difference.seeds
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return f"({mean:+.2f} [{low:+.2f}, {high:+.2f}] points, {seeds} seeds, {p})"

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values; what does not exist is null."""
        found = self.difference
        return {
            "check": str(self.check),
            "what": self.check.what,
            "outcome": self.outcome,
            "difference": None if found is None else found.mean,
            "interval": None if found is None or math.isnan(found.interval.low) else list(found.interval),
            "seeds": 0 if found is None else found.seeds,
            "p_adjusted": None if math.isnan(self.p) else self.p,
            "more_seeds_needed": self.more_seeds,
            "why": self.why,
        }


def judge(checks: Sequence[Check], curves: Sequence[Curves]) -> list[Verdict]:
    """Decides all checks of a claim at once, at a level of 5 % for all together.

    "Above" and "below" are decided by the paired t test, two-sided, so that the opposite contradicts them. "As good
    as" is reproduced where two one-sided tests show a mean difference below ``ALIKE``, and contradicted where the
    difference is shown not to be zero and not to be so small; the smaller of the two p values counts twice.

    Args:
        checks: What is to be decided.
        curves: The arms that have finished runs.
    """
    found = {arm.label: arm for arm in curves}
    taken = [_differences(check, found) for check in checks]
    tested = [position for position, values in enumerate(taken) if not isinstance(values, str)]
    values = {position: _p(checks[position], np.asarray(taken[position])) for position in tested}
    adjusted = dict(zip(tested, stats.holm([values[position] for position in tested]), strict=True))
    return [
        Verdict(check, UNDECIDED, None, math.nan, None, differences)
        if isinstance(differences, str)
        else _verdict(check, differences, adjusted[position], len(tested))
        for position, (check, differences) in enumerate(zip(checks, taken, strict=True))
    ]


def _differences(check: Check, found: dict[str, Curves]) -> np.ndarray | str:
    """Returns paired differences in percentage points (n,), or why there are none."""
    missing = [label for label in (check.label, check.against) if label not in found]
    if missing:
        return f"since {missing[0]} has no finished run"
    arm, base = found[check.label], found[check.against]
    seeds = shared_seeds(arm, base)
    if len(seeds) < 2:
        return "since it takes two seeds that both arms have finished"
    own, other = _values(check, arm, seeds), _values(check, base, seeds)
    if own is None or other is None:
        return f"since no cycle ends at {check.at:,} labels here"
    if check.at is None and arm.labeled.tolist() != base.labeled.tolist():
        return "since their label counts differ"
    if np.isnan(own).any():
        return "since there was no query"
    points: np.ndarray = 100 * (own - other)
    return points


def _values(check: Check, arm: Curves, seeds: Sequence[int]) -> np.ndarray | None:
    accuracy = arm.at(seeds)
    if check.at is None:
        return stats.area(accuracy)
    if isinstance(check.at, str):
        place = {"start": 0, "first": min(1, accuracy.shape[1] - 1), "end": -1}[check.at]
        return np.asarray(accuracy[:, place])
    cycles = np.flatnonzero(arm.labeled == check.at)
    return np.asarray(accuracy[:, cycles[0]]) if len(cycles) else None


def _p(check: Check, differences: np.ndarray) -> float:
    unlike = stats.difference_p(differences)
    if check.sign:
        return unlike
    return min(1.0, 2 * min(unlike, stats.equivalence_p(differences, ALIKE)))


def _verdict(check: Check, differences: np.ndarray, p: float, count: int) -> Verdict:
    found = stats.paired(differences, np.zeros(len(differences)))
    alike = stats.equivalence_p(differences, ALIKE) <= stats.difference_p(differences)
    if p >= LEVEL:
        return Verdict(check, UNDECIDED, found, p, _more(check, found, count))
    holds = alike if check.sign == 0 else found.mean * check.sign > 0
    return Verdict(check, REPRODUCED if holds else CONTRADICTED, found, p, None)


def _more(check: Check, found: stats.Difference, count: int) -> int | None:
    """Returns how many more seeds decide a check, if means and spreads stay as they are."""
    size, level = found.mean, LEVEL / count
    if check.sign == 0 and abs(found.mean) < ALIKE:
        size = ALIKE - abs(
            found.mean
        )  # each of two one-sided tests, at half the level since the smaller counts twice
    needed = stats.seeds_needed(size, found.sd, level=level)
    return None if needed is None else max(1, needed - found.seeds)
