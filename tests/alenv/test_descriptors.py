"""Descriptors of candidates: every number against a slow, obvious version, and what none may depend on."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from alenv import descriptors, leave_one_out, testbed
from alenv.descriptors import CONTEXT, NAMES, Descriptors, Situation, describe, standardized
from alenv.errors import InvalidQuery
from alenv.landmarks import ANCHORS, REFERENCE, Landmarks, leading, unit


def situation(
    episodes: int = 2, candidates: int = 12, classes: int = 4, labeled: int = 9, width: int = 6, seed: int = 0
) -> Situation:
    generator = torch.Generator().manual_seed(seed)

    def rows(*shape: int) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)

    labels = torch.randint(-1, classes, (episodes, labeled), generator=generator)
    return Situation(
        logits=2 * torch.randn(episodes, candidates, classes, generator=generator),
        points=rows(episodes, candidates, width),
        typicality=torch.rand(episodes, candidates, generator=generator),
        labeled=rows(episodes, labeled, width),
        labels=labels,
        anchors=rows(7, width),
        query_size=3,
    )


# ---- against slow versions -------------------------------------------------------------------------------


def softmax(scores: Any) -> Any:
    powers = np.exp(scores - np.max(scores))
    return powers / powers.sum()


def z_scores(values: Any) -> Any:
    values = np.array(values, dtype=float)
    deviation = values.std()
    if deviation <= 1e-5 * np.abs(values).max() + 1e-7:
        return np.zeros_like(values)
    return np.clip((values - values.mean()) / deviation, -3, 3)


class Slowly:
    """One episode, in float64, as the docstring of ``describe`` says it, a candidate after the other."""

    def __init__(self, shown: Situation, episode: int) -> None:
        self.x = shown.points[episode].double().numpy()
        known = shown.labels[episode].numpy() >= 0
        self.z = shown.labeled[episode].double().numpy()[known]
        self.y = shown.labels[episode].numpy()[known]
        self.anchors = shown.anchors.double().numpy()
        self.logits = shown.logits[episode].double().numpy() * (len(self.y) > 0)
        self.typicality = shown.typicality[episode].numpy()
        self.query_size = shown.query_size
        self.size, self.classes = self.logits.shape
        self.p = np.stack([softmax(row) for row in self.logits])
        self.predicted = [list(np.argsort(-row, kind="stable")[:2]) for row in self.p]
        self.margins = [row[a] - row[b] for row, (a, b) in zip(self.p, self.predicted, strict=True)]
        self.u = 1 - np.array(self.margins)
        self.inverse, self.weights = self.ridge(self.z, self.y)
        self.left_out = []
        for at in range(len(self.y)):
            rest = np.arange(len(self.y)) != at
            self.left_out.append(self.z[at] @ self.ridge(self.z[rest], self.y[rest])[1])
        self.wrong = [
            score[label] <= max(np.delete(score, label)) + 1e-9
            for score, label in zip(self.left_out, self.y, strict=True)
        ]
        self.error = np.mean(self.wrong) if len(self.y) else 1 - 1 / self.classes
        self.sharpness = self.best_sharpness()

    def ridge(self, rows: Any, labels: Any) -> Any:
        inverse = np.linalg.inv(rows.T @ rows + 0.2 * np.eye(rows.shape[1]))
        return inverse, inverse @ rows.T @ (np.eye(self.classes)[labels] - 1 / self.classes)

    def best_sharpness(self) -> float:
        best, chosen = -math.inf, 1.0
        for factor in (1, 2, 4, 8, 16, 32, 64):
            terms = [math.log(softmax(factor * s)[y]) for s, y in zip(self.left_out, self.y, strict=True)]
            likelihood = float(np.mean(terms)) if terms else 0.0
            if likelihood > best + 1e-3:
                best, chosen = likelihood, factor
        return chosen

    def radii(self) -> list[float]:
        count = len(self.y)
        apart = [[float(np.linalg.norm(a - b)) for b in self.z] for a in self.z]
        positive = [d for row in apart for d in row if d > 2e-3]
        nearest = sorted(min(apart[a][b] for b in range(count) if b != a) for a in range(count) if count > 1)
        median = nearest[(len(nearest) - 1) // 2] if nearest else 1.0
        return [min(positive, default=1.0), median if median > 2e-3 else 1.0, 1.0]

    def kernel(self, a: Any, b: Any, radius: float) -> float:
        return math.exp(-float(np.sum((a - b) ** 2)) / radius**2)

    def gain(self, i: int, radius: float, weights: Any) -> float:
        total = 0.0
        for j in range(self.size):
            covered = max((self.kernel(self.x[j], row, radius) for row in self.z), default=0.0)
            total += weights[j] * max(self.kernel(self.x[i], self.x[j], radius) - covered, 0.0)
        return total

    def gains(self, radius: float, weights: Any) -> list[float]:
        gains = [self.gain(i, radius, weights) for i in range(self.size)]
        return [math.log(gain + 0.02 * float(np.mean(gains)) + 1e-12) for gain in gains]

    def confidence(self, z: Any, y: Any) -> float:
        scores = self.anchors @ self.ridge(z, y)[1]
        return float(np.mean([softmax(self.sharpness * row).max() for row in scores]))

    def confidences(self, i: int) -> tuple[float, float]:
        likeliest = np.argsort(-self.p[i], kind="stable")[:3]
        rows = np.concatenate([self.z, self.x[i : i + 1]])
        now = self.confidence(self.z, self.y)
        found = [self.confidence(rows, np.append(self.y, label)) - now for label in likeliest]
        return float(np.average(found, weights=self.p[i][likeliest])), min(found)

    def votes(self, i: int) -> Any:
        return softmax(10 * (self.z @ self.x[i])) if len(self.z) else np.zeros(0)

    def table(self) -> dict[str, list[float]]:
        everyone = range(self.size)
        share = np.bincount(self.y, minlength=self.classes) / max(len(self.y), 1)
        h = [x @ self.inverse @ x for x in self.x]
        gini = [1 - float(row @ row) for row in self.p]
        pulls = self.x @ self.inverse @ self.x.T
        change = [float(np.sum(pulls[i] ** 2)) for i in everyone]
        smallest, median, one = self.radii()
        ones = np.ones(self.size)
        dense = [[self.kernel(a, b, median) for b in self.x] for a in self.x]
        confidence = [self.confidences(i) for i in everyone]
        mean_p = self.p.mean(0)
        pair = [set(two) for two in self.predicted]
        sharp = [np.sort(softmax(self.sharpness * (x @ self.weights)))[::-1] for x in self.x]
        log_margin = [-math.log(max(m, 1e-6)) for m in self.margins]
        of_class = [
            [w for w, y in zip(self.wrong, self.y, strict=True) if y == c] for c in range(self.classes)
        ]
        return {
            "log_margin": log_margin,
            "entropy": [-sum(q * math.log(q) for q in row) / math.log(self.classes) for row in self.p],
            "least_confidence": [1 - max(row) for row in self.p],
            "score_margin": [
                row[b] - row[a] for row, (a, b) in zip(self.logits, self.predicted, strict=True)
            ],
            "log_leverage": [math.log(value) for value in h],
            "typicality": list(self.typicality),
            "labeled_similarity": [max(self.z @ x, default=0.0) for x in self.x],
            "class_need": [float(row @ (1 / self.classes - share)) for row in self.p],
            "model_change": [math.log(g) + math.log(value) for g, value in zip(gini, h, strict=True)],
            "class_share": [mean_p[a] for a, _ in self.predicted],
            "typical_margin": list(z_scores(log_margin) * z_scores(self.typicality)),
            "middle_margin": list(-((z_scores([-value for value in log_margin]) + 1) ** 2)),
            "variance_reduction": [
                math.log(float(self.u @ pulls[i] ** 2) / (1 + h[i]) + 1e-12) for i in everyone
            ],
            "output_change": [math.log(change[i] * gini[i] / (1 + h[i]) ** 2) for i in everyone],
            "neighbor_disagreement": [
                1 - sum(w * self.p[i][y] for w, y in zip(self.votes(i), self.y, strict=True))
                for i in everyone
            ],
            "uncertain_gain_smallest": self.gains(smallest, self.u),
            "uncertain_gain_median": self.gains(median, self.u),
            "uncertain_gain_unit": self.gains(one, self.u),
            "gain_smallest": self.gains(smallest, ones),
            "gain_median": self.gains(median, ones),
            "gain_unit": self.gains(one, ones),
            "uncertain_density": [math.log(self.u @ row) for row in dense],
            "expected_confidence": [mean for mean, _ in confidence],
            "least_expected_confidence": [least for _, least in confidence],
            "neighbor_error": [float(self.votes(i) @ np.array(self.wrong, float)) for i in everyone],
            "class_error": [
                (sum(of_class[a]) + self.error) / (len(of_class[a]) + 1) for a, _ in self.predicted
            ],
            "pair_uncertainty": [sum(self.u[j] for j in everyone if pair[j] == pair[i]) for i in everyone],
            "ridge_margin": [-math.log(max(row[0] - row[1], 1e-6)) for row in sharp],
            "dense_uncertainty": [math.log(self.u[i]) + math.log(np.mean(dense[i])) for i in everyone],
        }

    def context(self) -> dict[str, float]:
        count = max(len(self.y), 1)
        return {
            "one": 1.0,
            "log_labels_per_class": math.log(count / self.classes),
            "mean_margin": float(np.mean(self.margins)),
            "mean_log_leverage": float(np.mean([math.log(x @ self.inverse @ x) for x in self.x])),
            "log_query_share": math.log(self.query_size / count),
            "log_classes": math.log(self.classes),
            "leave_one_out_error": float(self.error),
            "radius": self.radii()[1],
        }


@pytest.mark.parametrize(
    "sizes",
    [{}, {"classes": 2, "labeled": 30, "seed": 1}, {"classes": 9, "candidates": 20, "labeled": 1, "seed": 2}],
    ids=["four classes", "two classes", "one label"],
)
@pytest.mark.parametrize("entries", [8, 2**18], ids=["in blocks", "at once"])
def test_every_number_is_that_of_the_slow_version(
    sizes: dict[str, int], entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leave_one_out, "block_entries", lambda device: entries)
    shown = situation(**sizes)
    found = describe(shown)
    for episode in range(2):
        slow = Slowly(shown, episode)
        table, context = slow.table(), slow.context()
        assert set(table) == set(NAMES)
        assert list(context) == list(CONTEXT)
        for at, name in enumerate(NAMES):
            wanted = z_scores(table[name])
            np.testing.assert_allclose(
                found.candidates[episode, :, at], wanted, atol=5e-3, err_msg=name, rtol=1e-3
            )
        np.testing.assert_allclose(found.context[episode], list(context.values()), atol=1e-4, rtol=1e-4)


def test_leaving_out_is_fitting_without() -> None:
    shown = situation(episodes=1, labeled=14)
    slow = Slowly(shown, 0)
    ridge = leave_one_out.fitted(shown.labeled, shown.labels, 4)
    known = shown.labels[0] >= 0
    assert ridge.wrong[0][known].tolist() == [float(wrong) for wrong in slow.wrong]
    assert not ridge.wrong[0][~known].any()
    assert float(ridge.sharpness[0]) == slow.sharpness


# ---- what every situation gives, and on what nothing depends ---------------------------------------------------


def changed(**fields: Any) -> Situation:
    return situation()._replace(**fields)


SITUATIONS = {
    "no labels": situation(labeled=0),
    "padding alone": changed(labels=torch.full((2, 9), -1)),
    "one label": situation(labeled=1),
    "one class": changed(labels=torch.ones(2, 9, dtype=torch.int64)),
    "one candidate": situation(candidates=1),
    "duplicates": changed(
        logits=torch.ones(2, 12, 4),
        points=situation().points[:, :1].expand(2, 12, 6),
        labeled=situation().points[:, :1].expand(2, 9, 6),
        typicality=torch.ones(2, 12),
    ),
    "two classes": situation(classes=2),
    "a hundred classes": situation(classes=100),
    "no features": changed(points=torch.zeros(2, 12, 6), labeled=torch.zeros(2, 9, 6)),
    "a diverged classifier": changed(logits=torch.full((2, 12, 4), torch.nan)),
    "a sure classifier": changed(logits=1e8 * situation().logits),
    "infinite logits": changed(logits=torch.inf * situation().logits),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_all_numbers_are_finite_and_bounded(name: str) -> None:
    found = describe(SITUATIONS[name])
    assert found.candidates.shape == (*SITUATIONS[name].logits.shape[:2], 29)
    assert found.context.shape == (2, 8)
    assert found.candidates.isfinite().all()
    assert found.candidates.abs().max() <= 3
    assert found.context.isfinite().all()
    assert found.context.abs().max() <= 10


def test_equal_candidates_are_described_by_zeros() -> None:
    assert not describe(SITUATIONS["duplicates"]).candidates.any()
    assert not describe(SITUATIONS["one candidate"]).candidates.any()
    values = torch.full((1, 300), 0.1) + 1e-9 * torch.randn(
        1, 300, generator=torch.Generator().manual_seed(0)
    )
    assert not standardized(values).any()


def test_without_labels_only_positions_count() -> None:
    shown = situation(labeled=0)
    other = describe(shown._replace(logits=-shown.logits))
    assert torch.equal(describe(shown).candidates, other.candidates)
    varying = [name for at, name in enumerate(NAMES) if describe(shown).candidates[:, :, at].any()]
    assert {"typicality", "gain_unit", "uncertain_density", "variance_reduction"} <= set(varying)
    assert not {"log_margin", "entropy", "neighbor_error", "class_need", "pair_uncertainty"} & set(varying)


def close(one: Descriptors, other: Descriptors) -> None:
    torch.testing.assert_close(one.candidates, other.candidates, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(one.context, other.context, atol=1e-5, rtol=1e-4)


def test_a_batch_is_its_single_episodes() -> None:
    shown = situation(episodes=4, candidates=30)
    found = describe(shown)
    for episode in range(4):
        alone = slice(episode, episode + 1)
        single = describe(Situation(*(part[alone] for part in shown[:5]), shown.anchors, shown.query_size))
        close(single, Descriptors(found.candidates[alone], found.context[alone]))


def test_the_order_of_candidates_of_labels_and_padding_changes_nothing() -> None:
    shown = situation(candidates=30)
    generator = torch.Generator().manual_seed(3)
    order, rows = torch.randperm(30, generator=generator), torch.randperm(9, generator=generator)
    moved = shown._replace(
        logits=shown.logits[:, order],
        points=shown.points[:, order],
        typicality=shown.typicality[:, order],
        labeled=torch.cat([shown.labeled[:, rows], shown.labeled[:, :5]], dim=1),
        labels=torch.cat([shown.labels[:, rows], torch.full((2, 5), -1)], dim=1),
    )
    found = describe(shown)
    close(describe(moved), Descriptors(found.candidates[:, order], found.context))


def test_rotated_positions_change_nothing() -> None:
    shown = situation(candidates=30)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1))).Q
    close(
        describe(
            shown._replace(**{name: getattr(shown, name) @ turn for name in ("points", "labeled", "anchors")})
        ),
        describe(shown),
    )


def test_inputs_stay_as_they_are() -> None:
    shown = situation()
    before = [part.clone() for part in shown[:6]]
    describe(shown)
    assert all(torch.equal(a, b) for a, b in zip(shown[:6], before, strict=True))


# ---- landmarks -------------------------------------------------------------------------------------------------


def features(size: int, width: int) -> torch.Tensor:
    scales = torch.linspace(2, 0.1, width)
    return scales * torch.randn(size, width, generator=torch.Generator().manual_seed(0))


def landmarks(rows: torch.Tensor) -> Landmarks:
    return Landmarks(lambda indices: rows[indices], len(rows), torch.device("cpu"))


def test_positions_are_unit_rows_of_the_leading_components() -> None:
    narrow = features(50, 5)
    torch.testing.assert_close(landmarks(narrow).points(torch.arange(50)), unit(narrow))
    wide = features(300, 80)
    rows = unit(wide).double()
    basis = torch.linalg.svd(rows, full_matrices=False).Vh[:64].T
    found = landmarks(wide).points(torch.arange(300))
    assert found.shape == (300, 64)
    expected = torch.nn.functional.normalize(rows @ basis, dim=1)
    torch.testing.assert_close((found @ found.T).double(), expected @ expected.T, atol=1e-4, rtol=1e-4)
    assert leading(rows, 64).dtype == torch.float64


def test_typicality_is_the_mean_cosine_to_the_nearest_others() -> None:
    rows = features(40, 5)
    rows[7] = rows[9]
    rows[11] = torch.nan
    cosines = unit(rows) @ unit(rows).T
    cosines.fill_diagonal_(-torch.inf)
    expected = cosines.topk(20, dim=1).values.mean(1)
    torch.testing.assert_close(landmarks(rows).typicality(torch.arange(40)), expected)
    assert landmarks(features(1, 3)).typicality(torch.tensor([0])).tolist() == [0.0]
    few = landmarks(features(3, 3))
    assert few.typicality(torch.tensor([0, 1, 2])).isfinite().all()


def test_what_is_asked_for_together_changes_no_bit() -> None:
    rows = features(700, 70)
    whole, single = landmarks(rows), landmarks(rows)
    everything = torch.arange(700)
    for indices in (torch.tensor([[3, 699]]), everything[400:650], everything):
        assert torch.equal(single.points(indices), whole.points(everything)[indices])
        assert torch.equal(single.typicality(indices), whole.typicality(everything)[indices])


def test_the_reference_is_a_sample_of_the_pool_that_its_size_decides() -> None:
    rows = features(REFERENCE + 50, 3)
    one, other = landmarks(rows), landmarks(rows)
    assert torch.equal(one.anchors, other.anchors)
    assert one.anchors.shape == (ANCHORS, 3)
    assert len(one._reference) == REFERENCE


# ---- the view --------------------------------------------------------------------------------------------------


def played(recipe: str = "ALDigitsRidge-v0", **settings: Any) -> Any:
    options = {"initial_size": 20, "query_size": 5, "budget": 15, **settings}
    env = gym.make(recipe, **options).unwrapped
    env.reset(seed=0)
    return env


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("ALDigitsRidge-v0", {}),
        ("ALDigitsLogistic-v0", {}),
        ("ALDigits-v0", {"epochs": 1, "width": 4}),
        ("ALDigits-v0", {"epochs": 1, "width": 4, "embedding": "pixels", "outliers": 2}),
        ("ALDigitsRidge-v0", {"initial_size": 0}),
    ],
)
def test_every_recipe_is_described(recipe: str, settings: dict[str, Any]) -> None:
    env = played(recipe, **settings)
    for _ in range(2):
        found = env.view.descriptors()
        assert found.candidates.shape == (50, 29)
        assert found.context.shape == (8,)
        assert found.candidates.isfinite().all()
        again = env.view.descriptors(env.view.candidates)
        assert torch.equal(again.candidates, found.candidates)
        env.step(env.view.unlabeled[:5])
    assert not torch.equal(env.view.descriptors().context, found.context)
    assert env.view.previous.descriptors().candidates.shape == (50, 29)


def test_the_view_gives_its_own_numbers() -> None:
    view = testbed.random_pool(n=120, candidates=range(40, 70))
    found = view.descriptors()
    where = landmarks(view.embedding())
    indices, labeled = torch.tensor(view.candidates), torch.tensor(view.labeled)
    shown = Situation(
        view.logits(indices)[None],
        where.points(indices)[None],
        where.typicality(indices)[None],
        where.points(labeled)[None],
        view.labels()[None],
        where.anchors,
        view.query_size,
    )
    expected = describe(shown)
    torch.testing.assert_close(found.candidates, expected.candidates[0])
    torch.testing.assert_close(found.context, expected.context[0])
    torch.testing.assert_close(view.positions(indices), where.points(indices))
    found.candidates.zero_()
    assert view.descriptors().candidates.any()


def test_positions_are_those_of_the_classifier_without_an_embedding() -> None:
    view = testbed.random_pool(n=120, embedding=None)
    assert "embedding" not in view.offers
    where = landmarks(view.features()[:120])
    torch.testing.assert_close(view._located().anchors, where.anchors)


def test_an_embedding_is_located_once_and_features_once_a_cycle() -> None:
    for recipe, settings in (("ALDigitsRidge-v0", {}), ("ALDigits-v0", {"epochs": 1, "width": 4})):
        env = played(recipe, **settings)
        first = env.view._located()
        assert env.view._located() is first
        env.step(env.view.unlabeled[:5])
        assert (env.view._located() is first) == (recipe == "ALDigitsRidge-v0")


def test_labels_of_unqueried_images_have_no_influence() -> None:
    labels = np.arange(140) % 4
    first = testbed.random_pool(n=120, labels=labels).descriptors()
    hidden = np.setdiff1d(np.arange(140), range(0, 30, 3))
    labels[hidden] = (labels[hidden] + 1) % 4
    again = testbed.random_pool(n=120, labels=labels).descriptors()
    assert torch.equal(again.candidates, first.candidates)
    assert torch.equal(again.context, first.context)


@pytest.mark.parametrize("indices", [[], [1.5], [10**6], [[1]]])
def test_what_cannot_be_described_is_refused(indices: Any) -> None:
    with pytest.raises(InvalidQuery, match="give"):
        testbed.random_pool().descriptors(indices)


# fmt: off
GOLDEN = {  # of the first candidate and its episode; a change here is a new version
    "version": 1,
    "candidate": [
        1.31, 0.98, 1.26, 0.99, -0.21, -1.13, -1.42, 0.13, 0.65, 0.49, -1.49, 0.97, -0.91, 0.21, 0.5, 1.0, 1.0, 1.0,
        0.98, 1.01, 1.02, 1.05, -1.65, -1.83, 0.49, 1.26, 1.59, -0.05, 1.02,
    ],
    "context": [1.0, 0.69, 0.52, 0.19, -0.98, 1.39, 0.25, 0.96],
}
# fmt: on


def test_the_numbers_of_a_version_do_not_change() -> None:
    assert (len(NAMES), len(CONTEXT)) == (29, 8)
    assert len(set(NAMES)) == 29
    found = describe(situation())
    assert GOLDEN["version"] == descriptors.VERSION
    np.testing.assert_allclose(found.candidates[0, 0], GOLDEN["candidate"], atol=0.01)
    np.testing.assert_allclose(found.context[0], GOLDEN["context"], atol=0.01)
