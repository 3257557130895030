"""How classifiers changed from batch to batch, and whether it is time to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scenarios.suggest.findings.refit import Refit

Indices = NDArray[np.int64]

AGREEMENT = 0.99  # mean kappa from which it is time to stop
WINDOW = 3  # kappas that are averaged
STOP_SET = 2000  # unlabeled images at most that two classifiers are compared on
LEAST = 100  # images without which a comparison says little
_MOST_SETS = 6  # of labels that are taught again
_MOST_LABELS = 12_000  # that are taught again, all sets together, where more than three are


@dataclass(frozen=True)
class History:
    """What was learned with the labels that there were before each batch, and at present.

    Attributes:
        labels: How many taught, ascending.
        right: How many of the held-out images each classifier gets right.
        kappas: Agreement of each of the last classifiers with the one before, on unlabeled images; at most three.
            None with too few images to tell.
    """

    labels: tuple[int, ...]
    right: tuple[int, ...]
    kappas: tuple[float, ...] | None

    @property
    def missing(self) -> int | None:
        """How many labeled batches are missing before it can be told when to stop; None where it cannot."""
        return None if self.kappas is None else WINDOW - len(self.kappas)

    @property
    def agreement(self) -> float | None:
        """The mean of the last three kappas; None with fewer."""
        return float(np.mean(self.kappas)) if self.kappas is not None and self.missing == 0 else None


def label_sets(teaching: Indices, asked: Sequence[Indices]) -> list[Indices]:
    """Returns the labels that there were before each batch, and all of them last.

    A batch that brought no label counts as none, and so does what came before the first label. Of many sets, the
    last three and some of the others are kept.

    Args:
        teaching: int64 (L,), rows whose labels teach.
        asked: For each batch, the rows that it asked for.
    """
    sets = [teaching]
    for own in reversed(asked):
        before = np.setdiff1d(sets[0], own, assume_unique=True)
        if len(before) == 0:
            break
        if len(before) < len(sets[0]):
            sets.insert(0, before)
    earlier = sets[:-1]
    many = max(WINDOW, min(_MOST_SETS, _MOST_LABELS // max(1, len(teaching))))
    if len(earlier) > many:
        others = np.linspace(0, len(earlier) - WINDOW - 1, many - WINDOW).round().astype(int)
        earlier = [*(earlier[place] for place in dict.fromkeys(others.tolist())), *earlier[-WINDOW:]]
    return [*earlier, teaching]


def history(
    refit: Refit,
    sets: Sequence[Indices],
    held_out: Indices,
    stop_set: Indices,
    present: tuple[Indices, Indices],
) -> History:
    """Fits a classifier to each earlier set of labels and compares them.

    Args:
        refit: Fits classifiers.
        sets: Of labels, the present one last.
        held_out: int64 (V,), rows whose labels measure.
        stop_set: int64 (U,), rows without a label.
        present: What the present classifier takes ``held_out`` and ``stop_set`` for.
    """
    asked = np.concatenate([held_out, stop_set])
    found = [refit.probabilities(teaching, asked).argmax(1) for teaching in sets[:-1]]
    found.append(np.concatenate(present))
    truth, measured = refit.labels[held_out], len(held_out)
    right = tuple(int((each[:measured] == truth).sum()) for each in found)
    kappas = None
    if len(stop_set) >= LEAST:
        last = [each[measured:] for each in found[-WINDOW - 1 :]]
        kappas = tuple(kappa(one, other) for one, other in pairwise(last))
    return History(tuple(map(len, sets)), right, kappas)


def kappa(one: Indices, other: Indices) -> float:
    """Returns Cohen's kappa of two classifiers' predictions; 0 where both know one class alone.

    Source: Cohen 1960, "A Coefficient of Agreement for Nominal Scales". That its mean over the last three cycles
    tells when to stop, from 0.99 on: Bloodgood and Vijay-Shanker 2009, "A Method for Stopping Active Learning Based
    on Stabilizing Predictions and the Need for User-Adjustable Stopping".

    Args:
        one: int64 (n,), classes; at least one.
        other: int64 (n,).
    """
    classes = int(max(one.max(), other.max())) + 1
    shares = [np.bincount(each, minlength=classes) / len(each) for each in (one, other)]
    chance = float(shares[0] @ shares[1])
    if chance >= 1:
        return 0.0
    return (float((one == other).mean()) - chance) / (1 - chance)
