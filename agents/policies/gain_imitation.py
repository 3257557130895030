"""What labels would bring, as networks learn it: states with gains in closed form, and how networks follow them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from agents.policies.gain_network import Candidates, GainNetworks, batches
from agents.policies.plackett_luce import gumbel
from alenv import BatchedEnv
from alenv.descriptors import NAMES, Descriptors

SHOWN = 48  # candidates of a state whose gains are computed
LEAST_SPREAD = 1e-7  # of gains that say something
BEHAVIORS = ("log_margin", "typicality", "uncertain_gain_median", "log_leverage", "neighbor_disagreement")
_PLACES = [NAMES.index(name) for name in BEHAVIORS]


class Examples(NamedTuple):
    """States with what the labels of some candidates would bring.

    Attributes:
        candidates: float16 (n, k, 29).
        context: float32 (n, 8).
        gains: float32 (n, k), with mean 0 and standard deviation 1 in each state.
    """

    candidates: Tensor
    context: Tensor
    gains: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """Puts examples one after the other."""
        return cls(*(torch.cat([part[at] for part in parts]) for at in range(3)))


@torch.no_grad()
def collect(
    env: BatchedEnv, seeds: Sequence[int], networks: GainNetworks | None, generator: torch.Generator
) -> Examples:
    """Plays episodes, and says of every state what some candidates would bring.

    Each episode behaves in its own way, drawn at random: chance, single descriptors, the networks, or mixtures.

    Args:
        env: With ``allow_peek=True``.
        seeds: E of them.
        networks: Those of the round before, or None.
        generator: On the CPU.
    """
    env.reset(seed=list(seeds))
    episodes, batch = env.num_envs, env.batch
    size = batch.query_size
    weights = torch.randn(episodes, len(BEHAVIORS), generator=generator).clamp(min=0)
    weights *= torch.rand(episodes, len(BEHAVIORS), generator=generator) < 0.4
    trust = (
        torch.rand(episodes, generator=generator) * 1.5 * (torch.rand(episodes, generator=generator) < 0.7)
    )
    noise = torch.rand(episodes, generator=generator) ** 2
    diversity = 2 * torch.rand(episodes, generator=generator)
    found = []
    for _ in range(env.protocol.cycles):
        (described, points, *_), candidates = Candidates.of(batch), batch.candidates
        order = torch.rand(candidates.shape, generator=generator).argsort(1)
        some = order[:, torch.arange(SHOWN) % candidates.shape[1]]  # of few candidates, some twice
        gains, told = compared(env.gains(np.take_along_axis(candidates, some.numpy(), 1)).cpu())
        shown = described.candidates.gather(1, some[:, :, None].expand(-1, -1, len(NAMES)))
        found.append(Examples(shown[told].half(), described.context[told], gains[told]))
        scores = (described.candidates[:, :, _PLACES] * weights[:, None]).sum(2)
        if networks is not None:
            scores += trust[:, None] * networks.scores(described)
        scores += noise[:, None] * gumbel(scores.shape, generator)
        chosen = batches(scores, points, diversity, size)
        env.step(np.take_along_axis(candidates, chosen.numpy(), 1))
    return Examples.joined(found)


def fit(
    networks: GainNetworks, examples: Examples, generator: torch.Generator, epochs: int = 12
) -> list[float]:
    """Raises each member's correlation with the gains within a state; every member has its own order of states.

    Args:
        networks: M members, changed in place.
        examples: n states.
        generator: On the CPU.
        epochs: Passes over the states.

    Returns:
        The mean correlation of each epoch.
    """

    def scored(rows: Tensor) -> Tensor:
        found: Tensor = networks(examples.candidates[rows].float(), examples.context[rows])
        return found

    return followed(networks, scored, examples.gains, generator, epochs, len(networks.weights[0]))


def followed(
    module: nn.Module,
    scored: Callable[[Tensor], Tensor],
    gains: Tensor,
    generator: torch.Generator,
    epochs: int,
    members: int = 1,
    lr: float = 2e-3,
    size: int = 64,
) -> list[float]:
    """Raises the correlation of scores with gains (n, k) within a state.

    Args:
        module: What scores, changed in place.
        scored: Given states, int64 (M, b), returns scores (M, b, k).
        gains: float32 (n, k), standardized.
        generator: On the CPU.
        epochs: Passes over the states.
        members: M, each with its own order of states.
        lr: Peak learning rate of Adam; it falls to 0 as a cosine.
        size: b, states per step; all where there are fewer.

    Returns:
        The mean correlation of each epoch.
    """
    size = min(size, len(gains))
    steps = len(gains) // size
    optimizer = torch.optim.Adam(module.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    found = []
    for _ in range(epochs):
        orders = torch.stack([torch.randperm(len(gains), generator=generator) for _ in range(members)])
        total = 0.0
        for step in range(steps):
            rows = orders[:, step * size : (step + 1) * size]
            loss = -correlation(scored(rows), gains[rows]).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            schedule.step()
            total -= float(loss.detach())
        found.append(total / steps)
    return found


def compared(gains: Tensor) -> tuple[Tensor, Tensor]:
    """Returns gains (E, k) with mean 0 and standard deviation 1 in each state, and bool (E,) where they differ."""
    spread = gains.std(1, keepdim=True, correction=0)
    apart = (gains - gains.mean(1, keepdim=True)) / spread.clamp(min=LEAST_SPREAD)
    return apart, spread[:, 0] > LEAST_SPREAD


def correlation(scores: Tensor, gains: Tensor) -> Tensor:
    """Returns the correlation within each state (...) of scores (..., k) with standardized gains (..., k)."""
    apart = scores - scores.mean(-1, keepdim=True)
    return (apart * gains).mean(-1) / apart.square().mean(-1).clamp(min=1e-8).sqrt()


@torch.no_grad()
def quality(networks: GainNetworks, examples: Examples) -> float:
    """Returns the mean correlation of the members' common score with the gains."""
    found = networks.scores(Descriptors(examples.candidates.float(), examples.context))
    return float(correlation(found, examples.gains).mean())
