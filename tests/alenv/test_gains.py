"""What single labels would bring, and what is described of many episodes at once."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from alenv import BatchedEnv, core
from alenv.errors import NotReset, PeekNotAllowed

DIGITS = {
    "allow_peek": True,
    "observe": "progress",
    "initial_size": 25,
    "query_size": 1,
    "budget": 20,
    "candidates": 12,
    "validation": 200,
}


def batched(env_id: str, **settings: Any) -> BatchedEnv:
    env = gym.make_vec(env_id, num_envs=3, **settings).unwrapped
    assert isinstance(env, BatchedEnv)
    return env


def smooth_accuracy(env: gym.Env[Any, Any]) -> float:
    """The definition, from the validation split of a view."""
    view = core(env).view
    assert view.validation is not None
    scores, labels = view.validation.logits() / view.recipe.beta, view.validation.labels()
    total = 0.0
    for row, label in zip(scores, labels.tolist(), strict=True):
        best = max(float(row[k]) for k in range(len(row)) if k != label)
        total += 1 / (1 + np.exp(-15 * (float(row[label]) - best)))
    return total / len(labels)


@pytest.mark.parametrize("settings", [{"ridge_penalty": 0.3}, {"ridge_penalty": 1, "outliers": 2}])
def test_gains_are_what_adding_each_label_brings(settings: dict[str, Any]) -> None:
    many = batched("ALDigitsRidge-v0", **DIGITS, **settings)
    many.reset(seed=7)
    for _ in range(3):
        many.step(many.batch.candidates[:, :1])
    asked = many.batch.candidates[:, :6]
    found = many.gains(asked)
    assert found.shape == (3, 6)
    one = gym.make("ALDigitsRidge-v0", **DIGITS, **settings)
    for episode in range(2):
        one.reset(seed=7 + episode)
        for index in many.batch.labeled[episode][25:]:
            one.step(np.array([index]))
        state, before = core(one).get_state(), smooth_accuracy(one)
        for place, index in enumerate(asked[episode]):
            one.reset(options={"state": state})
            one.step(np.array([index]))
            assert smooth_accuracy(one) - before == pytest.approx(float(found[episode, place]), abs=2e-6)
    again = many.gains(asked)
    torch.testing.assert_close(again, found, atol=0, rtol=0)  # nothing has changed


def test_gains_read_labels_and_must_be_allowed() -> None:
    many = batched("ALDigitsRidge-v0", **{**DIGITS, "allow_peek": False})
    many.reset(seed=0)
    with pytest.raises(PeekNotAllowed, match="allow_peek=True"):
        many.gains(many.batch.candidates)
    with pytest.raises(NotReset):
        batched("ALDigitsRidge-v0", **DIGITS).gains(np.zeros((3, 1), dtype=np.int64))


MIX = {
    "datasets": ["digits"],
    "allow_peek": True,
    "candidates": 30,
    "pool_size": 300,
    "cycles": 3,
    "query_size": 10,
}


def test_gains_of_mixed_tasks_are_those_of_each_task_alone() -> None:
    many = batched("ALMix-v0", **MIX)
    many.reset(seed=11)
    many.step(many.batch.candidates[:, : many.batch.query_size])
    asked = many.batch.candidates[:, :8]
    found = many.gains(asked)
    keys = many.keys
    alone = batched("ALMix-v0", **MIX)
    alone.reset(seed=[11, 12, 13])
    assert alone.keys == keys
    for episode in range(3):
        one = gym.make("ALMix-v0", **MIX)
        one.reset(seed=11 + episode)
        inside = one.unwrapped
        last, size = many.batch.labeled_count[episode], many.task(episode).query_size  # type: ignore[attr-defined]  # a mix
        one.step(many.batch.labeled[episode][last - size : last])
        gains = inside._batch.gains(asked[episode][None])[0]  # type: ignore[attr-defined]  # a mix
        torch.testing.assert_close(gains, found[episode], atol=1e-5, rtol=1e-3)
    assert (found.std(1) > 0).all()


@pytest.mark.parametrize(("env_id", "settings"), [("ALDigitsRidge-v0", DIGITS), ("ALMix-v0", MIX)])
def test_a_batch_is_described_as_each_view_is(env_id: str, settings: dict[str, Any]) -> None:
    many = batched(env_id, **settings)
    many.reset(seed=3)
    many.step(many.batch.candidates[:, : many.batch.query_size])
    described, places = many.batch.descriptors(), many.batch.positions(many.batch.candidates)
    for episode in range(3):
        view = many.view(episode)
        alone, where = (
            view.descriptors(many.batch.candidates[episode]),
            view.positions(many.batch.candidates[episode]),
        )
        torch.testing.assert_close(described.candidates[episode], alone.candidates, atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(described.context[episode], alone.context, atol=1e-4, rtol=1e-4)
        width = where.shape[1]
        torch.testing.assert_close(places[episode, :, :width], where)
        assert (places[episode, :, width:] == 0).all()
