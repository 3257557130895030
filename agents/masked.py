"""The set policy for MaskablePPO of sb3-contrib; only what trains with it imports this file."""

from __future__ import annotations

from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.distributions import MaskableCategoricalDistribution
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from stable_baselines3.common.distributions import Distribution
from torch import nn

from agents.policies.set_policies import SetPickPolicy, SetPolicy

__all__ = ["MaskablePPO", "MaskedSetPickPolicy"]


class MaskedPickDistribution(MaskableCategoricalDistribution):
    """One of the candidates that a mask allows, by softmax of its score."""

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """Returns what leaves scores as they are: no layer depends on K."""
        return nn.Identity()


class MaskedSetPickPolicy(SetPolicy, MaskableMultiInputActorCriticPolicy):
    """Scores the candidates, and draws one that the mask of ``PickOneByOne`` allows. For MaskablePPO.

    It is saved as a ``SetPickPolicy``: the observation says what is picked, so that what acts needs no mask.
    """

    saved_as = SetPickPolicy.__name__

    def _distribution(self) -> Distribution:
        return MaskedPickDistribution(SetPickPolicy.choices(self.action_space))
