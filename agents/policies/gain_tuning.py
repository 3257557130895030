"""Tunes networks and their blend by what whole queries are worth: a group-relative policy gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from agents.policies.gain_network import Blend, Candidates, GainNetworks, blended
from agents.policies.plackett_luce import gumbel
from alenv import BatchedEnv
from alenv.descriptors import BOUND

STEEPER = 10  # times faster than the networks, the few weights of the blend learn
LONGEST = 1.0  # gradients are cut to this norm


class Tuning:
    """Raises what queries are worth, by comparing several of the same state.

    In each state G queries are drawn, image by image, by softmax((score - diversity) / temperature); ``peek`` says
    what each is worth. The worths, standardized within the group, weigh the gradients of the queries' logarithmic
    probabilities: no critic is needed, for the state is the same. All images of a query share its worth.

    Source: Williams 1992, REINFORCE; Kool, van Hoof and Welling 2019, Buy 4 REINFORCE Samples, Get a Baseline for
    Free!, for the group as the baseline.
    """

    def __init__(
        self, networks: GainNetworks, blend: Blend, group: int, temperature: float, rate: float
    ) -> None:
        """Takes what is tuned.

        Args:
            networks: Changed in place.
            blend: Where to start from.
            group: G.
            temperature: In the units of the scores.
            rate: Learning rate of Adam for the networks.
        """
        self.networks, self.table = networks, nn.Parameter(blend.table)
        self.group, self.temperature = group, temperature
        self._optimizer = torch.optim.Adam(
            [{"params": networks.parameters(), "lr": rate}, {"params": [self.table], "lr": STEEPER * rate}]
        )

    @property
    def blend(self) -> Blend:
        """How batches are put together now."""
        return Blend.of(self.table.detach())

    def play(self, env: BatchedEnv, seeds: Sequence[int], generator: torch.Generator) -> dict[str, float]:
        """Plays episodes to their end, and learns from each cycle.

        Args:
            env: With ``allow_peek=True``.
            seeds: E of them.
            generator: On the CPU.

        Returns:
            ``worth``: mean reward of the queries; ``spread``: its mean deviation within a group.
        """
        env.reset(seed=list(seeds))
        batch, everybody = env.batch, np.arange(env.num_envs)
        worths, spreads = [], []
        for _ in range(env.protocol.cycles):
            shown, candidates = Candidates.of(batch), batch.candidates
            scores, diversity = blended(self.networks, shown.described, self.table)
            drawn = draw(
                scores.detach() / self.temperature,
                shown.points,
                diversity.detach() * BOUND / self.temperature,
                batch.query_size,
                self.group,
                generator,
            )
            queries = np.take_along_axis(candidates[:, None], drawn.places.numpy(), axis=2)
            worth = torch.from_numpy(env.peek(queries)).float()
            spread = worth.std(1, keepdim=True)
            advantage = (worth - worth.mean(1, keepdim=True)) / spread.clamp(min=1e-6)
            advantage = advantage / batch.query_size**0.5  # as many terms add up in each gradient
            pulls = (advantage[:, :, None] * drawn.of_scores).mean(1) / self.temperature
            apart = (advantage * drawn.of_diversity).mean(1) * BOUND / self.temperature
            self._step(-((pulls * scores).sum(1) + apart * diversity).mean())
            worths.append(float(worth.mean()))
            spreads.append(float(spread.mean()))
            env.step(queries[everybody, 0])
        return {"worth": float(np.mean(worths)), "spread": float(np.mean(spreads))}

    def _step(self, loss: Tensor) -> None:
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_([*self.networks.parameters(), self.table], LONGEST)
        self._optimizer.step()

    def get_state(self) -> dict[str, Any]:
        """Returns the table and the optimizer's state; the networks are their owner's."""
        return {"table": self.table.detach(), "optimizer": self._optimizer.state_dict()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        with torch.no_grad():
            self.table.copy_(state["table"])
        self._optimizer.load_state_dict(state["optimizer"])


class DrawnQueries(NamedTuple):
    """Queries that were drawn, and the gradients of their logarithmic probabilities.

    Attributes:
        places: int64 (E, G, B) among the candidates, in the order of choice.
        of_scores: float32 (E, G, K), the gradient by the scores.
        of_diversity: float32 (E, G), the gradient by the weight of diversity.
    """

    places: Tensor
    of_scores: Tensor
    of_diversity: Tensor


def draw(
    scores: Tensor, points: Tensor, diversity: Tensor, count: int, group: int, generator: torch.Generator
) -> DrawnQueries:
    """Draws queries, each image by softmax(score - diversity x cosine to the nearest of the query).

    Args:
        scores: float32 (E, K).
        points: float32 (E, K, d), positions of unit length.
        diversity: float32 (E,).
        count: B, at most K.
        group: G.
        generator: On the CPU.
    """
    left = scores[:, None].expand(-1, group, -1).clone()
    nearest, of_scores = torch.zeros_like(left), torch.zeros_like(left)
    of_diversity = left.new_zeros(left.shape[:2])
    places = []
    for _ in range(count):
        logits = left - diversity[:, None, None] * nearest
        place = (logits + gumbel(logits.shape, generator)).argmax(2, keepdim=True)
        pull = torch.zeros_like(logits).scatter_(2, place, 1.0) - logits.softmax(2)
        of_scores += pull
        of_diversity -= (pull * nearest).sum(2)
        places.append(place)
        left.scatter_(2, place, -torch.inf)
        own = points.gather(1, place.expand(-1, -1, points.shape[2]))
        nearest = torch.maximum(nearest, own @ points.mT)
    return DrawnQueries(torch.cat(places, dim=2), of_scores, of_diversity)
