"""Episodes that are tasks of their own."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import agents
from alenv import data, errors, mix_episodes
from alenv.embedding import embed
from alenv.learners.ridge import RidgeLearner
from alenv.mix import MixEnv, MixVectorEnv
from alenv.pool import OUTLIER
from alenv.tasks import TaskDistribution

ID = "ALMix-v0"
DIGITS: dict[str, Any] = {
    **{"datasets": ["digits"], "feature_size": [10, 64], "initial": [1, 8], "query_size": 12, "cycles": 3},
    **{"validation": 150, "candidates": 40, "imbalance": [1, 4], "allow_peek": True},
}
LABELS = np.repeat(np.arange(6), 100)


def single(**settings: Any) -> Any:
    return gym.make(ID, **{**DIGITS, **settings})


def batched(count: int, **settings: Any) -> Any:
    return gym.make_vec(ID, num_envs=count, **{**DIGITS, **settings})


def drawn(key: int, **settings: Any) -> Any:
    small = {"datasets": ("digits",), "feature_size": (3, 9), "initial": (2, 10), **settings}
    return TaskDistribution(**small).draw(key, (LABELS,), (8,))


# ---- the distribution ----


def test_tasks_keep_to_their_ranges_and_differ() -> None:
    tasks = [drawn(key, classes=(2, 5), query_size=9, validation=60) for key in range(200)]
    for task in tasks:
        own = task.classes[LABELS]
        assert 2 <= task.num_classes <= 5
        assert set(own[task.rows]) == set(range(task.num_classes))
        assert (own[task.validation] != OUTLIER).all()
        assert not set(task.rows) & set(task.validation)
        assert len(task.validation) == min(60, (own != OUTLIER).sum() // 4)
        assert 3 <= task.feature_size <= 8
        assert 0 <= task.label_noise <= 0.1 <= task.penalty <= 1
        assert task.initial_size <= len(task.rows) // 4
        assert 1 <= task.query_size <= min(9, max(1, task.initial_size))
        assert task.initial_size + 10 * task.query_size <= len(task.rows)
        counts = np.bincount(own[task.rows])
        assert (np.diff(counts) <= 0).all()
        assert counts[0] <= 10.5 * counts[-1]
    for name in ("num_classes", "feature_size", "initial_size", "query_size", "penalty", "label_noise"):
        assert len({getattr(task, name) for task in tasks}) > 3, name
    merged = [(task.classes != OUTLIER).sum() > task.num_classes for task in tasks]
    assert 20 < sum(merged) < 80
    assert {tuple(np.bincount(each.classes[each.classes >= 0]) > 1) for each in tasks} >= {(True, True)}


def test_one_seed_draws_one_task() -> None:
    for one, other in ((drawn(5), drawn(5)),):
        assert one.rows.tolist() == other.rows.tolist()
        assert (one.penalty, one.feature_size) == (other.penalty, other.feature_size)
    assert drawn(5).penalty != drawn(6).penalty
    assert drawn(5, imbalance=(1.0, 1.0), merged=1.0, pool_size=50).rows.shape <= (50,)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classes": (1, 5)}, "classes=.* numbers from 2"),
        ({"classes": (5, 2)}, "smaller one first"),
        ({"initial": (2.5, 3)}, "whole numbers"),
        ({"datasets": ()}, "names of datasets"),
        ({"merged": 2}, "at most 1"),
        ({"imbalance": 3.0}, "a pair"),
    ],
)
def test_ranges_that_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.InvalidProtocol, match=words):
        TaskDistribution(**settings)


def test_a_task_that_is_too_small() -> None:
    with pytest.raises(errors.InvalidProtocol, match="too few for cycles=500"):
        drawn(0, cycles=500)


# ---- the environments ----


def assert_fitted_as_one_head(env: Any, index: int) -> None:
    """Compares an episode of a batch with a ridge head of its task's sizes, fitted to what its view shows."""
    view, task = env.view(index), env.task(index)
    learner = RidgeLearner(view.recipe, task.feature_size, task.num_classes, env.runtime)
    learner.fit(view._images, view.labeled, view.labels().numpy(), 0)
    everything = torch.arange(len(view))
    wanted = learner.infer(view._images, everything)["logits"].softmax(1)
    torch.testing.assert_close(view.probabilities(), wanted, atol=5e-5, rtol=0)
    right = learner.predict(view.validation._images).classes == view.validation.labels()
    total = len(view.validation)
    assert view.validation.accuracy == pytest.approx(float(right.float().mean()), abs=1 / total + 1e-9)
    assert env.batch.validation_accuracy[index] == view.validation.accuracy
    batch, classes = env.batch, task.num_classes
    torch.testing.assert_close(
        batch.probabilities[index, :, :classes], wanted[batch.candidates[index]], atol=5e-5, rtol=0
    )
    assert (batch.probabilities[index, :, classes:] == 0).all()
    features = batch.features[index]
    torch.testing.assert_close(features[:, : task.feature_size], view.features(batch.candidates[index]))
    assert (features[:, task.feature_size :] == 0).all()
    np.testing.assert_array_equal(batch.candidates[index], view.candidates)
    np.testing.assert_array_equal(
        batch.class_counts[index, :classes], np.bincount(view.labels(), minlength=classes)
    )


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_every_episode_is_its_task_by_itself(mode: str) -> None:
    env = batched(5, autoreset_mode=mode).unwrapped
    random, seen = np.random.default_rng(0), set()
    observed, info = env.reset(seed=11)
    for _ in range(8):
        assert env.observation_space.contains(observed)
        seen |= {
            (env.task(i).num_classes, env.task(i).feature_size, env.task(i).query_size) for i in range(5)
        }
        for i in range(5):
            assert_fitted_as_one_head(env, i)
            assert info["query_size"][i] == env.view(i).query_size == env.batch.query_sizes[i]
            assert info["num_classes"][i] == env.batch.classes[i].sum()
            assert info["labeled_count"][i] == len(env.view(i).labeled)
        before, actions = info, random.integers(5000, size=(5, 12))
        observed, reward, over, _, info = env.step(actions)
        playing = info.get("_query", ~over & False) if mode == "NextStep" else np.ones(5, dtype=bool)
        told = info.get("final_info", info) if over.any() and mode == "SameStep" else info
        gain = told["validation_accuracy"] - before["validation_accuracy"]
        expected = np.where(playing, gain * (4 - told["cycle"]) / 3, 0)
        np.testing.assert_allclose(reward, expected, atol=1e-12)
        if playing.any():
            np.testing.assert_array_equal((told["query"] >= 0).sum(1)[playing], before["query_size"][playing])
    assert len(seen) > 5


def test_separated_features_are_moved_along_the_mean_of_their_class() -> None:
    env = batched(4, separation=[0.3, 2.0], merged=0.5, classes=[2, 4]).unwrapped
    env.reset(seed=3)
    stored = data.load("digits")
    own = embed(stored, "pixels", 256, env.recipe)[: len(stored.train_labels)]
    rows = np.arange(30)
    for i in range(4):
        task = env.task(i)
        width, means = task.feature_size, []
        for label in range(task.num_classes):
            each = [own[stored.train_labels == c].mean(0) for c in np.flatnonzero(task.classes == label)]
            means.append(np.mean(each, axis=0)[:width])
        raw = own[task.rows[rows]][:, :width]
        raw = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        labels = task.classes[stored.train_labels[task.rows[rows]]]
        wanted = raw + task.separation * np.array(means)[labels]
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
        found = env.view(i).features(rows).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert np.abs(found - raw).max() > 0.01


def test_with_more_separation_classes_are_told_apart_more_easily() -> None:
    accuracy = []
    for amount in (0.0, 1.0):
        env = batched(16, separation=[amount, amount], initial=[2, 2])
        accuracy.append(env.reset(seed=0)[1]["validation_accuracy"])
    assert ((accuracy[1] - accuracy[0]) > 0).mean() > 0.8


def test_an_episode_is_the_same_alone_and_in_a_batch() -> None:
    together, alone = batched(3), single()
    random = np.random.default_rng(1)
    shown, _ = together.reset(seed=4)
    actions = random.integers(300, size=(3, 3, 12))
    found = [together.step(each) for each in actions]
    for i in range(3):
        observed, info = alone.reset(seed=4 + i)
        assert alone.unwrapped.key == together.unwrapped.keys[i]
        for name, values in observed.items():
            np.testing.assert_allclose(values, shown[name][i], atol=2e-5)
        for step, wanted in zip(actions, found, strict=True):
            observed, reward, over, _, info = alone.step(step[i])
            assert reward == pytest.approx(wanted[1][i], abs=0.02)
            assert over == wanted[2][i]
            assert info["query"].tolist() == wanted[4]["query"][i].tolist()
            assert info["labeled_count"] == wanted[4]["labeled_count"][i]


def test_peek_is_what_step_gives() -> None:
    env = batched(3).unwrapped
    env.reset(seed=2)
    asked = np.random.default_rng(2).integers(300, size=(3, 4, 12))
    found = env.peek(asked)
    assert found.std() > 0
    np.testing.assert_allclose(env.step(asked[:, 1])[1], found[:, 1], atol=0.011)  # one image of 100 or more
    alone = single()
    alone.reset(seed=2)
    np.testing.assert_allclose(alone.unwrapped.peek(asked[0]), found[0], atol=0.011)


def test_agents_play_tasks() -> None:
    env = batched(3, observe="progress", on_invalid="raise").unwrapped
    for spelling in ("margin", "margin:pool=all", "coreset", "badge"):
        player = agents.InBatch(spelling, env)
        env.reset(seed=6)
        first = player.act()
        agent = agents.make(spelling)
        agent.reset(env.view(1), seed=env.keys[1])
        own = agent.act(None)
        assert first[1, : len(own)].tolist() == own.tolist()
        assert env.step(first)[4]["labeled_count"].tolist() == [
            env.task(i).initial_size + env.task(i).query_size for i in range(3)
        ]
    alone = single(observe="stats").unwrapped
    alone.reset(seed=6)
    agent = agents.make("margin")
    agent.reset(alone.view, seed=alone.key)
    query = agent.act(None)
    info = alone.step(query)[4]
    assert info["replaced"] == 0
    assert info["query"].tolist() == [*query, *[-1] * (12 - len(query))]
    with pytest.raises(errors.InvalidQuery, match="shape"):
        alone.step(np.arange(13))


def test_gymnasium_checks_the_single_one() -> None:
    env = single(observe="stats")
    assert isinstance(env.unwrapped, MixEnv)
    check_env(env.unwrapped, skip_render_check=True)
    assert isinstance(batched(1).unwrapped, MixVectorEnv)


def test_several_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    random, digits = np.random.default_rng(0), data.load("digits")
    small = [(random.integers(256, size=(n, 5, 5), dtype=np.uint8), np.arange(n) % 4) for n in (200, 8)]
    other = data.Dataset.of("svhn", *small)
    monkeypatch.setattr(data, "load", {"digits": digits, "svhn": other}.__getitem__)
    monkeypatch.setattr(mix_episodes, "embed", lambda loaded, *_: embed(loaded, "pixels", 256))
    env = batched(8, datasets=["svhn", "digits"], validation=20, pool_size=60).unwrapped
    env.reset(seed=0)
    assert {env.task(i).dataset for i in range(8)} == {0, 1}
    env.step(np.random.default_rng(0).integers(60, size=(8, 12)))
    for i in range(8):
        assert_fitted_as_one_head(env, i)
        features = 25 if env.task(i).dataset == 0 else 64
        assert env.task(i).feature_size <= features


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"query_siz": 3}, "did you mean 'query_size'"),
        ({"datasets": ["digitz"]}, "did you mean 'digits'"),
        ({"test": True}, "no setting 'test'"),
        ({"observe": "all"}, "observe='all'"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], words: str) -> None:
    for make in (single, lambda **given: batched(2, **given)):
        with pytest.raises(errors.AlenvError, match=words):
            make(**settings)


def test_what_a_single_one_refuses() -> None:
    env = single(on_invalid="raise", allow_peek=False)
    env.reset(seed=0)
    with pytest.raises(errors.UnknownName, match="state"):
        env.reset(options={"state": {}})
    with pytest.raises(errors.InvalidQuery, match="twice"):
        env.step(np.full(12, env.unwrapped.view.unlabeled[0]))
    with pytest.raises(errors.InvalidQuery):
        env.step(np.full(12, 4999))  # behind the task's pool
    with pytest.raises(errors.PeekNotAllowed, match="allow_peek"):
        env.unwrapped.peek(np.zeros((1, 12), dtype=np.int64))
