"""Episodes of two queries on digits, for every agent in every training regime."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from equality import assert_equal

import agents
import alenv
from alenv import needs, presets
from alenv.learners import objectives

QUICK: dict[str, Any] = {
    **{"epochs": 2, "width": 4, "initial_size": 20, "query_size": 5, "budget": 10},
    **{"pretraining_epochs": 1, "pretraining_batch_size": 64},
}
REGIMES: list[dict[str, Any]] = [
    *({"joint": name} for name in alenv.objectives()),
    *({"recipe": name} for name in presets.recipes_of("digits")),
    {"start": "warm", "dropout": 0.3},
    {"label_noise": 0.3, "outliers": 2},
    {"embedding": "pixels", "initial_set": "kmeans++"},
    {"pretraining": "simclr", "start": "warm"},
    {"joint": "discriminator", "ensemble": 2, "dropout": 0.3},
    {"validation": 100, "reward": "auc_gain"},
]


def settings_of(agent: agents.Agent, regime: dict[str, Any]) -> dict[str, Any] | None:
    """Returns settings of ``ALDigits-v0`` for an agent in a regime; None where the regime has not what it needs."""
    settings = {**QUICK, **regime}
    resolved, plain = presets.resolve("digits", "paper", settings), alenv.Recipe()
    for name in needs.missing(agent.needs, needs.offers(resolved.recipe, resolved.protocol)):
        added = needs.settings_for(name, resolved.recipe) or {}
        changed = [
            key
            for key in added
            if hasattr(plain, key) and getattr(resolved.recipe, key) != getattr(plain, key)
        ]
        if not added or changed:
            return None
        settings |= added
    options = objectives.find(presets.resolve("digits", "paper", settings).recipe.joint).options
    return settings | ({"joint_length": "labeled"} if "joint_length" in options else {})


class Player:
    """An environment and an agent in it, which choose and buy query after query."""

    def __init__(self, spelling: str, settings: dict[str, Any]) -> None:
        self.agent = agents.make(spelling)
        self.env: Any = gym.make("ALDigits-v0", **settings, on_invalid="raise").unwrapped
        self.shown: list[Any] = []
        self.queries: list[Any] = []

    def begin(self, state: Any = None) -> None:
        """Starts the episode of seed 0, or goes on from what ``state`` gave."""
        options = {} if state is None else {"state": state["env"]}
        observation, info = self.env.reset(seed=0, options=options)
        self.agent.reset(self.env.view, seed=0)
        if state is not None:
            self.agent.set_state(state["agent"])
        self.shown.append((observation, info))

    def query(self) -> float:
        """Buys the agent's query; returns the reward."""
        self.queries.append(self.agent.act(self.shown[-1][0]))
        observation, reward, _, _, info = self.env.step(self.queries[-1])
        self.agent.update(*agents.feedback(float(reward), info))
        self.shown.append((observation, info))
        return float(reward)

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint holds."""
        return {"env": self.env.get_state(), "agent": self.agent.get_state()}

    def hide_other_labels(self, bought: Any) -> None:
        """Moves the labels of all images but those of ``bought`` to other classes."""
        true = self.env._oracle._true
        hidden = np.setdiff1d(np.arange(len(true)), bought)
        hidden = hidden[true[hidden] >= 0]
        shift = 1 + np.random.default_rng(0).integers(0, 5, len(hidden))
        true[hidden] = (true[hidden] + shift) % len(self.env.class_names)


def played(spelling: str, settings: dict[str, Any], bought: Any = None) -> dict[str, Any]:
    """Plays two queries and returns all that was to be seen; labels outside ``bought``, if given, are others."""
    player = Player(spelling, settings)
    if bought is not None:
        player.hide_other_labels(bought)
    player.begin()
    for _ in range(2):
        player.query()
    labeled = player.env.view.labeled.copy()
    return {"labeled": labeled, "queries": player.queries, "shown": player.shown, **player.state()}


def assert_no_leak(spelling: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Checks that labels which were not bought change nothing; returns what was to be seen."""
    first = played(spelling, settings)
    assert_equal(played(spelling, settings, first["labeled"]), first)
    return first
