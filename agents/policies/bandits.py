"""Bandits over strategies: they learn within an episode, from the labels that were bought, whom to ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from agents import options
from agents.base import Indices, Strategy
from agents.compose import made, needs_of, restore, states_of
from agents.registry import register
from agents.strategies.uniform import Random
from alenv.errors import UnknownName

if TYPE_CHECKING:
    from alenv import View

DEFAULT_STRATEGIES = ("random", "margin", "coreset", "badge")


class _Bandit(Strategy):
    """Asks several strategies for a query each, buys some of what they propose, and learns from the labels.

    Labels are read at the first ``pick`` of a later cycle; before that, another ``pick`` repeats the query.
    """

    default_pool: ClassVar[str] = "candidates"

    def __init__(self, strategies: str | Sequence[str], pool: str | None) -> None:
        super().__init__(pool)
        self._parts = strategies_of(strategies)
        self.needs = needs_of(self._parts)
        self._learned: dict[str, Tensor] = {}
        self._asked: dict[str, Tensor] = {}  # what was proposed in the latest cycle
        self._cycle = -1  # of that

    def reset(self, view: View, seed: int = 0) -> None:
        """Starts an episode for all strategies; nothing is known of them."""
        super().reset(view, seed)
        self._learned, self._asked, self._cycle = {}, {}, -1
        for part in self._parts:
            part.reset(view, seed)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Lets every strategy propose ``count`` of ``indices``, and chooses among the proposals."""
        if not self._learned:
            self._learned = self._unknown(view)
        if self._asked and self._cycle < view.cycle:
            self._learn(view, self._asked)
        proposals = np.stack([part.pick(view, indices, count, generator) for part in self._parts])
        chosen, self._asked = self._choose(view, proposals, len(indices), generator)
        self._cycle = view.cycle
        return chosen

    def _unknown(self, view: View) -> dict[str, Tensor]:
        """Returns what is known before anything was bought."""
        raise NotImplementedError

    def _choose(
        self, view: View, proposals: Indices, among: int, generator: torch.Generator
    ) -> tuple[Indices, dict[str, Tensor]]:
        """Returns a query (B,) from proposals (M, B) of ``among`` images, and what to remember of it."""
        raise NotImplementedError

    def _learn(self, view: View, asked: dict[str, Tensor]) -> None:
        """Learns from the labels of the latest query, of which ``asked`` is remembered."""
        raise NotImplementedError

    def update(self, reward: float | None, info: dict[str, Any]) -> None:
        """Tells all strategies; a bandit itself learns from labels alone."""
        for part in self._parts:
            part.update(reward, info)

    def get_state(self) -> dict[str, Any]:
        """Returns what was learned, what is to be learned from next, and the states of the strategies."""
        return {
            "learned": {name: value.clone() for name, value in self._learned.items()},
            "asked": {name: value.clone() for name, value in self._asked.items()},
            "cycle": self._cycle,
            "parts": states_of(self._parts),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        self._learned, self._asked = dict(state["learned"]), dict(state["asked"])
        self._cycle = state["cycle"]
        restore(self._parts, state["parts"])


@register
class Albl(_Bandit):
    """EXP4.P over strategies, whose reward is an importance-weighted accuracy on the labels bought.

    A strategy is drawn, and its query is bought. The reward is how many of all images bought so far the classifier
    gets right, each weighted by one over the chance that it was bought, so that it estimates the accuracy on the whole
    pool. Strategies that would have bought the same images share what the query earned, and no strategy's chance falls
    below sqrt(log M / (M T)), with M strategies and T queries. Keep ``random`` among them: it gives every image a
    chance, without which the estimate holds for their favorites alone.

    Differs: one round is a query of B images instead of one image, and its strategy is drawn for all of them, so that
    the chance of an image is the sum of the chances of those that propose it. What a strategy's round earned is the
    mean over the query's images. Importance weights are divided by their sum instead of by pool size and T (IW-ACC,
    section 4.2), since a reward of one in thousands would teach nothing. With the ten queries of an episode the
    chances stay near one another.

    Args:
        strategies: M names with a slash between them, or a list of spellings.
        delta: Chance that the bound of EXP4.P does not hold; smaller explores more.
        pool: None = all strategies choose from this cycle's candidates.

    Raises:
        UnknownName: There is no such strategy.
        InvalidQuery: ``delta`` is no number above 0 and at most 1.
    """

    name: ClassVar[str] = "albl"
    cost: ClassVar[str] = "that of all its strategies, and inference on the labeled images"
    source: ClassVar[str] = "Hsu & Lin 2015, Active Learning by Learning, AAAI, Algorithm 1"

    def __init__(
        self,
        strategies: str | Sequence[str] = DEFAULT_STRATEGIES,
        delta: float = 0.1,
        pool: str | None = None,
    ) -> None:
        super().__init__(strategies, pool)
        self.delta = options.number("delta", delta, most=1.0, above=True)

    def chances(self, view: View) -> Tensor:
        """Returns the chance of each strategy to make the next query, float64 (M,): EXP4.P's mixture."""
        weights = self._learned["log_weights"].softmax(0)
        least = self._least(view)
        return (1 - len(weights) * least) * weights + least

    def _least(self, view: View) -> float:
        count, rounds = len(self._parts), max(view.protocol.cycles, 1)
        return min(math.sqrt(math.log(count) / (count * rounds)), 1 / count)

    def _unknown(self, view: View) -> dict[str, Tensor]:
        return {
            "log_weights": torch.zeros(len(self._parts), dtype=torch.float64),
            "bought": torch.zeros(0, dtype=torch.int64),
            "importance": torch.zeros(0, dtype=torch.float64),
        }

    def _choose(
        self, view: View, proposals: Indices, among: int, generator: torch.Generator
    ) -> tuple[Indices, dict[str, Tensor]]:
        drawn = int(torch.multinomial(self.chances(view), 1, generator=generator))
        query = proposals[drawn].copy()
        advice = np.stack([np.isin(query, each) for each in proposals]).astype(np.float64)  # (M, B)
        for place, part in enumerate(self._parts):
            if isinstance(part, Random):
                advice[place] = proposals.shape[1] / among
        asked = {"query": torch.from_numpy(query), "advice": torch.from_numpy(advice)}
        return query, {**asked, "among": torch.tensor(among)}

    def _learn(self, view: View, asked: dict[str, Tensor]) -> None:
        known, least, advice = self._learned, self._least(view), asked["advice"]
        importance = 1 / (self.chances(view) @ advice)  # (B,)
        paid = torch.from_numpy(np.isin(asked["query"].numpy(), view.labeled))
        bought = torch.cat([known["bought"], asked["query"][paid]])
        weights = torch.cat([known["importance"], importance[paid]])
        right = view.logits(bought.numpy()).argmax(1) == view.labels(bought.numpy())
        reward = (weights * right.cpu()).sum() / weights.sum().clamp(min=1e-12)
        share = (advice * importance).mean(1)  # of the reward, and of its variance
        count, rounds = len(self._parts), max(view.protocol.cycles, 1)
        bound = math.sqrt(math.log(count / self.delta) / (float(asked["among"]) * rounds))
        log_weights = known["log_weights"] + least / 2 * share * (reward + bound)
        self._learned = {"log_weights": log_weights, "bought": bought, "importance": weights}


@register
class Tailor(_Bandit):
    """Thompson sampling of the strategy for each image of a query, whose reward is a label of a rare class.

    What the labels were that a strategy's images got is counted by class, with a decay from cycle to cycle. For each
    image of a query class shares are drawn from every strategy's Dirichlet posterior, and the strategy whose shares
    are worth most gives its next image; a label of a class is worth one over the labels of that class so far. Labels
    alone decide: neither accuracy nor a validation split is read.

    Differs: an image that an earlier pick of the query has taken is skipped, and a label counts for the strategy that
    was drawn alone. A label that is no class (an outlier) counts for none.

    Args:
        strategies: M names with a slash between them, or a list of spellings.
        gamma: What is left of a count after a cycle, from 0 to 1.
        pool: None = all strategies choose from this cycle's candidates.

    Raises:
        UnknownName: There is no such strategy.
        InvalidQuery: ``gamma`` is no number of at least 0 and at most 1.
    """

    name: ClassVar[str] = "tailor"
    cost: ClassVar[str] = "that of all its strategies"
    source: ClassVar[str] = (
        "Zhang et al. 2023, Algorithm Selection for Deep Active Learning with Imbalanced Datasets, NeurIPS"
    )

    def __init__(
        self,
        strategies: str | Sequence[str] = DEFAULT_STRATEGIES,
        gamma: float = 0.9,
        pool: str | None = None,
    ) -> None:
        super().__init__(strategies, pool)
        self.gamma = options.share("gamma", gamma)

    def _unknown(self, view: View) -> dict[str, Tensor]:
        return {"counts": torch.zeros(len(self._parts), view.num_classes, dtype=torch.float64)}

    def _choose(
        self, view: View, proposals: Indices, among: int, generator: torch.Generator
    ) -> tuple[Indices, dict[str, Tensor]]:
        count = proposals.shape[1]
        posterior = 1 + self._learned["counts"].numpy()  # (M, C)
        stream = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        shares = stream.standard_gamma(posterior, (count, *posterior.shape))
        shares /= shares.sum(2, keepdims=True)
        labels = view.labels().cpu().numpy()
        worth = 1 / np.bincount(labels[labels >= 0], minlength=view.num_classes).clip(min=1)
        drawn = (shares @ worth).argmax(1)  # (B,)
        query: list[int] = []
        taken, left = set[int](), [iter(each.tolist()) for each in proposals]
        for place in drawn:  # a strategy proposes as many as the query takes, so that one of them is free
            query.append(next(index for index in left[place] if index not in taken))
            taken.add(query[-1])
        found = np.array(query, dtype=np.int64)
        return found, {"query": torch.from_numpy(found.copy()), "drawn": torch.from_numpy(drawn)}

    def _learn(self, view: View, asked: dict[str, Tensor]) -> None:
        query = asked["query"].numpy()
        paid = np.isin(query, view.labeled)
        labels, drawn = view.labels(query[paid]).cpu(), asked["drawn"][torch.from_numpy(paid)]
        counts = self._learned["counts"] * self.gamma
        inside = labels >= 0
        one = torch.ones(int(inside.sum()), dtype=counts.dtype)
        self._learned = {"counts": counts.index_put((drawn[inside], labels[inside]), one, accumulate=True)}


def names_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the spellings that names with a slash between them, or a list of spellings, stand for.

    Raises:
        UnknownName: There is none.
    """
    names = given.split("/") if isinstance(given, str) else given
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise UnknownName(
            f"strategies={given!r} was given; give at least one name, such as random/margin, or a list of them."
        )
    return tuple(names)


def strategies_of(given: str | Sequence[str]) -> tuple[Strategy, ...]:
    """Makes the strategies of ``names_of``.

    Raises:
        UnknownName: One does not exist or is no strategy, or there is none.
    """
    found = []
    for name in names_of(given):
        agent = made(name)
        if not isinstance(agent, Strategy):
            raise UnknownName(
                f"{name} is no strategy, so it cannot propose images among others; leave it out."
            )
        found.append(agent)
    return tuple(found)
