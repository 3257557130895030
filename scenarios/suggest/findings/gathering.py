"""Finds out what the labels say: how good the classifier is, what more labels bring, which ones look wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alenv import Asking
from alenv.pool import OUTLIER
from scenarios.report import stats
from scenarios.suggest.findings import folds, power_law, stopping, wrong_labels
from scenarios.suggest.findings.label_findings import (
    Clash,
    ClassFound,
    Curve,
    LabelFindings,
    Range,
    WrongLabel,
)
from scenarios.suggest.findings.refit import Refit
from scenarios.suggest.inputs.known import Known
from scenarios.suggest.picking import ALIKE
from scenarios.suggest.project import SHARE, Project, files_asked

Indices = NDArray[np.int64]

_WEAKEST = 3
_LINE = 40  # points of a drawn law


def gather(own: Project, images: Known, split: Indices, asking: Asking, size: int) -> LabelFindings:
    """Finds out what the labels say.

    Args:
        own: The project, whose batch folders are read.
        images: The images.
        split: Rows of the held-out labels.
        asking: The present classifier.
        size: Images of the batch that is asked for.
    """
    labeled = np.flatnonzero(images.labels != OUTLIER)
    if not len(labeled):
        return LabelFindings()
    asked = [images.places(files_asked(batch)) for batch in own.batches()]
    refit = Refit(images.rows, images.labels, max(2, len(images.names)), asking.penalty)
    crossed = folds.cross_validate(refit, labeled, own.seed)
    taken = asking.predict(split)
    past = _past(refit, images, split, asked, (asking, taken), own.seed)
    classes = _classes(images, split, taken, crossed)
    now, brings = max(1, past.labels[-1]), size - size // SHARE
    forecast = _forecast(crossed, len(images.names), own.seed)
    wrong, doubtful = _looking_wrong(images, split, crossed, own.seed)
    return LabelFindings(
        classes=classes,
        weakest=_weakest(classes),
        few=tuple(each.name for each in classes if each.labels < folds.FOLDS),
        batches=_of_batches(past, len(split)),
        crossed=_of_folds(crossed),
        law=_of_law(forecast, crossed, now + brings),
        brings=brings,
        gain=None if forecast is None else forecast.gain(now, now + brings),
        agreement=past.agreement,
        missing=past.missing,
        wrong=wrong,
        doubtful=doubtful,
        clashes=_clashes(images, labeled, own.seed),
        chosen=any(np.isin(rows, labeled).any() for rows in asked),
    )


def _past(
    refit: Refit,
    images: Known,
    split: Indices,
    asked: Sequence[Indices],
    present: tuple[Asking, Indices],
    seed: int,
) -> stopping.History:
    asking, taken = present
    of_pool = images.labels[asking.rows]
    free = np.flatnonzero(of_pool == OUTLIER)
    drawn = np.random.default_rng(seed).permutation(free)[: stopping.STOP_SET]
    guesses = asking.view(1).probabilities(drawn).argmax(1).cpu().numpy()
    sets = stopping.label_sets(asking.rows[of_pool != OUTLIER], asked)
    return stopping.history(refit, sets, split, asking.rows[drawn], (taken, guesses))


def _classes(
    images: Known, split: Indices, taken: Indices, crossed: folds.Folds | None
) -> tuple[ClassFound, ...]:
    found = []
    truth = images.labels[split]
    for number, (name, count) in enumerate(images.counts().items()):
        measured = (int(((truth == number) & (taken == number)).sum()), int((truth == number).sum()))
        tested = (0, 0)
        if crossed is not None:
            own = images.labels[crossed.labeled] == number
            tested = (int(crossed.right[-1, own].sum()), int(own.sum()))
        found.append(ClassFound(name, count, measured, tested))
    return tuple(found)


def _weakest(classes: Sequence[ClassFound]) -> tuple[str, ...]:
    """Returns the classes of which cross-validation finds the smallest shares, below that of all labels."""
    judged = [each for each in classes if each.crossed[1] >= folds.FOLDS]
    total = sum(each.crossed[1] for each in classes)
    mean = sum(each.crossed[0] for each in classes) / max(1, total)
    shares = sorted((each.crossed[0] / each.crossed[1], each.name) for each in judged)
    return tuple(name for share, name in shares[:_WEAKEST] if share < mean)


# ---- accuracy over labels ------------------------------------------------------------------------------------


def _measured(right: int, total: int) -> Range:
    return (right / total, *stats.wilson(right, total))


def _of_batches(past: stopping.History, held_out: int) -> Curve:
    if not held_out:
        return Curve()
    return Curve(past.labels, tuple(_measured(right, held_out) for right in past.right))


def _of_folds(crossed: folds.Folds | None) -> Curve:
    if crossed is None:
        return Curve()
    right = crossed.right.sum(axis=1).tolist()
    return Curve(
        tuple(crossed.sizes.tolist()), tuple(_measured(each, len(crossed.labeled)) for each in right)
    )


def _forecast(crossed: folds.Folds | None, classes: int, seed: int) -> power_law.Forecast | None:
    """Returns the law of accuracy; None with too few labels for one."""
    least = max(power_law.LEAST_LABELS, power_law.LEAST_EACH * classes)
    if crossed is None or len(crossed.labeled) < least:
        return None
    return power_law.forecast(crossed.sizes, crossed.right, crossed.fold, seed)


def _of_law(forecast: power_law.Forecast | None, crossed: folds.Folds | None, last: int) -> Curve:
    if forecast is None or crossed is None:
        return Curve()
    labels = np.linspace(crossed.sizes[0], max(last, crossed.sizes[-1]), _LINE).tolist()
    return Curve(tuple(labels), tuple(forecast.at(each) for each in labels))


# ---- labels that are probably wrong --------------------------------------------------------------------------


def _looking_wrong(
    images: Known, split: Indices, crossed: folds.Folds | None, seed: int
) -> tuple[tuple[WrongLabel, ...], tuple[WrongLabel, ...]]:
    """Returns labels that are probably wrong, and others that are suspect."""
    if crossed is None:
        return (), ()
    given, probabilities = images.labels[crossed.labeled], crossed.probabilities
    chances = wrong_labels.chances(probabilities, given, seed)
    rivals = wrong_labels.suspects(probabilities, given)
    others = probabilities.copy()
    others[np.arange(len(given)), given] = -1
    held_out = set(split.tolist())
    wrong: list[WrongLabel] = []
    doubtful: list[WrongLabel] = []
    for place in np.argsort(-chances, kind="stable").tolist():
        probable = chances[place] >= wrong_labels.PROBABLE
        if not probable and place not in rivals:
            continue
        row, own = int(crossed.labeled[place]), int(given[place])
        rival = rivals.get(place, int(others[place].argmax()))
        found = WrongLabel(
            images.files[row],
            images.names[own],
            images.names[rival],
            (float(probabilities[place, own]), float(probabilities[place, rival])),
            float(chances[place]),
            row in held_out,
        )
        (wrong if probable else doubtful).append(found)
    return tuple(wrong), tuple(doubtful)


def _clashes(images: Known, labeled: Indices, seed: int) -> tuple[Clash, ...]:
    found = []
    for a, b in wrong_labels.clashes(images.rows, images.labels, labeled, ALIKE, seed):
        names = images.names[images.labels[a]], images.names[images.labels[b]]
        found.append(Clash((images.files[a], images.files[b]), names))
    return tuple(found)
