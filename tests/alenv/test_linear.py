"""Linear heads on frozen features."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from equality import assert_equal
from exact_ridge import ridge_error

from alenv import errors
from alenv.learners import linear
from alenv.learners.images import ImageSet
from alenv.learners.logistic import LogisticLearner, loss_and_gradient
from alenv.learners.ridge import PENALTIES, RidgeLearner
from alenv.learners.ridge_batch import RidgeBatch
from alenv.pool import OUTLIER
from alenv.runtime import Runtime
from alenv.settings import Recipe

RUNTIME = Runtime("cpu", "fp32", 1)


def image_set(embedding: np.ndarray) -> ImageSet:
    count = len(embedding)
    images = torch.zeros(count, 2, 2, 1, dtype=torch.uint8)
    return ImageSet(images, np.arange(count), (0.0,), (1.0,), embedding)


def unit_rows(count: int, size: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_ridge_head_solves_the_normal_equations_however_it_is_fed() -> None:
    random = np.random.default_rng(0)
    embedding = random.normal(size=(60, 6)).astype(np.float32)
    images = ImageSet(torch.zeros(60, 2, 2, 1, dtype=torch.uint8), np.arange(60), (0.0,), (1.0,), embedding)
    recipe = Recipe(head="ridge", embedding="pixels", ridge_penalty=0.7, beta=3.0)
    labeled, labels = random.permutation(60)[:40], random.integers(0, 3, 40)
    at_once, in_parts = (RidgeLearner(recipe, 6, 3, Runtime("cpu", "fp32", 1)) for _ in range(2))
    at_once.fit(images, labeled, labels, 0)
    for count in (10, 25, 40):
        in_parts.fit(images, labeled[:count], labels[:count], 0)
    x = np.hstack([embedding[labeled], np.ones((40, 1))]).astype(np.float64)
    y = np.eye(3)[labels] - 1 / 3
    solution = np.linalg.solve(x.T @ x + np.diag([0.7] * 6 + [1e-6]), x.T @ y)
    expected = 3.0 * (np.hstack([embedding, np.ones((60, 1))]) @ solution)
    for learner in (at_once, in_parts, in_parts.fork(in_parts.get_state())):
        np.testing.assert_allclose(learner.infer(images, torch.arange(60))["logits"], expected, atol=1e-4)


@pytest.mark.parametrize("size", [1, 127, 128, 129, 300])
def test_a_ridge_head_predicts_the_first_class_of_the_largest_score(size: int) -> None:
    random = np.random.default_rng(size)
    embedding = random.normal(size=(size, 6)).astype(np.float32)
    images = ImageSet(
        torch.zeros(size, 2, 2, 1, dtype=torch.uint8), np.arange(size), (0.0,), (1.0,), embedding
    )
    learner = RidgeLearner(Recipe(head="ridge", embedding="pixels"), 6, 4, Runtime("cpu", "fp32", 1))
    assert learner.predict(images).classes.tolist() == [0] * size  # no label yet: all scores are equal
    weights = torch.from_numpy(random.normal(size=(7, 4)).astype(np.float32))
    learner.set_state({**learner.get_state(), "weights": weights})
    scores = np.hstack([embedding, np.ones((size, 1))]) @ weights.numpy().astype(np.float64)
    np.testing.assert_array_equal(learner.predict(images).classes, scores.argmax(1))
    weights[:, 1] = weights[:, 3] = weights[:, 2]  # three classes with equal scores
    learner.set_state({**learner.get_state(), "weights": weights})
    np.testing.assert_array_equal(
        learner.predict(images).classes, np.where(scores[:, 0] > scores[:, 2], 0, 1)
    )


def test_ridge_features_and_probabilities() -> None:
    env = gym.make("ALDigitsRidge-v0").unwrapped
    env.reset(seed=0)
    view = env.view  # type: ignore[attr-defined]  # gym.Env lacks it
    before = env.costs["inferred_images"]  # type: ignore[attr-defined]  # gym.Env lacks it
    assert torch.equal(view.features(), view.embedding())
    assert env.costs["inferred_images"] == before  # type: ignore[attr-defined]  # they stand there already
    torch.testing.assert_close(view.features().norm(dim=1), torch.ones(len(view)))
    torch.testing.assert_close(view.probabilities(), view.logits().softmax(1))


# ---- the chosen penalty ----


def chosen(embedding: np.ndarray, labels: np.ndarray, classes: int, penalties: tuple[float, ...]) -> float:
    """Returns which of the penalties a head has that has learned some labels."""
    batch = RidgeBatch(1, embedding.shape[1], classes, len(penalties), torch.device("cpu"))
    have = torch.ones(1, classes, dtype=torch.bool)
    new = torch.from_numpy(embedding)[None], torch.from_numpy(labels)[None]
    batch.begin(torch.zeros(1, dtype=torch.int64), torch.tensor([penalties]), have, *new)
    return penalties[int(batch._chosen[0])]


@pytest.mark.parametrize("count", [12, 40, 300])
@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])
def test_the_penalty_with_the_lowest_cross_validation_error_is_chosen(count: int, noise: float) -> None:
    random = np.random.default_rng(count)
    embedding = unit_rows(count, 20)
    rows = np.hstack([embedding, np.ones((count, 1))]).astype(np.float64)
    labels = (rows @ random.normal(size=(21, 3)) + noise * random.normal(size=(count, 3))).argmax(1)
    tried = (0.01, 0.1, 1.0, 10.0)
    errors_by_hand = [ridge_error(rows, np.eye(3)[labels] - 1 / 3, penalty) for penalty in tried]
    assert chosen(embedding, labels, 3, tried) == tried[int(np.argmin(errors_by_hand))]


def test_the_chosen_penalty_depends_on_the_labels() -> None:
    clear = np.random.default_rng(1).integers(0, 3, 30)
    embedding = np.eye(20, dtype=np.float32)[clear] + 0.1 * unit_rows(30, 20)
    noise = np.random.default_rng(2).integers(0, 3, 30)
    assert [chosen(embedding, labels, 3, PENALTIES) for labels in (clear, noise)] == [
        PENALTIES[0],
        PENALTIES[-1],
    ]


def test_a_head_with_a_chosen_penalty_is_the_head_with_that_penalty() -> None:
    images = image_set(unit_rows(80, 6))
    labeled, labels = np.arange(60), np.random.default_rng(0).integers(0, 3, 60)
    made = {
        penalty: RidgeLearner(Recipe(head="ridge", embedding="pixels", ridge_penalty=penalty), 6, 3, RUNTIME)
        for penalty in ("auto", *PENALTIES)
    }
    for learner in made.values():
        learner.fit(images, labeled, labels, 0)
    weights = {penalty: learner.get_state()["weights"] for penalty, learner in made.items()}
    assert sum(torch.equal(weights["auto"], weights[penalty]) for penalty in PENALTIES) == 1


def test_a_chosen_penalty_without_labels() -> None:
    learner = RidgeLearner(Recipe(head="ridge", embedding="pixels", ridge_penalty="auto"), 6, 3, RUNTIME)
    none = np.zeros(0, dtype=np.int64)
    learner.fit(image_set(unit_rows(5, 6)), none, none, 0)
    assert not learner.get_state()["weights"].any()


# ---- logistic regression ----


def test_the_logistic_gradient_by_finite_differences() -> None:
    random = np.random.default_rng(0)
    rows = torch.from_numpy(random.normal(size=(9, 4)))
    targets = torch.from_numpy(np.eye(3)[random.integers(0, 3, 9)])
    weights = random.normal(size=12)
    found = loss_and_gradient(weights, rows, targets, 0.3)[1]
    for position in range(12):
        step = np.zeros(12)
        step[position] = 1e-6
        ends = [loss_and_gradient(weights + sign * step, rows, targets, 0.3)[0] for sign in (1, -1)]
        assert found[position] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


def test_the_logistic_head_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    embedding = unit_rows(200, 5)
    labels = (embedding @ np.random.default_rng(1).normal(size=(5, 3))).argmax(1)
    images = image_set(embedding)
    learner = LogisticLearner(
        Recipe(head="logistic", embedding="pixels", logistic_penalty=0.5), 5, 3, RUNTIME
    )
    learner.fit(images, np.arange(120), labels[:120], 0)
    theirs = LogisticRegression(C=2.0, tol=1e-6, max_iter=1000).fit(embedding[:120], labels[:120])
    mine = learner.infer(images, torch.arange(200))["logits"].softmax(1)
    np.testing.assert_allclose(mine, theirs.predict_proba(embedding), atol=2e-3)


@pytest.mark.parametrize("count", [0, 1, 12, 40])
def test_a_logistic_head_is_the_same_in_the_span_of_its_labels(count: int) -> None:
    embedding = unit_rows(80, 20)
    embedding[1] = embedding[0]  # the span has fewer dimensions than there are labels
    labels = np.random.default_rng(1).integers(0, 3, 80)
    images, logits = image_set(embedding), []
    for start in (
        "warm",
        "cold",
    ):  # a warm one searches in all dimensions, and its first search begins at zeros too
        recipe = Recipe(head="logistic", embedding="pixels", logistic_penalty=0.1, start=start)
        learner = LogisticLearner(recipe, 20, 3, RUNTIME)
        learner.fit(images, np.arange(count), labels[:count], 0)
        logits.append(learner.infer(images, torch.arange(80))["logits"])
    np.testing.assert_allclose(*logits, atol=1e-3)
    assert (float(logits[0].abs().max()) > 0.1) == (count > 0)


def test_a_warm_logistic_head_begins_where_it_was() -> None:
    images = image_set(unit_rows(100, 5))
    labels = np.random.default_rng(0).integers(0, 3, 100)
    weights = {}
    for start in ("warm", "cold"):
        recipe = Recipe(head="logistic", embedding="pixels", start=start, logistic_penalty=1e-3)
        twice, once = (LogisticLearner(recipe, 5, 3, RUNTIME) for _ in range(2))
        twice.fit(images, np.arange(50), labels[:50], 0)
        for learner in (twice, once):
            learner.fit(images, np.arange(100), labels, 1)
        weights[start] = twice.get_state()["weights"], once.get_state()["weights"]
    assert torch.equal(*weights["cold"])
    assert not torch.equal(*weights["warm"])
    torch.testing.assert_close(*weights["warm"], atol=0.05, rtol=0)  # the same minimum


def test_images_of_no_class_teach_a_logistic_head_nothing() -> None:
    images = image_set(unit_rows(30, 5))
    labels = np.random.default_rng(0).integers(0, 3, 30)
    recipe = Recipe(head="logistic", embedding="pixels")
    with_them, without = (LogisticLearner(recipe, 5, 3, RUNTIME) for _ in range(2))
    spoiled = np.where(np.arange(30) < 20, labels, OUTLIER)
    with_them.fit(images, np.arange(30), spoiled, 0)
    without.fit(images, np.arange(20), labels[:20], 0)
    assert_equal(with_them.get_state(), without.get_state())
    untaught = LogisticLearner(recipe, 5, 3, RUNTIME)
    untaught.fit(images, np.arange(3), np.full(3, OUTLIER), 0)
    assert not untaught.get_state()["weights"].any()


# ---- environments ----


@pytest.mark.parametrize("name", ["ALDigitsRidge-v0", "ALDigitsLogistic-v0"])
def test_peek_is_what_step_gives(name: str) -> None:
    env = gym.make(name, allow_peek=True).unwrapped
    env.reset(seed=0)
    random = np.random.default_rng(0)
    for _ in range(3):
        queries = [random.choice(env.view.unlabeled, 10, replace=False) for _ in range(3)]  # type: ignore[attr-defined]  # gym.Env lacks it
        earned = env.peek(queries)  # type: ignore[attr-defined]  # gym.Env lacks it
        assert env.step(queries[1])[1] == earned[1]


def test_a_logistic_head_learns_digits() -> None:
    env: Any = gym.make("ALDigitsLogistic-v0", query_size=50, budget=300).unwrapped
    env.reset(seed=0)
    random = np.random.default_rng(0)
    for _ in range(6):
        info = env.step(random.choice(env.view.unlabeled, 50, replace=False))[4]
    assert info["test_accuracy"] > 0.88


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_what_a_linear_head_has_not(head: str) -> None:
    env: Any = gym.make("ALDigitsRidge-v0", head=head, ridge_penalty=1.0).unwrapped
    env.reset(seed=0)
    with pytest.raises(errors.MissingHead, match="head"):
        env.view.feature_maps()
    with pytest.raises(errors.MissingHead, match=f"A {head} head has no network"):
        env._learner.copy_classifier()
    assert isinstance(env._learner, linear.LinearHead)
