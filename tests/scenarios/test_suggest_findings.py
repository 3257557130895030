"""What the labels of a project say: accuracy over labels, when to stop, and wrong labels, against known numbers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest

from alenv import geometry
from scenarios.suggest.findings import folds, power_law, stopping, wrong_labels
from scenarios.suggest.findings.label_findings import LabelFindings
from scenarios.suggest.findings.refit import Refit
from scenarios.suggest.pages import telling

SIZES = np.array([10, 20, 40, 80, 160])


def clouds(classes: int, each: int, seed: int = 0, apart: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Returns features of well separated classes, float32 (n, 16), and the labels."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centers = apart * np.eye(16)[:classes]
    return (centers[labels] + random.normal(size=(len(labels), 16))).astype(np.float32), labels


@dataclass
class Rigged:
    """Stands for ``Refit``: remembers what it is asked, and takes every image for class 0."""

    labels: np.ndarray
    num_classes: int = 3
    calls: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def probabilities(self, teaching: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.calls.append((teaching, rows))
        return np.tile(np.eye(self.num_classes, dtype=np.float32)[0], (len(rows), 1))


# ---- accuracy over labels ------------------------------------------------------------------------------------


def test_a_power_law_is_found_again() -> None:
    exact = np.stack([0.9 - 1.5 * SIZES**-0.5, 0.7 - 0.4 * SIZES**-0.2])
    law = power_law.fit(SIZES, exact)
    assert law.exponent == pytest.approx([0.5, 0.2])
    assert law.top == pytest.approx([0.9, 0.7])
    assert law.at(1000) == pytest.approx([0.9 - 1.5 * 1000**-0.5, 0.7 - 0.4 * 1000**-0.2])


def test_a_law_neither_falls_nor_ends_above_one() -> None:
    falling = power_law.fit(SIZES, np.array([0.8, 0.7, 0.6, 0.5, 0.4]))
    assert falling.drop == 0
    assert (
        falling.at(1e6) == falling.at(10) == pytest.approx(0.8 / 15 + 1.4 / 15 + 1.8 / 15 + 2 / 15 + 2 / 15)
    )
    rising = power_law.fit(SIZES, np.array([0.2, 0.35, 0.55, 0.8, 1.0]))
    assert rising.top <= 1
    assert rising.drop > 0


def test_later_sizes_weigh_more() -> None:
    y = np.array([0.5, 0.62, 0.6, 0.71, 0.7])
    law = power_law.fit(SIZES, y)
    weights = np.sqrt(np.arange(1, 6) / 5)
    line = np.stack([np.ones(5), -(SIZES**-law.exponent)], axis=1)
    top, drop = np.linalg.lstsq(line * weights[:, None], y * weights, rcond=None)[0]
    assert (law.top, law.drop) == pytest.approx((top, drop))


def grown(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns which images are right with more and more labels, bool (5, images), and their folds."""
    hardness = (np.arange(images) + 0.5) / images
    return hardness < (0.9 - 1.5 * SIZES**-0.5)[:, None], np.arange(images) % 5


def test_a_forecast_is_sure_of_many_images_alone() -> None:
    few, many = (power_law.forecast(SIZES, *grown(images), seed=0).gain(160, 320) for images in (40, 4000))
    assert many[0] == pytest.approx(1.5 * (160**-0.5 - 320**-0.5), abs=0.003)
    assert few[1] < many[1] < many[0] < many[2] < few[2]
    assert many[2] - many[1] < 0.02 < few[2] - few[1]
    assert power_law.forecast(SIZES, *grown(40), seed=0).gain(160, 320) == few


def test_folds_teach_growing_parts_of_the_others() -> None:
    labels = np.repeat([0, 1, 2], [40, 40, 20])
    refit = Rigged(labels)
    found = folds.cross_validate(refit, np.arange(100), seed=0)  # type: ignore[arg-type]  # rigged
    assert found is not None
    assert found.sizes.tolist() == [5, 10, 20, 40, 80]
    assert found.right.sum(axis=1).tolist() == [40] * 5
    for start in range(0, 25, 5):
        part = refit.calls[start : start + 5]
        assert sorted([*part[-1][0], *part[-1][1]]) == list(range(100))
        assert np.bincount(labels[part[0][1]]).tolist() == [8, 8, 4]
        for (fewer, _), (more, _) in itertools.pairwise(part):
            assert more[: len(fewer)].tolist() == fewer.tolist()
        assert np.bincount(labels[part[2][0]]).tolist() == pytest.approx([8, 8, 4], abs=1)
    assert sorted(np.concatenate([call[1] for call in refit.calls[::5]])) == list(range(100))


def test_no_folds_without_five_labels_of_two_classes() -> None:
    refit = Rigged(np.repeat([0, 1], [20, 4]))
    assert folds.cross_validate(refit, np.arange(24), seed=0) is None  # type: ignore[arg-type]  # rigged
    assert refit.calls == []


# ---- when to stop --------------------------------------------------------------------------------------------


def test_kappa_by_hand() -> None:
    one = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    other = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert stopping.kappa(one, other) == pytest.approx((0.7 - 0.5) / 0.5)
    assert stopping.kappa(one, one) == 1
    assert stopping.kappa(one * 0, one * 0) == 0


def test_label_sets_are_those_before_each_batch() -> None:
    asked_for = [np.array([1, 2, 90]), np.array([], dtype=np.int64), np.array([3, 4])]
    sets = stopping.label_sets(np.array([0, 1, 2, 3, 4]), asked_for)
    assert [each.tolist() for each in sets] == [[0], [0, 1, 2], [0, 1, 2, 3, 4]]
    assert [each.tolist() for each in stopping.label_sets(np.array([1, 2]), asked_for)] == [[1, 2]]
    many = stopping.label_sets(np.arange(100), [np.array([number]) for number in range(20)])
    assert [len(each) for each in many] == [80, 88, 96, 97, 98, 99, 100]
    most = stopping.label_sets(np.arange(10_000), [np.array([number]) for number in range(20)])
    assert [len(each) for each in most] == [9997, 9998, 9999, 10_000]


def test_history_compares_classifiers_on_unlabeled_images() -> None:
    rows, truth = clouds(3, 100)
    labels = np.where(np.arange(300) % 100 < 10, truth, -1)
    known, free = np.flatnonzero(labels >= 0), np.flatnonzero(labels < 0)
    held_out = known[::5]
    teaching = np.setdiff1d(known, held_out)
    sets = [teaching[truth[teaching] < 2], teaching[:-1], teaching]
    refit = Refit(rows, labels, 3, 0.1)
    past = stopping.history(refit, sets, held_out, free, (truth[held_out], truth[free]))
    assert past.labels == (16, 23, 24)
    assert past.right == (4, 6, 6)
    assert past.kappas is not None
    assert past.kappas[0] < 0.7 < 0.95 < past.kappas[1]
    assert past.missing == 1
    assert past.agreement is None
    few = stopping.history(refit, sets, held_out, free[:99], (truth[held_out], truth[free[:99]]))
    assert few.kappas is None
    assert few.missing is None


def test_it_is_time_to_stop_once_three_kappas_are_high() -> None:
    settled, moving = (
        stopping.History((1,), (1,), kappas) for kappas in ((1.0, 0.98, 0.9901), (1.0, 0.98, 0.9899))
    )
    assert settled.agreement == pytest.approx(2.9701 / 3)
    for past, stop in ((settled, True), (moving, False)):
        found = LabelFindings(agreement=past.agreement, missing=past.missing)
        assert found.stop is stop
        assert telling.stopping(found).startswith("It is time to stop") is stop
    assert "after 2 more" in telling.stopping(LabelFindings(missing=2))


# ---- wrong labels --------------------------------------------------------------------------------------------


def test_confident_learning_by_hand() -> None:
    # Mean probability of its own: class 0 (0.9 * 4 + 0.3 + 0.45) / 6 = 0.725, class 1 (0.8 * 4 + 0.2) / 5 = 0.68.
    first_class = [0.9, 0.9, 0.9, 0.9, 0.3, 0.45]
    second_class = [0.2, 0.2, 0.2, 0.2, 0.8]
    p = np.array([*first_class, *second_class])
    given = np.repeat([0, 1], [6, 5])
    # 0.7 of class 1 reaches 0.68, 0.55 does not; 0.8 of class 0 reaches 0.725.
    assert wrong_labels.suspects(np.stack([p, 1 - p], axis=1), given) == {4: 1, 10: 0}
    assert wrong_labels.suspects(np.stack([p, 1 - p], axis=1)[:10], given[:10]) == {}  # four of class 1


def crossed(rows: np.ndarray, labels: np.ndarray) -> folds.Folds:
    found = folds.cross_validate(Refit(rows, labels, 4, 0.01), np.arange(len(labels)), seed=0)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_errors_are_found(seed: int) -> None:
    rows, truth = clouds(4, 60, seed, apart=6.0)
    random = np.random.default_rng(seed + 1)
    flipped = np.sort(random.permutation(240)[:12])
    labels = truth.copy()
    labels[flipped] = (labels[flipped] + random.integers(1, 4, 12)) % 4
    found = crossed(rows, labels)
    wrong = np.flatnonzero(wrong_labels.chances(found.probabilities, labels, seed=0) > 0.5)
    assert len(np.intersect1d(wrong, flipped)) >= 11
    assert len(np.setdiff1d(wrong, flipped)) <= 2
    assert len(np.intersect1d(list(wrong_labels.suspects(found.probabilities, labels)), flipped)) >= 10


def test_right_labels_are_left_alone() -> None:
    rows, labels = clouds(4, 60, apart=3.0)
    found = crossed(rows, labels)
    assert found.right[-1].mean() < 0.95
    assert (wrong_labels.chances(found.probabilities, labels, seed=0) > 0.5).sum() == 0
    assert wrong_labels.suspects(found.probabilities, labels) != {}  # which is why these are but worth a look


def test_the_chance_of_an_error_by_hand() -> None:
    # With 1 of 100 certain to be of another class, a rate of 0.01 and the sharpest temperature fit best.
    p = np.full((100, 2), (0.9, 0.1))
    p[0] = (0.1, 0.9)
    given = np.zeros(100, dtype=np.int64)
    own = 1 / (1 + 9.0 ** (1 / 0.2))
    expected = 0.01 * (1 - own) / (0.01 * (1 - own) + 0.99 * own)
    assert wrong_labels.chances(p, given, seed=0)[0] == pytest.approx(expected)
    assert wrong_labels.chances(p[:4], given[:4], seed=0).tolist() == [0] * 4


def test_near_duplicates_with_other_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "BLOCK", 120)
    rows, labels = clouds(2, 20)
    rows[25], rows[3], rows[31] = 2 * rows[2], rows[2], rows[30]
    labeled = np.setdiff1d(np.arange(40), [7, 33])
    assert wrong_labels.clashes(rows, labels, labeled, 0.98, seed=0) == [(2, 25), (3, 25)]
    assert wrong_labels.clashes(rows, labels, np.setdiff1d(labeled, [25]), 0.98, seed=0) == []
