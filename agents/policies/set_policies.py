"""Policies of Stable-Baselines3 that score a set of candidates, for its PPO and A2C."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
    MultiCategoricalDistribution,
)
from stable_baselines3.common.policies import BasePolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.policies import plackett_luce
from agents.policies.picking import PICK_COLUMNS
from agents.policies.set_network import SetNetwork
from alenv import descriptors
from alenv.errors import UnknownName

PICKED = len(descriptors.NAMES) + PICK_COLUMNS.index("picked")
OUT_OF_REACH = -1e8  # finite, so that a set of which all is picked has a softmax too


class SetExtractor(nn.Module):
    """The set network where Stable-Baselines3 has its multilayer perceptrons.

    Args:
        observations: The space of ``DescribeCandidates``, or one with more columns.
        width: Of the set network.

    Attributes:
        network: The set network.
        latent_dim_pi: K; the scores go to the distribution as they are.
        latent_dim_vf: Size of the summary that the critic reads.
        masks: Whether what is picked already gets no chance.
    """

    masks = False

    def __init__(self, observations: spaces.Space[Any], width: int) -> None:
        super().__init__()
        if not isinstance(observations, spaces.Dict):
            raise UnknownName("A set policy sees candidates; train it on an environment that describes them.")
        candidates, context = observations["candidates"].shape, observations["context"].shape
        assert candidates is not None
        assert context is not None
        self._shape = candidates
        self.network = SetNetwork(candidates[1], context[0], width)
        self.latent_dim_pi = candidates[0]
        self.latent_dim_vf = self.network.summary_size

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Maps flat features (E, K * F + S), candidates first, to scores (E, K) and summaries."""
        size = self._shape[0] * self._shape[1]
        candidates = features[:, :size].reshape(-1, *self._shape)
        scores, summary = self.network(candidates, features[:, size:])
        return (without_picked(scores, candidates) if self.masks else scores), summary

    def forward_actor(self, features: Tensor) -> Tensor:
        """Returns the scores (E, K)."""
        return self.forward(features)[0]

    def forward_critic(self, features: Tensor) -> Tensor:
        """Returns the summaries (E, latent_dim_vf)."""
        return self.forward(features)[1]


def without_picked(scores: Tensor, candidates: Tensor) -> Tensor:
    """Returns scores (E, K) with those of picked candidates out of reach.

    Args:
        scores: (E, K).
        candidates: (E, K, F) of ``PickOneByOne``.
    """
    return scores.masked_fill(candidates[:, :, PICKED] > 0.5, OUT_OF_REACH)


class PlackettLuceDistribution(MultiCategoricalDistribution):
    """Ordered picks of B of K candidates without replacement; see ``plackett_luce``."""

    def __init__(self, count: int) -> None:
        """Takes B."""
        super().__init__([count])
        self._count = count

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """Returns what leaves scores as they are: no layer depends on K."""
        return nn.Identity()

    def proba_distribution(self, action_logits: Tensor) -> PlackettLuceDistribution:
        """Takes the scores (E, K)."""
        self._scores = action_logits
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Returns (E,) for actions (E, B), which Stable-Baselines3 stores as floats."""
        return plackett_luce.log_probability(self._scores, actions.long())

    def entropy(self) -> Tensor | None:  # type: ignore[override]  # SB3 then takes -log_prob, as it documents
        """Returns None: there is no closed form."""
        return None

    def sample(self) -> Tensor:
        """Draws picks (E, B)."""
        return plackett_luce.drawn(self._scores, self._count)

    def mode(self) -> Tensor:
        """Returns the B highest, best first, (E, B)."""
        return self._scores.topk(self._count, dim=1).indices


class SharedGaussianDistribution(DiagGaussianDistribution):
    """A normal distribution around each score, with one standard deviation for all."""

    def proba_distribution_net(
        self, latent_dim: int, log_std_init: float = 0.0
    ) -> tuple[nn.Module, nn.Parameter]:
        """Returns what leaves scores as they are, and the logarithm of the standard deviation (1,)."""
        return nn.Identity(), nn.Parameter(torch.full((1,), log_std_init))


class PickDistribution(CategoricalDistribution):
    """One of the candidates, by softmax of its score."""

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """Returns what leaves scores as they are: no layer depends on K."""
        return nn.Identity()


class SetPolicy(BasePolicy):
    """What set policies have in common: no weight depends on K, and scores begin nearly equal.

    It goes before a policy of actor and critic, whose multilayer perceptrons it replaces.

    Args:
        *args: As for that policy.
        width: Of the set network.
        **kwargs: As for that policy.
    """

    mlp_extractor: Any  # a SetExtractor, in place of what the policy behind has
    action_dist: Any

    def __init__(self, *args: Any, width: int = 64, **kwargs: Any) -> None:
        self.width = width
        super().__init__(*args, **kwargs)

    def _distribution(self) -> Distribution:
        raise NotImplementedError

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "width": self.width}

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = SetExtractor(self.observation_space, self.width)

    def _build(self, lr_schedule: Schedule) -> None:
        self.action_dist = self._distribution()
        super()._build(lr_schedule)  # type: ignore[misc]  # of the policy behind this class
        self.mlp_extractor.network.begin_even()  # orthogonal initialization has undone it


class SetTopKPolicy(SetPolicy, MultiInputActorCriticPolicy):
    """Scores the candidates; B of them are drawn without replacement. For ``TopOfCandidates``."""

    def _distribution(self) -> Distribution:
        if not isinstance(self.action_space, spaces.MultiDiscrete):
            raise UnknownName("A SetTopKPolicy names several candidates; train it on TopOfCandidates.")
        return PlackettLuceDistribution(len(self.action_space.nvec))


class SetGaussianPolicy(SetPolicy, MultiInputActorCriticPolicy):
    """Scores the candidates, with normal noise. For ``ScoreCandidates``."""

    def _distribution(self) -> Distribution:
        if not isinstance(self.action_space, spaces.Box):
            raise UnknownName("A SetGaussianPolicy scores every candidate; train it on ScoreCandidates.")
        return SharedGaussianDistribution(self.action_space.shape[0])


class SetPickPolicy(SetPolicy, MultiInputActorCriticPolicy):
    """Scores the candidates that are not picked yet, and draws one. For ``PickOneByOne``.

    The observation says what is picked, so that PPO and A2C mask it as they are.
    """

    @staticmethod
    def choices(actions: spaces.Space[Any]) -> int:
        """Returns K.

        Raises:
            UnknownName: The actions are not those of ``PickOneByOne``.
        """
        if not isinstance(actions, spaces.Discrete):
            raise UnknownName("A SetPickPolicy picks one candidate; train it on PickOneByOne.")
        return int(actions.n)

    def _distribution(self) -> Distribution:
        return PickDistribution(self.choices(self.action_space))

    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()
        assert isinstance(self.mlp_extractor, SetExtractor)
        self.mlp_extractor.masks = True
