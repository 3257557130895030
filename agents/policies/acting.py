"""What a trained network does with an observation, whatever trained it; randomness comes from a given generator."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.sac.policies import SACPolicy
from torch import Tensor

from agents.policies import plackett_luce
from agents.policies.set_network import SetNetwork
from agents.policies.set_policies import without_picked
from alenv.errors import UnknownName

Action = NDArray[Any]


class Brain(Protocol):
    """Maps what a wrapper shows to an action of that wrapper."""

    def act(self, observation: Any, query_size: int, generator: torch.Generator | None) -> Action:
        """Returns an action.

        Args:
            observation: As the wrapper shows it, of one environment.
            query_size: B.
            generator: Draws the action by its probability; None = the preferred one.

        Raises:
            UnknownName: The policy has no probabilities to draw by.
        """


class StockBrain:
    """A policy of Stable-Baselines3.

    Args:
        policy: In evaluation mode.
        algorithm: What trained it, for error messages.
    """

    def __init__(self, policy: BasePolicy, algorithm: str) -> None:
        self.policy = policy
        self._algorithm = algorithm

    def act(self, observation: Any, query_size: int, generator: torch.Generator | None) -> Action:
        """See ``Brain``."""
        if generator is None:
            return self.policy.predict(observation, deterministic=True)[0]
        self.require_probabilities()
        with torch.no_grad():
            return self._drawn(self.policy.obs_to_tensor(observation)[0], generator)

    def require_probabilities(self) -> None:
        """Raises ``UnknownName`` where there is nothing to draw by."""
        if not isinstance(self.policy, (ActorCriticPolicy, SACPolicy)):
            raise UnknownName(f"A {self._algorithm} policy has no probabilities; leave deterministic=True.")

    def _drawn(self, shown: Any, generator: torch.Generator) -> Action:
        if isinstance(self.policy, SACPolicy):
            mean, log_std, _ = self.policy.actor.get_action_dist_params(shown)
            return self.policy.unscale_action(_normal(mean, log_std.exp(), generator).tanh()[0].numpy())
        assert isinstance(self.policy, ActorCriticPolicy)
        found = self.policy.get_distribution(shown)
        if isinstance(found, DiagGaussianDistribution):
            normal = found.distribution
            return _normal(normal.mean, normal.stddev, generator)[0].clamp(-1, 1).numpy()
        if isinstance(found, CategoricalDistribution):
            return torch.multinomial(found.distribution.probs[0], 1, generator=generator)[0].numpy()
        assert isinstance(found, MultiCategoricalDistribution)
        each = [torch.multinomial(one.probs[0], 1, generator=generator) for one in found.distribution]
        return torch.cat(each).numpy()


class SetBrain:
    """A set network, for any number of candidates; subclasses say what its scores stand for.

    Args:
        network: The network.
        log_std: (1,), the noise of ``SetGaussianPolicy``.
    """

    def __init__(self, network: SetNetwork, log_std: Tensor) -> None:
        self.network = network
        self._std = float(log_std.exp())

    @torch.no_grad()
    def act(self, observation: Any, query_size: int, generator: torch.Generator | None) -> Action:
        """See ``Brain``."""
        candidates, context = (
            torch.from_numpy(observation[name])[None] for name in ("candidates", "context")
        )
        scores = self.network(candidates, context)[0]
        return self._action(scores, candidates, min(query_size, scores.shape[1]), generator)

    def _action(
        self, scores: Tensor, candidates: Tensor, count: int, generator: torch.Generator | None
    ) -> Action:
        raise NotImplementedError


class TopKBrain(SetBrain):
    """B positions without replacement, as ``SetTopKPolicy``."""

    def _action(
        self, scores: Tensor, candidates: Tensor, count: int, generator: torch.Generator | None
    ) -> Action:
        if generator is None:
            return scores.topk(count, dim=1).indices[0].numpy()
        return plackett_luce.drawn(scores, count, generator)[0].numpy()


class GaussianBrain(SetBrain):
    """A score per candidate, as ``SetGaussianPolicy``."""

    def _action(
        self, scores: Tensor, candidates: Tensor, count: int, generator: torch.Generator | None
    ) -> Action:
        if generator is not None:
            scores = _normal(scores, torch.tensor(self._std), generator)
        return scores[0].clamp(-1, 1).numpy()


class PickBrain(SetBrain):
    """One position that is not picked yet, as ``SetPickPolicy``."""

    def _action(
        self, scores: Tensor, candidates: Tensor, count: int, generator: torch.Generator | None
    ) -> Action:
        free = without_picked(scores, candidates)[0]
        if generator is None:
            return np.asarray(free.argmax().numpy())
        return np.asarray(torch.multinomial(free.softmax(0), 1, generator=generator)[0].numpy())


def _normal(mean: Tensor, deviation: Tensor, generator: torch.Generator) -> Tensor:
    return mean + deviation * torch.randn(mean.shape, generator=generator)
