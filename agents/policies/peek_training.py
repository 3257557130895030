"""Policy gradient with peeking: in each state several queries are compared with each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from agents import options
from agents.base import Indices
from agents.policies import plackett_luce
from agents.policies.set_training import SetTrainer, chosen_among
from agents.policies.training import LearningTask, trainer
from alenv import BatchedEnv

LEAST_LR = 0.1  # of the first, at the end


@trainer
class PeekPG(SetTrainer):
    """A group-relative policy gradient: queries that ``peek`` finds better than others of the same state gain chance.

    A set network scores the candidates; in each state a group of queries is drawn from the Plackett-Luce distribution
    of the scores, ``peek`` says what each would earn, and that less the group's mean, over its standard deviation,
    weighs the gradient of the log-probability. Nothing is credited to later cycles. The episode goes on with the first
    of the group, which is as likely as any other.

    Differs: rewards are compared within a state instead of within a prompt; one step per group on its own policy, so
    that no ratio is clipped; log-probabilities are means over the picks; the entropy that is rewarded is that of the
    first pick, since that of a query has no closed form.

    Args:
        tasks: Environments with a ridge head and a validation split.
        seed: Decides the training.
        episodes: Played at once in each environment; a gradient step for each of their cycles.
        plays: How often a round plays them.
        candidates: Shown in each state.
        samples: Queries of a group, G.
        width: Of the network; a multiple of 4.
        lr: Learning rate of Adam at first; it falls to a tenth.
        entropy: Weight of the entropy, in [0, 1] itself.
        start: A folder of a policy of this kind, whose weights are the first; None = random ones.
    """

    name: ClassVar[str] = "peek_pg"
    source: ClassVar[str] = (
        "alenv; after Williams 1992, REINFORCE; Shao et al. 2024, DeepSeekMath, section 4.1 (group-relative advantages)"
    )

    def __init__(
        self,
        tasks: Sequence[LearningTask],
        seed: int = 0,
        episodes: int = 16,
        plays: int = 4,
        candidates: int = 256,
        samples: int = 16,
        width: int = 64,
        lr: float = 5e-4,
        entropy: float = 0.02,
        start: str | None = None,
    ) -> None:
        self.samples = options.whole("samples", samples, 2)
        self.entropy = options.number("entropy", entropy)
        super().__init__(
            tasks,
            seed,
            episodes=episodes,
            plays=plays,
            candidates=candidates,
            width=width,
            lr=lr,
            start=start,
        )
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr)

    def _visit(
        self, env: BatchedEnv, done: float, generator: torch.Generator
    ) -> tuple[Indices, dict[str, float]]:
        described, candidates = env.batch.descriptors(), env.batch.candidates
        scores = self._network(described.candidates, described.context)[0]  # (E, K)
        each = scores.repeat_interleave(self.samples, 0)
        picks = plackett_luce.drawn(each.detach(), env.batch.query_size, generator)
        asked = chosen_among(candidates, picks.view(len(scores), self.samples, -1))  # (E, G, B)
        worth = torch.from_numpy(env.peek(asked)).float().to(scores)
        counts = torch.from_numpy(env.batch.query_sizes).to(scores.device).repeat_interleave(self.samples)
        likely = (plackett_luce.log_probability(each, picks, counts) / counts).view(len(scores), -1)
        chances = scores.log_softmax(1)
        entropy = -(chances.exp() * chances).sum(1).mean() / math.log(scores.shape[1])
        loss = -(advantages(worth) * likely).mean() - self.entropy * entropy
        for group in self._optimizer.param_groups:
            group["lr"] = self.lr * (1 - (1 - LEAST_LR) * done)
        self._optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        return asked[:, 0], {
            "spread": float(worth.std(1, correction=0).mean()),
            "entropy": float(entropy.detach()),
            "gradient": float(norm),
        }

    def get_state(self) -> dict[str, Any]:
        """Returns the rounds, the weights and the state of Adam."""
        return {**super().get_state(), "optimizer": self._optimizer.state_dict()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        super().set_state(state)
        self._optimizer.load_state_dict(state["optimizer"])


def advantages(worth: Tensor) -> Tensor:
    """Returns rewards (E, G) with mean 0 and standard deviation 1 in each group; 0 where all are equal."""
    spread = worth.std(1, keepdim=True, correction=0)
    return (worth - worth.mean(1, keepdim=True)) / spread.clamp(min=1e-6) * (spread > 1e-6)
