"""Regimes by strategies: what the training gives, what the choice gives, and how a published lead divides into both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenarios.plan.analyses import TwoWay
from scenarios.report import stats
from scenarios.report.curves import Curves
from scenarios.report.stats import Difference


@dataclass(frozen=True)
class RegimeRow:
    """One regime, in percentage points of area under the curve.

    Attributes:
        regime: Its name.
        training: The reference strategy with the regime minus the same in plain training; None in plain training,
            and where one of the two has no finished run.
        choices: Strategy -> the strategy minus the reference within the regime; those that have finished runs.
    """

    regime: str
    training: Difference | None
    choices: Mapping[str, Difference]


@dataclass(frozen=True)
class LeadRow:
    """A method's lead over the reference in plain training, in two parts whose means add up to it.

    Attributes:
        method: The method.
        regime: The regime it came with.
        total: The method minus the reference in plain training.
        training: The reference with the regime minus the reference in plain training.
        choice: The method minus the reference with the regime.
    """

    method: str
    regime: str
    total: Difference
    training: Difference
    choice: Difference


@dataclass(frozen=True)
class Crossed:
    """What a ``TwoWay`` comes to.

    Attributes:
        reference: The strategy that others are subtracted from.
        regimes: One row per regime, plain training first.
        leads: One row per method that has finished runs, with the reference in both trainings.
    """

    reference: str
    regimes: tuple[RegimeRow, ...]
    leads: tuple[LeadRow, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "reference": self.reference,
            "regimes": [
                {
                    "regime": row.regime,
                    "training": _json(row.training),
                    "choices": {name: _json(gain) for name, gain in row.choices.items()},
                }
                for row in self.regimes
            ],
            "leads": [
                {
                    "method": row.method,
                    "regime": row.regime,
                    "total": _json(row.total),
                    "training": _json(row.training),
                    "choice": _json(row.choice),
                }
                for row in self.leads
            ],
        }


def split(curves: Sequence[Curves], asked: TwoWay) -> Crossed:
    """Computes a two-way table from finished runs, every difference paired by the seeds that its arms share.

    The three differences of a lead rest on the seeds that all three arms share, so that its parts add up.

    Args:
        curves: The arms that have finished runs.
        asked: Which arms are which.
    """
    found = {arm.label: arm for arm in curves}
    plain = found.get(asked.regimes[0].arms[asked.reference])
    rows = []
    for at, regime in enumerate(asked.regimes):
        base = found.get(regime.arms[asked.reference])
        choices = {}
        for strategy in regime.order:
            gain = _between(found.get(regime.arms[strategy]), base)
            if strategy != asked.reference and gain is not None:
                choices[strategy] = gain
        rows.append(RegimeRow(regime.name, _between(base, plain) if at else None, choices))
    leads = []
    for method, name in asked.leads.items():
        regime = asked.regime(name)
        arms = [found.get(regime.arms[method]), found.get(regime.arms[asked.reference]), plain]
        if (areas := _areas(arms)) is not None:
            own, trained, bare = areas
            parts = (stats.paired(own, bare), stats.paired(trained, bare), stats.paired(own, trained))
            leads.append(LeadRow(method, name, *parts))
    return Crossed(asked.reference, tuple(rows), tuple(leads))


def _between(arm: Curves | None, base: Curves | None) -> Difference | None:
    areas = _areas([arm, base])
    return None if areas is None else stats.paired(*areas)


def _areas(arms: Sequence[Curves | None]) -> list[np.ndarray] | None:
    """Returns areas (S,) in percent on the seeds that all arms share; None where they cannot be compared."""
    there = [arm for arm in arms if arm is not None]
    if len(there) < len(arms) or len({tuple(arm.labeled.tolist()) for arm in there}) > 1:
        return None
    seeds = [seed for seed in there[0].seeds if all(seed in arm.seeds for arm in there)]
    if not seeds or there[0].accuracy.shape[1] < 2:
        return None
    return [100 * stats.area(arm.at(seeds)) for arm in there]


def _json(gain: Difference | None) -> dict[str, Any] | None:
    if gain is None:
        return None
    ends = [None if np.isnan(end) else end for end in gain.interval]
    return {"mean": gain.mean, "interval": ends, "seeds": gain.seeds}
