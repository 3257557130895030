"""What a cycle says of the test set by class, against scikit-learn on the environment's own outputs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, recall_score

import agents
from alenv import core
from alenv.errors import NotReset
from alenv.evaluation import evaluate
from alenv.learners.protocol import Predictions

OWN = Path(__file__).parents[1] / "own"
SMALL = {"initial_size": 20, "query_size": 10, "budget": 10}
NETWORK = {"width": 4, "epochs": 1, **SMALL}


def outputs(inner: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels (n,) and the logits (n, C) that decided the accuracy, which are those of ``infer``."""
    logits = inner._tested.computed_logits()
    again = inner._learner.infer(inner._test.images, torch.arange(inner.test_size))["logits"]
    torch.testing.assert_close(logits, again, atol=1e-4, rtol=1e-4)
    return inner._test.labels.numpy(), logits.double().numpy()


@pytest.mark.parametrize(
    ("env_id", "settings"),
    [
        ("ALDigitsRidge-v0", SMALL),
        ("ALDigitsLogistic-v0", SMALL),
        ("ALDigits-v0", NETWORK),
        ("ALDigits-v0", {**NETWORK, "ensemble": 2}),
        ("ALDigits-v0", {**NETWORK, "outliers": 3}),
    ],
)
def test_recall_and_likelihood_are_those_of_scikit_learn(env_id: str, settings: dict[str, Any]) -> None:
    env = gym.make(env_id, **settings)
    inner = core(env)
    env.reset(seed=0)
    for cycle in range(2):
        if cycle:
            env.step(env.action_space.sample())
        found = inner.evaluation
        assert found is not None
        labels, logits = outputs(inner)
        classes = np.arange(len(inner.class_names))
        shares = np.array(found.class_correct) / np.array(found.class_total)
        expected = recall_score(labels, logits.argmax(1), labels=classes, average=None)
        np.testing.assert_array_equal(shares, expected)
        assert found.class_total == tuple(np.bincount(labels, minlength=len(classes)))
        assert sum(found.class_correct) == inner.test_correct
        likelihood = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        assert found.nll == pytest.approx(log_loss(labels, likelihood, labels=classes), rel=1e-6)


def test_without_a_test_set_or_after_a_restored_state_nothing_is_said() -> None:
    env = gym.make("ALDigitsRidge-v0", **SMALL)
    with pytest.raises(NotReset):
        _ = core(env).evaluation
    env.reset(seed=0)
    state = core(env).get_state()
    assert core(env).evaluation is not None
    env.reset(seed=0, options={"state": state})
    assert core(env).evaluation is None
    env.step(env.action_space.sample())
    assert core(env).evaluation is not None
    blind = gym.make("ALDigitsRidge-v0", test=False, **SMALL)
    blind.reset(seed=0)
    assert core(blind).evaluation is None


def test_a_learner_that_says_classes_alone_has_no_likelihood() -> None:
    env = gym.make("ALDigits-v0", head=f"{OWN / 'five.py'}:Five", **NETWORK)
    env.reset(seed=0)
    found = core(env).evaluation
    assert found is not None
    assert found.nll is None
    assert sum(found.class_correct) == core(env).test_correct


def test_a_class_without_test_images_and_a_diverged_classifier() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, math.nan, 0.0]])
    found = evaluate(Predictions(torch.tensor([0, 0]), lambda: logits), torch.tensor([0, 2]), 3)
    assert (found.class_correct, found.class_total, found.nll) == ((1, 0, 0), (1, 0, 1), None)


def test_agents_are_told_nothing_of_it() -> None:
    env = gym.make("ALDigitsRidge-v0", **SMALL)
    env.reset(seed=0)
    *_, info = env.step(env.action_space.sample())
    _, told = agents.feedback(0.5, info)
    assert set(told) <= {"cycle", "labeled_count", "class_counts", "query", "replaced", "validation_accuracy"}
    assert not {"evaluation", "class_correct", "nll"} & {*info, *dir(core(env).view)}
