"""What a comparison has shown, one sentence an arm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scenarios.report.stats import Difference
from scenarios.report.summary import ArmSummary


@dataclass(frozen=True)
class Sentence:
    """One sentence and its kind: ``better``, ``worse``, ``undecided`` or ``plain``."""

    kind: str
    sentence: str


def verdicts(arms: Sequence[ArmSummary]) -> list[Sentence]:
    """Returns a sentence per arm: references first, then by difference, the best one first."""
    references = {arm.against for arm in arms if arm.against is not None}
    order = sorted(arms, key=lambda arm: (arm.label not in references, -_gain(arm)))
    return [_verdict(arm, arm.label in references) for arm in order]


def _gain(arm: ArmSummary) -> float:
    return -math.inf if arm.gain is None else arm.gain.mean


def _verdict(arm: ArmSummary, is_reference: bool) -> Sentence:
    gain, base = arm.gain, arm.against
    if gain is None or base is None:
        return Sentence("plain", _without_difference(arm, is_reference))
    size = f"{abs(gain.mean):.2f} points of area"
    low, high = gain.interval
    if math.isnan(low):
        side = "above" if gain.mean >= 0 else "below"
        said = f"undecided: {arm.label} is {size} {side} {base} with one seed; give at least 2 seeds."
        return Sentence("undecided", said)
    over = f"over {gain.seeds} paired seeds"
    if low > 0:
        return Sentence("better", f"{arm.label} beats {base} by {size} [{low:.2f}, {high:.2f}] {over}.")
    if high < 0:
        return Sentence(
            "worse", f"{arm.label} is worse than {base} by {size} [{-high:.2f}, {-low:.2f}] {over}."
        )
    side = "above" if gain.mean >= 0 else "below"
    found = f"{arm.label} is {size} {side} {base} [{low:+.2f}, {high:+.2f}] {over}"
    return Sentence("undecided", f"undecided: {found}; {_what_would_decide(arm, gain)}.")


def _without_difference(arm: ArmSummary, is_reference: bool) -> str:
    seeds = f"{arm.seeds} seed" if arm.seeds == 1 else f"{arm.seeds} seeds"
    area = "" if math.isnan(arm.area) else f" and {arm.area:.2f} % of area under the curve"
    found = f"{arm.mean:.2f} % accuracy at {arm.labels:,} labels{area} over {seeds}"
    if is_reference:
        return f"{arm.label} is the reference: {found}."
    if arm.against is None:
        return f"{arm.label}: {found}; it is compared with no other arm."
    reason = "the two share no seed" if arm.comparable else "the two have other label counts"
    if math.isnan(arm.area):
        reason = "there was no query"
    return f"{arm.label}: {found}; no difference to {arm.against}, since {reason}."


def _what_would_decide(arm: ArmSummary, gain: Difference) -> str:
    if gain.sd == 0:
        return "the areas are equal for every seed"
    if arm.more_seeds is None:
        return "no number of seeds would decide a difference so small"
    if arm.more_seeds == 0:
        return "a few more seeds would decide"
    return f"about {arm.more_seeds:,} more seed{'' if arm.more_seeds == 1 else 's'} would decide"
