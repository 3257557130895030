"""Bandits over strategies find the one that is worth asking, where it is known which that is."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import agents
from alenv.errors import InvalidQuery, UnknownName

OWN = Path(__file__).parents[1] / "own" / "ends.py"
ENDS = [f"{OWN}:Lowest", f"{OWN}:Highest"]
POOL, QUERY, CLASSES = 1000, 5, 10


class RiggedView:
    """A pool whose upper half holds all classes but the first, and a classifier that is right if told so."""

    num_classes, query_size = CLASSES, QUERY

    def __init__(self, cycles: int) -> None:
        self.protocol = SimpleNamespace(cycles=cycles)
        self.cycle, self.right = 0, True
        self.labeled = np.empty(0, dtype=np.int64)

    @property
    def unlabeled(self) -> np.ndarray:
        return np.setdiff1d(np.arange(POOL), self.labeled)

    candidates = unlabeled

    def require(self, needs: Any) -> None:
        assert not needs

    def labels(self, indices: Any = None) -> torch.Tensor:
        indices = self.labeled if indices is None else indices
        assert np.isin(indices, self.labeled).all()
        upper = 1 + torch.from_numpy(indices) % (CLASSES - 1)
        return torch.where(torch.from_numpy(indices) < POOL // 2, 0, upper)

    def logits(self, indices: Any) -> torch.Tensor:
        said = self.labels(indices) if self.right else (self.labels(indices) + 1) % CLASSES
        return torch.nn.functional.one_hot(said, CLASSES).float()

    def buy(self, query: np.ndarray) -> float:
        """Returns the share of the upper half."""
        self.labeled, self.cycle = np.concatenate([self.labeled, query]), self.cycle + 1
        return float((query >= POOL // 2).mean())


def uppers(agent: Any, view: RiggedView, seed: int) -> np.ndarray:
    """Plays to the end and returns the share of the upper half in every query; buying it makes the classifier right."""
    agent.reset(view, seed=seed)
    found = []
    for _ in range(view.protocol.cycles):
        found.append(view.buy(agent.act(None)))
        view.right = found[-1] > 0.5
    return np.array(found)


def test_tailor_asks_whoever_finds_rare_classes() -> None:
    found = np.mean(
        [uppers(agents.make("tailor", strategies=ENDS), RiggedView(12), s) for s in range(3)], axis=0
    )
    assert 0.2 < found[0] < 0.8  # nothing is known yet
    assert found[-4:].mean() > 0.8


def test_albl_asks_whoever_makes_the_classifier_right() -> None:
    found = np.mean(
        [uppers(agents.make("albl", strategies=ENDS), RiggedView(100), s) for s in range(3)], axis=0
    )
    assert 0.2 < found[:10].mean() < 0.8
    assert found[-20:].mean() > 0.8


def test_albl_prefers_nobody_where_all_earn_the_same() -> None:
    found = []
    for seed in range(3):
        view = RiggedView(100)
        agent = agents.make("albl", strategies=ENDS)
        agent.reset(view, seed=seed)
        for _ in range(100):
            found.append(view.buy(agent.act(None)))
    assert 0.35 < np.mean(found) < 0.65


def test_a_round_of_exp4p_by_hand() -> None:
    view = RiggedView(8)
    agent: Any = agents.make("albl", strategies=ENDS, delta=0.2)
    agent.reset(view, seed=0)
    first = agent.act(None)
    assert agent.chances(view).tolist() == [0.5, 0.5]
    drawn = 1 if view.buy(first) else 0
    agent.act(None)
    least = math.sqrt(math.log(2) / (2 * 8))
    bound = math.sqrt(math.log(2 / 0.2) / (POOL * 8))
    weights = np.ones(2)
    weights[drawn] = math.exp(least / 2 * (1 / 0.5 + 1 / 0.5 * bound))  # all is right: the reward is 1
    wanted = (1 - 2 * least) * weights / weights.sum() + least
    np.testing.assert_allclose(agent.chances(view).numpy(), wanted, rtol=1e-12)


def test_strategies_that_agree_share_the_reward() -> None:
    view = RiggedView(8)
    agent: Any = agents.make("albl", strategies=[ENDS[0], ENDS[0], ENDS[0]])
    agent.reset(view, seed=0)
    for _ in range(4):
        view.buy(agent.act(None))
    agent.act(None)
    np.testing.assert_allclose(agent.chances(view).numpy(), 1 / 3)


def test_a_bandit_asked_again_answers_the_same_and_learns_once() -> None:
    for name in ("albl", "tailor"):
        view = RiggedView(6)
        agent: Any = agents.make(name, strategies=ENDS)
        agent.reset(view, seed=3)
        view.buy(agent.act(None))
        first, learned = agent.act(None), agent.get_state()["learned"]
        assert np.array_equal(agent.act(None), first)
        again = agent.get_state()["learned"]
        assert all(torch.equal(learned[key], again[key]) for key in learned)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"strategies": ""}, UnknownName, "cannot be read"),
        ({"strategies": []}, UnknownName, "at least one name"),
        ({"strategies": 3}, UnknownName, "at least one name"),
        ({"strategies": "random/margn"}, UnknownName, "did you mean 'margin'"),
        ({"strategies": [f"{OWN}:NoStrategy"]}, UnknownName, "no strategy"),
    ],
)
@pytest.mark.parametrize("name", ["albl", "tailor"])
def test_what_is_refused(name: str, options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        agents.make(name, **options)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidQuery, match="delta=0"):
        agents.make("albl:delta=0")
    with pytest.raises(InvalidQuery, match=r"gamma=1\.5"):
        agents.make("tailor:gamma=1.5")
