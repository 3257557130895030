"""Teaches a head for batches what a label is worth once those before it in the query are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.policies.batch_head import BatchHead, Relations
from agents.policies.gain_imitation import SHOWN, compared, followed
from agents.policies.gain_network import Candidates, GainPolicy, batches, blended
from agents.policies.plackett_luce import gumbel
from alenv import BatchedEnv
from alenv.descriptors import BOUND

NOISE = 0.3  # of the scores by which the query begins
DIVERSITY = 1.5  # times its own weight it begins with at most


class PartialQueries(NamedTuple):
    """States in the midst of a query, with what the labels of some candidates would bring then.

    Attributes:
        relations: float16 (n, k, 8) to what the query holds.
        scores: float32 (n, k), before the query began.
        diverse: float32 (n, k), the same less what the nearest of the query takes away.
        context: float32 (n, 8).
        gains: float32 (n, k), with mean 0 and standard deviation 1 in each state.
    """

    relations: Tensor
    scores: Tensor
    diverse: Tensor
    context: Tensor
    gains: Tensor

    @classmethod
    def joined(cls, parts: Sequence[PartialQueries]) -> PartialQueries:
        """Puts states one after the other."""
        return cls(*(torch.cat([part[at] for part in parts]) for at in range(5)))


@torch.no_grad()
def collect_partial(
    env: BatchedEnv, seeds: Sequence[int], policy: GainPolicy, generator: torch.Generator
) -> PartialQueries:
    """Plays episodes, stops each query at a random place, and says what some candidates would bring there.

    The true labels of the images before are learned. Half of the candidates are the policy's best, half any. Queries
    begin by the policy with noise, and with a weight of diversity that each episode draws.

    Args:
        env: With ``allow_peek=True``.
        seeds: E of them.
        policy: Which behaves, and is to be corrected.
        generator: On the CPU.
    """
    env.reset(seed=list(seeds))
    batch, episodes = env.batch, env.num_envs
    care = DIVERSITY * torch.rand(episodes, generator=generator)
    found = []
    for _ in range(env.protocol.cycles):
        shown, candidates = Candidates.of(batch), batch.candidates
        scores, diversity = blended(policy.networks, shown.described, policy.blend.table)
        noisy = scores + NOISE * gumbel(scores.shape, generator)
        correction = policy.correction(shown, scores)
        chosen = batches(noisy, shown.points, diversity * care, batch.query_size, correction)
        counts = (torch.rand(episodes, generator=generator) * shown.sizes).long()
        some = _shown(noisy, chosen, counts, generator)
        order = np.take_along_axis(candidates, chosen.numpy(), 1)
        before = [query[:count] for query, count in zip(order, counts.tolist(), strict=True)]
        asked = np.take_along_axis(candidates, some.numpy(), 1)
        gains, told = compared(env.gains(asked, before).cpu())
        relations = _related(shown, chosen, counts)
        relations = relations.gather(1, some[:, :, None].expand(-1, -1, relations.shape[2]))
        plain = scores.gather(1, some)
        diverse = plain - BOUND * diversity[:, None] * relations[:, :, 0]
        context = shown.described.context
        found.append(
            PartialQueries(relations[told].half(), plain[told], diverse[told], context[told], gains[told])
        )
        env.step(order)
    return PartialQueries.joined(found)


def _shown(scores: Tensor, chosen: Tensor, counts: Tensor, generator: torch.Generator) -> Tensor:
    """Returns places (E, SHOWN) that are not among the first of the chosen: the best half, and any others."""
    places = []
    for own, query, count in zip(scores, chosen, counts.tolist(), strict=True):
        best = own.index_fill(0, query[:count], -torch.inf).argsort(descending=True)[: len(own) - count]
        half = SHOWN // 2
        rest = best[half:][torch.randperm(max(0, len(best) - half), generator=generator)]
        mixed = torch.cat([best[:half], rest])
        places.append(mixed[torch.arange(SHOWN) % len(mixed)])  # of few candidates, some twice
    return torch.stack(places)


def _related(shown: Candidates, chosen: Tensor, counts: Tensor) -> Tensor:
    """Returns the relations (E, K, 8) to the first ``counts`` (E,) of the chosen (E, B)."""
    relations = Relations(shown.points, shown.probabilities, shown.sizes)
    found = relations.now
    for step in range(int(counts.max())):
        relations.add(chosen[:, step : step + 1])
        here = counts == step + 1
        if here.any():
            found = torch.where(here[:, None, None], relations.now, found)
    return found


def fit_head(
    head: BatchHead, examples: PartialQueries, generator: torch.Generator, epochs: int
) -> list[float]:
    """Raises the correlation of the whole score with the gains within a state; see ``gain_imitation.followed``."""

    def scored(rows: Tensor) -> Tensor:
        added: Tensor = head(examples.relations[rows].float(), examples.scores[rows], examples.context[rows])
        return examples.diverse[rows] + added

    return followed(head, scored, examples.gains, generator, epochs)
