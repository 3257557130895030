"""Which strategy saves most labels on images like these: played on the labels that there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from agents import make
from alenv import embedding, errors, needs
from scenarios.report import stats
from scenarios.report.stats import Difference
from scenarios.suggest import picking, project, simulating
from scenarios.suggest.inputs import given, kinds, known
from scenarios.suggest.inputs.given import Given, PathLike
from scenarios.suggest.inputs.known import Indices
from scenarios.suggest.simulating import Plan, SimulatedCurves

AGENTS = ("random", "margin", "entropy", "badge", "coreset", "typiclust", "uherding", "learned")
SPLITS = 50
FEWEST = 30  # labels
_LEVEL = 0.05
_SIZE = 256  # components of the features that are played on
_FITTED = 10_000  # images that they are fitted to


@dataclass(frozen=True)
class Compared:
    """How an agent did.

    Attributes:
        agent: How it is spelled.
        area: Mean accuracy after the queries, over the splits, in percent.
        gain: Area minus that of the default agent, in points; None for that itself.
        random_needs: Labels that random choice needs for what the agent reaches with the whole budget; NaN where
            random choice does not get there.
    """

    agent: str
    area: float
    gain: Difference | None
    random_needs: float


@dataclass(frozen=True)
class Advice:
    """What to change: the strategy, nothing, or something else.

    Attributes:
        verdict: ``"use"``, ``"keep"``, ``"features"`` or ``"labels"``.
        sentence: The same in words.
        default: The agent that ``suggest`` takes at so many labels.
        agents: All that were compared, best first.
        plan: What was played.
        labels: How many labels there are.
        doubling: What random choice gains from half of a split's pool to all of it, in points.
        features: {kind: accuracy with all labels of a pool minus that of the first kind, in points}.
        accuracy: With all labels of a pool and the first kind of features, in percent.
    """

    verdict: str
    sentence: str
    default: str
    agents: tuple[Compared, ...]
    plan: Plan
    labels: int
    doubling: Difference
    features: dict[str, Difference]
    accuracy: float

    def numbers(self) -> dict[str, Any]:
        """Returns all of it as JSON values."""

        def plain(value: Any) -> Any:
            if isinstance(value, Difference):
                low, high = value.interval
                return {"mean": value.mean, "sd": value.sd, "interval": [low, high]}
            return None if isinstance(value, float) and math.isnan(value) else value

        told = {**asdict(self), "budget": self.plan.budget}
        told["features"] = {kind: plain(found) for kind, found in self.features.items()}
        told["doubling"] = plain(self.doubling)
        told["agents"] = [{name: plain(value) for name, value in vars(each).items()} for each in self.agents]
        return told


def advise(
    root: PathLike | Any = None,
    labels: Sequence[PathLike] | Any = (),
    *,
    images: Any = None,
    out: PathLike | None = None,
    agents: Sequence[str] = AGENTS,
    features: Sequence[str] = (),
    splits: int = SPLITS,
    seed: int = 0,
    class_folders: bool | None = None,
) -> Advice:
    """Says which strategy saves most labels on images like these, as far as the labels that there are can tell.

    On each of many random splits of the labeled images, every agent buys half of the labels of two thirds of them in
    five queries, from the same initial set, twice; the last third measures. The head is ridge regression on the
    features. The splits overlap and the measuring thirds are small: the intervals account for both.

    Args:
        root: The images; see ``suggest``.
        labels: Their labels, likewise.
        images: An array of images, likewise.
        out: The project's folder, whose batches are read; None = ``NAME-labeling`` in the current one.
        agents: Who is compared with the default agent, which always takes part, and so does ``"random"``.
        features: What describes the images; of several the first is played on, and the others are compared with it.
            None = the default of ``suggest``.
        splits: How many, at least 2.
        seed: Decides them.
        class_folders: Whether subfolders are named by class; None = where a folder ``unlabeled`` lies beside them.

    Returns:
        The advice.

    Raises:
        AlenvError: Something that was given cannot be used; the message says what to do.

    Source: Nadeau and Bengio 2003, "Inference for the Generalization Error" (the intervals); Holm 1979 (several
    agents). Which of its answers is given is alenv's own rule; see ``verdict``.
    """
    if isinstance(splits, bool) or not isinstance(splits, int) or splits < 2:
        raise errors.InvalidQuery(f"splits={splits!r} was given; give a whole number of at least 2.")
    for name in agents:
        _check(name)
    source = given.read(root, labels, images, out)
    described, truth = _labeled(source, features or (kinds.default(),), class_folders)
    count, classes = len(truth), len(np.unique(truth))
    truth = np.unique(truth, return_inverse=True)[1]
    if count < FEWEST or classes < 2:
        raise errors.InvalidQuery(
            f"There are {count} labels of {classes} classes; advice needs at least {FEWEST}, of 2 classes. Label more "
            "with alenv suggest, which chooses what is best at first."
        )
    plan = simulating.planned(count, classes, splits)
    default = picking.default_agent(count, classes)
    names = list(dict.fromkeys(["random", default, *agents]))
    played = simulating.simulated(described[0], truth, classes, names, plan, seed)
    others = {
        kind: simulating.simulated(rows, truth, classes, [], plan, seed).whole
        for kind, rows in zip(features[1:], described[1:], strict=True)
    }
    return _advice(played, others, plan, count, default)


def _check(name: str) -> None:
    """Checks that an agent can be played on frozen features.

    Raises:
        UnknownName: There is no such agent.
        MissingHead: It reads more than features.
    """
    found = make(name)
    if lacking := needs.missing(found.needs, simulating.OFFERED):
        raise errors.MissingHead(
            f"The agent {name} needs {', '.join(lacking)}, which frozen features do not give; choose others, such as "
            "margin or typiclust."
        )


def _labeled(source: Given, wanted: Sequence[str], named: bool | None) -> tuple[list[np.ndarray], np.ndarray]:
    """Returns features of each kind, float32 (n, D), and classes (n,), of the labeled images."""
    batches = project.batches(source.project)
    images = [known.read(source, batches, kind, named) for kind in wanted]
    common = set(images[0].classes).intersection(*(each.classes for each in images[1:]))
    places = [each.places(sorted(common)) for each in images]
    rows = [_reduced(each.rows, own) for each, own in zip(images, places, strict=True)]
    return rows, images[0].labels[places[0]]


def _reduced(rows: np.ndarray, labeled: Indices) -> np.ndarray:
    """Returns the first components of the features of some images, fitted to all of them, for labels are few."""
    if rows.shape[1] <= _SIZE:
        return rows[labeled]
    sample = torch.from_numpy(rows[:: -(-len(rows) // _FITTED)].copy())
    return embedding.fit_projection(sample, _SIZE, False).apply(torch.from_numpy(rows[labeled])).numpy()


def _advice(
    played: SimulatedCurves, others: dict[str, np.ndarray], plan: Plan, labels: int, default: str
) -> Advice:
    bought = plan.initial_size + plan.query_size * np.arange(simulating.QUERIES + 1)
    at = np.append(bought, plan.pool)
    curve = np.append(played.accuracy["random"].mean((0, 1)), played.whole.mean())
    gains = {name: played.area(name) - played.area(default) for name in played.accuracy if name != default}
    shared = stats.shared_by_plays(list(gains.values()))
    over = {name: stats.over_splits(found, plan.pool, plan.test, shared) for name, found in gains.items()}
    p = stats.holm([stats.over_splits_p(found, plan.pool, plan.test, shared) for found in gains.values()])
    compared = [
        Compared(
            name,
            float(played.area(name).mean()),
            over.get(name),
            stats.labels_needed(at, curve, float(accuracy[..., -1].mean())),
        )
        for name, accuracy in played.accuracy.items()
    ]
    whole = played.whole[:, None]
    doubling = stats.over_splits(
        whole - played.accuracy["random"][..., -1].mean(1, keepdims=True), plan.pool, plan.test
    )
    features = {
        kind: stats.over_splits(found[:, None] - whole, plan.pool, plan.test)
        for kind, found in others.items()
    }
    kind, sentence = verdict(
        default,
        over,
        dict(zip(over, p, strict=True)),
        features,
        doubling,
        plan,
    )
    ranked = tuple(sorted(compared, key=lambda each: -each.area))
    return Advice(
        kind, sentence, default, ranked, plan, labels, doubling, features, float(played.whole.mean())
    )


def verdict(
    default: str,
    gains: dict[str, Difference],
    p: dict[str, float],
    features: dict[str, Difference],
    doubling: Difference,
    plan: Plan,
) -> tuple[str, str]:
    """Returns what to do, in a word and in a sentence.

    An agent that beats the default one, its p value adjusted for how many were tried, is to be used, the best of
    several. Otherwise, where other features gain more than any agent may (the low end of their interval is above
    every agent's high end), these are to be used; where twice the labels do, labels are what is missing; and else the
    default agent is kept.

    Args:
        default: The default agent.
        gains: {agent: area minus the default agent's}.
        p: {agent: adjusted p value}.
        features: {kind: accuracy minus that of the kind that was played on}.
        doubling: What half of the pool's labels gain beside the other half.
        plan: What was played.
    """
    better = [name for name in gains if p[name] < _LEVEL and gains[name].mean > 0]
    if better:
        best = max(better, key=lambda name: gains[name].mean)
        return "use", f"Use {best}: {said(gains[best])} points over {default}, the default."
    most = max((found.interval.high for found in gains.values()), default=0.0)
    none = f"no strategy gains more than {most:+.1f} over {default}, the default"
    good = {kind: found for kind, found in features.items() if found.interval.low > max(most, 0.0)}
    if good:
        best = max(good, key=lambda kind: good[kind].mean)
        return "features", f"Other features help more: {best} gains {said(good[best])} points, and {none}."
    if doubling.interval.low > max(most, 0.0):
        return "labels", (
            f"More labels help more than another strategy: from {plan.budget} to {plan.pool} random ones gain "
            f"{said(doubling)} points, and {none}."
        )
    return "keep", f"No detectable difference: keep {default}, the default."


def said(found: Difference) -> str:
    """Returns a difference with its interval, in points."""
    return f"{found.mean:+.1f} [{found.interval.low:+.1f}, {found.interval.high:+.1f}]"
