"""Imitation of the best of several strategies, which peeking tells: aggregated over rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents import options
from agents.base import Indices
from agents.in_batch import InBatch, among_candidates
from agents.policies import plackett_luce
from agents.policies.bandits import names_of
from agents.policies.set_training import SetTrainer, chosen_among
from agents.policies.training import LearningTask, trainer
from alenv import BatchedEnv

EXPERTS = ("random", "margin", "badge", "typiclust", "uherding")


class Demonstrations(NamedTuple):
    """States with the query that was best of those proposed.

    Attributes:
        candidates: float16 (n, K, 29).
        context: float32 (n, 8).
        wanted: bool (n, K), the candidates of that query.
    """

    candidates: Tensor
    context: Tensor
    wanted: Tensor


@trainer
class ImitateBest(SetTrainer):
    """Imitates in each state the strategy whose query ``peek`` finds best, in states that the policy itself comes to.

    Each of several strategies proposes a query, and the network learns to score the images of the best one above all
    others. In round r an episode goes on with that query with probability beta to the power of r, else with a query
    drawn by the network's scores, so that the first round follows the best strategy and later ones the policy. States
    of all rounds are kept, up to a number, and learned from after each round.

    Differs from IALE: the network sees all candidates at once and descriptors instead of embeddings, and learns by
    the likelihood of each image of the query against the images outside instead of by an error per image; the chance
    to follow the best strategy falls instead of staying at one half.

    Args:
        tasks: Environments with a ridge head and a validation split.
        seed: Decides the training.
        strategies: Who proposes: names with a slash between them, or a list of spellings. They choose from the
            candidates.
        beta: Of the chance to follow the best strategy, from 0 to 1.
        memory: States that are kept; the oldest are forgotten.
        epochs: Passes over them after a round.
        episodes: Played at once in each environment.
        plays: How often a round plays them.
        candidates: Shown in each state.
        width: Of the network; a multiple of 4.
        lr: Learning rate of Adam.
        start: A folder of a policy of this kind, whose weights are the first; None = random ones.

    Raises:
        UnknownName: A strategy does not exist or is none.
    """

    name: ClassVar[str] = "imitate_best"
    source: ClassVar[str] = (
        "Liu et al. 2022, IALE, JMLR 23, Algorithm 1; Ross, Gordon & Bagnell 2011, DAgger, AISTATS, Algorithm 3.1"
    )

    def __init__(
        self,
        tasks: Sequence[LearningTask],
        seed: int = 0,
        strategies: str | Sequence[str] = EXPERTS,
        beta: float = 0.7,
        memory: int = 4096,
        epochs: int = 4,
        episodes: int = 32,
        plays: int = 2,
        candidates: int = 256,
        width: int = 64,
        lr: float = 1e-3,
        start: str | None = None,
    ) -> None:
        self.beta = options.share("beta", beta)
        self.memory = options.whole("memory", memory)
        self.epochs = options.whole("epochs", epochs)
        names = names_of(strategies)
        self.experts = tuple(among_candidates(name) for name in names)
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
        self._players = {env: [InBatch(name, env) for name in self.experts] for env in self._envs}
        self._kept: list[Demonstrations] = []

    def advance(self, total: int) -> dict[str, float]:
        """Plays a round, and learns from all states that are kept."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.round + 500_000)
        numbers = super().advance(total)
        return {**numbers, "loss": self._fit(generator)}

    def _visit(
        self, env: BatchedEnv, done: float, generator: torch.Generator
    ) -> tuple[Indices, dict[str, float]]:
        described, candidates = env.batch.descriptors(), env.batch.candidates
        proposals = np.stack([player.act() for player in self._players[env]], axis=1)  # (E, M, B)
        worth = env.peek(proposals)  # (E, M)
        best = worth.argmax(1)
        wanted = np.take_along_axis(proposals, best[:, None, None], 1)[:, 0]  # (E, B)
        paid = np.arange(wanted.shape[1]) < env.batch.query_sizes[:, None]
        held = (candidates[:, :, None] == np.where(paid, wanted, -1)[:, None]).any(2)
        shown = described.candidates.cpu(), described.context.cpu()
        self._keep(Demonstrations(shown[0].half(), shown[1], torch.from_numpy(held)))
        with torch.no_grad():
            scores = self._network(described.candidates, described.context)[0]
        own = plackett_luce.drawn(scores, wanted.shape[1], generator).cpu()
        follow = torch.rand(len(wanted), generator=generator) < self.beta**self.round
        query = np.where(follow.numpy()[:, None], wanted, chosen_among(candidates, own))
        top = scores.topk(wanted.shape[1], 1).indices.cpu()
        agreed = (torch.from_numpy(held).gather(1, top) & torch.from_numpy(paid)).sum() / paid.sum()
        shares = np.bincount(best, minlength=len(self.experts)) / len(best)
        return query, {
            "lead": float((worth.max(1) - worth.mean(1)).mean()),
            "agreement": float(agreed),
            **{
                f"best/{name.removesuffix(':pool=candidates')}": float(share)
                for name, share in zip(self.experts, shares, strict=True)
            },
        }

    def _keep(self, new: Demonstrations) -> None:
        self._kept.append(new)
        while sum(len(each.context) for each in self._kept) - len(self._kept[0].context) >= self.memory:
            del self._kept[0]

    def _fit(self, generator: torch.Generator) -> float:
        """Learns from all that is kept, and returns the mean loss of the last pass."""
        optimizer = torch.optim.Adam(self._network.parameters(), self.lr)
        losses: list[Tensor] = []
        for _ in range(self.epochs):
            losses = []
            for part in torch.randperm(len(self._kept), generator=generator).tolist():
                some = Demonstrations(*(each.to(self._device) for each in self._kept[part]))
                scores = self._network(some.candidates.float(), some.context)[0]
                loss = outscored(scores, some.wanted).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
                optimizer.step()
                losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def get_state(self) -> dict[str, Any]:
        """Returns the rounds, the weights and the states that are kept."""
        return {**super().get_state(), "kept": [tuple(each) for each in self._kept]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        super().set_state(state)
        self._kept = [Demonstrations(*each) for each in state["kept"]]


def outscored(scores: Tensor, wanted: Tensor) -> Tensor:
    """Returns how unlikely wanted candidates are to come before all others, float32 (E,).

    It is the mean over the wanted of -log softmax of their score among it and those of the unwanted, the first factor
    of Plackett and Luce's likelihood, whatever their order among themselves.

    Args:
        scores: (E, K).
        wanted: bool (E, K), at least one of each.
    """
    rest = scores.masked_fill(wanted, -torch.inf).logsumexp(1, keepdim=True)
    each = torch.logaddexp(scores, rest) - scores
    return each.masked_fill(~wanted, 0.0).sum(1) / wanted.sum(1)
