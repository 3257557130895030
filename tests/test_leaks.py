"""Labels that were not bought reach nothing: no query, no weight, no observation, whatever agent and regime.

Every registered agent and every joint objective is tried, those that are added later too.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from equality import assert_equal

import agents
import alenv
from alenv import needs, presets

QUICK: dict[str, Any] = {"epochs": 2, "width": 4, "initial_size": 20, "query_size": 5, "budget": 10}
COMPOSED = ("coreset+margin", "badge+entropy:factor=3")
REGIMES = [
    *({"joint": name} for name in alenv.objectives()),
    *({"recipe": name} for name in presets.RECIPES if ("digits", name) not in presets.LEFT_OUT),
    {"start": "warm", "dropout": 0.3},
    {"label_noise": 0.3, "outliers": 2},
    {"embedding": "pixels", "initial_set": "kmeans++"},
    {"validation": 100, "reward": "auc_gain"},
    {"pretraining": "rotation", "pretraining_epochs": 1, "start": "pretrained"},
]


def settings_for(agent: agents.Agent, **settings: Any) -> dict[str, Any]:
    """Returns settings of an environment that offers what an agent needs."""
    recipe = alenv.Recipe(**{k: v for k, v in settings.items() if k in ("joint", "dropout", "embedding")})
    for name in needs.missing(agent.needs, needs.offers(recipe)):
        settings = {**(needs.settings_for(name, recipe) or {}), **settings}
    return settings


def played(spelling: str, shuffled: bool, bought: np.ndarray | None, **settings: Any) -> dict[str, Any]:
    """Plays an episode and returns all that it showed; ``shuffled`` moves the labels outside ``bought``."""
    agent = agents.make(spelling)
    settings = settings_for(agent, **settings)
    name = alenv.environment_id("digits", settings.pop("recipe", "paper"))
    quick = {
        key: value for key, value in QUICK.items() if "Ridge" not in name or key not in ("epochs", "width")
    }
    env = gym.make(name, **{**quick, **settings}, on_invalid="raise")
    core = alenv.core(env)
    if shuffled:
        true = core._oracle._true
        hidden = np.setdiff1d(np.arange(len(true)), bought)
        hidden = hidden[true[hidden] >= 0]
        true[hidden] = (true[hidden] + 1 + np.random.default_rng(0).integers(0, 5, len(hidden))) % len(
            core.class_names
        )
    observation, _ = env.reset(seed=0)
    agent.reset(core.view, seed=0)
    shown, queries = [observation], []
    for _ in range(2):
        queries.append(agent.act(observation))
        observation, reward, _, _, info = env.step(queries[-1])
        agent.update(*agents.feedback(float(reward), info))
        shown.append(observation)
    return {
        "labeled": core.view.labeled.copy(),
        "queries": queries,
        "weights": core.get_state()["learner"],
        "shown": shown,
        "agent": agent.get_state(),
    }


def assert_no_leak(spelling: str, **settings: Any) -> None:
    first = played(spelling, False, None, **settings)
    assert_equal(played(spelling, True, first["labeled"], **settings), first)


@pytest.mark.parametrize("spelling", [*agents.names(), *COMPOSED])
def test_no_agent_sees_a_label_that_was_not_bought(spelling: str) -> None:
    assert_no_leak(spelling)


@pytest.mark.parametrize("regime", REGIMES, ids=str)
@pytest.mark.parametrize("spelling", ["random", "margin"])
def test_no_regime_sees_a_label_that_was_not_bought(spelling: str, regime: dict[str, Any]) -> None:
    assert_no_leak(spelling, **regime)


def test_a_leak_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An objective that trains on the labels of unqueried images, as a published code base does."""
    from alenv.learners.objectives import Objective

    def leaking(self: Any, step: Any) -> torch.Tensor:
        truth = leaking.oracle._true  # type: ignore[attr-defined]  # gym.Env lacks it
        return step.losses.mean() * float(1 + truth.sum() % 7)

    made = alenv.ActiveLearningEnv.__init__

    def remembering(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        leaking.oracle = self._oracle  # type: ignore[attr-defined]  # gym.Env lacks it

    monkeypatch.setattr(alenv.ActiveLearningEnv, "__init__", remembering)
    monkeypatch.setattr(Objective, "loss", leaking)
    with pytest.raises(AssertionError):
        assert_no_leak("margin")
